// The page: everything that the record has is in it, nothing that the record has can break it, and it stays small.
#include "client/lab/report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

#include "client/lab/evidence_words.h"
#include "client/lab/report/fault_strips.h"
#include "client/lab/report/model.h"
#include "client/lab/report/text.h"
#include "tests/unit/lab/sample_runs.h"

namespace loyal::lab {
namespace {

using Json = nlohmann::ordered_json;
using testing::HasSubstr;
using testing::Not;

std::string page_of(const Run& run) {
    return render_report(run.record, run.scenario, run.verdict);
}

std::size_t count_of(const std::string& text, const std::string& part) {
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) {
        ++count;
    }
    return count;
}

std::string between(const std::string& text, const std::string& from, const std::string& to) {
    const std::size_t begin = text.find(from);
    EXPECT_NE(begin, std::string::npos) << from;
    const std::size_t end = text.find(to, begin + from.size());
    EXPECT_NE(end, std::string::npos) << to;
    return text.substr(begin + from.size(), end - begin - from.size());
}

// What the page's script will read.
Json data_of(const std::string& page) {
    return Json::parse(between(page, R"(<script type="application/json" id="data">)", "</script>"));
}

Json timeline_of(const Run& run) {
    return timeline_model(run.record, run.scenario, run.verdict);
}

// ---- What has to be there

TEST(Report, has_a_lane_for_every_replica_with_roles_views_and_faults) {
    const Json lanes = data_of(page_of(equivocating_primary()))[0]["timeline"]["lanes"];
    ASSERT_EQ(lanes.size(), 4U);
    for (std::size_t id = 0; id < 4; ++id) {
        EXPECT_EQ(lanes[id]["id"], id);
        EXPECT_EQ(lanes[id]["traitor"], id == 0);
        ASSERT_EQ(lanes[id]["segments"].size(), 2U) << "one before and one after the view change";
        EXPECT_EQ(lanes[id]["segments"][0]["from"], 0.0);
        EXPECT_EQ(lanes[id]["segments"][1]["from"], 2.312) << "when the runner noted the view, not the next sample";
        EXPECT_EQ(lanes[id]["segments"][0]["state"], id == 0 ? "primary" : "backup");
        EXPECT_EQ(lanes[id]["segments"][1]["state"], id == 1 ? "primary" : "backup");
        EXPECT_EQ(lanes[id]["segments"][1]["view"], 1);
    }
    ASSERT_EQ(lanes[0]["faults"].size(), 1U);
    EXPECT_EQ(lanes[0]["faults"][0]["text"], "byzantine equivocate");
    EXPECT_EQ(lanes[0]["faults"][0]["from"], 1.503) << "when it was injected, not when the next sample told";
    EXPECT_EQ(lanes[0]["faults"][0]["to"], 5.501);
    EXPECT_EQ(lanes[0]["faults"][0]["lie"], true);
    EXPECT_TRUE(lanes[1]["faults"].empty());
}

TEST(Report, shows_a_dead_replica_as_down_from_its_crash_to_its_restart) {
    const Json segments = timeline_of(crash_and_flapping())["lanes"][0]["segments"];
    const auto down =
        std::find_if(segments.begin(), segments.end(), [](const Json& s) { return s["state"] == "down"; });
    ASSERT_NE(down, segments.end());
    EXPECT_EQ((*down)["from"], 2.0);
    EXPECT_DOUBLE_EQ((*down)["to"], 4.1);
}

TEST(Report, shows_every_event_numbered_in_the_list_and_in_the_chart) {
    for (const lab::Run& run : {equivocating_primary(), lie_among_crash_tolerant(), crash_and_flapping()}) {
        const std::string page = page_of(run);
        const Json marks = data_of(page)[0]["timeline"]["marks"];
        std::size_t expected = 0;
        for (const Event& event : run.record.events) {
            expected += event.kind == Event::Kind::phase ? 0 : 1;
        }
        EXPECT_EQ(marks.size(), expected);
        for (std::size_t i = 0; i < marks.size(); ++i) {
            const std::string row =
                fmt::format("<tr class=\"{}\"><td>{}</td>", marks[i]["kind"].get<std::string>(), i + 1);
            EXPECT_THAT(page, HasSubstr(row));
            EXPECT_THAT(page, HasSubstr(html(marks[i]["text"].get<std::string>())));
        }
    }
}

TEST(Report, cuts_of_links_stand_on_the_lane_of_the_sender_each_for_its_time) {
    const Json lanes = timeline_of(crash_and_flapping())["lanes"];
    ASSERT_EQ(lanes[1]["faults"].size(), 6U);
    EXPECT_EQ(lanes[1]["faults"][0]["text"], "cut to 3");
    EXPECT_EQ(lanes[1]["faults"][0]["from"], 2.4);
    EXPECT_EQ(lanes[1]["faults"][0]["to"], 2.5);
    EXPECT_EQ(lanes[2]["faults"].size(), 6U);
    EXPECT_TRUE(lanes[3]["faults"].empty());
}

TEST(Report, shows_evidence_with_both_statements_its_id_and_its_mark) {
    lab::Run run = equivocating_primary();
    const std::string page = page_of(run);
    EXPECT_THAT(page, HasSubstr("E1 against replica 0"));
    EXPECT_THAT(page, HasSubstr("Statement A"));
    EXPECT_THAT(page, HasSubstr("block 9f3a12cd"));
    EXPECT_THAT(page, HasSubstr("Statement B"));
    EXPECT_THAT(page, HasSubstr("block 77bc90ef"));
    EXPECT_THAT(page, HasSubstr(run.record.evidence[0].id));
    EXPECT_THAT(page, HasSubstr("✓ verified offline"));
    run.record.evidence[0].verified = false;
    EXPECT_THAT(page_of(run), HasSubstr("✗ not verified"));
}

TEST(Report, takes_the_statements_from_the_wire_when_the_evidence_has_none) {
    lab::Run run = equivocating_primary();
    run.record.evidence[0].statements.clear();
    const std::string page = page_of(run);
    EXPECT_THAT(page, HasSubstr("to replica 1: PROPOSE of view 0, height 57, 9f3a12cd"));
    EXPECT_THAT(page, HasSubstr("to replica 3: PROPOSE of view 0, height 57, 77bc90ef"));
}

TEST(Report, one_statement_alone_has_no_letter) {
    lab::Run run = equivocating_primary();
    run.record.messages.clear();
    run.record.evidence[0].statements = {"a new view without votes"};
    const std::string page = page_of(run);
    EXPECT_THAT(page, HasSubstr("<b>Statement</b><code>a new view without votes</code>"));
    EXPECT_THAT(page, Not(HasSubstr("Statement A")));
}

TEST(EvidenceWords, say_what_two_proposals_and_two_votes_differ_in) {
    consensus::Block one, other;
    one.header.view = other.header.view = consensus::View(3);
    one.header.height = other.header.height = consensus::Height(57);
    one.header.envelopes = 2;
    other.header.envelopes = 1;
    const auto proposals = words_of(consensus::evidence_of_proposals(consensus::ReplicaId(3), one, other));
    ASSERT_EQ(proposals.size(), 2U);
    for (const std::string& words : proposals) {
        EXPECT_THAT(words, HasSubstr("proposal: view 3, height 57, on block 00000000…"));
    }
    EXPECT_NE(proposals[0], proposals[1]);

    consensus::Vote vote;
    vote.view = consensus::View(3);
    vote.prep.height = consensus::Height(57);
    consensus::Vote further = vote;
    further.prep.height = consensus::Height(58);
    const auto votes = words_of(consensus::evidence_of_votes(vote, further, {}));
    ASSERT_EQ(votes.size(), 2U);
    EXPECT_THAT(votes[0] + votes[1], HasSubstr("vote of view 3: prepare height 57"));
    EXPECT_THAT(votes[0] + votes[1], HasSubstr("vote of view 3: prepare height 58"));
}

TEST(EvidenceWords, of_what_does_not_decode_are_none) {
    consensus::Evidence evidence;
    EXPECT_TRUE(words_of(evidence).empty());
    evidence.kind = consensus::EvidenceKind::two_votes;
    evidence.first = evidence.second = bytes_of("no vote at all");
    EXPECT_TRUE(words_of(evidence).empty());
}

TEST(Report, says_that_silence_is_no_proof_when_a_traitor_left_none) {
    lab::Run run = equivocating_primary();
    run.record.evidence.clear();
    run.verdict.evidence.clear();
    EXPECT_THAT(page_of(run), HasSubstr("Silence, slowness and wrong clocks prove nothing"));
}

TEST(Report, says_where_agreement_broke) {
    const std::string page = page_of(lie_among_crash_tolerant());
    EXPECT_THAT(page, HasSubstr("Where: height 57, replicas 1 and 2"));
    EXPECT_THAT(page, HasSubstr("57 ◀ here"));
    const std::string row = between(page, "57 ◀ here", "</tr>");
    EXPECT_EQ(count_of(row, "<b>A</b>"), 2U);
    EXPECT_EQ(count_of(row, "<b>B</b>"), 1U) << "replica 2 has another state";
    EXPECT_EQ(count_of(between(page, ">56</th>", "</tr>"), "<b>A</b>"), 3U) << "equal one height before";
}

TEST(Report, draws_the_operations_that_do_not_fit_together) {
    const Json histories = data_of(page_of(lie_among_crash_tolerant()))[0]["histories"];
    ASSERT_EQ(histories.size(), 2U);
    EXPECT_TRUE(histories[0].is_null()) << "the first violation names no operations";
    const Json& operations = histories[1]["operations"];
    ASSERT_EQ(operations.size(), 5U);
    EXPECT_EQ(operations[3]["op"], "get");
    EXPECT_EQ(operations[3]["out"], "blue");
    EXPECT_EQ(operations[3]["call"], 1.62);
    EXPECT_TRUE(operations[4]["ret"].is_null()) << "never answered";
}

TEST(Report, marks_the_longest_gap_and_the_recovery_on_the_axis) {
    const lab::Run run = equivocating_primary();
    const Json timeline = timeline_of(run);
    EXPECT_NEAR(timeline["gap"]["from"].get<double>(), run.verdict.gap_from_s, 1e-3);
    EXPECT_NEAR(timeline["gap"]["to"].get<double>(), run.verdict.gap_from_s + run.verdict.longest_gap_s, 1e-3);
    EXPECT_EQ(timeline["recovery"]["from"], 5.5);
    EXPECT_NEAR(timeline["recovery"]["to"].get<double>(), 5.511, 1e-9);
}

TEST(Report, counts_every_operation_in_the_series) {
    const lab::Run run = equivocating_primary();
    const Json series = timeline_of(run)["series"];
    double answered = 0;
    std::uint64_t missed = 0;
    const double width = series["bucket"].get<double>();
    for (std::size_t i = 0; i < series["rate"].size(); ++i) {
        answered += series["rate"][i].get<double>() * width;
        missed += series["unknown"][i].get<std::uint64_t>() + series["failed"][i].get<std::uint64_t>();
    }
    EXPECT_NEAR(answered, static_cast<double>(run.verdict.ops), 1.0);
    EXPECT_EQ(answered + static_cast<double>(missed), static_cast<double>(run.record.operations.size()));
}

TEST(Report, compares_variants_side_by_side) {
    lab::Run byzantine = equivocating_primary();
    byzantine.scenario.variant = "byzantine";
    const std::string page = render_report({lie_among_crash_tolerant(), byzantine});
    EXPECT_THAT(page, HasSubstr("<a href=\"#run-0\">crash</a>"));
    EXPECT_THAT(page, HasSubstr("<a href=\"#run-1\">byzantine</a>"));
    EXPECT_EQ(data_of(page).size(), 2U);
    EXPECT_EQ(count_of(page, "class=\"chart timeline\""), 2U);
}

TEST(Report, the_badge_of_several_runs_is_the_worst) {
    lab::Run good = equivocating_primary();
    lab::Run open = good;
    open.verdict.outcome = Outcome::inconclusive;
    lab::Run bad = good;
    bad.verdict.outcome = Outcome::violated;
    const auto badge = [](const std::vector<lab::Run>& runs) { return between(render_report(runs), "<h1>", "</h1>"); };
    EXPECT_THAT(badge({good, good}), HasSubstr("as expected"));
    EXPECT_THAT(badge({good, open, good}), HasSubstr("inconclusive"));
    EXPECT_THAT(badge({open, bad, good}), HasSubstr("not as expected"));
    EXPECT_THAT(badge({bad, open}), HasSubstr("not as expected"));
}

// ---- The message exchange

TEST(Sequence, marks_contradictions_of_one_sender_and_nothing_else) {
    const Json sequence = sequence_model(equivocating_primary().record);
    std::map<std::string, int> versions;
    for (const Json& message : sequence["messages"]) {
        if (message["version"] != "") {
            EXPECT_EQ(message["kind"], "PROPOSE");
            EXPECT_EQ(message["height"], 57);
            EXPECT_EQ(message["from"], 0);
            ++versions[message["version"].get<std::string>()];
        }
    }
    EXPECT_EQ(versions, (std::map<std::string, int>{{"A", 2}, {"B", 1}}));
}

TEST(Sequence, shows_lost_messages_and_leaves_out_heartbeats) {
    const Json sequence = sequence_model(equivocating_primary().record);
    EXPECT_EQ(sequence["heartbeats"], 1);
    std::size_t lost = 0;
    for (const Json& message : sequence["messages"]) {
        EXPECT_NE(message["kind"], "HEARTBEAT");
        lost += message["received"].is_null() ? 1 : 0;
    }
    EXPECT_EQ(lost, 3U);
    EXPECT_EQ(sequence["columns"].size(), 5U) << "four replicas and the client";
    EXPECT_EQ(sequence["columns"][0]["traitor"], true);
    EXPECT_EQ(sequence["columns"][4]["client"], true);
}

TEST(Sequence, a_long_exchange_is_cut_around_its_first_contradiction) {
    Record record;
    record.n = 4;
    for (int i = 0; i < 5000; ++i) {
        record.messages.push_back({i * 0.001, i * 0.001 + 0.0002, 0, static_cast<std::uint16_t>(1 + i % 3), "PROPOSE",
                                   0, static_cast<std::uint64_t>(i / 3), fmt::format("{:08x}", i == 3001 ? 7 : i / 3)});
    }
    const Json sequence = sequence_model(record);
    EXPECT_EQ(sequence["messages"].size(), messages_max);
    EXPECT_EQ(sequence["earlier"].get<std::size_t>() + sequence["later"].get<std::size_t>() + messages_max, 5000U);
    std::size_t marked = 0;
    for (const Json& message : sequence["messages"]) {
        marked += message["version"] == "" ? 0 : 1;
    }
    EXPECT_EQ(marked, 3U) << "the contradiction is in the part that is shown";
}

TEST(Sequence, many_clients_share_a_column) {
    Record record;
    record.n = 4;
    for (std::uint16_t client = 1000; client < 1064; ++client) {
        record.messages.push_back({0.1, 0.2, client, 0, "SUBMIT", 0, 0, ""});
    }
    EXPECT_EQ(sequence_model(record)["columns"].size(), 5U);
    EXPECT_TRUE(sequence_model(Record{}).is_null());
}

// ---- Hostile bytes

// Every text of a record, scenario and verdict.
Run filled_with(const std::string& bytes) {
    lab::Run run = lie_among_crash_tolerant();
    run.scenario.name = run.scenario.title = run.scenario.paragraph = run.scenario.variant = bytes;
    run.scenario.steps[0].text = bytes;
    Record& record = run.record;
    record.fault_model = bytes;
    for (Sample& sample : record.samples) {
        sample.role = sample.digest = sample.fault = bytes;
    }
    for (Event& event : record.events) {
        event.text = bytes;
    }
    for (Operation& operation : record.operations) {
        operation.op = operation.key = bytes;
        operation.value = operation.expect = operation.out = bytes;
    }
    for (auto& [height, said] : record.digests) {
        said[1] = bytes;
    }
    record.messages = {{0.1, 0.2, 0, 1, bytes, 0, 1, bytes}};
    record.evidence = {{0.1, 1, 0, bytes, bytes, bytes, {bytes, bytes}, true}};
    record.failures = {bytes};
    run.verdict.expected = run.verdict.waits_for = bytes;
    run.verdict.reasons = {bytes};
    run.verdict.evidence = record.evidence;
    for (Violation& violation : run.verdict.violations) {
        violation.text = bytes;
        violation.key = bytes;
    }
    return run;
}

// Elements, whatever their content.
std::size_t tags_of(const std::string& page) {
    return count_of(page, "<");
}

TEST(ReportEscaping, markup_in_every_text_stays_text) {
    const std::string hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;\"'--><!--";
    const std::string harmless = "plain";
    const std::string page = render_report({filled_with(hostile), filled_with(hostile)});
    const std::string plain = render_report({filled_with(harmless), filled_with(harmless)});
    EXPECT_THAT(page, Not(HasSubstr("<script>alert")));
    EXPECT_THAT(page, Not(HasSubstr("<img")));
    EXPECT_THAT(page, HasSubstr("&lt;/script&gt;"));
    EXPECT_EQ(count_of(page, "</script>"), 2U) << "the data's and the script's own";
    EXPECT_EQ(tags_of(page), tags_of(plain)) << "no text made an element";
    const Json data = data_of(page);
    EXPECT_EQ(data[0]["timeline"]["marks"][1]["text"], hostile) << "and the script still reads what was there";
}

TEST(ReportEscaping, bytes_that_are_no_text_are_shown_as_hexadecimal) {
    const std::string bytes("\xff\xfe\x00\x01\x80key", 8);
    const std::string page = page_of(filled_with(bytes));
    EXPECT_THAT(page, HasSubstr("\\xff\\xfe\\x00\\x01\\x80key"));
    EXPECT_EQ(page.find('\0'), std::string::npos);
    EXPECT_FALSE(data_of(page).is_discarded());
}

TEST(ReportEscaping, the_places_of_the_template_in_a_text_are_not_filled) {
    const std::string page = page_of(filled_with("@SCRIPT@ @DATA@ @BODY@"));
    EXPECT_THAT(page, HasSubstr("<code>@SCRIPT@ @DATA@ @BODY@</code>"));
    EXPECT_EQ(count_of(page, "class Timeline {"), 1U);
}

RC_GTEST_PROP(ReportEscaping, any_bytes_make_a_page_with_the_same_elements, (const std::string& bytes)) {
    const std::string page = page_of(filled_with(bytes));
    RC_ASSERT(tags_of(page) >= 100U);
    RC_ASSERT(count_of(page, "</script>") == 2U);
    RC_ASSERT(count_of(page, "<script") == 2U);
    RC_ASSERT(page.find('\0') == std::string::npos);
    RC_ASSERT(data_of(page).size() == 1U);  // throws for what is no JSON
    (void)Json(page).dump();                // throws for what is no UTF-8
}

// ---- The page as a whole

TEST(Report, is_the_same_for_the_same_runs) {
    EXPECT_EQ(page_of(equivocating_primary()), page_of(equivocating_primary()));
    EXPECT_NE(page_of(equivocating_primary()), page_of(crash_and_flapping()));
}

TEST(Report, needs_no_network) {
    const std::string page = page_of(equivocating_primary());
    EXPECT_THAT(page, HasSubstr("default-src 'none'"));
    EXPECT_THAT(page, Not(HasSubstr("https://")));
    EXPECT_EQ(count_of(page, "http://"), 1U) << "the name of SVG's name space, which nobody fetches";
    for (const char* reference : {" src=", "<link", "@import", "url(\"", "fetch("}) {
        EXPECT_THAT(page, Not(HasSubstr(reference)));
    }
}

TEST(Report, of_an_empty_record_is_a_page_all_the_same) {
    const std::string page = page_of(empty_run());
    EXPECT_THAT(page, HasSubstr("</html>"));
    EXPECT_THAT(page, HasSubstr("Not one operation was answered"));
    const Json timeline = data_of(page)[0]["timeline"];
    EXPECT_TRUE(timeline["lanes"].empty());
    EXPECT_EQ(timeline["series"]["rate"].size(), timeline["series"]["p50"].size());
    EXPECT_GT(timeline["end"].get<double>(), 0.0);
}

TEST(Report, of_a_huge_record_is_bounded_and_keeps_its_peaks) {
    lab::Run run = equivocating_primary();
    Record& record = run.record;
    record.end_s = 3600;
    for (int i = 0; i < 200'000; ++i) {
        const std::uint64_t at = record.start_ns + static_cast<std::uint64_t>(i) * 18'000'000;
        record.operations.push_back({1,
                                     "put",
                                     "k",
                                     "v",
                                     {},
                                     {},
                                     {},
                                     Operation::Status::ok,
                                     at,
                                     at + (i == 123'456 ? 777'000'000U : 1'000'000U)});
    }
    for (int i = 0; i < 40'000; ++i) {
        const double at_s = 8.5 + i * 0.08;
        record.samples.push_back({at_s,
                                  static_cast<std::uint16_t>(i % 4),
                                  i % 20 != 4,
                                  i % 8 < 4 ? "backup" : "primary",
                                  static_cast<std::uint64_t>(i),
                                  0,
                                  "d",
                                  i % 3 == 0 ? "none" : "slow",
                                  {{1, i == 20'000 ? 99.0 : 0.5}}});
        record.events.push_back({at_s, Event::Kind::note, {}, "note"});
        record.messages.push_back({at_s, {}, 0, 1, "VOTE", 1, 1, ""});
    }
    record.events.push_back({3300, Event::Kind::violation, 2, "the one that counts"});
    for (int i = 0; i < 5'000; ++i) {
        record.evidence.push_back(record.evidence.front());
        run.verdict.violations.push_back(
            {Property::durable, "lost", {}, "k", {}, std::vector<std::size_t>(5'000, 1), {}});
    }
    const std::string page = page_of(run);
    EXPECT_LT(page.size(), 1'500'000U);
    const Json timeline = data_of(page)[0]["timeline"];
    EXPECT_LE(timeline["series"]["rate"].size(), buckets_max);
    double slowest = 0;
    for (const Json& value : timeline["series"]["max"]) {
        slowest = std::max(slowest, value.is_null() ? 0.0 : value.get<double>());
    }
    EXPECT_GE(slowest, 777.0) << "one slow operation of 200,000 is still seen";
    double phi = 0;
    for (const Json& value : timeline["suspicion"]["peers"][1]["phi"]) {
        phi = std::max(phi, value.is_null() ? 0.0 : value.get<double>());
    }
    EXPECT_EQ(phi, 99.0);
    for (const Json& lane : timeline["lanes"]) {
        EXPECT_LE(lane["segments"].size(), segments_max);
        EXPECT_LE(lane["faults"].size(), strips_max);
    }
    bool down = false;
    for (const Json& segment : timeline["lanes"][0]["segments"]) {
        down = down || segment["state"] == "down";
    }
    EXPECT_TRUE(down) << "being down is kept when states are joined";
    EXPECT_EQ(timeline["marks"].size(), marks_max);
    EXPECT_THAT(page, HasSubstr("the one that counts"));
    EXPECT_THAT(page, HasSubstr("of less weight left out"));
}

// ---- Text

TEST(ReportText, numbers_are_written_as_people_write_them) {
    EXPECT_EQ(number_text(0), "0");
    EXPECT_EQ(number_text(1204), "1,204");
    EXPECT_EQ(number_text(12.345), "12.3");
    EXPECT_EQ(number_text(0.8249), "0.82");
    EXPECT_EQ(number_text(0.0123), "0.012");
    EXPECT_EQ(seconds_text(0.34), "340 ms");
    EXPECT_EQ(seconds_text(1.523), "1.52 s");
    EXPECT_EQ(count_text(1234567), "1,234,567");
    EXPECT_EQ(counted(1, "fault"), "1 fault");
    EXPECT_EQ(counted(2, "piece of evidence", "pieces of evidence"), "2 pieces of evidence");
    EXPECT_EQ(replicas_text({0}), "replica 0");
    EXPECT_EQ(replicas_text({0, 2, 3}), "replicas 0, 2 and 3");
}

TEST(ReportText, long_texts_are_cut_between_characters) {
    std::string text;
    for (int i = 0; i < 100; ++i) {
        text += "ä";
    }
    EXPECT_EQ(readable(text, 7), "äää…");
    EXPECT_EQ(readable(text, 8), "ääää…");
    EXPECT_EQ(readable(text, 400), text);
}

}  // namespace
}  // namespace loyal::lab
