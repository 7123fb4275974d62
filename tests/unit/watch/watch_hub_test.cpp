#include "replica/watch_hub.h"

#include <gtest/gtest.h>

#include "tests/unit/watch/watch_world.h"

namespace loyal::replica {
namespace {

using kvstore::Revision;
using test::Committed;
using test::HubWorld;
using wire::WatchEnd;
using wire::WatchEndReason;
using wire::WatchEvents;
using wire::WatchId;
using wire::WatchProgress;

constexpr std::uint64_t link = 5;

wire::Watch watch_of(std::uint64_t id, const std::string& begin, std::optional<std::string> end = {},
                     std::uint64_t behind = 0, std::uint64_t nonce = 1) {
    wire::Watch watch;
    watch.id = WatchId(id);
    watch.nonce = nonce;
    watch.after = wire::end_of(Revision(behind));
    watch.begin = bytes_of(begin);
    if (end) {
        watch.end = bytes_of(*end);
    }
    return watch;
}

Committed some_writes(int count) {
    Committed log;
    for (int i = 0; i < count; ++i) {
        log.change(i % 2 == 0 ? "a" : "b", "v" + std::to_string(i));
        log.block();
    }
    return log;
}

TEST(WatchHub, tells_the_history_first_and_then_what_happens) {
    Committed log = some_writes(20);
    HubWorld world(log);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "a", {}, 4));
    EXPECT_TRUE(world.told_of<WatchEvents>(link).empty());  // not before the executor was asked whether it may
    world.answer_reads();
    world.tick();
    log.change("a", "later");
    log.change("b", "later");
    log.block();
    world.execute_all();
    EXPECT_EQ(world.changes_told(link, WatchId(1)), test::matching(log.all(), watch_of(1, "a", {}, 4)));
    EXPECT_TRUE(world.told_of<WatchEvents>(link).back().live);
    EXPECT_EQ(world.hub.counters().reads, 1U);  // the rest was at hand
}

TEST(WatchHub, many_runs_of_a_long_history_continue_each_other) {
    const Committed log = some_writes(100);
    WatchBounds bounds;
    bounds.recent_bytes = 0;
    HubWorld world(log, bounds);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "a", "c"));
    for (int i = 0; i < 100; ++i) {
        world.answer_reads();
        world.tick();
    }
    EXPECT_EQ(world.changes_told(link, WatchId(1)).size(), 100U);
    EXPECT_GT(world.told_of<WatchEvents>(link).size(), 30U);
    EXPECT_TRUE(world.told_of<WatchEvents>(link).back().live);
}

TEST(WatchHub, progress_counts_what_was_told_and_comes_without_events_too) {
    Committed log = some_writes(3);
    HubWorld world(log);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "nothing", {}, 3));
    world.hub.ask(link, watch_of(2, "a", {}, 3));
    world.answer_reads();
    log.change("a", "x");
    log.block();
    world.execute_all();
    world.tick(100);
    const auto progress = world.told_of<WatchProgress>(link);
    ASSERT_EQ(progress.size(), 1U);
    EXPECT_EQ(progress.back().upto, wire::end_of(Revision(4)));
    EXPECT_EQ(progress.back().sent, 3U);
    EXPECT_EQ(world.told_of<WatchEvents>(link).back().number, 3U);
    world.tick(100);
    EXPECT_EQ(world.told_of<WatchProgress>(link).size(), 1U);  // nothing new
    world.tick(1'000);
    EXPECT_EQ(world.told_of<WatchProgress>(link).size(), 2U);  // a sign of life
}

TEST(WatchHub, who_does_not_read_is_told_so_and_fed_when_it_reads_again) {
    Committed log = some_writes(2);
    WatchBounds bounds;
    bounds.recent_bytes = 1'000;
    HubWorld world(log, bounds);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "a", {}, 2));
    world.hub.ask(link + 1, watch_of(1, "a", {}, 2));
    world.answer_reads();
    world.slow.insert(link);
    for (int i = 0; i < 200; ++i) {
        log.change("a", "value " + std::to_string(i));
        log.block();
        world.execute_all();
        world.tick();
    }
    const auto told = world.told_of<WatchEvents>(link);
    ASSERT_EQ(told.size(), 2U);  // that it is live, and that it is no longer: no queue grows
    EXPECT_FALSE(told.back().live);
    EXPECT_TRUE(world.told_of<WatchProgress>(link).empty());
    EXPECT_EQ(world.changes_told(link + 1, WatchId(1)).size(), 200U);  // nobody else waits
    world.slow.clear();
    for (int i = 0; i < 300; ++i) {
        world.tick();
        world.answer_reads();
    }
    EXPECT_EQ(world.changes_told(link, WatchId(1)), world.changes_told(link + 1, WatchId(1)));
    EXPECT_TRUE(world.told_of<WatchEvents>(link).back().live);
}

TEST(WatchHub, asking_again_replaces_and_an_older_asking_changes_nothing) {
    const Committed log = some_writes(6);
    HubWorld world(log);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "a", {}, 0, 5));
    world.hub.ask(link, watch_of(1, "b", {}, 0, 9));
    world.hub.ask(link, watch_of(1, "a", {}, 0, 7));
    world.hub.unwatch(link, {WatchId(1), 8});  // of an earlier one
    world.answer_reads();
    EXPECT_EQ(world.hub.size(), 1U);
    EXPECT_EQ(world.changes_told(link, WatchId(1)), test::matching(log.all(), watch_of(1, "b")));
    for (const WatchEvents& events : world.told_of<WatchEvents>(link)) {
        EXPECT_EQ(events.nonce, 9U);
    }
    world.hub.unwatch(link, {WatchId(1), 9});
    EXPECT_EQ(world.hub.size(), 0U);
}

TEST(WatchHub, compacted_denied_and_too_many_are_told) {
    const Committed log = some_writes(10);
    WatchBounds bounds;
    bounds.per_link = 2;
    HubWorld world(log, bounds);
    world.execute_all();
    world.compacted = Revision(6);
    world.hub.ask(link, watch_of(1, "a", {}, 5));
    world.hub.ask(link, watch_of(2, "a", {}, 6));
    world.hub.ask(link, watch_of(3, "a", {}, 6));
    world.denied.insert(link + 1);
    world.hub.ask(link + 1, watch_of(1, "a", {}, 6));
    world.answer_reads();
    const auto ends = world.told_of<WatchEnd>(link);
    ASSERT_EQ(ends.size(), 2U);
    EXPECT_EQ(ends[0].reason, WatchEndReason::too_many);
    EXPECT_EQ(ends[0].id, WatchId(3));
    EXPECT_EQ(ends[1].reason, WatchEndReason::compacted);
    EXPECT_EQ(ends[1].oldest, Revision(6));
    ASSERT_EQ(world.told_of<WatchEnd>(link + 1).size(), 1U);
    EXPECT_EQ(world.told_of<WatchEnd>(link + 1)[0].reason, WatchEndReason::denied);
    EXPECT_EQ(world.hub.size(), 1U);
}

TEST(WatchHub, after_a_new_state_nothing_is_claimed_from_the_old_one) {
    Committed log = some_writes(10);
    HubWorld world(log);
    for (int i = 0; i < 4; ++i) {
        world.execute();
    }
    world.hub.ask(link, watch_of(1, "a", {}, 4));
    world.hub.ask(link, watch_of(2, "a", {}, 0));
    world.answer_read();  // the first one is live; the other's read is never answered
    const auto stale = world.reads;
    world.reads.clear();
    world.hub.restart();
    EXPECT_FALSE(world.told_of<WatchEvents>(link).back().live);
    world.executed = 9;  // a state that came by transfer
    world.hub.changes_read(stale.front().ticket, log.page(4, stale.front().query, {}), Revision(4));
    world.execute();
    for (int i = 0; i < 20; ++i) {
        world.tick();
        world.answer_reads();
    }
    EXPECT_EQ(world.changes_told(link, WatchId(1)), test::matching(log.all(), watch_of(1, "a", {}, 4)));
    EXPECT_EQ(world.changes_told(link, WatchId(2)), test::matching(log.all(), watch_of(2, "a", {}, 0)));
}

TEST(WatchHub, a_watch_from_a_revision_to_come_is_told_nothing_earlier) {
    Committed log = some_writes(3);
    HubWorld world(log);
    world.execute_all();
    world.hub.ask(link, watch_of(1, "", "", 8));
    world.answer_reads();
    for (int i = 0; i < 8; ++i) {
        log.change("a", "x" + std::to_string(i));
        log.block();
    }
    world.execute_all();
    EXPECT_EQ(world.changes_told(link, WatchId(1)), test::matching(log.all(), watch_of(1, "", "", 8)));
    EXPECT_EQ(world.changes_told(link, WatchId(1)).size(), 3U);
}

TEST(WatchHub, ten_thousand_watches_cost_a_write_little) {
    Committed log = some_writes(1);
    HubWorld world(log);
    world.execute_all();
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        const std::string prefix = "p" + std::to_string(100'000 + i);
        world.hub.ask(link, watch_of(i, prefix + "/", prefix + "0", 1));
        world.answer_reads();
    }
    EXPECT_EQ(world.hub.behind(), 0U);
    world.told.clear();
    for (std::uint64_t i = 0; i < 10'000; ++i) {
        log.change("p" + std::to_string(100'000 + i) + "/k", "v");
        log.block();
        world.execute();
    }
    EXPECT_EQ(world.told.size(), 10'000U);  // each write told one watch
}

}  // namespace
}  // namespace loyal::replica
