// Pitfalls of time (docs/PROTOCOL.md §21: 19, 29).
#include <gtest/gtest.h>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t ten_years_ms = 10ULL * 365 * 24 * 3600 * 1000;

// 19. Blocks are as timely by the back door (BLOCKS) as by the front door (PROPOSE).
TEST(Pitfall19, a_fetched_block_must_be_timely_too) {
    for (const bool by_propose : {false, true}) {
        expect_rule_matters(
            [&](const std::vector<std::string>& off) {
                TestCluster cluster(shape_of(off, {0}));
                const BlockPtr b =
                    cluster.block(0, View(0), cluster.genesis(), Hlc(cluster.wall_ms + ten_years_ms, 0), "b");
                for (std::size_t i = 1; i < 4; ++i) {
                    if (by_propose) {
                        cluster.inject(0, i, Propose{b, Height()});
                    } else {
                        cluster.inject(0, i, cluster.vote(0, View(0), b->ref()));
                        Blocks answer;
                        answer.blocks.push_back(b);
                        cluster.inject(0, i, answer);
                    }
                }
                cluster.deliver();
                return cluster.status(1).prep == b->ref() || cluster.status(1).executed.value != 0;
            },
            {"H2"});
    }
}

TEST(Pitfall19, a_block_from_the_past_is_not_timely_either) {
    TestCluster cluster(shape_of({}, {0}));
    const BlockPtr b = cluster.block(0, View(0), cluster.genesis(), Hlc(), "b");
    for (std::size_t i = 1; i < 4; ++i) {
        cluster.set_clock(i, cluster.wall_ms + 250 + 1000 + 1);
        cluster.inject(0, i, Propose{b, Height()});
    }
    cluster.deliver();
    EXPECT_EQ(cluster.status(1).prep.height, Height(0));
}

// 29. R2 gets a block 1.4 s late, together with the votes of the others, and is back in its view.
TEST(Pitfall29, a_replica_that_was_late_rejoins_its_view) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off, {}));
            cluster.submit(0, "b");
            cluster.deliver([](const Packet& packet) { return packet.to != ReplicaId(2); });
            EXPECT_TRUE(cluster.executed_text(0, "b"));
            cluster.set_clock(2, cluster.wall_ms + 1400);
            cluster.deliver([](const Packet& packet) { return packet.to == ReplicaId(2); });
            EXPECT_EQ(cluster.status(2).promised, View(0));
            return votes_of(cluster, 2, View(0)).empty();
        },
        {"N10"});
}

// Fast and slow clocks, each within PRECISION of true time: the block is held until it is timely, not refused.
TEST(Pitfall29, an_early_block_is_held_until_its_time) {
    TestCluster cluster(shape_of({}, {3}));
    const std::uint64_t true_ms = cluster.wall_ms;
    cluster.set_clock(0, true_ms + 240);
    cluster.set_clock(1, true_ms + 240);
    const BlockRef b = propose_to(cluster, 0, {1, 2}, "b");
    cut(cluster);
    EXPECT_EQ(cluster.status(1).prep, b);
    EXPECT_EQ(cluster.status(2).prep, b) << "240 ms ahead is within PRECISION";

    TestCluster slow(shape_of({}, {3}));
    slow.set_clock(0, true_ms + 480);  // R2 is 240 ms slow, R0 240 ms fast
    const BlockRef c = propose_to(slow, 0, {1, 2}, "c");
    EXPECT_NE(slow.status(2).prep, c);
    slow.set_clock(2, true_ms + 229);
    slow.end_batch(2);
    EXPECT_NE(slow.status(2).prep, c);
    slow.set_clock(2, true_ms + 230);
    slow.end_batch(2);
    EXPECT_EQ(slow.status(2).prep, c);
    EXPECT_FALSE(votes_of(slow, 2, View(0)).empty());
}

// H1: a leader whose clock is behind its parent's time waits; the counter carries into the milliseconds.
TEST(Hlc, a_leader_waits_until_its_clock_reaches_its_parent) {
    TestCluster cluster(shape_of({}, {}));
    cluster.submit(0, "a");
    cluster.deliver();
    // A new leader with a slower clock: R1's is 100 ms behind.
    TestCluster late(shape_of({}, {}));
    late.set_clock(0, late.wall_ms + 100);
    late.submit(0, "a");
    late.deliver();
    const std::uint64_t parent_ms = block_of(late, late.status(0).committed)->header.hlc.wall_ms();
    EXPECT_EQ(parent_ms, late.wall_ms + 100);
    promise_alone(late, {1, 2, 3}, View(1));
    late.deliver();
    late.submit(1, "b", 2);
    late.deliver();
    EXPECT_FALSE(late.executed_text(1, "b")) << "proposed before its clock reached the parent's time";
    late.set_clock(1, parent_ms);
    late.end_batch(1);
    late.deliver();
    EXPECT_TRUE(late.executed_text(1, "b"));
    const Hlc second = block_of(late, late.status(1).committed)->header.hlc;
    EXPECT_EQ(second, Hlc(parent_ms, 1)) << "same millisecond: the counter";
}

TEST(Hlc, the_counter_carries_into_the_milliseconds) {
    TestCluster cluster(shape_of({}, {0}));
    const Hlc full(cluster.wall_ms, 0xFFFF);
    const BlockPtr b = cluster.block(0, View(0), cluster.genesis(), Hlc(full.packed - 1), "b");
    ASSERT_EQ(b->header.hlc, full);
    for (std::size_t i = 1; i < 4; ++i) {
        cluster.inject(0, i, Propose{b, Height()});
    }
    cluster.deliver();
    ASSERT_EQ(cluster.status(1).committed, b->ref());
    promise_alone(cluster, {1, 2, 3}, View(1));
    cluster.deliver();
    cluster.submit(1, "next", 2);
    cluster.deliver();
    ASSERT_TRUE(cluster.executed_text(1, "next"));
    EXPECT_EQ(block_of(cluster, cluster.status(1).committed)->header.hlc, Hlc(cluster.wall_ms + 1, 0));
}

}  // namespace
}  // namespace loyal::consensus::test
