// `lab price` on real processes, for a moment only: that it measures, not what.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/system/process.h"
#include "tests/system/scratch.h"

namespace loyal::system_test {
namespace {

using Json = nlohmann::json;

Ran price(const std::vector<std::string>& options) {
    std::vector<std::string> command = {(program_folder() / "loyal").string(), "lab", "price"};
    command.insert(command.end(), options.begin(), options.end());
    return run(command, {"", {{"TMPDIR", scratch_folder().string()}}}, std::chrono::seconds(100));
}

TEST(Price, of_a_moment_has_every_figure_of_both_clusters) {
    const Ran ran = price({"--seconds", "0.6", "--idle", "0.4", "--clients", "4", "-w", "json"});
    ASSERT_EQ(ran.exit, 0) << ran.error;
    const Json document = Json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(document.is_object()) << ran.out;
    EXPECT_EQ(document["clients"], 4);
    EXPECT_EQ(document["crash"]["n"], 3);
    EXPECT_EQ(document["byzantine"]["n"], 4);
    for (const char* side : {"crash", "byzantine"}) {
        SCOPED_TRACE(side);
        const Json& measured = document[side];
        EXPECT_EQ(measured["errors"], 0);
        EXPECT_GT(measured["ops"], 0);
        EXPECT_GT(measured["ops_per_s"], 0.0);
        EXPECT_GT(measured["p50_ms"], 0.0);
        EXPECT_GE(measured["p99_ms"], measured["p50_ms"]);
        // At least the block and a vote; a replica that said nothing could not have agreed.
        EXPECT_GT(measured["per_operation"]["messages"], 0.0);
        EXPECT_GT(measured["per_operation"]["bytes"], 256.0) << "every value goes to every replica";
        EXPECT_GT(measured["per_operation"]["syncs"], 0.0);
        EXPECT_GT(measured["idle_per_second"]["messages"], 0.0) << "heartbeats";
    }
    // Votes are signed where somebody might lie, and nowhere else.
    EXPECT_EQ(document["crash"]["per_operation"]["signatures"], 0.0);
    EXPECT_GT(document["byzantine"]["per_operation"]["signatures"], 0.0);
    EXPECT_GT(document["byzantine"]["per_operation"]["verifications"],
              document["byzantine"]["per_operation"]["signatures"]);
    EXPECT_GT(document["ratio"]["messages"], 1.0);
}

TEST(Price, is_a_table_and_a_sentence_for_people) {
    const Ran ran = price({"--seconds", "0.3", "--idle", "0.2", "--clients", "2"});
    ASSERT_EQ(ran.exit, 0) << ran.error;
    for (const char* part : {"AN OPERATION", "CRASH (n=3)", "BYZANTINE (n=4)", "RATIO", "messages between replicas",
                             "signatures made", "latency, median, ms", "IDLE, A SECOND", "To survive one replica"}) {
        EXPECT_NE(ran.out.find(part), std::string::npos) << part << "\n" << ran.out;
    }
}

TEST(Price, bad_options_are_refused_before_anything_starts) {
    for (const std::vector<std::string>& options : {std::vector<std::string>{"--seconds", "0"},
                                                    {"--clients", "0"},
                                                    {"--value-bytes", "9999999"},
                                                    {"--colour", "blue"}}) {
        const Ran ran = price(options);
        EXPECT_EQ(ran.exit, 2) << options.front();
        EXPECT_NE(ran.error.find(options.front()), std::string::npos) << ran.error;
        EXPECT_EQ(ran.out, "");
    }
}

}  // namespace
}  // namespace loyal::system_test
