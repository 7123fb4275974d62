#include <gtest/gtest.h>

#include "tests/unit/consensus/test_cluster.h"

namespace loyal::consensus::test {
namespace {

TEST(NormalCase, a_submitted_envelope_is_executed_by_everybody) {
    TestCluster cluster({});
    cluster.submit(0, "a");
    cluster.run(5);
    for (std::size_t i = 0; i < 4; ++i) {
        EXPECT_TRUE(cluster.executed_text(i, "a")) << i;
        EXPECT_EQ(cluster.status(i).committed.height, Height(1));
    }
    cluster.check_agreement();
}

TEST(NormalCase, a_thousand_envelopes_in_every_shape) {
    for (const auto& [model, n] : {std::pair(FaultModel::byzantine, 4UL), std::pair(FaultModel::byzantine, 7UL),
                                   std::pair(FaultModel::crash, 3UL), std::pair(FaultModel::crash, 5UL)}) {
        for (const std::uint64_t window : {1UL, 2UL, 8UL}) {
            TestCluster cluster({n, model, window, {}, {}});
            for (std::uint64_t seq = 1; seq <= 200; ++seq) {
                cluster.submit(0, "v" + std::to_string(seq), seq);
                if (seq % 3 == 0) {
                    cluster.deliver();
                }
            }
            cluster.run(20);
            for (std::size_t i = 0; i < n; ++i) {
                EXPECT_TRUE(cluster.executed_text(i, "v200")) << i << " of " << n << " window " << window;
                EXPECT_EQ(cluster.status(i).entered, View(0));
            }
            cluster.check_agreement();
        }
    }
}

TEST(NormalCase, a_backup_hands_a_clients_envelope_to_the_primary) {
    TestCluster cluster({});
    cluster.submit(2, "a");
    cluster.run(20);
    EXPECT_TRUE(cluster.executed_text(0, "a"));
    EXPECT_EQ(cluster.status(2).pending_envelopes, 0U);
}

TEST(ViewChange, a_dead_primary_is_replaced_and_comes_back) {
    for (const auto model : {FaultModel::byzantine, FaultModel::crash}) {
        const std::size_t n = model == FaultModel::byzantine ? 4 : 3;
        TestCluster cluster({n, model, 8, {}, {}});
        cluster.submit(0, "a");
        cluster.run(5);
        cluster.crash(0);
        for (std::size_t i = 1; i < n; ++i) {
            cluster.submit(i, "b", 2);
        }
        std::set<std::size_t> alive;
        for (std::size_t i = 1; i < n; ++i) {
            alive.insert(i);
        }
        cluster.run(200, alive);
        EXPECT_TRUE(cluster.executed_text(1, "b"));
        EXPECT_GE(cluster.status(1).entered, View(1));
        cluster.restart(0);
        cluster.run(100);
        EXPECT_TRUE(cluster.executed_text(0, "b"));
        EXPECT_EQ(cluster.status(0).entered, cluster.status(1).entered);
        cluster.check_agreement();
    }
}

TEST(ViewChange, an_equivocating_primary_is_deposed_and_named) {
    Shape shape;
    shape.traitors = {0};
    TestCluster cluster(shape);
    const BlockPtr a = cluster.block(0, View(0), cluster.genesis(), Hlc(), "a");
    const BlockPtr b = cluster.block(0, View(0), cluster.genesis(), Hlc(), "b");
    ASSERT_TRUE(cluster.inject(0, 1, Propose{a, Height(0)}));
    ASSERT_TRUE(cluster.inject(0, 2, Propose{b, Height(0)}));
    ASSERT_TRUE(cluster.inject(0, 3, Propose{b, Height(0)}));
    cluster.submit(1, "c", 5);
    cluster.run(200, {1, 2, 3});
    EXPECT_TRUE(cluster.executed_text(1, "c"));
    bool named = false;
    for (std::size_t i = 1; i < 4; ++i) {
        for (const Accuse& accuse : cluster.replicas[i].accusations) {
            named = named ||
                    (accuse.evidence.culprit == ReplicaId(0) && accuse.evidence.kind == EvidenceKind::two_proposals);
        }
    }
    EXPECT_TRUE(named);
    cluster.check_agreement();
}

TEST(Restart, everybody_at_once_loses_nothing_and_goes_on) {
    for (const auto model : {FaultModel::byzantine, FaultModel::crash}) {
        const std::size_t n = model == FaultModel::byzantine ? 4 : 3;
        TestCluster cluster({n, model, 8, {}, {}});
        for (std::uint64_t seq = 1; seq <= 20; ++seq) {
            cluster.submit(0, "v" + std::to_string(seq), seq);
            cluster.deliver();
        }
        for (std::size_t i = 0; i < n; ++i) {
            cluster.crash(i);
        }
        cluster.bag.clear();
        for (std::size_t i = 0; i < n; ++i) {
            cluster.restart(i);
        }
        cluster.submit(1, "after", 21);
        cluster.run(200);
        for (std::size_t i = 0; i < n; ++i) {
            EXPECT_TRUE(cluster.executed_text(i, "v20"));
            EXPECT_TRUE(cluster.executed_text(i, "after"));
        }
        cluster.check_agreement();
    }
}

TEST(CatchUp, a_replica_that_was_cut_off_comes_back_into_the_same_view) {
    for (const auto model : {FaultModel::byzantine, FaultModel::crash}) {
        const std::size_t n = model == FaultModel::byzantine ? 4 : 3;
        TestCluster cluster({n, model, 4, {}, {}});
        std::set<std::size_t> others;
        for (std::size_t i = 0; i + 1 < n; ++i) {
            others.insert(i);
        }
        for (std::uint64_t seq = 1; seq <= 100; ++seq) {
            cluster.submit(0, "v" + std::to_string(seq), seq);
            cluster.run(1, others);
        }
        cluster.run(5, others);
        cluster.run(100);
        EXPECT_TRUE(cluster.executed_text(n - 1, "v100"));
        EXPECT_EQ(cluster.status(n - 1).entered, View(0));
        // It votes again: with another backup gone the quorum needs it.
        std::set<std::size_t> rest;
        for (std::size_t i = 0; i < n; ++i) {
            if (i != 1) {
                rest.insert(i);
            }
        }
        cluster.submit(0, "last", 101);
        cluster.run(20, rest);
        EXPECT_TRUE(cluster.executed_text(0, "last"));
        cluster.check_agreement();
    }
}

}  // namespace
}  // namespace loyal::consensus::test
