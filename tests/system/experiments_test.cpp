// Faults that a running replica is told to suffer: crashes, its clock, its disk, a pause; and who may tell it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fstream>
#include <regex>
#include <thread>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

std::string fault_of(const ClusterOfProcesses& cluster, int id) {
    const json row = cluster.status_of(id);
    return row.is_object() && row["fault"].is_string() ? row["fault"].get<std::string>() : "?";
}
bool reachable(const ClusterOfProcesses& cluster, int id) {
    return cluster.status_of(id)["reachable"] == true;
}
// The letter of proc(5): R, S, T (stopped), Z ...
char state_of(pid_t pid) {
    const std::string text = read_text("/proc/" + std::to_string(pid) + "/stat");
    const std::size_t end = text.rfind(')');
    return end == std::string::npos ? '?' : text.at(end + 2);
}
// A zombie is not: who has to take it out of the process table is not ours to say.
bool alive(pid_t pid) {
    return ::kill(pid, 0) == 0 && state_of(pid) != 'Z';
}

// ---- Crashes

TEST(CrashFault, a_replica_told_to_crash_ends_as_by_kill_9_and_may_come_back) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
    const pid_t pid = cluster.pid_of(3);
    const Ran set = cluster.loyal({"fault", "set", "3", "crash-stop", "--after", "300ms"});
    ASSERT_EQ(set.exit, 0) << set.error;
    EXPECT_THAT(set.out, HasSubstr("crash-stop --after 300ms"));
    EXPECT_TRUE(eventually([&] { return !alive(pid); }, 10s));
    EXPECT_THAT(cluster.log_of(3), HasSubstr("event=crash"));
    EXPECT_EQ(cluster.log_of(3).find("event=stopped"), std::string::npos) << "nothing was tidied up";
    ASSERT_EQ(cluster.loyal({"put", "during", "2"}).exit, 0);
    cluster.up({"--only", "3"});
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(3); })) << cluster.status().dump(1);
    EXPECT_EQ(fault_of(cluster, 3), "none") << "it did what it was told";
}

TEST(CrashFault, where_a_crashed_replica_may_not_return_crash_recovery_is_refused_and_crash_stop_is_final) {
    ClusterOfProcesses cluster({"--experiments", "--replicas", "3", "--fault-model", "crash", "--crash-mode", "stop"});
    cluster.up();
    const Ran refused = cluster.loyal({"fault", "set", "2", "crash-recovery"});
    EXPECT_EQ(refused.exit, 2) << refused.error;
    EXPECT_THAT(refused.error, HasSubstr("may not return"));
    EXPECT_EQ(fault_of(cluster, 2), "none");
    const pid_t pid = cluster.pid_of(2);
    ASSERT_EQ(cluster.loyal({"fault", "set", "2", "crash-stop"}).exit, 0);
    EXPECT_TRUE(eventually([&] { return !alive(pid); }, 10s));
    const Ran again = cluster.loyal({"cluster", "up", "--only", "2"});
    EXPECT_EQ(again.exit, 1);
    EXPECT_THAT(again.error, HasSubstr("exit code 70"));
    EXPECT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0) << "the other two serve on";
}

TEST(CrashFault, crash_recovery_dies_and_comes_back_again_and_again_until_it_is_told_to_stop) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
    const pid_t pid = cluster.pid_of(2);
    ASSERT_EQ(cluster.loyal({"fault", "set", "2", "crash-recovery", "--every", "1500ms", "--down", "500ms"}).exit, 0);
    for (int round = 0; round < 2; ++round) {
        EXPECT_TRUE(eventually([&] { return !reachable(cluster, 2); }, 20s)) << "it dies";
        EXPECT_TRUE(alive(pid)) << "in place: the pid file stays right";
        EXPECT_TRUE(eventually([&] { return reachable(cluster, 2); }, 20s)) << "and comes back";
        EXPECT_EQ(cluster.pid_of(2), pid);
        EXPECT_EQ(read_text("/proc/" + std::to_string(pid) + "/comm"), "loyald\n") << "found by its name, too";
        EXPECT_THAT(fault_of(cluster, 2), AnyOf("crash-recovery --every 1500ms --down 500ms", "?"));
    }
    ASSERT_EQ(cluster.loyal({"put", "during", "2"}).exit, 0);
    const Ran clear = cluster.loyal({"fault", "clear", "2", "--timeout", "10s"});
    EXPECT_EQ(clear.exit, 0) << clear.error;
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(2); })) << cluster.status().dump(1);
    EXPECT_EQ(fault_of(cluster, 2), "none");
    // Its state came from its own disk: it is of use.
    const std::string log = cluster.log_of(2);
    EXPECT_THAT(log, HasSubstr("crashed_before=true"));
    EXPECT_THAT(log, HasSubstr("event=down for_ms=500"));
    // Longer than one round: no crash comes any more.
    const double uptime = cluster.status_of(2)["uptime_s"].get<double>();
    EXPECT_TRUE(eventually([&] {
        const json row = cluster.status_of(2);
        return row["uptime_s"].is_number() && row["uptime_s"].get<double>() > uptime + 2;
    }));
    EXPECT_EQ(cluster.down().exit, 0);
    EXPECT_TRUE(eventually([&] { return !alive(pid); }));
}

TEST(CrashFault, while_down_nothing_is_held_and_cluster_down_ends_it) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    const pid_t pid = cluster.pid_of(1);
    ASSERT_EQ(cluster.loyal({"fault", "set", "1", "crash-recovery", "--every", "300ms", "--down", "10m"}).exit, 0);
    ASSERT_TRUE(eventually([&] { return !reachable(cluster, 1); }, 10s));
    ASSERT_TRUE(eventually([&] { return cluster.log_of(1).find("event=down") != std::string::npos; }, 10s));
    // Another process gets the ports and the data folder.
    const auto stand_in = cluster.start_loyald(1);
    EXPECT_TRUE(eventually([&] { return reachable(cluster, 1); }, 20s));
    stand_in->signal(SIGTERM);
    EXPECT_EQ(stand_in->finish().exit, 0);
    EXPECT_TRUE(alive(pid));
    const auto begin = std::chrono::steady_clock::now();
    const Ran down = cluster.down({"--only", "1"});
    EXPECT_EQ(down.exit, 0) << down.error;
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s) << "SIGTERM was enough";
    EXPECT_FALSE(alive(pid));
}

// ---- Faults from the start, and faults that last

TEST(FaultFromTheStart, is_in_force_from_cluster_toml_and_from_the_command_line) {
    ClusterOfProcesses cluster({"--experiments"});
    const auto file = cluster.folder() / "cluster.toml";
    const std::string good = read_text(file);
    const std::string with = std::regex_replace(good, std::regex("(\\[\\[replica\\]\\]\nid = 3\n)"),
                                                "$1fault = \"byzantine lie-to-clients\"\n");
    ASSERT_NE(with, good);
    write_text(file, with);
    cluster.up();
    EXPECT_EQ(fault_of(cluster, 3), "byzantine lie-to-clients");
    EXPECT_EQ(fault_of(cluster, 2), "none");
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "v");
    EXPECT_EQ(cluster.loyal({"traitor", "3", "none"}).exit, 0);
    EXPECT_EQ(fault_of(cluster, 3), "none");
    ASSERT_EQ(cluster.down().exit, 0);

    write_text(file, std::regex_replace(with, std::regex("lie-to-clients"), "lie-to-everybody"));
    const Ran bad = cluster.start_loyald(3)->finish();
    EXPECT_EQ(bad.exit, 2) << bad.error;
    EXPECT_THAT(bad.error, HasSubstr("lie-to-everybody"));
    EXPECT_THAT(bad.error, HasSubstr("[[replica]] 3 fault"));

    write_text(file, good);
    const std::string loyald = (program_folder() / "loyald").string();
    const auto start = [&](const std::string& fault) {
        return std::make_unique<Process>(
            std::vector<std::string>{loyald, "--config", file.string(), "--id", "3", "--fault", fault});
    };
    EXPECT_EQ(start("mute-to=3")->finish().exit, 2) << "it is 3 itself";
    EXPECT_EQ(start("gibberish")->finish().exit, 2);
    cluster.up({"--only", "0,1,2"});
    const auto traitor = start("silent");
    EXPECT_TRUE(eventually([&] { return fault_of(cluster, 3) == "byzantine silent"; }));
    EXPECT_EQ(cluster.loyal({"fault", "list"}).exit, 0);
}

TEST(FaultFromTheStart, needs_a_cluster_that_is_made_for_it) {
    const ClusterOfProcesses cluster;
    const std::string loyald = (program_folder() / "loyald").string();
    const Ran ran =
        run({loyald, "--config", (cluster.folder() / "cluster.toml").string(), "--id", "0", "--fault", "silent"});
    EXPECT_EQ(ran.exit, 2);
    EXPECT_THAT(ran.error, HasSubstr("experiments"));
}

TEST(Amnesia, stays_in_force_over_a_crash_until_it_is_taken_back) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"traitor", "1", "amnesia"}).exit, 0);
    ASSERT_EQ(cluster.loyal({"put", "k", "1"}).exit, 0);
    cluster.kill(1);
    cluster.up({"--only", "1"});
    EXPECT_EQ(fault_of(cluster, 1), "byzantine amnesia");
    ASSERT_EQ(cluster.loyal({"put", "k", "2", "--timeout", "20s"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "2");
    ASSERT_EQ(cluster.loyal({"traitor", "1", "none"}).exit, 0);
    cluster.kill(1);
    cluster.up({"--only", "1"});
    EXPECT_EQ(fault_of(cluster, 1), "none");
    ASSERT_EQ(cluster.loyal({"traitor", "1", "silent"}).exit, 0);
    cluster.kill(1);
    cluster.up({"--only", "1"});
    EXPECT_EQ(fault_of(cluster, 1), "none") << "of the others nothing lasts";
}

// ---- Clock, pause

TEST(ClockFault, a_wrong_clock_shows_and_harms_nobody) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    const int backup = (cluster.await_primary() + 1) % 4;
    const std::string id = std::to_string(backup);
    const Ran set = cluster.loyal({"clock", id, "offset", "-5s"});
    ASSERT_EQ(set.exit, 0) << set.error;
    EXPECT_THAT(set.out, HasSubstr("clock offset=-5000ms"));
    EXPECT_EQ(fault_of(cluster, backup), "clock offset=-5000ms");
    // It finds out that the majority is five seconds ahead.
    EXPECT_TRUE(eventually([&] {
        const json offset = cluster.status_of(backup)["clock"]["offset_ms"];
        return offset.is_number() && std::abs(offset.get<double>()) > 4'500 && std::abs(offset.get<double>()) < 5'500;
    })) << cluster.status_of(backup).dump(1);
    EXPECT_TRUE(eventually([&] { return !cluster.status_of(backup)["alarms"].empty(); }));
    EXPECT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "v");
    ASSERT_EQ(cluster.loyal({"clock", id, "mend"}).exit, 0);
    EXPECT_EQ(fault_of(cluster, backup), "none");
    EXPECT_TRUE(eventually([&] {
        const json offset = cluster.status_of(backup)["clock"]["offset_ms"];
        return offset.is_number() && std::abs(offset.get<double>()) < 500;
    })) << cluster.status_of(backup).dump(1);
}

TEST(ClockFault, a_step_of_the_wall_clock_is_noticed) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"clock", "1", "jump", "1h"}).exit, 0);
    EXPECT_TRUE(eventually([&] { return cluster.log_of(1).find("event=clock_step") != std::string::npos; }));
    EXPECT_THAT(cluster.status_of(1)["alarms"].dump(), HasSubstr("wall clock was stepped"));
    EXPECT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
}

TEST(Pause, a_replica_told_to_stand_still_does_and_goes_on_by_itself) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    const int primary = cluster.await_primary();
    const pid_t pid = cluster.pid_of(primary);
    const Ran pause = cluster.loyal({"pause", std::to_string(primary), "2s"});
    ASSERT_EQ(pause.exit, 0) << pause.error;
    EXPECT_TRUE(eventually([&] { return state_of(pid) == 'T'; }, 5s));
    EXPECT_EQ(cluster.loyal({"put", "during", "1", "--timeout", "20s"}).exit, 0);
    EXPECT_TRUE(eventually([&] { return state_of(pid) != 'T'; }, 10s));
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(primary); })) << cluster.status().dump(1);
    EXPECT_EQ(cluster.get("during"), "1");
}

TEST(Pause, a_paused_replica_can_be_killed_and_nothing_of_the_pause_is_left) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    const pid_t pid = cluster.pid_of(2);
    ASSERT_EQ(cluster.loyal({"pause", "2", "10m"}).exit, 0);
    ASSERT_TRUE(eventually([&] { return state_of(pid) == 'T'; }, 5s));
    cluster.kill(2);
    cluster.up({"--only", "2"});
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(2); })) << "ports and data folder were free";
}

// ---- Disk

TEST(DiskFault, a_full_disk_refuses_writes_serves_reads_and_recovers_when_mended) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "before"}).exit, 0);
    ASSERT_EQ(cluster.loyal({"disk", "all", "full"}).exit, 0);
    EXPECT_EQ(fault_of(cluster, 1), "disk full");
    const Ran put = cluster.loyal({"put", "k", "during", "--timeout", "2s"});
    EXPECT_TRUE(put.exit == 3 || put.exit == 4) << put.error;
    EXPECT_THAT(put.error, HasSubstr("disk_full"));
    EXPECT_THAT(cluster.status_of(0)["alarms"].dump(), HasSubstr("disk"));
    EXPECT_EQ(cluster.get("k"), "before");
    ASSERT_EQ(cluster.loyal({"disk", "all", "mend"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"put", "k", "after"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "after");
    EXPECT_EQ(cluster.status_of(0)["alarms"].dump().find("disk"), std::string::npos);
}

TEST(DiskFault, a_slow_disk_makes_writes_slow) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "1"}).exit, 0);
    ASSERT_EQ(cluster.loyal({"disk", "all", "slow", "150ms"}).exit, 0);
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(cluster.loyal({"put", "k", "2", "--timeout", "20s"}).exit, 0);
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 150ms) << "a vote waits for its sync";
    ASSERT_EQ(cluster.loyal({"disk", "all", "mend"}).exit, 0);
    EXPECT_EQ(cluster.get("k"), "2");
}

TEST(DiskFault, a_failing_sync_ends_the_replica_with_the_exit_code_of_io) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up({"--only", "0,1,2"});
    const auto victim = cluster.start_loyald(3);
    ASSERT_TRUE(eventually([&] { return cluster.caught_up(3); }));
    ASSERT_EQ(cluster.loyal({"disk", "3", "fail-sync"}).exit, 0);
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    const Ran ran = victim->finish(std::chrono::seconds(20));
    EXPECT_EQ(ran.exit, 69) << ran.error;
    EXPECT_THAT(ran.error, HasSubstr("fatal: io"));
    EXPECT_EQ(cluster.get("k"), "v");
}

TEST(DiskFault, rotten_records_never_become_wrong_answers) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(cluster.loyal({"put", "k" + std::to_string(i), "v"}).exit, 0);
    }
    const Ran rot = cluster.loyal({"disk", "2", "rot", "500"});
    ASSERT_EQ(rot.exit, 0) << rot.error;
    EXPECT_THAT(rot.out, HasSubstr("250 of the log"));
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(cluster.get("k" + std::to_string(i)), "v");
    }
    EXPECT_EQ(cluster.loyal({"put", "k0", "w"}).exit, 0);
    EXPECT_EQ(cluster.get("k0"), "w");
}

// ---- Bad input

TEST(ExperimentsBadInput, who_is_no_admin_is_refused_and_changes_nothing) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    for (const std::vector<std::string>& words : {std::vector<std::string>{"--as", "default", "traitor", "0", "silent"},
                                                  {"--as", "default", "net", "heal"},
                                                  {"--as", "default", "net", "cut", "0", "1"},
                                                  {"--as", "default", "pause", "0", "10s"},
                                                  {"--as", "default", "disk", "0", "full"},
                                                  {"--as", "default", "clock", "0", "offset", "5s"}}) {
        const Ran ran = cluster.loyal(words);
        EXPECT_EQ(ran.exit, 5) << ::testing::PrintToString(words) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr("admin"));
    }
    EXPECT_EQ(fault_of(cluster, 0), "none");
}

TEST(ExperimentsBadInput, a_replica_refuses_what_a_careless_client_lets_through) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    for (const std::vector<std::string>& words : {std::vector<std::string>{"traitor", "0", "censor=client:nobody"},
                                                  {"fault", "set", "0", "crash-recovery", "--every", "10ms"}}) {
        const Ran ran = cluster.loyal(words);
        EXPECT_EQ(ran.exit, 2) << ::testing::PrintToString(words) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr("replica 0"));
    }
    std::filesystem::rename(cluster.folder() / "keys" / "replica-2.key", cluster.path("hidden.key"));
    const Ran collude = cluster.loyal({"traitor", "0", "collude=2"});
    EXPECT_EQ(collude.exit, 2) << collude.error;
    EXPECT_THAT(collude.error, HasSubstr("replica-2.key"));
    EXPECT_EQ(fault_of(cluster, 0), "none");
    std::filesystem::rename(cluster.path("hidden.key"), cluster.folder() / "keys" / "replica-2.key");
    EXPECT_EQ(cluster.loyal({"traitor", "0", "collude=2"}).exit, 0);
    EXPECT_EQ(fault_of(cluster, 0), "byzantine collude=2");
}

TEST(ExperimentsBadInput, when_one_of_several_is_unreachable_it_is_named_and_nothing_is_half_done) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    cluster.kill(2);
    const Ran traitors = cluster.loyal({"traitor", "1,2", "silent"});
    EXPECT_EQ(traitors.exit, 3) << traitors.error;
    EXPECT_THAT(traitors.error, HasSubstr("replica 2"));
    EXPECT_EQ(fault_of(cluster, 1), "none");
    const Ran partition = cluster.loyal({"net", "partition", "0,1", "/", "2,3"});
    EXPECT_EQ(partition.exit, 3) << partition.error;
    for (const int id : {0, 1, 3}) {
        EXPECT_EQ(fault_of(cluster, id), "none");
    }
    // To heal is better than not to: the others are healed, and who was not is named.
    ASSERT_EQ(cluster.loyal({"net", "drop", "0", "1", "10%"}).exit, 0);
    const Ran heal = cluster.loyal({"net", "heal", "--timeout", "1s"});
    EXPECT_EQ(heal.exit, 3) << heal.error;
    EXPECT_THAT(heal.error, HasSubstr("replica 2"));
    EXPECT_EQ(fault_of(cluster, 0), "none");
    const Ran too_many = cluster.loyal({"traitor", "0,1", "stale-reads"});
    EXPECT_EQ(too_many.exit, 0) << "an experiment";
    EXPECT_THAT(too_many.error, HasSubstr("warning: 2 of 4 replicas are faulty"));
}

}  // namespace
}  // namespace loyal::system_test
