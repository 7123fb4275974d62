// The threads around the loop: verify pool, log writer, executor, background.
#include <gtest/gtest.h>

#include <algorithm>
#include <condition_variable>

#include "../config/sample_cluster.h"
#include "config/fatal.h"
#include "crypto/identity.h"
#include "replica/background.h"
#include "replica/executor.h"
#include "replica/log_writer.h"
#include "replica/serve_committed.h"
#include "replica/verify_pool.h"
#include "wire/codec.h"

namespace loyal::replica {
namespace {

using namespace std::chrono_literals;
using consensus::Height;
using consensus::PersistId;
using consensus::ReplicaId;

// Stands in for the loop: waits until the bell rings.
class Waiter {
 public:
    Doorbell bell{[this] {
        const std::lock_guard lock(mutex_);
        rung_ = true;
        ready_.notify_all();
    }};
    // Collects from `inbox` until there are `count`.
    template <class T>
    std::vector<T> collect(Inbox<T>& inbox, std::size_t count) {
        std::vector<T> result;
        const auto deadline = std::chrono::steady_clock::now() + 20s;
        while (result.size() < count && std::chrono::steady_clock::now() < deadline) {
            {
                std::unique_lock lock(mutex_);
                ready_.wait_until(lock, deadline, [this] { return rung_; });
                rung_ = false;
            }
            bell.answered();
            for (T& one : inbox.take()) {
                result.push_back(std::move(one));
            }
        }
        return result;
    }

 private:
    std::mutex mutex_;
    std::condition_variable ready_;
    bool rung_ = false;
};

// ---- Log

struct FakeLog final : kvstore::ConsensusLog {
    [[nodiscard]] Result<void> append(const std::vector<consensus::Persist>& group) override {
        std::unique_lock lock(mutex);
        open.wait(lock, [this] { return !held; });
        if (full) {
            return fail(Errc::disk_full, "no space left");
        }
        for (const consensus::Persist& one : group) {
            written.push_back(one.id.value);
        }
        ++transactions;
        return {};
    }
    [[nodiscard]] Result<consensus::Recovered> recover(const consensus::BlockRef&) const override {
        return consensus::Recovered{};
    }
    [[nodiscard]] Result<std::optional<consensus::BlockPtr>> block(const crypto::Digest&) const override {
        return std::nullopt;
    }
    [[nodiscard]] Result<kvstore::CommittedRange> committed_range(Height from, Height, std::size_t) const override {
        if (broken) {
            return fail(Errc::corrupted, "record 7 does not match its seal");
        }
        kvstore::CommittedRange result;
        for (Height at = from; at <= stored; at = at.next()) {
            auto block = std::make_shared<consensus::Block>();
            block->header.height = at;
            block->body = std::make_shared<const Bytes>();
            result.headers.push_back(block->header);
            if (result.blocks.size() < bodies) {
                result.blocks.push_back(block);
            }
        }
        return result;
    }
    [[nodiscard]] Result<std::vector<consensus::Evidence>> evidence() const override {
        return std::vector<consensus::Evidence>();
    }
    [[nodiscard]] Height committed() const override { return stored; }
    [[nodiscard]] std::uint64_t used_bytes() const override { return 123; }
    void hold(bool on) {
        {
            const std::lock_guard lock(mutex);
            held = on;
        }
        open.notify_all();
    }

    std::atomic<bool> full{false};
    std::mutex mutex;
    std::condition_variable open;
    bool held = false;
    bool broken = false;
    std::vector<std::uint64_t> written;
    int transactions = 0;
    Height stored{0};
    std::size_t bodies = 100;
};

TEST(LogWriterTest, what_waits_is_one_transaction_and_the_last_is_named) {
    Waiter waiter;
    Inbox<PersistId> durable(waiter.bell);
    FakeLog log;
    Room room;
    log.hold(true);
    LogWriter writer(log, durable, room);
    for (std::uint64_t id = 1; id <= 20; ++id) {
        writer.write({PersistId(id), {}});
    }
    log.hold(false);
    std::vector<PersistId> got;
    while (got.empty() || got.back().value < 20) {
        const auto more = waiter.collect(durable, 1);
        ASSERT_FALSE(more.empty());
        got.insert(got.end(), more.begin(), more.end());
    }
    writer.stop();
    EXPECT_EQ(log.written.size(), 20U);
    EXPECT_TRUE(std::is_sorted(log.written.begin(), log.written.end()));
    EXPECT_LE(log.transactions, 3) << "group commit";
    EXPECT_EQ(writer.persists(), 20U);
    EXPECT_EQ(writer.transactions(), static_cast<std::uint64_t>(log.transactions));
}

TEST(LogWriterTest, stop_writes_what_was_handed_over) {
    Waiter waiter;
    Inbox<PersistId> durable(waiter.bell);
    FakeLog log;
    Room room;
    LogWriter writer(log, durable, room);
    for (std::uint64_t id = 1; id <= 100; ++id) {
        writer.write({PersistId(id), {}});
    }
    writer.stop();
    EXPECT_EQ(log.written.size(), 100U);
}

// Nothing of the transaction is there, so nothing was promised: when there is room it is written as if for the first
// time.
TEST(LogWriterTest, a_full_disk_is_waited_for_and_nothing_is_called_durable_meanwhile) {
    Waiter waiter;
    Inbox<PersistId> durable(waiter.bell);
    FakeLog log;
    Room room;
    log.full = true;
    LogWriter writer(log, durable, room);
    writer.write({PersistId(1), {}});
    while (!writer.waits_for_room()) {
        std::this_thread::yield();
    }
    while (!room.awaited()) {
        std::this_thread::yield();
    }
    EXPECT_TRUE(durable.take().empty());
    log.full = false;
    room.tell();
    const auto got = waiter.collect(durable, 1);
    ASSERT_EQ(got.size(), 1U);
    EXPECT_EQ(got[0].value, 1U);
    EXPECT_EQ(log.written.size(), 1U);
    log.full = true;
    writer.write({PersistId(2), {}});
    while (!writer.waits_for_room()) {
        std::this_thread::yield();
    }
    writer.stop();
    EXPECT_EQ(log.written.size(), 1U) << "an orderly stop does not wait for a full disk";
    EXPECT_TRUE(durable.take().empty());
}

TEST(LogWriterTest, flush_waits_until_all_is_written_and_an_empty_persist_tells_nobody) {
    Waiter waiter;
    Inbox<PersistId> durable(waiter.bell);
    FakeLog log;
    Room room;
    LogWriter writer(log, durable, room);
    writer.flush();
    for (std::uint64_t id = 1; id <= 50; ++id) {
        writer.write({PersistId(id), {}});
    }
    writer.write({});
    writer.flush();
    EXPECT_EQ(log.written.size(), 50U);
    const auto ids = durable.take();
    ASSERT_FALSE(ids.empty());
    EXPECT_EQ(ids.back().value, 50U);
}

using WorkersDeathTest = ::testing::Test;

TEST_F(WorkersDeathTest, a_log_that_cannot_be_written_ends_the_process_by_name) {
    struct Broken final : kvstore::ConsensusLog {
        [[nodiscard]] Result<void> append(const std::vector<consensus::Persist>&) override {
            return fail(Errc::io, "input/output error");
        }
        [[nodiscard]] Result<consensus::Recovered> recover(const consensus::BlockRef&) const override {
            return consensus::Recovered{};
        }
        [[nodiscard]] Result<std::optional<consensus::BlockPtr>> block(const crypto::Digest&) const override {
            return std::nullopt;
        }
        [[nodiscard]] Result<kvstore::CommittedRange> committed_range(Height, Height, std::size_t) const override {
            return kvstore::CommittedRange{};
        }
        [[nodiscard]] Result<std::vector<consensus::Evidence>> evidence() const override {
            return std::vector<consensus::Evidence>();
        }
        [[nodiscard]] Height committed() const override { return {}; }
        [[nodiscard]] std::uint64_t used_bytes() const override { return 0; }
    };
    ::testing::FLAGS_gtest_death_test_style = "threadsafe";
    EXPECT_EXIT(
        {
            Doorbell bell([] {});
            Inbox<PersistId> durable(bell);
            Broken log;
            Room room;
            LogWriter writer(log, durable, room);
            writer.write({PersistId(1), {}});
            writer.stop();
        },
        ::testing::ExitedWithCode(static_cast<int>(FatalCode::io)), "fatal: io");
}

// ---- Executor

struct FakeMachine final : kvstore::StateMachine {
    [[nodiscard]] Result<kvstore::ExecutedBlock> execute(const consensus::Block& block) override {
        height = block.header.height;
        overlay += 1'000;
        kvstore::ExecutedBlock result;
        result.height = height;
        return result;
    }
    [[nodiscard]] Result<kvstore::AdmissionResult> admit(const consensus::Envelope&) const override {
        return kvstore::AdmissionResult{};
    }
    [[nodiscard]] Result<kvstore::ReadAnswer> read(const kvstore::Query&) const override {
        kvstore::ReadAnswer answer;
        answer.executed = height;
        if (damaged) {
            return fail(Errc::corrupted, "a record does not match its seal");
        }
        return answer;
    }
    [[nodiscard]] Result<kvstore::ChangePage> changes(const kvstore::ChangeQuery&) const override {
        return kvstore::ChangePage{};
    }
    [[nodiscard]] kvstore::Revision compacted() const override { return {}; }
    [[nodiscard]] std::optional<consensus::Hlc> due() const override { return {}; }
    [[nodiscard]] bool may_ask(const consensus::ClientId& client, const kvstore::Query&) const override {
        return client.bytes[0] == 1;
    }
    [[nodiscard]] std::shared_ptr<const kvstore::ClientDirectory> clients() const override {
        return std::make_shared<const kvstore::ClientDirectory>();
    }
    [[nodiscard]] Height executed() const override { return height; }
    [[nodiscard]] consensus::BlockRef executed_block() const override { return {executed(), {}}; }
    [[nodiscard]] consensus::Hlc hlc() const override { return {}; }
    [[nodiscard]] kvstore::Revision revision() const override { return {}; }
    [[nodiscard]] Height durable_height() const override { return Height(durable.load()); }
    [[nodiscard]] std::vector<std::pair<Height, crypto::Digest>> recent_digests() const override { return {}; }
    [[nodiscard]] std::size_t overlay_bytes() const override { return overlay + frozen; }
    [[nodiscard]] bool freeze_due() const override { return false; }
    [[nodiscard]] bool freeze() override {
        if (overlay == 0 || frozen > 0) {
            return false;
        }
        frozen = std::exchange(overlay, 0);
        frozen_height = height;
        return true;
    }
    [[nodiscard]] Result<void> write_frozen(kvstore::Durability durability) override {
        std::this_thread::sleep_for(write_takes);
        ++attempts;
        if (full) {
            return fail(Errc::disk_full, "no space left");
        }
        ++writes;
        synced += durability == kvstore::Durability::synced ? 1 : 0;
        durable.store(frozen_height.value);
        return {};
    }
    void drop_frozen() override { frozen = 0; }

    Height height, frozen_height;
    std::size_t overlay = 0, frozen = 0;
    std::atomic<int> writes{0}, synced{0}, attempts{0};
    std::atomic<bool> full{false};
    std::atomic<std::uint64_t> durable{0};
    std::chrono::milliseconds write_takes{0};
    std::atomic<bool> damaged{false};
};

struct FakeStore final : kvstore::Store {
    [[nodiscard]] Result<std::unique_ptr<kvstore::ReadTxn>> begin_read() override { return fail(Errc::io, "none"); }
    [[nodiscard]] Result<std::unique_ptr<kvstore::WriteTxn>> begin_write() override { return fail(Errc::io, "none"); }
    [[nodiscard]] Result<void> sync() override {
        ++syncs;
        return {};
    }
    [[nodiscard]] std::uint64_t used_bytes() const override { return 456; }
    int syncs = 0;
};

consensus::BlockPtr block_at(std::uint64_t height) {
    auto block = std::make_shared<consensus::Block>();
    block->header.height = Height(height);
    block->body = std::make_shared<const Bytes>();
    return block;
}

struct ExecutorRig {
    explicit ExecutorRig(ExecutorOptions options = {}) : executor(machine, store, results, room, options) {}
    void await_waiting() const {
        while (!room.awaited()) {
            std::this_thread::yield();
        }
    }

    Waiter waiter;
    Inbox<ExecutorResult> results{waiter.bell};
    FakeMachine machine;
    FakeStore store;
    Room room;
    Executor executor;
};

TEST(ExecutorTest, blocks_and_reads_are_answered_in_the_order_in_which_they_were_asked) {
    ExecutorRig rig;
    consensus::ClientId reader;
    reader.bytes[0] = 1;
    for (std::uint64_t height = 1; height <= 50; ++height) {
        rig.executor.submit(ExecuteTask{block_at(height)});
        rig.executor.submit(ReadTask{height, reader, {}, Height(height)});
    }
    const auto results = rig.waiter.collect(rig.results, 100);
    ASSERT_EQ(results.size(), 100U);
    for (std::uint64_t i = 0; i < 50; ++i) {
        EXPECT_EQ(std::get<kvstore::ExecutedBlock>(results[2 * i]).height.value, i + 1);
        const auto& read = std::get<ReadDone>(results[2 * i + 1]);
        EXPECT_EQ(read.answer.value().executed.value, i + 1) << "the state of that moment";
        EXPECT_EQ(read.lock.value, i + 1);
    }
}

TEST(ExecutorTest, who_may_not_read_gets_an_error) {
    ExecutorRig rig;
    rig.executor.submit(ReadTask{1, {}, {}, Height(0)});
    const auto results = rig.waiter.collect(rig.results, 1);
    ASSERT_EQ(results.size(), 1U);
    ASSERT_FALSE(std::get<ReadDone>(results[0]).answer);
    EXPECT_EQ(std::get<ReadDone>(results[0]).answer.error().code, Errc::permission);
}

TEST(ExecutorTest, a_large_overlay_is_written_in_the_background) {
    ExecutorRig rig({.freeze_bytes = 10'000, .freeze_ms = 1'000'000});
    for (std::uint64_t height = 1; height <= 100; ++height) {
        rig.executor.submit(ExecuteTask{block_at(height)});
    }
    (void)rig.waiter.collect(rig.results, 100);
    rig.executor.stop();
    EXPECT_GE(rig.machine.writes, 1);
    EXPECT_EQ(rig.machine.durable_height().value, 100U);
}

TEST(ExecutorTest, a_small_overlay_is_written_after_a_while) {
    ExecutorRig rig({.freeze_bytes = 1U << 30U, .freeze_ms = 20});
    rig.executor.submit(ExecuteTask{block_at(1)});
    (void)rig.waiter.collect(rig.results, 1);
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (rig.machine.durable == 0 && std::chrono::steady_clock::now() < deadline) {
        std::this_thread::yield();
    }
    EXPECT_EQ(rig.machine.durable, 1U);
}

TEST(ExecutorTest, a_slow_disk_makes_execution_wait_so_that_the_overlay_stays_bounded) {
    ExecutorOptions options;
    options.freeze_bytes = 5'000;
    options.overlay_bytes_max = 20'000;
    Waiter waiter;
    Inbox<ExecutorResult> results(waiter.bell);
    FakeMachine machine;
    machine.write_takes = 5ms;
    FakeStore store;
    Room room;
    Executor executor(machine, store, results, room, options);
    for (std::uint64_t height = 1; height <= 200; ++height) {
        executor.submit(ExecuteTask{block_at(height)});
    }
    (void)waiter.collect(results, 200);
    EXPECT_LE(executor.overlay_bytes(), 21'000U);
    executor.stop();
    EXPECT_EQ(machine.durable_height().value, 200U);
}

TEST(ExecutorTest, a_full_disk_is_waited_for_and_reads_go_on) {
    ExecutorRig rig({.freeze_bytes = 100, .freeze_ms = 1'000'000});
    rig.machine.full = true;
    rig.executor.submit(ExecuteTask{block_at(1)});
    (void)rig.waiter.collect(rig.results, 1);
    rig.await_waiting();
    rig.room.tell();
    while (rig.machine.attempts < 2) {
        std::this_thread::yield();
    }
    rig.executor.submit(ExecuteTask{block_at(2)});
    EXPECT_EQ(rig.waiter.collect(rig.results, 1).size(), 1U);
    EXPECT_EQ(rig.machine.writes, 0);
    rig.await_waiting();
    EXPECT_EQ(rig.machine.attempts, 2) << "once more for each time that it is told";
    rig.machine.full = false;
    rig.room.tell();
    while (rig.machine.writes == 0) {
        std::this_thread::yield();
    }
    rig.executor.stop();
    EXPECT_EQ(rig.machine.durable, 2U);
}

TEST(ExecutorTest, stop_does_not_wait_for_a_full_disk) {
    ExecutorRig rig({.freeze_bytes = 100, .freeze_ms = 1'000'000});
    rig.machine.full = true;
    rig.executor.submit(ExecuteTask{block_at(1)});
    (void)rig.waiter.collect(rig.results, 1);
    rig.await_waiting();
    rig.executor.stop();
    EXPECT_EQ(rig.machine.writes, 0) << "the log has the block";
}

TEST(ExecutorTest, a_state_that_is_found_damaged_ends_the_wait_for_room) {
    ExecutorRig rig({.freeze_bytes = 100, .freeze_ms = 1'000'000});
    consensus::ClientId reader;
    reader.bytes[0] = 1;
    rig.machine.full = true;
    rig.executor.submit(ExecuteTask{block_at(1)});
    (void)rig.waiter.collect(rig.results, 1);
    rig.await_waiting();
    rig.machine.damaged = true;
    rig.executor.submit(ReadTask{1, reader, {}, Height(0)});
    (void)rig.waiter.collect(rig.results, 2);
    while (rig.room.awaited()) {
        std::this_thread::yield();
    }
    rig.executor.abandon();
    EXPECT_EQ(rig.machine.writes, 0);
}

TEST(ExecutorTest, stop_executes_what_waits_and_syncs_the_state) {
    ExecutorRig rig;
    for (std::uint64_t height = 1; height <= 30; ++height) {
        rig.executor.submit(ExecuteTask{block_at(height)});
    }
    rig.executor.stop();
    EXPECT_EQ(rig.machine.executed().value, 30U);
    EXPECT_EQ(rig.executor.durable_height(), 30U);
    EXPECT_EQ(rig.machine.synced, 1);
    EXPECT_EQ(rig.store.syncs, 1);
}

TEST(ExecutorTest, a_damaged_state_is_told_once_and_nothing_is_executed_read_or_written_any_more) {
    ExecutorRig rig;
    consensus::ClientId reader;
    reader.bytes[0] = 1;
    rig.executor.submit(ExecuteTask{block_at(1)});
    ASSERT_EQ(rig.waiter.collect(rig.results, 1).size(), 1U);
    rig.machine.damaged = true;
    rig.executor.submit(ReadTask{1, reader, {}, Height(0)});
    rig.executor.submit(ExecuteTask{block_at(2)});
    rig.executor.submit(ReadTask{2, reader, {}, Height(0)});
    const auto results = rig.waiter.collect(rig.results, 3);
    ASSERT_EQ(results.size(), 3U);
    EXPECT_EQ(std::get<StateFailed>(results[0]).error.code, Errc::corrupted);
    for (std::size_t i = 1; i < 3; ++i) {
        EXPECT_EQ(std::get<ReadDone>(results[i]).answer.error().code, Errc::unavailable) << "busy, and never data";
    }
    rig.machine.damaged = false;
    rig.executor.stop();
    EXPECT_EQ(rig.machine.executed().value, 1U);
    EXPECT_EQ(rig.machine.writes, 0);
    EXPECT_TRUE(rig.results.take().empty()) << "told once";
}

// ---- Background

consensus::ServeCommitted ask(std::uint64_t from, std::uint64_t top, std::size_t tail) {
    consensus::ServeCommitted request;
    request.to = ReplicaId(2);
    request.from = Height(from);
    request.top = Height(top);
    for (std::size_t i = 1; i <= tail; ++i) {
        request.tail.blocks.push_back(block_at(top + i));
    }
    return request;
}

TEST(BackgroundTest, a_range_that_reaches_the_top_takes_the_tail_along) {
    FakeLog log;
    log.stored = Height(10);
    const auto blocks = read_committed(log, ask(6, 10, 2));
    ASSERT_TRUE(blocks);
    EXPECT_EQ(blocks->headers.size(), 5U);
    EXPECT_EQ(blocks->blocks.size(), 7U);
}

TEST(BackgroundTest, a_range_with_bodies_still_to_come_has_no_tail) {
    FakeLog log;
    log.stored = Height(10);
    log.bodies = 3;
    const auto blocks = read_committed(log, ask(6, 10, 2));
    ASSERT_TRUE(blocks);
    EXPECT_EQ(blocks->blocks.size(), 3U);
}

TEST(BackgroundTest, nothing_committed_above_gives_the_tail_alone) {
    FakeLog log;
    log.stored = Height(10);
    const auto blocks = read_committed(log, ask(11, 10, 2));
    ASSERT_TRUE(blocks);
    EXPECT_TRUE(blocks->headers.empty());
    EXPECT_EQ(blocks->blocks.size(), 2U);
}

TEST(BackgroundTest, serves_ranges_and_looks_at_the_disk) {
    Waiter waiter;
    Inbox<ServedRange> served(waiter.bell);
    Inbox<DiskUse> disk(waiter.bell);
    FakeLog log;
    Room room;
    log.stored = Height(10);
    Inbox<KeeperEvent> events(waiter.bell);
    KeeperOptions options;
    options.setup.data = "/";
    options.replicas = 4;
    Background background(log, options, served, events, disk, room);
    background.submit(ask(1, 10, 0));
    const auto ranges = waiter.collect(served, 1);
    ASSERT_EQ(ranges.size(), 1U);
    EXPECT_EQ(ranges[0].to, ReplicaId(2));
    EXPECT_EQ(ranges[0].blocks.value().headers.size(), 10U);
    auto use = disk.take();
    if (use.empty()) {
        use = waiter.collect(disk, 1);
    }
    ASSERT_FALSE(use.empty());
    EXPECT_GT(use[0].free_bytes, 0U);
    EXPECT_EQ(use[0].log_bytes, 123U);
}

TEST(BackgroundTest, who_waits_for_room_is_told_again_and_again_to_try) {
    Waiter waiter;
    Inbox<ServedRange> served(waiter.bell);
    Inbox<DiskUse> disk(waiter.bell);
    Inbox<KeeperEvent> events(waiter.bell);
    FakeLog log;
    Room room;
    KeeperOptions options;
    options.setup.data = "/";
    options.replicas = 4;
    Background background(log, options, served, events, disk, room);
    const auto never = [] { return false; };
    for (int times = 0; times < 3; ++times) {
        room.wait(never);
    }
    EXPECT_FALSE(room.awaited());
    background.stop();
    room.wait([] { return true; });  // nobody is asked any more, and who is to stop does not wait
}

TEST(BackgroundTest, without_checkpoints_a_part_of_a_state_is_not_available) {
    Waiter waiter;
    Inbox<ServedRange> served(waiter.bell);
    Inbox<DiskUse> disk(waiter.bell);
    Inbox<KeeperEvent> events(waiter.bell);
    FakeLog log;
    Room room;
    KeeperOptions options;
    options.setup.data = "/";
    options.replicas = 4;
    Background background(log, options, served, events, disk, room);
    background.submit(ServeState{ReplicaId(2), {Height(64), consensus::StatePart::leaves, 7, {}}});
    const auto answers = waiter.collect(events, 1);
    ASSERT_EQ(answers.size(), 1U);
    const auto& answer = std::get<AnswerPeer>(answers[0]);
    EXPECT_EQ(answer.to, ReplicaId(2));
    EXPECT_EQ(answer.chunk.index, 7U);
    EXPECT_FALSE(answer.chunk.available);
}

TEST(BackgroundTest, a_damaged_log_is_an_error_and_not_an_end) {
    FakeLog log;
    log.broken = true;
    const auto blocks = read_committed(log, ask(1, 10, 0));
    ASSERT_FALSE(blocks);
    EXPECT_EQ(blocks.error().code, Errc::corrupted);
}

// ---- Verify pool

class VerifyPoolTest : public ::testing::Test {
 protected:
    void SetUp() override {
        crypto::initialize();
        cluster_ = config::test::sample_cluster();
        membership_ = cluster_.membership();
        verifier_ = std::make_unique<consensus::MessageVerifier>(membership_, signatures_);
    }
    Bytes heartbeat(std::uint64_t committed) {
        consensus::Heartbeat beat;
        beat.committed = Height(committed);
        return wire::encode(consensus::PeerMessage(beat));
    }

    config::Cluster cluster_;
    consensus::Membership membership_;
    crypto::Ed25519Verifier signatures_;
    std::unique_ptr<consensus::MessageVerifier> verifier_;
    Waiter waiter_;
    Inbox<VerifyResult> results_{waiter_.bell};
};

TEST_F(VerifyPoolTest, results_of_a_link_keep_the_order_of_its_frames) {
    VerifyPool pool(*verifier_, results_, 2);
    for (std::uint64_t i = 0; i < 200; ++i) {
        for (std::uint64_t link = 1; link <= 3; ++link) {
            pool.submit({link, PeerFrame{ReplicaId(static_cast<std::uint16_t>(link))}, heartbeat(i)});
        }
    }
    std::map<std::uint64_t, std::uint64_t> next;
    for (const VerifyResult& result : waiter_.collect(results_, 600)) {
        const auto& message = *std::get<PeerVerified>(result.outcome);
        EXPECT_EQ(std::get<consensus::Heartbeat>(message).committed.value, next[result.link]++);
    }
    EXPECT_EQ(next[1] + next[2] + next[3], 600U);
    pool.stop();  // workers count down only after they have handed a result over
    EXPECT_EQ(pool.waiting(), 0U);
    EXPECT_EQ(pool.waiting_bytes(), 0U);
}

TEST_F(VerifyPoolTest, what_does_not_decode_or_verify_is_an_error_in_its_place) {
    VerifyPool pool(*verifier_, results_, 1);
    consensus::Vote forged;
    forged.prep = {Height(1), crypto::digest_of("x", view_of("y"))};
    forged.voter = ReplicaId(1);
    forged.signature.bytes.fill(9);
    pool.submit({1, PeerFrame{ReplicaId(1)}, bytes_of("\xff\xff garbage")});
    pool.submit({1, PeerFrame{ReplicaId(1)}, wire::encode(consensus::PeerMessage(forged))});
    pool.submit({1, PeerFrame{ReplicaId(1)}, heartbeat(5)});
    pool.submit({2, ClientFrame{}, bytes_of("\xff\xff garbage")});
    const auto results = waiter_.collect(results_, 4);
    ASSERT_EQ(results.size(), 4U);
    std::vector<const VerifyResult*> of_peer;
    for (const VerifyResult& result : results) {
        if (result.link == 1) {
            of_peer.push_back(&result);
        } else {
            EXPECT_TRUE(std::holds_alternative<Error>(result.outcome));
        }
    }
    ASSERT_EQ(of_peer.size(), 3U);
    EXPECT_TRUE(std::holds_alternative<Error>(of_peer[0]->outcome));
    ASSERT_TRUE(std::holds_alternative<Error>(of_peer[1]->outcome));
    EXPECT_EQ(std::get<Error>(of_peer[1]->outcome).code, Errc::unauthentic);
    EXPECT_TRUE(std::holds_alternative<PeerVerified>(of_peer[2]->outcome));
}

TEST_F(VerifyPoolTest, a_flood_of_client_frames_does_not_hold_up_peers) {
    VerifyPool pool(*verifier_, results_, 1);
    wire::StatusRequest request;
    const Bytes ask = wire::encode(wire::ClientMessage(request));
    for (int i = 0; i < 4'000; ++i) {
        pool.submit({100, ClientFrame{}, ask});
    }
    pool.submit({1, PeerFrame{ReplicaId(1)}, heartbeat(1)});
    const auto results = waiter_.collect(results_, 4'001);
    ASSERT_EQ(results.size(), 4'001U);
    EXPECT_EQ(std::get_if<PeerVerified>(&results.back().outcome), nullptr) << "the peer's came long before the end";
}

}  // namespace
}  // namespace loyal::replica
