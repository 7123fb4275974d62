// The judge on records written by hand: each kind of violation is found where it is, and nothing in clean ones.
#include "client/lab/judge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "client/lab/verdict_json.h"

namespace loyal::lab {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t ms = 1'000'000;

Scenario plain() {
    Scenario scenario;
    scenario.name = "by-hand";
    scenario.times = {1, 2, 1};
    scenario.expect.recovery_max_s = 1;
    return scenario;
}

// One client that writes a counter to one key every 10 ms and reads it back after each.
Record clean() {
    Record record;
    record.scenario = "by-hand";
    record.fault_model = "byzantine";
    record.n = 4;
    record.f = 1;
    record.q = 3;
    record.during_from_s = 1;
    record.during_to_s = 3;
    record.end_s = 4;
    for (std::uint64_t i = 0; i < 390; ++i) {
        Operation put;
        put.op = "put";
        put.key = "k";
        put.value = std::to_string(i);
        put.status = Operation::Status::ok;
        put.call_ns = i * 10 * ms;
        put.ret_ns = put.call_ns + 2 * ms;
        Operation get = put;
        get.op = "get";
        get.out = put.value;
        get.value.reset();
        get.call_ns = put.ret_ns + ms;
        get.ret_ns = get.call_ns + 2 * ms;
        record.operations.push_back(put);
        record.operations.push_back(get);
    }
    record.read_back["k"] = "389";
    record.versions["k"] = 390;
    for (std::uint64_t height = 1; height <= 50; ++height) {
        for (std::uint16_t replica = 0; replica < 4; ++replica) {
            record.digests[height][replica] = "d" + std::to_string(height);
        }
    }
    return record;
}

Violation only_violation(const Verdict& verdict) {
    EXPECT_EQ(verdict.violations.size(), 1U);
    return verdict.violations.empty() ? Violation{} : verdict.violations.front();
}

TEST(Judge, finds_nothing_in_a_clean_record) {
    const Verdict verdict = judge(plain(), clean());
    EXPECT_EQ(verdict.outcome, Outcome::as_expected) << testing::PrintToString(verdict.reasons);
    EXPECT_EQ(verdict.agreement, true);
    EXPECT_EQ(verdict.linearizable, true);
    EXPECT_EQ(verdict.durable, true);
    EXPECT_EQ(verdict.once, true);
    EXPECT_EQ(verdict.live, true);
    EXPECT_TRUE(verdict.violations.empty());
    EXPECT_EQ(verdict.ops, 780U);
    EXPECT_NEAR(verdict.before.ops_per_s, 200, 3);
    EXPECT_NEAR(verdict.before.p50_ms, 2, 0.01);
}

TEST(Judge, names_the_first_height_at_which_correct_replicas_differ) {
    Record record = clean();
    for (std::uint64_t height = 31; height <= 50; ++height) {
        record.digests[height][2] = "other";
    }
    const Verdict verdict = judge(plain(), record);
    EXPECT_EQ(verdict.outcome, Outcome::violated);
    EXPECT_EQ(verdict.agreement, false);
    EXPECT_EQ(only_violation(verdict).height, 31U);
    EXPECT_THAT(only_violation(verdict).text, HasSubstr("replica 2"));
}

TEST(Judge, does_not_ask_traitors_for_their_state) {
    Record record = clean();
    record.digests[31][2] = "other";
    record.traitors = {2};
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::as_expected);
}

TEST(Judge, finds_a_read_that_misses_an_acknowledged_write) {
    Record record = clean();
    record.operations[101].out = "3";
    const Verdict verdict = judge(plain(), record);
    EXPECT_EQ(verdict.outcome, Outcome::violated);
    EXPECT_EQ(verdict.linearizable, false);
    EXPECT_EQ(only_violation(verdict).key, "k");
}

TEST(Judge, finds_an_acknowledged_write_that_is_gone_at_the_end) {
    Record record = clean();
    record.read_back["k"] = "200";
    const Verdict verdict = judge(plain(), record);
    EXPECT_EQ(verdict.outcome, Outcome::violated);
    EXPECT_EQ(verdict.durable, false);
    EXPECT_EQ(verdict.linearizable, false);  // the reading at the end is a read, too
    record.read_back["k"] = std::nullopt;
    EXPECT_EQ(judge(plain(), record).durable, false);
}

TEST(Judge, accepts_at_the_end_what_an_unanswered_write_left) {
    Record record = clean();
    Operation late = record.operations[100];  // a put
    late.client = 9;
    late.value = "late";
    late.status = Operation::Status::unknown;
    late.ret_ns = 0;
    record.operations.push_back(late);
    record.read_back["k"] = "late";
    record.versions["k"] = 391;
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::as_expected);
}

TEST(Judge, finds_a_write_that_was_executed_twice) {
    Record record = clean();
    record.versions["k"] = 391;
    const Verdict verdict = judge(plain(), record);
    EXPECT_EQ(verdict.outcome, Outcome::violated);
    EXPECT_EQ(verdict.once, false);
    EXPECT_THAT(only_violation(verdict).text, AllOf(HasSubstr("391"), HasSubstr("390")));
}

TEST(Judge, finds_a_gap_and_says_when) {
    Record record = clean();
    std::erase_if(record.operations, [](const Operation& operation) {
        return operation.ret_ns > 1'200 * ms && operation.call_ns < 2'500 * ms;
    });
    record.versions.clear();
    const Verdict verdict = judge(plain(), record);
    EXPECT_EQ(verdict.outcome, Outcome::violated);
    EXPECT_EQ(verdict.live, false);
    EXPECT_NEAR(verdict.longest_gap_s, 1.3, 0.02);
    EXPECT_NEAR(only_violation(verdict).at_s.value_or(0), 1.2, 0.02);
    // The same gap is what a scenario of a stall is about.
    Scenario stalling = plain();
    stalling.expect.stalls = true;
    Step heal;
    heal.at_s = 2.45;
    stalling.steps = {heal};
    EXPECT_EQ(judge(stalling, record).outcome, Outcome::as_expected);
    EXPECT_EQ(judge(stalling, clean()).outcome, Outcome::violated);
}

TEST(Judge, a_cluster_that_ends_in_silence_is_not_live) {
    Record record = clean();
    std::erase_if(record.operations, [](const Operation& operation) { return operation.ret_ns > 1'100 * ms; });
    record.versions.clear();
    record.read_back.clear();
    Scenario scenario = plain();
    scenario.times = {1, 1, 1};
    scenario.expect.recovery_max_s = 30;
    Step kill;
    kill.at_s = 1;
    kill.kind = Step::Kind::kill;
    scenario.steps = {kill};
    EXPECT_EQ(judge(scenario, record).live, false);
    scenario.expect.live = false;
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::as_expected);
    EXPECT_EQ(judge(scenario, clean()).outcome, Outcome::violated);  // it was expected to stall
}

// The runner waits for what was promised: the run is as long as it was, not as long as it was planned.
TEST(Judge, a_recovery_that_was_waited_for_counts_and_one_that_never_came_does_not) {
    Record record = clean();
    std::erase_if(record.operations, [](const Operation& operation) {
        return operation.ret_ns > 1'400 * ms && operation.call_ns < 3'600 * ms;
    });
    record.versions.clear();
    Scenario scenario = plain();
    scenario.times = {1, 0.5, 1};
    scenario.expect.recovery_max_s = 3;
    Step heal;
    heal.at_s = 1.5;
    scenario.steps = {heal};
    record.load_until_s = 3.9;
    const Verdict verdict = judge(scenario, record);
    EXPECT_EQ(verdict.live, true);
    EXPECT_NEAR(verdict.recovery_s.value_or(0), 2.1, 0.05);
    std::erase_if(record.operations, [](const Operation& operation) { return operation.call_ns > 1'400 * ms; });
    record.load_until_s = 4.5;
    EXPECT_EQ(judge(scenario, record).live, false);
}

TEST(Judge, wants_the_expected_proof_verified_and_against_the_traitor) {
    Scenario scenario = plain();
    scenario.expect.evidence = {"E1"};
    Record record = clean();
    record.traitors = {0};
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::violated);
    EvidenceFound found;
    found.kind = "E1";
    found.by = 1;
    found.culprit = 0;
    record.evidence = {found};
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::violated);  // does not check
    record.evidence[0].verified = true;
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::as_expected);
    scenario.expect.evidence = {"E2", "E1"};  // any of them
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::as_expected);
    scenario.expect.evidence = {"E2", "E3"};
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::violated);
}

TEST(Judge, an_accused_honest_replica_is_a_violation) {
    Record record = clean();
    record.traitors = {0};
    EvidenceFound found;
    found.kind = "E2";
    found.by = 1;
    found.culprit = 3;
    record.evidence = {found};
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::violated);
    record.evidence[0].by = 0;  // a liar says that it holds something, and it does not verify
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::as_expected);
}

TEST(Judge, an_expected_violation_is_as_expected_and_its_absence_is_not) {
    Scenario scenario = plain();
    scenario.expect.violated = {Property::agreement};
    Record record = clean();
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::violated);
    record.digests[31][2] = "other";
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::as_expected);
    record.versions["k"] = 999;  // something else that nobody expected
    EXPECT_EQ(judge(scenario, record).outcome, Outcome::violated);
}

TEST(Judge, is_inconclusive_when_the_run_went_wrong_or_shows_nothing) {
    Record record = clean();
    record.failures = {"replica 2 cannot be started"};
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::inconclusive);
    record = clean();
    record.digests.clear();
    EXPECT_EQ(judge(plain(), record).outcome, Outcome::inconclusive);
    EXPECT_EQ(judge(plain(), Record{}).outcome, Outcome::inconclusive);
}

TEST(VerdictJson, has_the_fields_of_the_contract) {
    lab::Run run{plain(), clean(), {}};
    run.verdict = judge(run.scenario, run.record);
    const auto json = nlohmann::json::parse(verdict_json({run}));
    for (const char* field : {"scenario", "fault_model", "n", "seed", "expected", "verdict", "agreement",
                              "linearizable", "durable", "live", "recovery_s", "ops", "ops_per_s", "evidence"}) {
        EXPECT_TRUE(json.contains(field)) << field;
    }
    EXPECT_EQ(json["verdict"], "as-expected");
    EXPECT_EQ(json["agreement"], true);
    EXPECT_TRUE(json["ops_per_s"].contains("during"));
    lab::Run worse = run;
    worse.verdict.outcome = Outcome::violated;
    const auto both = nlohmann::json::parse(verdict_json({run, worse}));
    EXPECT_EQ(both["verdict"], "violated");
    EXPECT_EQ(both["variants"].size(), 2U);
}

TEST(HistoryFile, has_one_line_an_operation_as_the_contract_says) {
    Record record = clean();
    record.operations.resize(2);
    record.operations[0].status = Operation::Status::unknown;
    const std::string text = history_jsonl(record.operations);
    EXPECT_EQ(
        text,
        "{\"client\":0,\"op\":\"put\",\"key\":\"k\",\"value\":\"0\",\"status\":\"unknown\",\"call\":0,\"ret\":0}\n"
        "{\"client\":0,\"op\":\"get\",\"key\":\"k\",\"out\":\"0\",\"status\":\"ok\",\"call\":3000000,"
        "\"ret\":5000000}\n");
}

}  // namespace
}  // namespace loyal::lab
