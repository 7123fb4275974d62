// Pitfalls of the crash fault model (docs/PROTOCOL.md §21: 17, 18, 24).
#include <gtest/gtest.h>

#include "tests/unit/consensus/disk_losses.h"

namespace loyal::consensus::test {
namespace {

Shape crash_shape(std::size_t n, const std::vector<std::string>& off) {
    Shape shape = shape_of(off, {});
    shape.n = n;
    shape.fault_model = FaultModel::crash;
    return shape;
}

// View changes of crash mode need a pre-vote: everybody in `members` misses the leader.
void change_view(TestCluster& cluster, const Members& members, View view) {
    const auto view_change_traffic = [&](const Packet& packet) {
        return among(packet, members) &&
               (is<PreVote>(packet) || is<PreVoteGrant>(packet) || is<ViewChange>(packet) || is<NewView>(packet));
    };
    for (int i = 0; i < 3000; ++i) {
        bool entered = true;
        for (const std::size_t member : members) {
            entered = entered && cluster.status(member).entered >= view;
        }
        if (entered) {
            break;
        }
        for (const std::size_t member : members) {
            cluster.tick(member);
        }
        cluster.deliver(view_change_traffic);
    }
    for (const std::size_t member : members) {
        EXPECT_EQ(cluster.status(member).entered, view) << member;
    }
    cut(cluster);
}

// 17. R0 alone has b of view 0. View 1: R1's x reaches R2, and R1 dies before its own write. View 2 of {R0, R2} starts
// from x and commits it at R2. View 3 of {R0, R1} must start from x as well.
TEST(Pitfall17, accepting_a_base_is_locking_it) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(crash_shape(3, off));
            propose_to(cluster, 0, {}, "b");
            cut(cluster);
            change_view(cluster, {1, 2}, View(1));
            cluster.replicas[1].auto_persist = false;
            const BlockRef x = propose_to(cluster, 1, {2}, "x");
            EXPECT_EQ(cluster.status(2).lock.block, x);
            cluster.replicas[1].auto_persist = true;
            cluster.crash(1);
            cut(cluster);
            // R0 needs x's body before it enters.
            for (int i = 0; i < 600 && cluster.status(0).prep != x; ++i) {
                cluster.wall_ms += cluster.tick_ms;
                for (const std::size_t member : {0UL, 2UL}) {
                    cluster.set_clock(member, cluster.wall_ms);
                    cluster.tick(member);
                }
                // R0 hears nothing of view 1.
                const bool in_view_2 = cluster.status(2).entered == View(2);
                cluster.deliver([&](const Packet& packet) {
                    const auto* new_view = std::get_if<NewView>(&packet.message);
                    const bool of_view_1 =
                        (new_view != nullptr && new_view->view == View(1)) || (is<Blocks>(packet) && !in_view_2);
                    return among(packet, {0, 2}) && !is<Vote>(packet) && !of_view_1;
                });
            }
            EXPECT_EQ(cluster.status(0).prep, x);
            EXPECT_EQ(cluster.status(2).entered, View(2));
            cluster.deliver([](const Packet& packet) { return is<Vote>(packet) && from_to(packet, 0, 2); });
            EXPECT_TRUE(cluster.executed_text(2, "x"));
            cut(cluster);
            cluster.restart(1);
            cut(cluster);
            cluster.run(300, {0, 1});
            cluster.submit(0, "later", 9);
            cluster.run(50, {0, 1});
            cluster.check_agreement();
            EXPECT_TRUE(cluster.executed_text(0, "later"));
            return !cluster.executed_text(0, "x");
        },
        {"8a"});
}

// 18. R4 alone holds b of view 0; the others commit x in view 1. The leader's word about view 1 says nothing of b.
TEST(Pitfall18, the_leaders_committed_height_counts_in_its_own_view_only) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(crash_shape(5, off));
            propose_to(cluster, 0, {4}, "b");
            cluster.crash(0);
            cut(cluster);
            change_view(cluster, {1, 2, 3}, View(1));
            cluster.submit(1, "x", 2);
            cluster.run(30, {1, 2, 3});
            EXPECT_TRUE(cluster.executed_text(1, "x"));
            cluster.inject(1, 4, Heartbeat{View(1), View(1), Height(4), Height(4)});
            cluster.check_agreement();
            return false;
        },
        {"8c"});
}

// The other side of 18. R0 leads view 0 and is cut off with R3, who has its b; the others commit x in view 1. R0 comes
// back and learns of x, but not yet of view 1: what it says as the leader of view 0 must not commit b at R3.
TEST(Pitfall18, a_leader_that_caught_up_with_a_later_view_says_nothing_of_its_own_blocks) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(crash_shape(5, off));
            propose_to(cluster, 0, {3}, "b");
            cut(cluster);
            change_view(cluster, {1, 2, 4}, View(1));
            cluster.submit(1, "x", 2);
            cluster.run(30, {1, 2, 4});
            EXPECT_TRUE(cluster.executed_text(1, "x"));
            for (int i = 0; i < 600 && !cluster.executed_text(0, "x"); ++i) {
                for (const std::size_t member : {0UL, 1UL}) {
                    cluster.tick(member);
                }
                cluster.deliver([](const Packet& packet) {
                    const bool catches_up = is<Heartbeat>(packet) || is<Fetch>(packet) || is<Blocks>(packet);
                    return among(packet, {0, 1}) && catches_up;
                });
            }
            EXPECT_TRUE(cluster.executed_text(0, "x"));
            EXPECT_EQ(cluster.status(0).entered, View(0));
            cut(cluster);
            cluster.tick(0, 30);
            cluster.deliver([](const Packet& packet) { return is<Heartbeat>(packet) && from_to(packet, 0, 3); });
            cluster.check_agreement();
            return cluster.executed_text(3, "b");
        },
        {"8c-own"});
}

// 24. R0 and R1 commit b. R1's newest copy of its voting state rots, and the one that is left is of before b. If it
// were used, R1 and R2 would start view 1 without b. R1 cannot tell what the newer one said: it is amnesiac (A6), and
// waits for somebody who remembers.
TEST(Pitfall24, an_older_copy_of_the_votes_is_a_loss) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(crash_shape(3, off));
            const std::size_t older = cluster.replicas[1].log.size();
            cluster.submit(0, "b");
            cluster.deliver([](const Packet& packet) { return among(packet, {0, 1}); });
            EXPECT_TRUE(cluster.executed_text(0, "b"));
            cluster.crash(0);
            cut(cluster);
            cluster.replicas[1].votes_lost = "the newest copy of the voting state is damaged";
            cluster.roll_back(1, older);
            cluster.submit(1, "x", 2);
            cluster.submit(2, "x", 2);
            cluster.run(600, {1, 2});
            if (off.empty()) {
                EXPECT_FALSE(cluster.executed_text(1, "x") || cluster.executed_text(2, "x"));
                EXPECT_TRUE(cluster.status(1).amnesiac);
                cluster.restart(0);
                cluster.run(6000);
                EXPECT_TRUE(cluster.executed_text(1, "b") && cluster.executed_text(2, "b"));
                EXPECT_TRUE(cluster.executed_text(0, "x"));
                EXPECT_FALSE(cluster.status(1).amnesiac);
            }
            cluster.check_agreement();
            return false;
        },
        {"A2"});
}

// The promise of 17's leader: what it did not write, it did not lock.
TEST(CrashMode, a_restarted_backup_is_asked_before_it_moves_everybody) {
    TestCluster cluster(crash_shape(3, {}));
    cluster.submit(0, "a");
    cluster.run(5);
    // R2 hears nothing for long, and comes back: the others stay where they are.
    cluster.tick(2, 500);
    cluster.run(50);
    EXPECT_EQ(cluster.status(0).entered, View(0));
    EXPECT_EQ(cluster.status(2).entered, View(0));
    EXPECT_EQ(cluster.status(2).promised, View(0));
}

}  // namespace
}  // namespace loyal::consensus::test
