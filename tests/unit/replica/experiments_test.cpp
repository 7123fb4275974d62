// Clocks, disks and processes that are told to be bad; the trace of messages; the fault that outlives its process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>

#include "kvstore/lmdb_store.h"
#include "replica/experiments/bit_rot.h"
#include "replica/experiments/faulty_clock.h"
#include "replica/experiments/faulty_store.h"
#include "replica/experiments/lasting_fault.h"
#include "replica/experiments/message_trace.h"
#include "replica/experiments/process_faults.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::replica {
namespace {

using ::testing::HasSubstr;

// ---- Clock

constexpr std::int64_t second_us = 1'000'000;
constexpr std::int64_t start_us = 1'700'000'000 * second_us;

struct FakeTime {
    std::int64_t boot_us = 50 * second_us;
    std::int64_t wall_us = start_us;
    void pass(std::int64_t us) {
        boot_us += us;
        wall_us += us;
    }
    [[nodiscard]] ClockSource source() {
        return {[this] { return boot_us; }, [this] { return wall_us; }};
    }
};

void set(FaultyClock& clock, const std::string& line) {
    const auto command = parse_control(line, 4);
    ASSERT_TRUE(command) << line;
    clock.set(std::get<ClockFault>(*command));
}

TEST(FaultyClock, without_a_fault_it_is_right) {
    FakeTime time;
    FaultyClock clock(time.source());
    time.pass(3 * second_us);
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us + 3 * second_us));
    EXPECT_EQ(clock.in_force(), "");
}

TEST(FaultyClock, an_offset_shows_at_once_and_is_mended_at_once) {
    FakeTime time;
    FaultyClock clock(time.source());
    set(clock, "clock offset=-5s");
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us - 5 * second_us));
    time.pass(second_us);
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us - 4 * second_us));
    EXPECT_EQ(clock.in_force(), "clock offset=-5000ms");
    EXPECT_EQ(clock.behind_wall_us(), 0) << "the machine's wall clock is right";
    set(clock, "clock mend");
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us + second_us));
}

TEST(FaultyClock, drift_grows_with_time_and_keeps_what_it_made_when_it_changes) {
    FakeTime time;
    FaultyClock clock(time.source());
    set(clock, "clock drift=1000ppm");
    time.pass(100 * second_us);
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us + 100 * second_us + 100'000));
    set(clock, "clock drift=-1000ppm");
    time.pass(50 * second_us);
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us + 150 * second_us + 50'000));
}

TEST(FaultyClock, a_jump_of_the_wall_clock_is_slewed_and_shows_as_one) {
    FakeTime time;
    FaultyClock clock(time.source());
    (void)clock.now_us();
    set(clock, "clock jump=10s");
    time.pass(second_us);
    EXPECT_EQ(clock.now_us(), static_cast<std::uint64_t>(start_us + second_us + second_us / SlewedClock::slew_divisor));
    EXPECT_NEAR(static_cast<double>(clock.behind_wall_us()), 10e6, 1e5);
    EXPECT_EQ(clock.in_force(), "clock jump=10000ms");
}

TEST(FaultyClock, a_frozen_clock_stands_still_whatever_else_is_said) {
    FakeTime time;
    FaultyClock clock(time.source());
    const std::uint64_t then = clock.now_us();
    set(clock, "clock freeze");
    time.pass(20 * second_us);
    set(clock, "clock offset=3s");
    EXPECT_EQ(clock.now_us(), then);
    EXPECT_EQ(clock.in_force(), "clock offset=3000ms freeze");
    set(clock, "clock mend");
    EXPECT_EQ(clock.now_us(), then + 20 * second_us);
}

TEST(FaultyClock, never_tells_a_time_before_1970) {
    FakeTime time;
    time.wall_us = second_us;
    FaultyClock clock(time.source());
    set(clock, "clock offset=-1h");
    EXPECT_EQ(clock.now_us(), 0U);
}

// ---- Disk

class DiskFaultsTest : public ::testing::Test {
 protected:
    DiskFaultsTest() {
        kvstore::LmdbOptions options;
        options.path = folder_.path() / "store";
        options.tables = {"a", "b"};
        options.map_bytes = std::size_t{64} << 20U;
        auto opened = kvstore::LmdbStore::open(options);
        EXPECT_TRUE(opened);
        store_ = std::make_unique<FaultyStore>(std::move(*opened), faults_, true, 100'000);
    }
    Result<void> put(const std::string& key, const Bytes& value) {
        auto txn = store_->begin_write();
        EXPECT_TRUE(txn);
        EXPECT_TRUE((*txn)->put(0, view_of(key), value));
        return (*txn)->commit(kvstore::Durability::synced);
    }
    std::optional<Bytes> get(const std::string& key) {
        const auto txn = store_->begin_read();
        const auto found = (*txn)->get(0, view_of(key));
        return found && *found ? std::optional<Bytes>(Bytes((*found)->begin(), (*found)->end())) : std::nullopt;
    }
    void set(const std::string& line) { faults_->set(std::get<DiskFault>(*parse_control(line, 4))); }

    loyal::test::TemporaryFolder folder_;
    std::shared_ptr<DiskFaults> faults_ = std::make_shared<DiskFaults>();
    std::unique_ptr<FaultyStore> store_;
};

TEST_F(DiskFaultsTest, a_good_disk_stores) {
    ASSERT_TRUE(put("k", Bytes(10, 7)));
    EXPECT_EQ(get("k"), Bytes(10, 7));
    EXPECT_EQ(faults_->in_force(), "");
}

TEST_F(DiskFaultsTest, a_failing_sync_is_an_io_error_that_stores_nothing_and_mends) {
    set("disk fail-sync");
    const auto failed = put("k", Bytes(10, 7));
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().code, Errc::io);
    EXPECT_FALSE(get("k"));
    EXPECT_FALSE(store_->sync());
    EXPECT_EQ(faults_->in_force(), "disk fail-sync");
    set("disk mend");
    EXPECT_TRUE(put("k", Bytes(10, 7)));
}

TEST_F(DiskFaultsTest, a_slow_disk_takes_its_time_to_sync) {
    set("disk slow=60ms");
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(put("k", Bytes(10, 7)));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(60));
    EXPECT_EQ(faults_->in_force(), "disk slow=60ms");
}

TEST_F(DiskFaultsTest, a_full_disk_has_its_reserve_left_and_then_nothing) {
    ASSERT_TRUE(put("before", Bytes(10, 1)));
    set("disk full");
    EXPECT_TRUE(faults_->full());
    Result<void> last;
    int stored = 0;
    while (stored < 1'000 && (last = put("k" + std::to_string(stored), Bytes(20'000, 2)))) {
        ++stored;
    }
    ASSERT_FALSE(last);
    EXPECT_EQ(last.error().code, Errc::disk_full);
    EXPECT_GE(stored, 3) << "what was under way fits the reserve";
    EXPECT_LE(stored, 20);
    EXPECT_EQ(get("before"), Bytes(10, 1)) << "reads go on";
    set("disk mend");
    EXPECT_TRUE(put("after", Bytes(20'000, 3)));
    set("disk full");
    EXPECT_TRUE(put("again", Bytes(10, 3))) << "another full disk, another reserve";
}

TEST_F(DiskFaultsTest, rot_flips_as_many_bits_of_records_as_it_was_told_to) {
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(put("k" + std::to_string(i), Bytes(100, static_cast<std::uint8_t>(i))));
    }
    const auto flipped = rot_bits(*store_, 2, 9, 42);
    ASSERT_TRUE(flipped) << flipped.error().message;
    EXPECT_EQ(*flipped, 9U);
    int wrong_bits = 0;
    for (int i = 0; i < 50; ++i) {
        const auto value = get("k" + std::to_string(i));
        ASSERT_TRUE(value);
        for (const std::uint8_t byte : *value) {
            wrong_bits += __builtin_popcount(static_cast<unsigned>(byte ^ i));
        }
    }
    EXPECT_TRUE(wrong_bits == 9 || wrong_bits == 7) << wrong_bits << ": two flips of one bit undo each other";
}

TEST_F(DiskFaultsTest, an_empty_store_has_nothing_to_rot) {
    const auto flipped = rot_bits(*store_, 2, 9, 42);
    ASSERT_TRUE(flipped);
    EXPECT_EQ(*flipped, 0U);
}

// ---- Process

TEST(ProcessFaults, a_restart_after_a_crash_keeps_the_arguments_and_waits) {
    const std::vector<std::string> given = {"/bin/loyald", "--config", "c.toml", "--fault",
                                            "none",        "--id",     "2",      "--start-after=1s"};
    const std::vector<std::string> expected = {
        "/bin/loyald",   "--config", "c.toml", "--id", "2", "--fault", "crash-recovery --every 5000ms --down 700ms",
        "--start-after", "700ms"};
    const auto once = arguments_after_crash(given, "crash-recovery --every 5000ms --down 700ms", 700);
    EXPECT_EQ(once, expected);
    EXPECT_EQ(arguments_after_crash(once, "crash-recovery --every 5000ms --down 700ms", 700), expected)
        << "again and again";
}

// A child of the test stops itself; the test sees it stop and go on.
TEST(ProcessFaults, a_pause_stops_the_process_and_lets_it_go_on) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        ::_exit(pause_process(300) ? (::sleep(20), 0) : 1);
    }
    int status = 0;
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
    EXPECT_TRUE(WIFSTOPPED(status)) << status;
    ASSERT_EQ(::waitpid(child, &status, WCONTINUED), child);
    EXPECT_TRUE(WIFCONTINUED(status)) << status;
    const auto passed = std::chrono::steady_clock::now() - begin;
    EXPECT_GE(passed, std::chrono::milliseconds(250));
    EXPECT_LT(passed, std::chrono::seconds(5));
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
}

TEST(ProcessFaults, a_crash_is_a_kill) {
    EXPECT_EXIT(crash_now(), ::testing::KilledBySignal(SIGKILL), "");
}

// ---- The fault that outlives its process

TEST(LastingFault, only_amnesia_is_kept_and_none_removes_it) {
    const loyal::test::TemporaryFolder folder;
    EXPECT_EQ(*kept_fault(folder.path()), "");
    ASSERT_TRUE(keep_fault(folder.path(), *parse_fault("silent")));
    EXPECT_EQ(*kept_fault(folder.path()), "");
    ASSERT_TRUE(keep_fault(folder.path(), *parse_fault("silent amnesia")));
    EXPECT_EQ(*kept_fault(folder.path()), "byzantine silent amnesia");
    ASSERT_TRUE(keep_fault(folder.path(), *parse_fault("amnesia")));
    EXPECT_EQ(*kept_fault(folder.path()), "byzantine amnesia");
    ASSERT_TRUE(keep_fault(folder.path(), *parse_fault("none")));
    EXPECT_EQ(*kept_fault(folder.path()), "");
    std::ofstream(folder.path() / "fault") << "gibberish";
    const auto bad = kept_fault(folder.path());
    ASSERT_FALSE(bad);
    EXPECT_THAT(bad.error().message, HasSubstr("gibberish"));
}

// ---- Trace

TEST(MessageTrace, remembers_the_last_messages_in_order) {
    MessageTrace trace(consensus::ReplicaId(2), 3);
    for (std::uint64_t i = 1; i <= 5; ++i) {
        consensus::Heartbeat heartbeat;
        heartbeat.entered = consensus::View(i);
        trace.sent(consensus::ReplicaId(1), heartbeat, i * 100);
    }
    consensus::Vote vote;
    vote.view = consensus::View(9);
    vote.prep.height = consensus::Height(12);
    trace.received(consensus::ReplicaId(3), vote, 600);
    const auto said = nlohmann::json::parse(trace.json(0));
    EXPECT_EQ(said["replica"], 2);
    EXPECT_EQ(said["more"], false);
    ASSERT_EQ(said["messages"].size(), 3U);
    EXPECT_EQ(said["messages"][0]["us"], 400);
    EXPECT_EQ(said["messages"][0]["kind"], "HEARTBEAT");
    EXPECT_EQ(said["messages"][0]["dir"], "sent");
    EXPECT_EQ(said["messages"][2]["dir"], "received");
    EXPECT_EQ(said["messages"][2]["peer"], 3);
    EXPECT_EQ(said["messages"][2]["view"], 9);
    EXPECT_EQ(said["messages"][2]["height"], 12);
    EXPECT_THAT(said["messages"][2]["detail"].get<std::string>(), HasSubstr("prepare 12"));
    EXPECT_EQ(nlohmann::json::parse(trace.json(501))["messages"].size(), 1U);
}

TEST(MessageTrace, an_answer_is_bounded_and_says_when_there_is_more) {
    MessageTrace trace(consensus::ReplicaId(0), 1'000);
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        trace.sent(consensus::ReplicaId(1), consensus::Heartbeat{}, i);
    }
    const std::string text = trace.json(0, 10'000);
    EXPECT_LE(text.size(), 10'000U);
    const auto said = nlohmann::json::parse(text);
    EXPECT_EQ(said["more"], true);
    const std::size_t got = said["messages"].size();
    EXPECT_GT(got, 50U);
    // The rest comes when asked for from there on.
    const auto rest = nlohmann::json::parse(trace.json(got));
    EXPECT_EQ(rest["messages"].size(), 1'000 - got);
}

}  // namespace
}  // namespace loyal::replica
