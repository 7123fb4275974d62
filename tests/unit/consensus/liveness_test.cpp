// Replicas that could be left behind for ever, and messages of one traitor that could stop an honest replica: what a
// review of the core found, each as a schedule.
#include <gtest/gtest.h>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

// R3 was away while the others changed the view and committed there. It hears of the blocks before the NEWVIEW.
TEST(Rejoin, a_new_view_whose_base_is_long_committed_is_entered) {
    for (const std::uint64_t blocks : {3UL, 60UL}) {  // the base is still known, and long forgotten
        Shape shape = shape_of({}, {});
        shape.window = 2;
        TestCluster cluster(shape);
        propose_to(cluster, 0, {1, 2}, "in view 0", 1);
        exchange_prepare_votes(cluster, {0, 1, 2});
        cut(cluster);
        promise_alone(cluster, {0, 1, 2}, View(1));
        cluster.run(5, {0, 1, 2});
        for (std::uint64_t seq = 2; seq < 2 + blocks; ++seq) {
            cluster.submit(1, "v" + std::to_string(seq), seq);
            cluster.run(2, {0, 1, 2});
        }
        const Height top = cluster.status(1).committed.height;
        ASSERT_GE(top.value, blocks);
        cut(cluster);
        for (int i = 0; i < 300 && cluster.status(3).committed.height < top; ++i) {
            cluster.tick_all();
            cluster.deliver([](const Packet& packet) { return !is<NewView>(packet) && !is<ViewChange>(packet); });
        }
        ASSERT_EQ(cluster.status(3).committed.height, top);
        ASSERT_EQ(cluster.status(3).entered, View(0));
        cluster.bag.clear();
        cluster.run(300);
        EXPECT_EQ(cluster.status(3).entered, cluster.status(1).entered);
        // Its vote counts: R0 is gone.
        cluster.submit(leader_of(cluster.status(1).entered, 4).value, "last", 1000);
        cluster.run(20, {1, 2, 3});
        EXPECT_TRUE(cluster.executed_text(3, "last"));
    }
}

// The base's body is on its way while votes commit it: R2 knows the base by its certificate's header only.
TEST(Rejoin, a_base_that_votes_commit_is_fetched_all_the_same) {
    TestCluster cluster(shape_of({}, {}));
    propose_to(cluster, 0, {1, 3}, "b");
    exchange_prepare_votes(cluster, {0, 1, 3});
    cut(cluster);
    promise_alone(cluster, {0, 1, 2, 3}, View(1));
    const auto no_bodies = [](const Packet& packet) {
        return !is<Blocks>(packet) && !is<Fetch>(packet) && !is<Heartbeat>(packet);
    };
    cluster.deliver(no_bodies);
    ASSERT_TRUE(cluster.executed_text(1, "b"));
    EXPECT_EQ(cluster.status(2).entered, View(1));
    EXPECT_TRUE(votes_of(cluster, 2, View(1)).empty()) << "voted for a block that it does not have";
    cluster.run(100);
    EXPECT_TRUE(cluster.executed_text(2, "b"));
    EXPECT_EQ(cluster.status(2).entered, View(1));
}

// R1 voted for one of the leader's two blocks, the others committed the other one.
TEST(Rejoin, the_losing_side_of_an_equivocation_executes_what_the_others_committed) {
    TestCluster cluster(shape_of({}, {0}));
    const BlockPtr a = cluster.block(0, View(0), cluster.genesis(), Hlc(), "a");
    const BlockPtr c = cluster.block(0, View(0), cluster.genesis(), Hlc(), "c");
    cluster.inject(0, 1, Propose{a, Height()});
    cluster.inject(0, 2, Propose{c, Height()});
    cluster.inject(0, 3, Propose{c, Height()});
    cut(cluster);
    // R2 and R3, with R0's help, commit c.
    for (int round = 0; round < 3; ++round) {
        for (const std::size_t i : {2UL, 3UL}) {
            cluster.inject(0, i, cluster.vote(0, View(0), c->ref(), round == 0 ? BlockRef{} : c->ref()));
        }
        for (const Vote& vote : votes_of(cluster, 2, View(0))) {
            cluster.inject(2, 3, vote);
        }
        for (const Vote& vote : votes_of(cluster, 3, View(0))) {
            cluster.inject(3, 2, vote);
        }
    }
    ASSERT_TRUE(cluster.executed_text(2, "c"));
    ASSERT_EQ(cluster.status(1).prep, a->ref());
    cut(cluster);
    // R1 gets the commit votes and, as an answer to its question, the body.
    for (const std::size_t i : {2UL, 3UL}) {
        for (const Vote& vote : votes_of(cluster, i, View(0))) {
            cluster.inject(i, 1, vote);
        }
    }
    cluster.inject(0, 1, cluster.vote(0, View(0), c->ref(), c->ref()));
    cluster.run(50, {1, 2, 3});
    EXPECT_TRUE(cluster.executed_text(1, "c"));
    EXPECT_FALSE(cluster.status(1).halted);
    cluster.submit(2, "after", 9);
    cluster.run(300, {1, 2, 3});
    EXPECT_TRUE(cluster.executed_text(1, "after"));
    cluster.check_agreement();
}

// R3 leads view 3 and starts it twice: base a for R0, genesis for R1 and R2, who commit x. R0 was misled, not wrong.
TEST(Traitor, two_new_views_of_one_view_halt_nobody) {
    TestCluster cluster(shape_of({}));
    const BlockRef a = propose_to(cluster, 0, {1, 2}, "a");
    cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && packet.to == ReplicaId(0); });
    ASSERT_EQ(cluster.status(0).lock.block, a);
    cut(cluster);
    promise(cluster, {0, 1, 2}, View(3));
    const Prepared nothing{View(0), cluster.genesis()};
    const ViewChange lie = cluster.view_change(3, View(3), genesis_lock_of(cluster), nothing);
    const ViewChange of_r0 = *cluster.last_view_change(0);
    const ViewChange of_r1 = *cluster.last_view_change(1);
    const ViewChange of_r2 = *cluster.last_view_change(2);
    ASSERT_EQ(of_r0.lock.block, a);
    ASSERT_TRUE(cluster.inject(3, 0, cluster.new_view(3, View(3), {of_r0, of_r1, lie}, of_r0.lock, of_r0.certificate)));
    for (const std::size_t i : {1UL, 2UL}) {
        ASSERT_TRUE(cluster.inject(3, i, cluster.new_view(3, View(3), {of_r1, of_r2, lie}, genesis_lock_of(cluster))));
    }
    const BlockPtr x = cluster.block(3, View(3), cluster.genesis(), Hlc(), "x");
    const BlockPtr y = cluster.block(3, View(3), x->ref(), x->header.hlc, "y");
    for (const BlockPtr& block : {x, y}) {
        for (const std::size_t i : {1UL, 2UL}) {
            cluster.inject(3, i, Propose{block, Height()});
        }
    }
    settle(cluster, {1, 2});
    ASSERT_TRUE(cluster.executed_text(1, "y"));
    cluster.submit(1, "after", 9);
    cluster.run(600, {0, 1, 2});
    EXPECT_FALSE(cluster.status(0).halted);
    EXPECT_TRUE(cluster.executed_text(0, "y"));
    EXPECT_TRUE(cluster.executed_text(0, "after"));
    cluster.check_agreement();
}

// The same, and the misled replica does not have the body of its base when it learns what the others committed.
TEST(Traitor, a_base_that_lost_halts_nobody) {
    TestCluster cluster(shape_of({}));
    const BlockRef a = propose_to(cluster, 0, {1}, "a");
    cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && packet.to == ReplicaId(0); });
    cluster.inject(3, 0, cluster.vote(3, View(0), a));
    ASSERT_EQ(cluster.status(0).lock.block, a);
    cut(cluster);
    promise(cluster, {0, 1, 2}, View(3));
    const Prepared nothing{View(0), cluster.genesis()};
    const ViewChange lie = cluster.view_change(3, View(3), genesis_lock_of(cluster), nothing);
    const ViewChange of_r0 = *cluster.last_view_change(0);
    const ViewChange of_r1 = *cluster.last_view_change(1);
    const ViewChange of_r2 = *cluster.last_view_change(2);
    ASSERT_TRUE(cluster.inject(3, 2, cluster.new_view(3, View(3), {of_r0, of_r2, lie}, of_r0.lock, of_r0.certificate)));
    for (const std::size_t i : {0UL, 1UL}) {
        ASSERT_TRUE(cluster.inject(3, i, cluster.new_view(3, View(3), {of_r1, of_r2, lie}, genesis_lock_of(cluster))));
    }
    const BlockPtr x = cluster.block(3, View(3), cluster.genesis(), Hlc(), "x");
    for (const std::size_t i : {0UL, 1UL}) {
        cluster.inject(3, i, Propose{x, Height()});
    }
    settle(cluster, {0, 1});
    ASSERT_TRUE(cluster.executed_text(0, "x"));
    for (int i = 0; i < 20; ++i) {
        cluster.tick_all();
        cluster.deliver([](const Packet& packet) {
            const auto* blocks = std::get_if<Blocks>(&packet.message);
            return among(packet, {0, 1, 2}) && (blocks == nullptr || !blocks->headers.empty());
        });
        cluster.bag.clear();
    }
    EXPECT_TRUE(cluster.executed_text(2, "x"));
    EXPECT_FALSE(cluster.status(2).halted);
    cluster.submit(1, "after", 9);
    cluster.run(600, {0, 1, 2});
    EXPECT_TRUE(cluster.executed_text(2, "after"));
    cluster.check_agreement();
}

// n = 7: R6 claims a view that does not exist, R0 is dead and was ahead. R3 lags; it must still ask the living.
TEST(Traitor, a_liar_and_a_dead_peer_do_not_starve_catch_up) {
    Shape shape;
    shape.n = 7;
    shape.traitors = {6};
    TestCluster cluster(shape);
    const Members others{0, 1, 2, 4, 5};
    for (std::uint64_t seq = 1; seq <= 20; ++seq) {
        cluster.submit(0, "v" + std::to_string(seq), seq);
        cluster.run(1, others);
    }
    cluster.run(50, others);
    ASSERT_TRUE(cluster.executed_text(1, "v20"));
    cut(cluster);
    const auto to_r3 = [](const Packet& packet) { return packet.to == ReplicaId(3) || packet.from == ReplicaId(3); };
    cluster.inject(0, 3, Heartbeat{View(0), View(0), Height(20), Height(20)});
    cluster.crash(0);
    for (int i = 0; i < 40; ++i) {  // less than the silence of R0 that the others would notice
        cluster.tick_all();
        cluster.inject(6, 3, Heartbeat{View(1ULL << 40U), View(1ULL << 40U), Height(1ULL << 40U), Height()});
        cluster.deliver(to_r3);
        cluster.bag.clear();
    }
    EXPECT_TRUE(cluster.executed_text(3, "v20"));
}

// A traitor's heartbeat of an absurd height, answers that nobody asked for, and garbage of every kind: nothing moves.
TEST(Traitor, absurd_numbers_move_nobody) {
    TestCluster cluster(shape_of({}));
    const std::uint64_t huge = 1ULL << 61U;
    const BlockRef nowhere{Height(huge), crypto::digest_of("test", view_of("nowhere"))};
    for (std::size_t i = 0; i < 3; ++i) {
        cluster.inject(3, i, Heartbeat{View(huge), View(huge), Height(huge), Height(huge)});
        cluster.inject(3, i, cluster.vote(3, View(huge), nowhere, nowhere));
        cluster.inject(3, i, cluster.vote(3, View(0), nowhere, nowhere));
        cluster.inject(3, i, cluster.vote(3, View(0), {Height(1), nowhere.id}, {}));
        cluster.inject(3, i, cluster.view_change(3, View(huge), genesis_lock_of(cluster), {View(0), nowhere}));
        cluster.inject(3, i, Fetch{Fetch::What::committed, Height(huge), {}});
        cluster.inject(3, i, Fetch{Fetch::What::by_id, Height(), {nowhere.id}});
        cluster.inject(3, i, Fetch{Fetch::What::new_view, Height(), {}});
        cluster.inject(3, i, PreVote{View(huge)});
        cluster.inject(3, i, PreVoteGrant{View(huge)});
        cluster.inject(3, i, Blocks{});
    }
    cluster.submit(0, "a");
    cluster.run(100, {0, 1, 2});
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_TRUE(cluster.executed_text(i, "a"));
        EXPECT_EQ(cluster.status(i).promised, View(0));
    }
}

// Crash mode: R0 leads a view that the others left, its word is old, and R1 is dead. R2 needs R0's agreement.
TEST(CrashMode, the_stuck_leader_of_an_old_view_lets_the_others_go_on) {
    Shape shape = shape_of({}, {});
    shape.n = 3;
    shape.fault_model = FaultModel::crash;
    TestCluster cluster(shape);
    cluster.submit(0, "a");
    cluster.run(3, {0, 1, 2});
    cluster.submit(0, "lost?", 2);  // reaches nobody
    cut(cluster);
    cluster.run(300, {1, 2});
    ASSERT_GE(cluster.status(2).entered, View(1));
    cluster.crash(1);
    cut(cluster);
    const View before = cluster.status(2).entered;
    for (int i = 0; i < 300; ++i) {
        cluster.tick_all();
        cluster.deliver([&](const Packet& packet) {
            const auto* new_view = std::get_if<NewView>(&packet.message);
            return among(packet, {0, 2}) && (new_view == nullptr || new_view->view > before);
        });
        cluster.bag.clear();
    }
    EXPECT_GT(cluster.status(2).entered, before);
    cluster.submit(2, "b", 3);
    cluster.submit(0, "b", 3);
    cluster.run(300, {0, 2});
    EXPECT_TRUE(cluster.executed_text(2, "b"));
}

}  // namespace
}  // namespace loyal::consensus::test
