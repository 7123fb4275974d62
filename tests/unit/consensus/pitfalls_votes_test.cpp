// Pitfalls about votes and certificates (docs/PROTOCOL.md §21: 1, 3, 4, 5, 8, 16, 30).
#include <gtest/gtest.h>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

// 1. Votes believed for their channel and not their signature make a lock that nobody else believes: the view changes
// that report it are refused, and no view change ever ends again.
TEST(Pitfall1, a_vote_with_a_bad_signature_never_counts) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            commit_at_r0_only(cluster, false);
            if (off.empty()) {
                EXPECT_EQ(cluster.status(0).committed.height, Height(0));
                EXPECT_TRUE(cluster.status(1).lock.view.is_genesis());
            }
            time_out(cluster, 1);
            time_out(cluster, 2);
            cut(cluster);
            cluster.submit(2, "later", 9);
            cluster.run(400, {0, 1, 2});
            return !cluster.executed_text(2, "later");
        },
        {"N9"});
}

// 3. R1's commit vote leaves before its lock is on the disk, and R1 dies.
TEST(Pitfall3, a_commit_vote_leaves_only_after_its_lock_is_durable) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const BlockRef b = propose_to(cluster, 0, {1}, "b");
            cluster.replicas[1].auto_persist = false;
            exchange_prepare_votes(cluster, {0, 1});
            cluster.inject(3, 0, cluster.vote(3, View(0), b));
            cluster.inject(3, 1, cluster.vote(3, View(0), b));
            cluster.deliver([](const Packet& packet) { return is_commit_vote(packet) && from_to(packet, 1, 0); });
            cluster.inject(3, 0, cluster.vote(3, View(0), b, b));
            cluster.replicas[1].auto_persist = true;
            cluster.restart(1);
            go_on_without(cluster, {1, 2}, View(1), "x");
            return false;
        },
        {"D1"});
}

// 4. Commit votes of view 0 and view 2 added up commit b, which view 3 then loses to x of view 1.
TEST(Pitfall4, commit_votes_of_different_views_are_never_added) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const BlockRef b = propose_to(cluster, 0, {1, 2}, "b");
            cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && packet.to == ReplicaId(0); });
            EXPECT_TRUE(cluster.status(0).lock.view.is(View(0)));
            const std::vector<Vote> late = votes_of(cluster, 0, View(0));  // the last one has b as its commit head
            EXPECT_TRUE(late.back().has_commit());
            // View 1 without R0: x, locked by R1 alone.
            cut(cluster);
            promise(cluster, {1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet) && among(packet, {1, 2}); });
            const BlockRef x = propose_to(cluster, 1, {2}, "x");
            cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && from_to(packet, 2, 1); });
            cluster.inject(3, 1, cluster.vote(3, View(1), x));
            EXPECT_TRUE(cluster.status(1).lock.view.is(View(1)));
            // View 2 without R1: base b, R2 votes to commit it there.
            cut(cluster);
            promise(cluster, {0, 2}, View(2));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet) && among(packet, {0, 2}); });
            EXPECT_EQ(cluster.status(0).prep, b);
            EXPECT_EQ(cluster.status(2).prep, b);
            cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && from_to(packet, 0, 2); });
            cluster.inject(3, 2, cluster.vote(3, View(2), b));
            EXPECT_TRUE(cluster.status(2).lock.view.is(View(2)));
            // {R0 in view 0, R3 in view 0, R2 in view 2}.
            cluster.inject(0, 2, late.back());
            cluster.inject(3, 2, cluster.vote(3, View(0), b, b));
            EXPECT_EQ(cluster.executed_text(2, "b"), !off.empty());
            // View 3 without R2: the highest lock is x of view 1.
            go_on_without(cluster, {0, 1}, View(3), "y");
            return false;
        },
        {"N6"});
}

// 5. A tall old lock against a short newer one that was committed.
TEST(Pitfall5, the_highest_lock_is_by_view_first) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            for (std::uint64_t seq = 1; seq <= 4; ++seq) {
                propose_to(cluster, 0, {1, 2}, "tall" + std::to_string(seq), seq);
                cluster.deliver([](const Packet& packet) { return is<Vote>(packet) && packet.to == ReplicaId(0); });
            }
            EXPECT_EQ(cluster.status(0).lock.block.height, Height(4));
            EXPECT_TRUE(cluster.status(1).lock.view.is_genesis());
            // View 1 without R0: x is locked by R1 and R2, committed at R1 only.
            cut(cluster);
            promise(cluster, {1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet) && among(packet, {1, 2}); });
            const BlockRef x = propose_to(cluster, 1, {2}, "x", 50);
            exchange_prepare_votes(cluster, {1, 2});
            echo(cluster, {1, 2}, false);
            cluster.deliver([](const Packet& packet) { return is_commit_vote(packet) && from_to(packet, 2, 1); });
            cluster.inject(3, 1, cluster.vote(3, View(1), x, x));
            EXPECT_TRUE(cluster.executed_text(1, "x"));
            EXPECT_FALSE(cluster.executed_text(2, "x"));
            go_on_without(cluster, {0, 2}, View(2), "y");
            return false;
        },
        {"V4"});
}

// 8. The traitor leads view 3 and equivocates; a vote at the right height for the other block is no support.
TEST(Pitfall8, a_vote_counts_only_through_its_chain) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            promise(cluster, {0, 1, 2}, View(3));
            lead(cluster, {0, 1, 2}, View(3));
            const BlockPtr a = cluster.block(3, View(3), cluster.genesis(), Hlc(), "a");
            const BlockPtr c = cluster.block(3, View(3), cluster.genesis(), Hlc(), "c");
            cluster.inject(3, 0, Propose{a, Height()});
            cluster.inject(3, 1, Propose{c, Height()});
            cluster.inject(3, 2, Propose{c, Height()});
            exchange_prepare_votes(cluster, {0, 1, 2});
            cluster.inject(3, 0, cluster.vote(3, View(3), a->ref()));
            cluster.inject(3, 1, cluster.vote(3, View(3), c->ref()));
            return cluster.status(0).lock.block == a->ref() && cluster.status(1).lock.block == c->ref();
        },
        {"cert-path"});
}

// 16. Votes of view 1 for its base b make no certificate of view 1 for a, which is below the base.
TEST(Pitfall16, no_prepare_certificate_below_the_base) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const BlockRef a = propose_to(cluster, 0, {1, 2}, "a", 1);
            exchange_prepare_votes(cluster, {0, 1, 2});
            cut(cluster);
            const BlockRef b = propose_to(cluster, 0, {1, 2}, "b", 2);
            cluster.deliver([](const Packet& packet) { return is<Vote>(packet); });
            EXPECT_EQ(cluster.status(2).lock.block, b);
            EXPECT_EQ(cluster.status(0).committed, b);
            const Header header_a = block_of(cluster, a)->header;
            const Header header_b = block_of(cluster, b)->header;
            cut(cluster);
            // View 1 has base b; its votes reach R3 only.
            promise(cluster, {0, 1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet); });
            cut(cluster);
            const Certificate below{CertKind::prepare,
                                    View(1),
                                    header_a,
                                    {header_b},
                                    {votes_of(cluster, 0, View(1)).at(0), votes_of(cluster, 1, View(1)).at(0),
                                     cluster.vote(3, View(1), b)}};
            const bool accepted = cluster.verifier->check_certificate(below).has_value();
            EXPECT_EQ(accepted, !off.empty());
            const ViewChange lie = cluster.view_change(3, View(2), {LockView(View(1)), a}, {View(1), b}, below);
            // R0, who committed b, is cut off.
            cluster.inject(3, 2, lie);
            cluster.inject(3, 1, lie);
            promise_alone(cluster, {1, 2}, View(2));
            cluster.deliver([](const Packet& packet) { return among(packet, {1, 2}); });
            return cluster.status(2).entered == View(2) && cluster.status(2).prep == a;
        },
        {"cert-base"});
}

// 30. The lock moves, and before its record is durable the time-out fires.
TEST(Pitfall30, no_vote_of_a_view_leaves_after_the_promise_of_the_next) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const BlockRef b = propose_to(cluster, 0, {1}, "b");
            exchange_prepare_votes(cluster, {0, 1});
            cluster.replicas[1].auto_persist = false;
            cluster.inject(3, 1, cluster.vote(3, View(0), b));
            EXPECT_TRUE(cluster.status(1).lock.view.is(View(0)));
            time_out(cluster, 1);
            const std::size_t before = cluster.history.size();
            cluster.persist_one(1);  // the lock, not yet the promise
            for (std::size_t i = before; i < cluster.history.size(); ++i) {
                if (is<Vote>(cluster.history[i]) && cluster.history[i].from == ReplicaId(1)) {
                    return true;
                }
            }
            return false;
        },
        {"N8"});
}

}  // namespace
}  // namespace loyal::consensus::test
