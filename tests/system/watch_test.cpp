// Watches of real processes: what happens is told once, in order and in full, whoever lies, dies or garbles its links.
#include <signal.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

// So many puts of keys below w/, the values telling which round it is.
void write_round(const ClusterOfProcesses& cluster, int round, int count) {
    std::string records;
    for (int i = 0; i < count; ++i) {
        records += "w/" + std::to_string(i) + "\t" + std::to_string(round) + "\n";
    }
    const Ran ran = cluster.loyal({"import", "-", "--timeout", "30s"}, records);
    ASSERT_EQ(ran.exit, 0) << ran.error;
}

// Each key of each round once, in the order of revisions.
void expect_all(const std::string& lines, int rounds, int count) {
    std::map<std::string, std::vector<std::string>> values;
    std::pair<std::uint64_t, std::uint64_t> last{0, 0};
    std::istringstream in(lines);
    int told = 0;
    for (std::string line; std::getline(in, line); ++told) {
        const json change = json::parse(line, nullptr, false);
        ASSERT_FALSE(change.is_discarded()) << line;
        EXPECT_EQ(change["type"], "put");
        const std::pair<std::uint64_t, std::uint64_t> at{change["revision"], change["part"]};
        EXPECT_GT(at, last) << line;
        last = at;
        values[change["key"]].push_back(change["value"]);
    }
    EXPECT_EQ(told, rounds * count);
    std::vector<std::string> expected;
    for (int round = 0; round < rounds; ++round) {
        expected.push_back(std::to_string(round));
    }
    EXPECT_EQ(values.size(), static_cast<std::size_t>(count));
    for (const auto& [key, each] : values) {
        EXPECT_EQ(each, expected) << key;
    }
}

TEST(Watch, a_killed_primary_and_liars_change_nothing_of_what_is_told) {
    constexpr int count = 100;
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    auto watch = cluster.start_loyal({"watch", "--prefix", "w/", "--rev", "1", "--limit", "600", "-w", "json"});
    write_round(cluster, 0, count);
    const int primary = cluster.await_primary();
    cluster.kill(primary);
    write_round(cluster, 1, count);
    cluster.up();
    ASSERT_TRUE(eventually([&] { return cluster.caught_up(primary); })) << cluster.status().dump(1);
    for (int liar = 0; liar < 4; ++liar) {
        const std::string id = std::to_string(liar);
        ASSERT_EQ(cluster.loyal({"traitor", id, "lie-to-clients"}).exit, 0);
        write_round(cluster, 2 + liar, count);
        if (liar < 3) {
            // What it said is remembered until it is asked anew. Before that, the next liar would be one too many.
            ASSERT_EQ(cluster.down({"--only", id}).exit, 0);
            cluster.up({"--only", id});
            ASSERT_TRUE(eventually([&] { return cluster.caught_up(liar) && cluster.status_of(liar)["watches"] == 1; }))
                << cluster.status().dump(1);
        }
    }
    const Ran ran = watch->finish();
    EXPECT_EQ(ran.exit, 0) << ran.error;
    expect_all(ran.out, 6, count);
}

TEST(Watch, lost_repeated_and_overtaken_messages_are_made_good) {
    constexpr int count = 100;
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"net", "drop", "all", "clients", "10%"}).exit, 0);
    auto watch = cluster.start_loyal({"watch", "--prefix", "w/", "--rev", "1", "--limit", "300", "-w", "json"});
    write_round(cluster, 0, count);
    ASSERT_EQ(cluster.loyal({"net", "reorder", "0,1,2", "clients", "30%"}).exit, 0);
    write_round(cluster, 1, count);
    write_round(cluster, 2, count);
    const Ran ran = watch->finish();
    EXPECT_EQ(ran.exit, 0) << ran.error;
    expect_all(ran.out, 3, count);
}

TEST(Watch, begins_now_tells_previous_values_and_deletions_and_ends_with_an_interrupt) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "before"}).exit, 0);
    auto watch = cluster.start_loyal({"watch", "k", "--prev", "--rev", "2", "--limit", "2"});
    ASSERT_EQ(cluster.loyal({"put", "k", "a\tb"}).exit, 0);
    ASSERT_EQ(cluster.loyal({"del", "k"}).exit, 0);
    const Ran ran = watch->finish();
    EXPECT_EQ(ran.exit, 0) << ran.error;
    EXPECT_EQ(ran.out, "PUT\tk\ta\\tb\tbefore\nDELETE\tk\ta\\tb\n");
    auto endless = cluster.start_loyal({"watch", "--prefix", "", "--progress"});
    EXPECT_TRUE(eventually([&] {
        (void)cluster.loyal({"put", "other", "1"});
        return cluster.status_of(0).value("watches", 0) > 0;
    }));
    endless->signal(SIGINT);
    EXPECT_EQ(endless->finish(10s).exit, 0);
}

TEST(Watch, what_was_compacted_is_an_error_that_says_where_to_go_on) {
    ClusterOfProcesses cluster({"--history-revisions", "100"});
    cluster.up();
    for (int round = 0; round < 15; ++round) {
        write_round(cluster, round, 100);
    }
    const Ran early = cluster.loyal({"watch", "--prefix", "w/", "--rev", "1", "--limit", "1", "-w", "json"});
    EXPECT_EQ(early.exit, 1);
    const json error = json::parse(early.error, nullptr, false);
    ASSERT_TRUE(error.is_object()) << early.error;
    EXPECT_EQ(error["error"]["code"], "compacted");
    const std::string message = error["error"]["message"];
    const auto at = message.find("--rev ");
    ASSERT_NE(at, std::string::npos) << message;
    const std::string restart = std::to_string(std::stoull(message.substr(at + 6)));
    const Ran late = cluster.loyal({"watch", "--prefix", "w/", "--rev", restart, "--limit", "1", "-w", "json"});
    EXPECT_EQ(late.exit, 0) << late.error;
    EXPECT_THAT(late.out, HasSubstr("\"revision\":" + restart));
}

TEST(Watch, bad_input_is_refused) {
    ClusterOfProcesses cluster;
    EXPECT_EQ(cluster.loyal({"watch"}).exit, 2);
    EXPECT_EQ(cluster.loyal({"watch", ""}).exit, 2);
    EXPECT_EQ(cluster.loyal({"watch", "k", "--rev", "0"}).exit, 2);
    EXPECT_EQ(cluster.loyal({"watch", "k", "--prefix", "p"}).exit, 2);
    EXPECT_EQ(cluster.loyal({"watch", std::string(481, 'k')}).exit, 2);
    EXPECT_EQ(cluster.loyal({"watch", "k"}).exit, 3);  // no replica runs
}

TEST(Watch, many_watches_of_one_client_lose_and_repeat_nothing_while_the_primary_dies) {
    ClusterOfProcesses cluster;
    cluster.up();
    const int primary = cluster.await_primary();
    auto bench = cluster.start_loyal(
        {"bench", "--watchers", "500", "--rate", "200", "--seconds", "6", "--timeout", "20s", "-w", "json"});
    ASSERT_TRUE(eventually([&] { return cluster.loyal({"get", "--prefix", "bench/", "--count"}).out != "0\n"; }));
    cluster.kill(primary);
    const Ran ran = bench->finish();
    EXPECT_EQ(ran.exit, 0) << ran.error;
    const json report = json::parse(ran.out, nullptr, false);
    ASSERT_TRUE(report.is_object()) << ran.out;
    EXPECT_GT(report["written"], 600);
    EXPECT_EQ(report["lost"], 0);
    EXPECT_EQ(report["repeated"], 0);
    EXPECT_EQ(report["disordered"], 0);
}

}  // namespace
}  // namespace loyal::system_test
