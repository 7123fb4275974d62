// The commands of experiments as a user types them, without anybody who serves: what is understood (exit 3: nobody
// answers), what is refused (2) and who may not (5).
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/net_words.h"

namespace loyal::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Words = std::vector<std::string>;

struct Ran {
    int exit = 0;
    std::string out, error;
};

Ran loyal(const Words& arguments) {
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Ran ran;
    ran.exit = run(arguments);
    (void)std::fflush(stdout);
    ran.out = ::testing::internal::GetCapturedStdout();
    ran.error = ::testing::internal::GetCapturedStderr();
    return ran;
}

class ExperimentCommands : public ::testing::Test {
 protected:
    ExperimentCommands() {
        std::string pattern = (fs::temp_directory_path() / "loyal-cli-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        ::unsetenv("LOYAL_CLUSTER");
        ::unsetenv("LOYAL_KEY");
        init("with", {"--experiments"});
    }
    ~ExperimentCommands() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    void init(const std::string& name, const Words& options) {
        Words words = {"cluster", "init", (folder_ / name).string(), "--base-port", "0"};
        words.insert(words.end(), options.begin(), options.end());
        ASSERT_EQ(loyal(words).exit, 0);
    }
    [[nodiscard]] Ran told(const Words& words, const std::string& name = "with") const {
        Words all = {"--cluster", (folder_ / name).string(), "--timeout", "300ms"};
        all.insert(all.end(), words.begin(), words.end());
        return loyal(all);
    }
    fs::path folder_;
};

TEST_F(ExperimentCommands, what_is_right_is_understood_and_fails_only_because_nobody_answers) {
    for (const Words& words : {Words{"fault", "set", "0", "none"},
                               {"fault", "set", "0", "byzantine", "silent", "clock-lie=-1h"},
                               {"fault", "set", "0,2", "crash-stop", "--after", "5s"},
                               {"fault", "set", "all", "crash-recovery", "--every", "10s", "--down", "3s"},
                               {"fault", "clear"},
                               {"fault", "clear", "2"},
                               {"traitor", "0", "equivocate", "mute-to=1,2"},
                               {"net", "drop", "0", "1", "30%"},
                               {"net", "delay", "all", "all", "20ms", "--jitter", "5ms"},
                               {"net", "duplicate", "0", "1,2", "0.5", "--one-way"},
                               {"net", "reorder", "0", "clients", "1"},
                               {"net", "rate", "0", "1", "64kB/s"},
                               {"net", "cut", "0", "1", "--one-way"},
                               {"net", "partition", "0,1", "/", "2,3"},
                               {"net", "partition", "0/1,2", "--one-way"},
                               {"net", "isolate", "3"},
                               {"net", "heal"},
                               {"net", "heal", "0", "1"},
                               {"clock", "2", "offset", "-5s"},
                               {"clock", "2", "offset=-5s"},
                               {"clock", "2", "drift", "-200ppm"},
                               {"clock", "2", "freeze"},
                               {"clock", "all", "mend"},
                               {"pause", "1", "2s"},
                               {"disk", "1", "slow", "20ms"},
                               {"disk", "1", "rot", "8"},
                               {"disk", "1", "rot"},
                               {"disk", "0,1", "full"}}) {
        const Ran ran = told(words);
        EXPECT_EQ(ran.exit, 3) << ::testing::PrintToString(words) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr("does not answer")) << ::testing::PrintToString(words);
    }
}

TEST_F(ExperimentCommands, what_is_wrong_is_named_before_anybody_is_asked) {
    const std::vector<std::pair<Words, const char*>> bad = {
        {{"fault", "set", "0", "silly"}, "silly"},
        {{"fault", "set", "4", "silent"}, "there is no replica 4"},
        {{"fault", "set", "zero", "silent"}, "zero"},
        {{"fault", "set", "0,0", "silent"}, "twice"},
        {{"fault", "set", "0", "silent", "--after", "5s"}, "--after"},
        {{"fault", "set", "0", "crash-stop", "--every", "5s"}, "--every"},
        {{"fault", "set", "0", "crash-stop", "--after", "soon"}, "soon"},
        {{"fault", "set", "0"}, "required"},
        {{"fault", "set", "0", "mute-to=9"}, "there is no replica 9"},
        {{"fault", "set", "0", "mute-to=0,1"}, "traitor itself"},
        {{"fault", "set", "0", "collude=7"}, "there is no replica 7"},
        {{"fault", "clear", "9"}, "there is no replica 9"},
        {{"traitor", "0,1,2,3,4,5,6", "silent"}, "7 replicas of 4"},
        {{"traitor", "0", "crash-stop"}, "fault set"},
        {{"traitor", "0", "corrupt-bits=2"}, "corrupt-bits"},
        {{"net", "drop", "0", "1", "130%"}, "130%"},
        {{"net", "drop", "0", "4", "30%"}, "there is no replica 4"},
        {{"net", "drop", "0", "0", "30%"}, "no link"},
        {{"net", "delay", "0", "1", "20"}, "20"},
        {{"net", "delay", "0", "1", "20ms", "--jitter", "x"}, "x"},
        {{"net", "delay", "0", "1", "2h"}, "too long"},
        {{"net", "rate", "0", "1", "fast"}, "fast"},
        {{"net", "cut", "0"}, "required"},
        {{"net", "partition", "0,1"}, "two groups"},
        {{"net", "partition", "0,1", "/", "1,2"}, "two groups"},
        {{"net", "partition", "0", "/", "5"}, "there is no replica 5"},
        {{"net", "partition", "0", "/"}, "no replica"},
        {{"net", "isolate", "x"}, "x"},
        {{"net", "heal", "0"}, "both ends"},
        {{"net", "explode"}, "subcommand"},
        {{"clock", "1", "offset"}, "unit"},
        {{"clock", "1", "offset", "5"}, "unit"},
        {{"clock", "1", "forward", "5s"}, "forward"},
        {{"clock", "1", "mend", "5s"}, "mend"},
        {{"clock", "5", "mend"}, "there is no replica 5"},
        {{"pause", "1", "2h"}, "1h"},
        {{"pause", "1", "long"}, "long"},
        {{"disk", "1", "burn"}, "burn"},
        {{"disk", "1", "slow"}, "duration"},
        {{"disk", "1", "rot", "-1"}, "rot"},
    };
    for (const auto& [words, named] : bad) {
        const Ran ran = told(words);
        EXPECT_EQ(ran.exit, 2) << ::testing::PrintToString(words) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr(named)) << ::testing::PrintToString(words);
        EXPECT_EQ(ran.out, "") << ::testing::PrintToString(words);
    }
}

TEST_F(ExperimentCommands, a_cluster_without_experiments_refuses_with_5) {
    init("without", {});
    for (const Words& words : {Words{"fault", "set", "0", "silent"},
                               {"fault", "clear"},
                               {"traitor", "0", "silent"},
                               {"net", "heal"},
                               {"net", "show"},
                               {"net", "cut", "0", "1"},
                               {"clock", "0", "mend"},
                               {"pause", "0", "1s"},
                               {"disk", "0", "mend"}}) {
        const Ran ran = told(words, "without");
        EXPECT_EQ(ran.exit, 5) << ::testing::PrintToString(words) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr("--experiments"));
    }
    const Ran ran = told({"-w", "json", "net", "heal"}, "without");
    EXPECT_EQ(ran.exit, 5);
    EXPECT_EQ(nlohmann::json::parse(ran.error)["error"]["exit"], 5);
}

TEST_F(ExperimentCommands, help_lists_every_behaviour) {
    const Ran ran = loyal({"traitor", "--help"});
    EXPECT_EQ(ran.exit, 0);
    for (const char* behaviour : {"equivocate", "mute-to=IDS", "corrupt-bits=P", "wrong-execution"}) {
        EXPECT_THAT(ran.out, HasSubstr(behaviour));
    }
}

// ---- net's words

TEST(NetWords, links_go_both_ways_unless_told_otherwise) {
    EXPECT_THAT(*links_between("0", "1", false, 4), ElementsAre(NetLink{0, 1}, NetLink{1, 0}));
    EXPECT_THAT(*links_between("0", "1", true, 4), ElementsAre(NetLink{0, 1}));
    EXPECT_THAT(*links_between("0", "1,2", true, 4), ElementsAre(NetLink{0, 1}, NetLink{0, 2}));
    EXPECT_EQ(links_between("all", "all", false, 4)->size(), 12U);
    EXPECT_EQ(links_between("0", "all", false, 4)->size(), 6U);
    EXPECT_THAT(*links_between("0,3", "clients", false, 4),
                ElementsAre(NetLink{0, std::nullopt}, NetLink{3, std::nullopt}));
}

TEST(NetWords, a_partition_cuts_between_groups_and_nowhere_else) {
    EXPECT_EQ(links_of_partition({"0,1", "/", "2,3"}, false, 4)->size(), 8U);
    EXPECT_THAT(*links_of_partition({"0/1"}, false, 4), ElementsAre(NetLink{0, 1}, NetLink{1, 0}))
        << "2 and 3 hear all: a partial partition";
    EXPECT_THAT(*links_of_partition({"1", "/", "0", "/2"}, true, 4),
                ElementsAre(NetLink{0, 2}, NetLink{1, 0}, NetLink{1, 2}));
}

TEST(NetWords, shares_and_rates_are_read_as_people_write_them) {
    EXPECT_DOUBLE_EQ(*parse_share("30%"), 0.3);
    EXPECT_DOUBLE_EQ(*parse_share("0.25"), 0.25);
    EXPECT_DOUBLE_EQ(*parse_share("0"), 0);
    for (const char* bad : {"", "%", "30", "1.5", "-1%", "nan", "30%%", "0.3x"}) {
        EXPECT_FALSE(parse_share(bad)) << bad;
    }
    EXPECT_EQ(*parse_rate("65536"), 65'536U);
    EXPECT_EQ(*parse_rate("64kB/s"), 64'000U);
    EXPECT_EQ(*parse_rate("64KiB"), 65'536U);
    EXPECT_EQ(*parse_rate("1.5MB/s"), 1'500'000U);
    EXPECT_EQ(*parse_rate("unlimited"), 0U);
    for (const char* bad : {"", "kB/s", "-1", "5", "1e99", "64kb/s", "nan", "64 kB/s"}) {
        EXPECT_FALSE(parse_rate(bad)) << bad;
    }
}

TEST(NetWords, one_line_tells_a_sender_all_links_with_the_same_fault) {
    const replica::LinkFault lossy{.drop = 0.3}, cut{.cut = true};
    const std::vector<Order> orders =
        orders_for({{{0, 1}, lossy}, {{0, 2}, lossy}, {{0, 3}, cut}, {{0, std::nullopt}, lossy}, {{1, 0}, {}}});
    std::vector<std::string> lines;
    for (const Order& order : orders) {
        lines.push_back(std::to_string(order.replica) + ": " + order.line);
        EXPECT_TRUE(replica::parse_control(order.line, 4)) << order.line;
    }
    EXPECT_THAT(lines,
                ElementsAre("0: net to=clients drop=0.3", "0: net to=1,2 drop=0.3", "0: net to=3 cut", "1: net to=0"));
}

TEST(NetWords, what_a_replica_says_of_its_links_is_read_or_refused) {
    const auto faults = faults_of_answer(
        2, R"({"from":2,"links":[{"to":0,"fault":"drop=0.5"},{"to":"clients","fault":""}],"held_bytes":0})");
    ASSERT_TRUE(faults);
    EXPECT_EQ(faults->at({2, 0}).drop, 0.5);
    EXPECT_TRUE(faults->at({2, std::nullopt}).none());
    for (const char* bad : {"", "[]", "{}", R"({"links":[1]})", R"({"links":[{"to":-1,"fault":""}]})",
                            R"({"links":[{"to":1,"fault":"lots"}]})"}) {
        EXPECT_FALSE(faults_of_answer(2, bad)) << bad;
    }
}

}  // namespace
}  // namespace loyal::cli
