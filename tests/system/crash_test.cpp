// kill -9 and restarts, in every fault model: nothing that was acknowledged is lost, and writes go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "tests/system/cluster.h"
#include "tests/system/history.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Default timers depose a dead primary within 2 s on a free machine; the tests share theirs with others.
constexpr double silence_s_max = 10.0;

struct Model {
    const char* name;
    std::vector<std::string> init;
    int n;
    int f;
};

void PrintTo(const Model& model, std::ostream* out) {
    *out << model.name;
}

class Crash : public ::testing::TestWithParam<Model> {};

INSTANTIATE_TEST_SUITE_P(Models, Crash,
                         ::testing::Values(Model{"byzantine4", {"--replicas", "4"}, 4, 1},
                                           Model{"byzantine7", {"--replicas", "7"}, 7, 2},
                                           Model{"crash3", {"--replicas", "3", "--fault-model", "crash"}, 3, 1},
                                           Model{"crash5", {"--replicas", "5", "--fault-model", "crash"}, 5, 2}),
                         [](const auto& parameter) { return parameter.param.name; });

// Reads every key of the history back and compares with what was acknowledged.
void expect_nothing_lost(const ClusterOfProcesses& cluster, const History& history) {
    const Ran read = cluster.loyal({"get", "--prefix", "bench/", "-w", "json", "--timeout", "20s"});
    ASSERT_EQ(read.exit, 0) << read.error;
    const std::uint64_t now = monotonic_ns();
    std::map<std::string, std::string> values;
    const json document = json::parse(read.out);
    for (const auto& item : document["items"]) {
        values[item["key"]] = item["value"];
    }
    std::vector<std::string> objections = history.objections();
    for (const std::string& key : history.keys()) {
        if (std::string why = history.objection_to(key, values[key], now); !why.empty()) {
            objections.push_back(why);
        }
    }
    EXPECT_EQ(objections, std::vector<std::string>{});
}

std::unique_ptr<Process> start_load(const ClusterOfProcesses& cluster, const std::string& history,
                                    const char* seconds) {
    return cluster.start_loyal({"bench", "--mix", "30/70", "--keys", "60", "--clients", "16", "--value-bytes", "64",
                                "--seconds", seconds, "--timeout", "20s", "--history", history, "-w", "json"});
}

void await_load(const std::string& history) {
    ASSERT_TRUE(eventually([&] {
        return std::filesystem::exists(history) && std::filesystem::file_size(history) > 100'000;
    })) << "the load did not begin";
}

TEST_P(Crash, writes_go_on_when_the_primary_is_killed_under_load) {
    ClusterOfProcesses cluster(GetParam().init);
    cluster.up();
    const std::string file = cluster.path("history");
    const auto load = start_load(cluster, file, "10");
    await_load(file);
    const int victim = cluster.await_primary();
    const std::uint64_t killed = monotonic_ns();
    cluster.kill(victim);
    const Ran ran = load->finish();
    ASSERT_EQ(ran.exit, 0) << ran.error;
    const History history = History::load(file);
    const double silence_s = static_cast<double>(history.longest_silence_ns(killed)) / 1e9;
    RecordProperty("silence_ms", static_cast<int>(silence_s * 1e3));
    std::printf("longest time without an acknowledged write after the kill: %.2f s\n", silence_s);
    EXPECT_LT(silence_s, silence_s_max);
    expect_nothing_lost(cluster, history);
    EXPECT_NE(cluster.await_primary(), victim);
    // It comes back and catches up.
    cluster.up({"--only", std::to_string(victim)});
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(victim); })) << cluster.status().dump(1);
}

TEST_P(Crash, nothing_acknowledged_is_lost_when_every_replica_is_killed) {
    ClusterOfProcesses cluster(GetParam().init);
    cluster.up();
    const std::string file = cluster.path("history");
    const auto load = start_load(cluster, file, "12");
    await_load(file);
    for (int id = 0; id < GetParam().n; ++id) {
        cluster.kill(id);
    }
    cluster.up();
    const Ran ran = load->finish();
    ASSERT_EQ(ran.exit, 0) << ran.error;
    expect_nothing_lost(cluster, History::load(file));
    ASSERT_EQ(cluster.loyal({"put", "afterwards", "yes"}).exit, 0);
    EXPECT_EQ(cluster.get("afterwards"), "yes");
}

TEST_P(Crash, an_orderly_restart_of_all_replicas_keeps_everything) {
    ClusterOfProcesses cluster(GetParam().init);
    cluster.up();
    const std::string file = cluster.path("history");
    const Ran ran = start_load(cluster, file, "1")->finish();
    ASSERT_EQ(ran.exit, 0) << ran.error;
    for (int round = 0; round < 3; ++round) {
        ASSERT_EQ(cluster.down().exit, 0);
        cluster.up();
        expect_nothing_lost(cluster, History::load(file));
        const std::string round_text = std::to_string(round);
        ASSERT_EQ(cluster.loyal({"put", "round", round_text}).exit, 0);
        EXPECT_EQ(cluster.get("round"), round_text);
    }
}

TEST_P(Crash, a_replica_that_was_away_catches_up) {
    ClusterOfProcesses cluster(GetParam().init);
    cluster.up();
    const int away = GetParam().n - 1;
    ASSERT_EQ(cluster.down({"--only", std::to_string(away)}).exit, 0);
    const Ran load = cluster.loyal({"bench", "--clients", "16", "--seconds", "2", "-w", "json"});
    ASSERT_EQ(load.exit, 0) << load.error;
    cluster.up({"--only", std::to_string(away)});
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(away); })) << cluster.status().dump(1);
    // It is of use: with f others gone a quorum needs it.
    const int primary = cluster.await_primary();
    int stopped = 0;
    for (int id = 0; id < GetParam().n && stopped < GetParam().f; ++id) {
        if (id != away && id != primary) {
            ASSERT_EQ(cluster.down({"--only", std::to_string(id)}).exit, 0);
            ++stopped;
        }
    }
    EXPECT_EQ(cluster.loyal({"put", "with", "it", "--timeout", "20s"}).exit, 0);
    EXPECT_EQ(cluster.get("with"), "it");
}

TEST_P(Crash, without_a_quorum_writes_are_not_acknowledged_and_status_says_so) {
    ClusterOfProcesses cluster(GetParam().init);
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    for (int id = 0; id <= GetParam().f; ++id) {
        cluster.kill(id);
    }
    const Ran put = cluster.loyal({"put", "k", "w", "--timeout", "2s"});
    EXPECT_TRUE(put.exit == 3 || put.exit == 4) << put.exit;
    EXPECT_THAT(put.error, HasSubstr(put.exit == 3 ? "definitely not applied" : "may have been applied"));
    EXPECT_EQ(cluster.loyal({"get", "k", "--timeout", "2s"}).exit, 3);
    EXPECT_EQ(cluster.loyal({"status"}).exit, 1);
}

TEST(CrashStop, a_replica_that_crashed_may_not_return_but_one_that_was_stopped_may) {
    ClusterOfProcesses cluster({"--replicas", "3", "--fault-model", "crash", "--crash-mode", "stop"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    ASSERT_EQ(cluster.down({"--only", "2"}).exit, 0);
    cluster.up({"--only", "2"});
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(2); }));
    cluster.kill(2);
    const Ran again = cluster.loyal({"cluster", "up", "--only", "2"});
    EXPECT_EQ(again.exit, 1) << again.out;
    EXPECT_THAT(again.error, HasSubstr("exit code 70"));
    EXPECT_THAT(again.error, HasSubstr("crash_stop"));
    EXPECT_EQ(cluster.get("k"), "v") << "the other two serve on";
}

// A hung replica is not a dead one: SIGSTOP the primary, then let it go on.
TEST(Pause, a_primary_that_freezes_is_replaced_and_follows_when_it_thaws) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    const int frozen = cluster.await_primary();
    const pid_t pid = cluster.pid_of(frozen);
    ::kill(pid, SIGSTOP);
    const Ran put = cluster.loyal({"put", "k", "w", "--timeout", "20s"});
    ::kill(pid, SIGCONT);
    EXPECT_EQ(put.exit, 0) << put.error;
    EXPECT_EQ(cluster.get("k"), "w");
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(frozen); })) << cluster.status().dump(1);
    EXPECT_EQ(cluster.loyal({"put", "k", "x"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "x");
}

}  // namespace
}  // namespace loyal::system_test
