// The sentences follow the record, and record.json keeps all of it.
#include "client/lab/report/story.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "client/lab/record_json.h"
#include "tests/unit/lab/sample_runs.h"

namespace loyal::lab {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

Story story_of(const Run& run) {
    return story_of(run.record, run.scenario, run.verdict);
}

TEST(Story, of_an_equivocating_primary_tells_gap_view_change_proof_and_numbers) {
    const lab::Run run = equivocating_primary();
    const Story story = story_of(run);
    EXPECT_THAT(story.seen, HasSubstr("Four replicas under the byzantine fault model, which tolerates 1 traitor"));
    EXPECT_THAT(story.seen, HasSubstr("Replica 0 was told to lie."));
    EXPECT_THAT(story.seen, HasSubstr("\"replica 0: byzantine equivocate\""));
    EXPECT_THAT(story.seen, HasSubstr("The longest time without an answer was 815 ms, from 1.53 s to 2.34 s, while the "
                                      "faults were in force."));
    EXPECT_THAT(story.seen, HasSubstr("At 2.31 s the replicas left view 0 and its primary, replica 0, for view 1 under "
                                      "replica 1: there was proof of its guilt"));
    EXPECT_THAT(story.seen, HasSubstr("277 before"));
    EXPECT_THAT(story.because, HasSubstr("Two quorums of 3 among 4 share at least 2 replicas"));
    EXPECT_THAT(story.because,
                HasSubstr("Replica 0 was convicted: replica 2 holds proof E1 against it, first seen at 1.52 s"));
    EXPECT_THAT(story.because, HasSubstr("verifies offline"));
    EXPECT_THAT(story.because, HasSubstr("That is what was seen."));
    EXPECT_THAT(story.because, Not(HasSubstr("BROKEN")));
}

TEST(Story, of_a_broken_run_says_what_broke_and_why_it_could) {
    const Story story = story_of(lie_among_crash_tolerant());
    EXPECT_THAT(story.seen, HasSubstr("where the model expects nobody to lie"));
    EXPECT_THAT(story.seen, HasSubstr("The primary stayed who it was."));
    EXPECT_THAT(story.because, HasSubstr("BROKEN: Replicas 1 and 2 executed different blocks at height 57."));
    EXPECT_THAT(story.because, HasSubstr("Two quorums of 2 among 3 need to share no more than 1 replica"));
    EXPECT_THAT(story.because, HasSubstr("sign no votes"));
    EXPECT_THAT(story.because, Not(HasSubstr("had the same state")));
}

TEST(Story, of_many_violations_tells_one_of_each_property_and_how_many_more) {
    lab::Run run = lie_among_crash_tolerant();
    run.verdict.agreement = true;
    run.verdict.violations.erase(run.verdict.violations.begin());
    for (int i = 0; i < 7; ++i) {
        run.verdict.violations.push_back(run.verdict.violations.front());
    }
    run.scenario.cluster.fault_model = consensus::FaultModel::crash;
    const Story story = story_of(run);
    EXPECT_THAT(story.because, HasSubstr("explains what client 3 read. And 7 more findings of this kind."));
    EXPECT_THAT(story.because, HasSubstr("A client of this model believes a single answer, and 1 lied"));
    EXPECT_THAT(story.because, Not(HasSubstr("Two quorums")));
}

TEST(Story, tells_the_death_and_return_of_a_replica_and_why_it_is_not_as_expected) {
    const Story story = story_of(crash_and_flapping());
    EXPECT_THAT(story.seen, HasSubstr("Replica 0 died once and came back."));
    EXPECT_THAT(story.seen, HasSubstr("its process was dead"));
    EXPECT_THAT(story.seen, HasSubstr("12 faults were put in force between 2.40 s and 4.60 s"));
    EXPECT_THAT(story.because, AllOf(HasSubstr("That is NOT what was seen."),
                                     HasSubstr("The evidence E1 that was expected against replica 0 was not found.")));
}

TEST(Story, shouts_when_an_honest_replica_was_convicted) {
    lab::Run run = equivocating_primary();
    run.record.evidence[0].culprit = 3;
    run.verdict.evidence = run.record.evidence;
    EXPECT_THAT(story_of(run).because, HasSubstr("ALTHOUGH NOBODY HAD TOLD IT TO LIE"));
}

TEST(Story, of_nothing_is_short_and_does_not_claim_anything) {
    const Story story = story_of(empty_run());
    EXPECT_THAT(story.seen, HasSubstr("Not one operation was answered."));
    EXPECT_THAT(story.because, Not(HasSubstr("same state")));
}

// ---- Why a primary lost its office

Run without_proof() {
    lab::Run run = equivocating_primary();
    run.record.evidence.clear();
    return run;
}

Deposition::Cause cause_of(const Run& run, double phi_threshold) {
    return first_deposition(run.record, 1.5, phi_threshold).value().cause;
}

TEST(Depositions, are_told_apart_by_what_came_before) {
    EXPECT_EQ(cause_of(equivocating_primary(), 8), Deposition::Cause::proof);
    EXPECT_EQ(cause_of(crash_and_flapping(), 8), Deposition::Cause::death);
    EXPECT_EQ(cause_of(without_proof(), 8), Deposition::Cause::progress) << "phi rose to 4 only";
    EXPECT_EQ(cause_of(without_proof(), 3), Deposition::Cause::silence);
    lab::Run quick = without_proof();
    quick.record.operations.push_back({9,
                                       "put",
                                       "k",
                                       "v",
                                       {},
                                       {},
                                       {},
                                       Operation::Status::ok,
                                       quick.record.start_ns + 2'290'000'000,
                                       quick.record.start_ns + 2'300'000'000});
    EXPECT_EQ(cause_of(quick, 8), Deposition::Cause::planned) << "answers never stopped";
}

TEST(Depositions, name_the_time_out_that_the_replicas_name) {
    lab::Run run = without_proof();
    for (Sample& sample : run.record.samples) {
        sample.time_out = sample.replica == 2 && sample.at_s > 2.2 ? "no progress" : "";
    }
    EXPECT_EQ(cause_of(run, 8), Deposition::Cause::time_out);
    EXPECT_THAT(story_of(run).seen, HasSubstr("a time-out fired at a replica, \"no progress\""));
    for (Sample& sample : run.record.samples) {
        sample.time_out = sample.replica == 2 ? "an older one" : "";
    }
    EXPECT_EQ(cause_of(run, 8), Deposition::Cause::progress) << "it had named that one before";
}

TEST(Depositions, proof_that_was_asked_for_a_little_later_counts_unless_a_time_out_is_named) {
    lab::Run run = equivocating_primary();
    run.record.evidence[0].at_s = 2.9;
    EXPECT_EQ(cause_of(run, 8), Deposition::Cause::proof);
    for (Sample& sample : run.record.samples) {
        sample.time_out = sample.replica == 2 && sample.at_s > 2.2 ? "no progress" : "";
    }
    EXPECT_EQ(cause_of(run, 8), Deposition::Cause::time_out);
    run.record.evidence[0].at_s = 7;
    for (Sample& sample : run.record.samples) {
        sample.time_out.clear();
    }
    EXPECT_EQ(cause_of(run, 8), Deposition::Cause::progress) << "that proof is of something later";
}

TEST(Depositions, do_not_believe_traitors) {
    lab::Run run = without_proof();
    for (Sample& sample : run.record.samples) {
        sample.view = sample.replica == 0 ? 99 : 0;
    }
    EXPECT_FALSE(first_deposition(run.record, 0, 8).has_value());
    EXPECT_FALSE(first_deposition(Record{}, 0, 8).has_value());
}

// ---- record.json

TEST(RecordJson, reading_gives_what_was_written) {
    for (const lab::Run& run :
         {equivocating_primary(), lie_among_crash_tolerant(), crash_and_flapping(), empty_run()}) {
        Record record = run.record;
        record.read_back = {{"a", "1"}, {"b", std::nullopt}, {std::string("\xff\x00", 2), "\xfe"}};
        record.versions = {{"a", 3}};
        if (!record.samples.empty()) {
            record.samples[0].time_out = "no progress";
        }
        record.failures = {"replica 3: exit code 64"};
        const std::string text = record_to_json(record);
        const Result<Record> read = record_from_json(text);
        ASSERT_TRUE(read.has_value()) << read.error().message;
        EXPECT_EQ(record_to_json(*read), text);
        EXPECT_EQ(read->operations.size(), record.operations.size());
        EXPECT_EQ(read->read_back, record.read_back);
        EXPECT_EQ(read->versions, record.versions);
        EXPECT_EQ(read->digests, record.digests);
        EXPECT_EQ(read->failures, record.failures);
        ASSERT_EQ(read->samples.size(), record.samples.size());
        for (std::size_t i = 0; i < record.samples.size(); ++i) {
            EXPECT_EQ(read->samples[i].suspicion, record.samples[i].suspicion);
        }
    }
}

RC_GTEST_PROP(RecordJson, keeps_any_bytes, (const std::string& key, const std::string& value)) {
    Record record;
    record.operations = {{1, "cas", key, value, value, key, true, Operation::Status::fail, 2, 3}};
    record.events = {{0.5, Event::Kind::violation, 7, value}};
    record.evidence = {{0.25, 1, 2, key, value, key, {key, value}, true}};
    const Result<Record> read = record_from_json(record_to_json(record));
    RC_ASSERT(read.has_value());
    RC_ASSERT(read->operations[0].key == key);
    RC_ASSERT(read->operations[0].value == value);
    RC_ASSERT(read->operations[0].expect == value);
    RC_ASSERT(read->operations[0].out == key);
    RC_ASSERT(read->operations[0].applied == true);
    RC_ASSERT(read->operations[0].status == Operation::Status::fail);
    RC_ASSERT(read->events[0].text == value);
    RC_ASSERT(read->events[0].kind == Event::Kind::violation);
    RC_ASSERT(read->evidence[0].statements == (std::vector<std::string>{key, value}));
}

TEST(RecordJson, what_is_no_record_is_an_error_that_says_what_is_wrong) {
    const std::string good = record_to_json(equivocating_primary().record);
    for (const std::string& text :
         {std::string(), std::string("{"), std::string("[]"), std::string("{}"), good.substr(0, good.size() / 2)}) {
        const Result<Record> read = record_from_json(text);
        ASSERT_FALSE(read.has_value());
        EXPECT_EQ(read.error().code, Errc::invalid_argument);
    }
    std::string unknown = good;
    unknown.replace(unknown.find("\"inject\""), 8, "\"infect\"");
    EXPECT_THAT(record_from_json(unknown).error().message, HasSubstr("infect"));
}

}  // namespace
}  // namespace loyal::lab
