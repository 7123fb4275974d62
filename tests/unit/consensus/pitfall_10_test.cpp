// Pitfall 10 (docs/PROTOCOL.md §21): a replica that forgot what it promised goes on helping.
#include <gtest/gtest.h>

#include "tests/unit/consensus/disk_losses.h"

namespace loyal::consensus::test {
namespace {

using Off = std::vector<std::string>;

Shape with_a_traitor(const Off& off) {
    return losing_shape(4, FaultModel::byzantine, off, {3});
}

// b was committed and answered at R0 with R1's help; then R0 is cut off. Without R1's lock the others start anew.
TEST(Pitfall10, a_wiped_replica_does_not_help) {
    expect_rule_matters(
        [](const Off& off) {
            TestCluster cluster(with_a_traitor(off));
            commit_at_r0_only(cluster);
            cluster.lose_disk(1);
            cut(cluster);
            go_on_without(cluster, {1, 2}, View(1), "x");
            return false;
        },
        {"A2"});
}

TEST(Pitfall10, a_wiped_replica_answers_no_reads) {
    const auto stale_read = [](const Off& off) {
        TestCluster cluster(with_a_traitor(off));
        commit_at_r0_only(cluster);
        cluster.lose_disk(1);
        std::size_t old_answers = 1;  // R3's lie
        for (const std::size_t replica : {1UL, 2UL}) {
            const Core& core = *cluster.replicas[replica].core;
            const bool answers = core.serving() && core.is_executed(core.read_target().block);
            old_answers += answers && core.status().executed.value == 0 ? 1 : 0;
        }
        EXPECT_TRUE(cluster.executed_text(0, "b"));
        return old_answers >= cluster.membership.quorum().q;
    };
    expect_rule_matters(stale_read, {"A2"});
}

// The same with an old copy of the disk, which nobody notices but who remembers R1's votes.
TEST(Pitfall10, an_old_copy_of_the_disk_is_found_out_by_an_echo) {
    expect_rule_matters(
        [](const Off& off) {
            TestCluster cluster(with_a_traitor(off));
            const std::size_t copy = cluster.replicas[1].log.size();
            commit_at_r0_only(cluster);
            cluster.roll_back(1, copy);
            cluster.link_up(0, 1);
            cut(cluster);
            go_on_without(cluster, {1, 2}, View(1), "x");
            return false;
        },
        {"A1-echo"});
}

// Nobody is there who remembers, and R1 hears of its forgotten VIEW-CHANGE from the NEWVIEW that was made of it.
TEST(Pitfall10, a_new_view_of_a_forgotten_promise_is_an_echo) {
    TestCluster cluster(with_a_traitor({}));
    const std::size_t copy = cluster.replicas[1].log.size();
    promise(cluster, {1, 2}, View(3));
    cut(cluster);
    cluster.roll_back(1, copy);
    lead(cluster, {1, 2}, View(3));
    EXPECT_EQ(cluster.status(2).entered, View(3));
    EXPECT_TRUE(cluster.status(1).amnesiac);
}

// R3 = leader(7) keeps R1's VIEW-CHANGE to 7 from before the loss. The answers prove view 5 and no more, so R1 may
// have promised up to 7, and did. If it went on after view 6, it would promise 7 once more, with another lock.
TEST(Pitfall10, old_promises_are_waited_out) {
    expect_rule_matters(
        [](const Off& off) {
            TestCluster cluster(with_a_traitor(off));
            go_on_without(cluster, {0, 1, 2}, View(5), "a");
            cut(cluster);
            const auto lie = [&](View view) {
                return cluster.view_change(3, view, genesis_lock_of(cluster), {View(0), cluster.genesis()});
            };
            // R2 promises 6, R1 follows, holds three VIEW-CHANGEs to 6 and gives up waiting: 7.
            time_out(cluster, 2);
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && from_to(packet, 2, 1); });
            cluster.inject(3, 1, lie(View(6)));
            EXPECT_EQ(cluster.status(1).promised, View(6));
            time_out(cluster, 1);
            EXPECT_EQ(cluster.status(1).promised, View(7));
            cut(cluster);
            cluster.lose_disk(1);
            // The traitor is among those who answer; it hands on what R0 knows.
            const Members three{0, 1, 2};
            NewView of_view_5;
            for (const Packet& packet : cluster.history) {
                const auto* view = std::get_if<NewView>(&packet.message);
                of_view_5 = view != nullptr && view->view == View(5) ? *view : of_view_5;
            }
            // R0 follows to view 6, which R2 leads.
            cluster.inject(3, 0, lie(View(6)));
            cluster.inject(3, 2, lie(View(6)));
            for (int i = 0; i < 400 && !contradiction_of(cluster, 1); ++i) {
                cluster.wall_ms += cluster.tick_ms;
                for (const std::size_t member : three) {
                    cluster.set_clock(member, cluster.wall_ms);
                    cluster.tick(member);
                }
                for (std::size_t at = 0; at < cluster.bag.size(); ++at) {
                    const Packet packet = cluster.bag[at];
                    if (const auto* asked = std::get_if<Recover>(&packet.message); asked && packet.to == ReplicaId(3)) {
                        cluster.inject(3, 1, RecoverAck{asked->nonce, View(5), of_view_5, {}});
                    }
                }
                cluster.deliver([&](const Packet& packet) {
                    // First the answers, then the rotation.
                    const bool answered = cluster.status(2).entered > View(5) || i > 30;
                    return among(packet, three) && (answered || !is<ViewChange>(packet));
                });
                if (cluster.status(1).entered == View(6)) {
                    echo(cluster, {0, 1, 2}, true);
                    cluster.inject(3, 1, lie(View(7)));
                }
                cluster.drop([](const Packet& packet) { return packet.to == ReplicaId(3); });
            }
            EXPECT_GE(cluster.status(1).entered, View(6));
            cluster.tick(1, 200);
            cluster.check_agreement();
            return contradiction_of(cluster, 1).has_value();
        },
        {"A5-M2"});
}

// R1 and R2 promised 7, R0 is still in view 3. If they answered as if they had promised nothing, the certificates of
// view 3, which are older than the loss, would do for R1; it would help R0 to commit b in view 4, and R3 start view 7
// with what R1 and R2 said before.
TEST(Pitfall10, who_answers_proves_what_it_promised) {
    expect_rule_matters(
        [](const Off& off) {
            TestCluster cluster(with_a_traitor(off));
            go_on_without(cluster, {0, 1, 2}, View(3), "a");
            cut(cluster);
            promise(cluster, {1, 2}, View(7));
            const std::vector<ViewChange> said{*cluster.last_view_change(1), *cluster.last_view_change(2)};
            EXPECT_EQ(said[0].new_view, View(7));
            EXPECT_EQ(said[1].new_view, View(7));
            cut(cluster);
            cluster.lose_disk(1);
            // R1 catches up with R0 in view 3; R2 only answers its question.
            const auto asks = [](const Packet& packet) { return is<Recover>(packet) || is<RecoverAck>(packet); };
            for (int i = 0; i < 60; ++i) {
                cluster.wall_ms += cluster.tick_ms;
                for (const std::size_t member : {0UL, 1UL}) {
                    cluster.set_clock(member, cluster.wall_ms);
                    cluster.tick(member);
                }
                cluster.deliver([&](const Packet& packet) {
                    return (among(packet, {0, 1}) && !is<ViewChange>(packet)) ||
                           (among(packet, {1, 2}) && asks(packet));
                });
                for (const Packet& packet : std::vector<Packet>(cluster.bag)) {
                    if (const auto* asked = std::get_if<Recover>(&packet.message); asked && packet.to == ReplicaId(3)) {
                        cluster.inject(3, 1, RecoverAck{asked->nonce, View(0), std::nullopt, {}});
                    }
                }
                cluster.bag.clear();
                // R1 holds the votes of view 3, by way of R0 and R3.
                for (const std::size_t voter : {0UL, 2UL}) {
                    const auto votes = votes_of(cluster, voter, View(3));
                    cluster.inject(voter, 1, votes.back());
                }
                echo(cluster, {1}, true);
            }
            EXPECT_EQ(cluster.status(1).entered, View(3));
            const auto change = cluster.view_change(3, View(4), genesis_lock_of(cluster), {View(0), cluster.genesis()});
            cluster.inject(3, 0, change);
            cluster.inject(3, 1, change);
            for (int i = 0; i < 400 && cluster.status(0).promised < View(4); ++i) {
                cluster.tick(0);
            }
            cluster.tick(0, 40);  // it says so again
            cluster.deliver([](const Packet& packet) { return among(packet, {0, 1}); });
            if (cluster.status(1).entered != View(4)) {
                EXPECT_TRUE(cluster.status(1).amnesiac);
                return false;  // R1 stays silent, and R0 cannot go on with a traitor alone
            }
            settle(cluster, {0, 1});
            // R0 alone learns that b is committed.
            cut(cluster);
            const BlockRef b = propose_to(cluster, 0, {1}, "b", 50);
            const auto votes_but_commits_to_r1 = [&](const Packet& packet) {
                const auto* vote = std::get_if<Vote>(&packet.message);
                const bool commits = vote != nullptr && vote->com.height >= b.height;
                return vote != nullptr && among(packet, {0, 1}) && (packet.to == ReplicaId(0) || !commits);
            };
            cluster.inject(3, 0, cluster.vote(3, View(4), b));
            cluster.inject(3, 1, cluster.vote(3, View(4), b));
            cluster.deliver(votes_but_commits_to_r1);
            cluster.inject(3, 0, cluster.vote(3, View(4), b, b));
            cluster.deliver(votes_but_commits_to_r1);
            EXPECT_TRUE(cluster.executed_text(0, "b"));
            EXPECT_FALSE(cluster.executed_text(1, "b"));
            cut(cluster);
            const ViewChange lie =
                cluster.view_change(3, View(7), genesis_lock_of(cluster), {View(0), cluster.genesis()});
            std::vector<ViewChange> all = said;
            all.push_back(lie);
            const auto base = select_base(all);
            const auto& certificate = said[0].lock == *base ? said[0].certificate : said[1].certificate;
            const NewView late = cluster.new_view(3, View(7), all, *base, certificate);
            for (const std::size_t member : {1UL, 2UL}) {
                cluster.set_clock(member, cluster.wall_ms);
                EXPECT_TRUE(cluster.inject(3, member, late));
            }
            settle(cluster, {1, 2});
            for (const std::size_t member : {1UL, 2UL}) {
                const Status status = cluster.status(member);
                const BlockPtr parent = block_of(cluster, status.prep);
                cluster.inject(
                    3, member,
                    Propose{cluster.block(3, View(7), status.prep, parent == nullptr ? Hlc() : parent->header.hlc, "x"),
                            Height()});
            }
            settle(cluster, {1, 2});
            cluster.check_agreement();
            return false;
        },
        // Without A1 as well, because the NEWVIEW would tell R1 what it forgot.
        {"A3-proof", "A1-echo"});
}

}  // namespace
}  // namespace loyal::consensus::test
