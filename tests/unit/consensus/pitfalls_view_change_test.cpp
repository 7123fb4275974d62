// Pitfalls of the view change (docs/PROTOCOL.md §21: 6, 11, 12, 14, 21, 26, 28).
#include <gtest/gtest.h>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

// 6. NEWVIEW's set is checked in full. R3 leads view 3; R0 has committed b, R1 is locked on it.
TEST(Pitfall6, a_new_view_needs_distinct_voters) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            commit_at_r0_only(cluster);
            promise(cluster, {1, 2}, View(3));
            const ViewChange lie =
                cluster.view_change(3, View(3), genesis_lock_of(cluster), {View(0), cluster.genesis()});
            const NewView padded =
                cluster.new_view(3, View(3), {*cluster.last_view_change(2), lie, lie}, genesis_lock_of(cluster));
            cluster.inject(3, 1, padded);
            cluster.inject(3, 2, padded);
            settle(cluster, {1, 2});
            const BlockPtr x = cluster.block(3, View(3), cluster.genesis(), Hlc(), "x");
            cluster.inject(3, 1, Propose{x, Height()});
            cluster.inject(3, 2, Propose{x, Height()});
            settle(cluster, {1, 2});
            cluster.check_agreement();
            return false;
        },
        {"V5-distinct"});
}

TEST(Pitfall6, a_view_change_for_another_view_does_not_count) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            promise(cluster, {0, 1, 2}, View(1));
            const ViewChange stale = *cluster.last_view_change(1);  // says that R1 has no lock
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet); });
            cut(cluster);
            // View 1: R1 leads, b is committed at R0 only, R1 is locked on it.
            const BlockRef b = propose_to(cluster, 1, {0}, "b");
            exchange_prepare_votes(cluster, {0, 1});
            cluster.inject(3, 0, cluster.vote(3, View(1), b));
            cluster.inject(3, 1, cluster.vote(3, View(1), b));
            cluster.deliver([](const Packet& packet) { return is_commit_vote(packet) && from_to(packet, 1, 0); });
            cluster.inject(3, 0, cluster.vote(3, View(1), b, b));
            EXPECT_TRUE(cluster.executed_text(0, "b"));
            cut(cluster);
            promise(cluster, {1, 2}, View(3));
            const ViewChange lie =
                cluster.view_change(3, View(3), genesis_lock_of(cluster), {View(0), cluster.genesis()});
            const NewView mixed =
                cluster.new_view(3, View(3), {stale, *cluster.last_view_change(2), lie}, genesis_lock_of(cluster));
            cluster.inject(3, 1, mixed);
            cluster.inject(3, 2, mixed);
            settle(cluster, {1, 2});
            const BlockPtr x = cluster.block(3, View(3), cluster.genesis(), Hlc(), "x");
            cluster.inject(3, 1, Propose{x, Height()});
            cluster.inject(3, 2, Propose{x, Height()});
            settle(cluster, {1, 2});
            cluster.check_agreement();
            return false;
        },
        {"V5-view"});
}

// A lock of the new view itself: R3 starts view 3 with R0 and R1, has them prepare y, and offers y to R2 as a base.
TEST(Pitfall6, a_lock_of_the_new_view_is_no_base_for_it) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            promise(cluster, {0, 1, 2}, View(3));
            lead(cluster, {0, 1}, View(3));
            const BlockPtr y = cluster.block(3, View(3), cluster.genesis(), Hlc(), "y");
            cluster.inject(3, 0, Propose{y, Height()});
            cluster.inject(3, 1, Propose{y, Height()});
            const Vote mine = cluster.vote(3, View(3), y->ref());
            const Certificate of_view_3{
                CertKind::prepare,
                View(3),
                y->header,
                {},
                {votes_of(cluster, 0, View(3)).at(0), votes_of(cluster, 1, View(3)).at(0), mine}};
            EXPECT_TRUE(cluster.verifier->check_certificate(of_view_3).has_value());
            const Lock lock{LockView(View(3)), y->ref()};
            const ViewChange lie = cluster.view_change(3, View(3), lock, {View(0), cluster.genesis()});
            const NewView second = cluster.new_view(
                3, View(3), {*cluster.last_view_change(0), *cluster.last_view_change(1), lie}, lock, of_view_3);
            cluster.inject(3, 2, second);
            return cluster.status(2).entered == View(3);
        },
        {"V5-lock-view"});
}

TEST(Pitfall6, a_view_change_of_another_epoch_does_not_count) {
    TestCluster cluster(shape_of({}));
    promise(cluster, {1, 2}, View(3));
    ViewChange other = cluster.view_change(3, View(3), genesis_lock_of(cluster), {View(0), cluster.genesis()});
    const std::vector<ViewChange> honest{*cluster.last_view_change(1), *cluster.last_view_change(2)};
    EXPECT_TRUE(
        cluster.verifier
            ->check_new_view(cluster.new_view(3, View(3), {honest[0], honest[1], other}, genesis_lock_of(cluster)))
            .has_value());
    const ClusterContext next_epoch{cluster.membership.context.cluster_id, Epoch(1)};
    other.signature =
        cluster.signers[3]->sign(signed_bytes(next_epoch, SignDomain::view_change, view_change_content(other)));
    EXPECT_FALSE(
        cluster.inject(3, 1, cluster.new_view(3, View(3), {honest[0], honest[1], other}, genesis_lock_of(cluster))));
    EXPECT_EQ(cluster.status(1).entered, View(0));
}

// The certificate proves a block, and the lock names the block's height: a lie about the height would outrank true
// locks of the same view.
TEST(Pitfall6, a_base_with_a_false_height_is_refused) {
    TestCluster cluster(shape_of({}));
    const BlockRef a = propose_to(cluster, 0, {1, 2}, "a", 1);
    exchange_prepare_votes(cluster, {0, 1, 2});
    const Certificate of_a{
        CertKind::prepare,
        View(0),
        block_of(cluster, a)->header,
        {},
        {votes_of(cluster, 0, View(0)).at(0), votes_of(cluster, 1, View(0)).at(0), cluster.vote(3, View(0), a)}};
    ASSERT_TRUE(cluster.verifier->check_certificate(of_a).has_value());
    cut(cluster);
    promise(cluster, {0, 1, 2}, View(3));
    for (const std::uint64_t height : {2UL, 5UL, 1000UL}) {
        const Lock tall{LockView(View(0)), {Height(height), a.id}};
        const ViewChange lie = cluster.view_change(3, View(3), tall, {View(0), a});
        EXPECT_FALSE(cluster.inject(
            3, 1,
            cluster.new_view(3, View(3), {*cluster.last_view_change(1), *cluster.last_view_change(2), lie}, tall,
                             of_a)));
    }
    EXPECT_FALSE(cluster.status(1).halted);
}

// 11. W blocks are prepared and locked, none is committed, the leader dies.
TEST(Pitfall11, a_full_window_of_uncommitted_blocks_survives_its_leader) {
    for (const std::uint64_t window : {1UL, 2UL, 8UL}) {
        expect_rule_matters(
            [&](const std::vector<std::string>& off) {
                Shape shape = shape_of(off, {});
                shape.window = window;
                TestCluster cluster(shape);
                for (std::uint64_t seq = 1; seq <= window; ++seq) {
                    propose_to(cluster, 0, {1, 2, 3}, "v" + std::to_string(seq), seq);
                    // R0 alone hears of it and goes on; the others' votes for each other are under way.
                    cluster.deliver(
                        [](const Packet& packet) { return is_prepare_vote(packet) && packet.to == ReplicaId(0); });
                }
                cluster.crash(0);
                exchange_prepare_votes(cluster, {1, 2, 3});
                for (std::size_t i = 1; i < 4; ++i) {
                    EXPECT_EQ(cluster.status(i).lock.block.height, Height(window));
                    EXPECT_EQ(cluster.status(i).committed.height, Height(0));
                }
                cut(cluster);
                promise_alone(cluster, {1, 2, 3}, View(1));  // before a commit vote is sent again
                cluster.submit(1, "after", 100);
                cluster.run(300, {1, 2, 3});
                return !cluster.executed_text(1, "after") || !cluster.executed_text(3, "v" + std::to_string(window));
            },
            {"V5-revote"});
    }
}

// 12, consensus side. An envelope of the base's chain is not proposed again; one that fell out is; a traitor may order
// it twice, which is the state machine's to ignore, and it leaves no timer behind.
TEST(Pitfall12, an_envelope_of_the_base_is_not_proposed_again) {
    TestCluster cluster(shape_of({}, {}));
    propose_to(cluster, 0, {1, 2, 3}, "e");
    exchange_prepare_votes(cluster, {1, 2, 3});
    cluster.crash(0);
    cut(cluster);
    for (std::size_t i = 1; i < 4; ++i) {
        cluster.submit(i, "e");  // the client asks everybody
    }
    cluster.run(200, {1, 2, 3});
    EXPECT_TRUE(cluster.executed_text(1, "e"));
    EXPECT_EQ(cluster.status(1).committed.height, Height(1)) << "ordered again although the base holds it";
    EXPECT_EQ(cluster.status(2).pending_envelopes, 0U);
}

TEST(Pitfall12, an_envelope_that_fell_out_of_the_chain_is_proposed_again) {
    TestCluster cluster(shape_of({}, {}));
    propose_to(cluster, 0, {1}, "e");
    cluster.crash(0);
    cut(cluster);
    cluster.submit(1, "e");
    cluster.run(200, {1, 2, 3});
    EXPECT_TRUE(cluster.executed_text(1, "e"));
    EXPECT_TRUE(cluster.executed_text(3, "e"));
    EXPECT_EQ(cluster.status(1).pending_envelopes, 0U);
}

TEST(Pitfall12, a_traitor_that_orders_an_envelope_twice_stops_nobody) {
    TestCluster cluster(shape_of({}, {0}));
    const BlockPtr first = cluster.block(0, View(0), cluster.genesis(), Hlc(), "e");
    const BlockPtr second = cluster.block(0, View(0), first->ref(), first->header.hlc, "e");
    cluster.submit(1, "e");
    for (const BlockPtr& block : {first, second}) {
        for (std::size_t i = 1; i < 4; ++i) {
            cluster.inject(0, i, Propose{block, Height()});
        }
    }
    cluster.deliver();
    for (std::size_t i = 1; i < 4; ++i) {
        EXPECT_EQ(cluster.status(i).committed, second->ref());
        EXPECT_EQ(cluster.status(i).pending_envelopes, 0U);
    }
}

// 14. R0 alone is locked on b; view 1 starts without knowing it, and R3 falls silent.
TEST(Pitfall14, a_locked_replica_moves_to_a_lower_base) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            propose_to(cluster, 0, {1, 2}, "b");
            cluster.deliver([](const Packet& packet) { return is_prepare_vote(packet) && packet.to == ReplicaId(0); });
            EXPECT_TRUE(cluster.status(0).lock.view.is(View(0)));
            cut(cluster);
            promise(cluster, {1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet); });
            cut(cluster);
            cluster.submit(1, "x", 2);
            cluster.deliver([](const Packet& packet) { return among(packet, {0, 1, 2}); });
            EXPECT_EQ(cluster.status(1).entered, View(1));
            return !cluster.executed_text(1, "x");
        },
        {"V5-lower-base"});
}

// The four honest nodes of dBFT: one voted to commit in view 0, one in view 1, two want view 2.
TEST(Pitfall14, a_commit_vote_never_forbids_a_view_change) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off, {}));
            const auto prepare_votes_to = [&](std::size_t replica) {
                cluster.deliver(
                    [&](const Packet& packet) { return is_prepare_vote(packet) && packet.to.value == replica; });
                EXPECT_EQ(cluster.status(replica).lock.view, LockView(cluster.status(replica).entered));
                cut(cluster);
            };
            propose_to(cluster, 0, {1, 2, 3}, "b");
            prepare_votes_to(0);
            promise_alone(cluster, {1, 2, 3}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet) && among(packet, {1, 2, 3}); });
            cut(cluster);
            propose_to(cluster, 1, {2, 3}, "x", 2);
            prepare_votes_to(1);
            // R2 and R3 want view 2.
            time_out(cluster, 2);
            time_out(cluster, 3);
            cluster.run(60);
            bool all_sent = true;
            for (std::size_t i = 0; i < 4; ++i) {
                const auto change = cluster.last_view_change(i);
                all_sent = all_sent && change && change->new_view >= View(2);
            }
            cluster.run(300);
            return !all_sent || cluster.status(0).committed.height.value == 0;
        },
        {"V2-after-commit"});
}

// The lock is frozen by the promise: what is said again after a restart is, byte for byte, what was said before.
TEST(Pitfall14, a_view_change_is_repeated_byte_for_byte) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const BlockRef b = propose_to(cluster, 0, {1, 2}, "b");
            time_out(cluster, 1);
            const ViewChange first = *cluster.last_view_change(1);
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && from_to(packet, 1, 2); });
            cluster.inject(3, 1, cluster.vote(3, View(0), b));  // a quorum for b, too late
            exchange_prepare_votes(cluster, {0, 1});
            cluster.restart(1);
            const ViewChange second = *cluster.last_view_change(1);
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && from_to(packet, 1, 2); });
            return encode_view_change(first) != encode_view_change(second) || !cluster.replicas[2].accusations.empty();
        },
        {"V2-frozen"});
}

// 21. R2's lock is of a block that the others have long forgotten; R3 is silent. A new leader needs no body of it.
TEST(Pitfall21, a_forgotten_lock_does_not_stop_a_view_change) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            Shape shape = shape_of(off, {});
            shape.window = 1;
            TestCluster cluster(shape);
            propose_to(cluster, 0, {1, 2, 3}, "old");
            exchange_prepare_votes(cluster, {0, 1, 2, 3});
            EXPECT_EQ(cluster.status(2).lock.block.height, Height(1));
            cluster.deliver([](const Packet& packet) { return among(packet, {0, 1, 3}); });
            for (std::uint64_t seq = 2; seq <= 40; ++seq) {
                cluster.submit(0, "v" + std::to_string(seq), seq);
                cluster.run(1, {0, 1, 3});
            }
            EXPECT_GE(cluster.status(1).executed, Height(30));
            EXPECT_EQ(cluster.status(2).lock.block.height, Height(1));
            cut(cluster);
            promise_alone(cluster, {0, 1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet); });
            return cluster.status(1).entered != View(1);
        },
        {"V4-body"});
}

// 26. R3 puts a lock of the maximal rank, on another block, into its NEWVIEW: dropped, and nobody dies.
TEST(Pitfall26, two_highest_locks_are_a_bad_message_and_nothing_worse) {
    TestCluster cluster(shape_of({}));
    const BlockRef b = propose_to(cluster, 0, {1, 2}, "b");
    exchange_prepare_votes(cluster, {0, 1, 2});
    cut(cluster);
    promise(cluster, {0, 1, 2}, View(3));
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "other");
    const ViewChange honest = *cluster.last_view_change(0);
    ASSERT_EQ(honest.lock.block, b);
    const Lock fake{LockView(View(0)), other->ref()};
    const ViewChange lie = cluster.view_change(3, View(3), fake, {View(0), b});
    const std::vector<ViewChange> tied{honest, *cluster.last_view_change(1), lie};
    EXPECT_FALSE(select_base(tied).has_value());
    for (const Lock& base : {honest.lock, fake}) {
        EXPECT_FALSE(cluster.inject(3, 1, cluster.new_view(3, View(3), tied, base, honest.certificate)));
    }
    // A leader that is handed the same lie refuses it as well: it has no certificate.
    EXPECT_FALSE(cluster.inject(3, 1, lie));
    EXPECT_FALSE(cluster.inject(3, 1, cluster.view_change(3, View(3), fake, {View(0), b}, honest.certificate)));
    cluster.run(400, {0, 1, 2});
    EXPECT_GE(cluster.status(0).committed.height, Height(1));
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_FALSE(cluster.status(i).halted);
    }
}

// 28. Two headers of a view that nobody is in move nobody.
TEST(Pitfall28, an_equivocation_in_a_far_view_moves_nobody) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            const View far(1'000'000'003);
            EXPECT_EQ(leader_of(far, 4), ReplicaId(3));
            const BlockPtr a = cluster.block(3, far, cluster.genesis(), Hlc(), "a");
            const BlockPtr b = cluster.block(3, far, cluster.genesis(), Hlc(), "b");
            for (std::size_t i = 0; i < 3; ++i) {
                cluster.inject(3, i, Propose{a, Height()});
                cluster.inject(3, i, Propose{b, Height()});
            }
            cluster.deliver();
            return cluster.status(0).promised != View(0) || cluster.status(1).promised != View(0);
        },
        {"V1"});
}

BlockPtr end_block(const TestCluster& cluster, std::size_t leader, View view) {
    const BlockPtr plain = cluster.block(leader, view, cluster.genesis(), Hlc(), "last");
    Header header = plain->header;
    header.flags = flag_end;
    const crypto::Digest id = header_id(cluster.membership.context, header);
    return *make_block(
        cluster.membership.context, header,
        cluster.signers[leader]->sign(signed_bytes(cluster.membership.context, SignDomain::propose, id.view())),
        plain->body);
}

TEST(Pitfall28, the_end_of_a_view_does_not_end_the_next_one) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off, {0}));
            const BlockPtr end = end_block(cluster, 0, View(0));
            for (std::size_t i = 1; i < 4; ++i) {
                cluster.inject(0, i, Propose{end, Height()});
            }
            exchange_prepare_votes(cluster, {1, 2, 3});
            EXPECT_EQ(cluster.status(2).lock.block, end->ref());
            cut(cluster);  // nobody hears a commit vote
            promise_alone(cluster, {1, 2, 3}, View(1));
            cluster.deliver();
            EXPECT_EQ(cluster.status(2).committed, end->ref());
            return cluster.status(2).promised != View(1);
        },
        {"V1-end"});
}

TEST(Pitfall28, the_end_of_a_view_ends_it) {
    TestCluster cluster(shape_of({}, {0}));
    const BlockPtr end = end_block(cluster, 0, View(0));
    for (std::size_t i = 1; i < 4; ++i) {
        cluster.inject(0, i, Propose{end, Height()});
    }
    cluster.deliver();
    for (std::size_t i = 1; i < 4; ++i) {
        EXPECT_EQ(cluster.status(i).committed, end->ref());
        EXPECT_EQ(cluster.status(i).entered, View(1));
    }
}

}  // namespace
}  // namespace loyal::consensus::test
