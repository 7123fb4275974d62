// Checkpoints in headers, stability, divergence (docs/PROTOCOL.md §13: S1, S3 to S5, N2, N3).
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/consensus/checkpoint_schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t step = checkpoint_step;
const Members everybody{0, 1, 2, 3};

std::size_t stable_effects(const TestCluster& cluster, std::size_t replica, Height height) {
    const auto& told = cluster.replicas[replica].stable;
    return static_cast<std::size_t>(std::count_if(
        told.begin(), told.end(), [&](const Stable& stable) { return stable.checkpoint.height == height; }));
}

// ---- S4

TEST(Checkpoint, a_header_carries_the_root_of_the_state_one_interval_below) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(4 * step + 1), everybody));
    for (const auto& [height, block] : cluster.replicas[2].executed_ever) {
        const Header& header = block->header;
        if (height.value % step != 0 || height.value < 2 * step) {
            EXPECT_EQ(header.checkpoint, Height(0)) << height.value;
            EXPECT_TRUE(header.checkpoint_root.is_zero()) << height.value;
            continue;
        }
        EXPECT_EQ(header.checkpoint, height.minus(step));
        EXPECT_EQ(header.checkpoint_root, TestCluster::root_of(cluster.replicas[1].digests[height.value - step]));
    }
    for (const std::size_t replica : everybody) {
        EXPECT_EQ(cluster.status(replica).stable_checkpoint, Height(3 * step));
        for (const std::uint64_t checkpoint : {1UL, 2UL, 3UL}) {
            EXPECT_EQ(stable_effects(cluster, replica, Height(checkpoint * step)), 1U) << replica << " " << checkpoint;
        }
        EXPECT_EQ(cluster.replicas[replica].stable.size(), 3U);
    }
}

TEST(Checkpoint, without_an_interval_headers_carry_nothing) {
    Shape shape = checkpoint_shape();
    shape.checkpoint_interval = 0;
    TestCluster cluster(shape);
    ASSERT_TRUE(write_until(cluster, Height(3 * step), everybody));
    for (const auto& [height, block] : cluster.replicas[0].executed_ever) {
        EXPECT_EQ(block->header.checkpoint, Height(0));
    }
    EXPECT_EQ(cluster.status(0).stable_checkpoint, Height(0));
}

TEST(Checkpoint, a_restart_tells_what_is_stable_whether_the_log_hands_it_in_or_not) {
    for (const bool hands_in : {true, false}) {
        TestCluster cluster(checkpoint_shape());
        for (TestCluster::Replica& replica : cluster.replicas) {
            replica.truncates = false;
            replica.knows_stable = hands_in;
        }
        ASSERT_TRUE(write_until(cluster, Height(3 * step + 2), everybody));
        EXPECT_EQ(stable_effects(cluster, 1, Height(2 * step)), 1U);
        cluster.restart(1);
        EXPECT_EQ(cluster.status(1).stable_checkpoint, Height(2 * step)) << hands_in;
        EXPECT_EQ(stable_effects(cluster, 1, Height(2 * step)), 2U) << hands_in;
    }
}

// Seed 214792 of the simulator: with an older log put back, and nothing more to order, it asked for ever for blocks
// that nobody had.
TEST(Checkpoint, that_a_peer_proves_is_stable_for_who_has_it_too) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(2 * step - 1), everybody));
    ASSERT_TRUE(write_until(cluster, Height(2 * step + 1), {0, 1, 2}));
    Blocks answer;
    answer.checkpoint = cluster.newest_checkpoint(0);
    ASSERT_TRUE(answer.checkpoint);
    EXPECT_EQ(answer.checkpoint->root().height, Height(step));
    ASSERT_LT(cluster.status(3).committed.height, Height(2 * step));
    EXPECT_EQ(stable_effects(cluster, 3, Height(step)), 0U);
    ASSERT_TRUE(cluster.inject(0, 3, answer));
    EXPECT_EQ(stable_effects(cluster, 3, Height(step)), 1U);
    EXPECT_TRUE(cluster.status(3).state_lost.empty());
}

TEST(Checkpoint, all_of_them_restart_with_truncated_logs) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(checkpoint_shape({}, {}, model));
        Members members;
        for (std::size_t i = 0; i < cluster.shape.n; ++i) {
            members.insert(i);
        }
        ASSERT_TRUE(write_until(cluster, Height(3 * step + 3), members));
        for (int round = 0; round < 3; ++round) {
            for (const std::size_t replica : members) {
                cluster.restart(replica);
            }
            cut(cluster);
            ASSERT_TRUE(write_until(cluster, Height((4 + static_cast<std::uint64_t>(round)) * step + 3), members));
        }
        cluster.check_agreement();
        for (const std::size_t replica : members) {
            EXPECT_EQ(cluster.replicas[replica].base.height, Height(5 * step));
            EXPECT_EQ(cluster.status(replica).state_lost, "");
        }
    }
}

// ---- S3

TEST(Checkpoint, nobody_is_blamed_while_roots_are_being_computed) {
    TestCluster cluster(checkpoint_shape());
    for (TestCluster::Replica& replica : cluster.replicas) {
        replica.auto_root = false;
    }
    ASSERT_TRUE(write_until(cluster, Height(2 * step - 1), everybody));
    for (const std::size_t replica : everybody) {
        cluster.submit(replica, "waits", 5);
    }
    cluster.run(1500);
    for (const std::size_t replica : everybody) {
        EXPECT_EQ(cluster.status(replica).committed.height, Height(2 * step - 1));
        EXPECT_EQ(cluster.status(replica).promised, View(0));
    }
    for (const std::size_t replica : everybody) {
        cluster.root_all(replica);
    }
    EXPECT_TRUE(run_until(cluster, everybody, [&] { return cluster.executed_text(3, "waits"); }));
    EXPECT_EQ(cluster.status(0).entered, View(0));
}

TEST(Checkpoint, a_leader_without_its_root_is_replaced_by_one_that_has_it) {
    TestCluster cluster(checkpoint_shape());
    cluster.replicas[0].auto_root = false;
    ASSERT_TRUE(write_until(cluster, Height(2 * step + 2), everybody));
    EXPECT_GE(cluster.status(1).entered, View(1));
}

TEST(Checkpoint, a_backup_holds_a_proposal_until_its_own_root_is_there) {
    TestCluster cluster(checkpoint_shape());
    cluster.replicas[1].auto_root = false;
    ASSERT_TRUE(write_until(cluster, Height(2 * step - 1), everybody));
    cluster.deliver();
    cluster.submit(0, "carrier", 5);
    cluster.deliver();
    EXPECT_EQ(cluster.status(0).committed.height, Height(2 * step));
    EXPECT_EQ(cluster.status(1).prep.height, Height(2 * step - 1));
    cluster.root_all(1);
    EXPECT_EQ(cluster.status(1).prep.height, Height(2 * step));
    EXPECT_EQ(cluster.status(1).state_lost, "");
}

// ---- N3: what a leader claims of the state

StateRoot wrong_root() {
    return {Height(step), crypto::digest_of("wrong", {})};
}

TEST(Checkpoint, a_root_that_cannot_be_compared_yet_is_not_voted_for) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(checkpoint_shape(off, {0}));
            for (TestCluster::Replica& replica : cluster.replicas) {
                replica.auto_root = false;
            }
            for (std::uint64_t height = 1; height < 2 * step; ++height) {
                traitor_proposes(cluster, {});
            }
            EXPECT_EQ(cluster.status(2).committed.height, Height(2 * step - 1));
            traitor_proposes(cluster, wrong_root());
            for (const std::size_t replica : {1UL, 2UL, 3UL}) {
                cluster.root_all(replica);
            }
            // The quorum certified what is not: every correct replica would have to think that it diverged.
            return !cluster.status(1).state_lost.empty() || cluster.status(1).committed.height >= Height(2 * step);
        },
        {"S3-wait"});
}

TEST(Checkpoint, another_root_is_not_voted_for) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(checkpoint_shape(off, {0}));
            for (std::uint64_t height = 1; height < 2 * step; ++height) {
                traitor_proposes(cluster, {});
            }
            traitor_proposes(cluster, wrong_root());
            return cluster.status(1).committed.height >= Height(2 * step);
        },
        {"S4-root"});
}

TEST(Checkpoint, a_leader_with_another_root_is_deposed) {
    TestCluster cluster(checkpoint_shape({}, {0}));
    for (std::uint64_t height = 1; height < 2 * step; ++height) {
        traitor_proposes(cluster, {});
    }
    traitor_proposes(cluster, wrong_root());
    const Members honest{1, 2, 3};
    ASSERT_TRUE(write_until(cluster, Height(2 * step + 2), honest));
    EXPECT_GE(cluster.status(1).entered, View(1));
    EXPECT_EQ(cluster.replicas[1].executed_ever.at(Height(2 * step))->header.checkpoint_root,
              TestCluster::root_of(cluster.replicas[1].digests[step]));
}

TEST(Checkpoint, only_the_headers_of_the_step_name_a_checkpoint) {
    for (const std::uint64_t height : {3UL, step, 2 * step}) {
        TestCluster cluster(checkpoint_shape({}, {0}));
        for (std::uint64_t below = 1; below < height; ++below) {
            traitor_proposes(cluster, {});
        }
        // At 2C the one it has to carry is another; below there is none to carry.
        const crypto::Digest root = TestCluster::root_of(cluster.replicas[1].digests[height - 1]);
        traitor_proposes(cluster, {Height(height - 1), root});
        EXPECT_EQ(cluster.status(1).prep.height, Height(height - 1));
        traitor_proposes(cluster, {Height(0), root});
        EXPECT_EQ(cluster.status(1).prep.height, Height(height - 1));
    }
}

// ---- S1

Members without_two(Members members) {
    members.erase(2);
    return members;
}

void expect_diverged(TestCluster& cluster, std::size_t replica) {
    EXPECT_EQ(cluster.status(replica).state_lost.substr(0, 8), "diverged");
    EXPECT_FALSE(cluster.status(replica).halted);
    EXPECT_FALSE(cluster.replicas[replica].core->is_executed(cluster.genesis())) << "would answer reads";
    EXPECT_FALSE(cluster.replicas[replica].fetches.empty());
}

TEST(Divergence, is_noticed_within_the_window_and_healed_from_the_first_state) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(3), everybody));
    const Height before = cluster.status(2).executed;
    cluster.corrupt_state(2);
    ASSERT_TRUE(write_until(cluster, before.plus(2 + cluster.shape.window), {0, 1, 3}));
    cluster.run(50);
    expect_diverged(cluster, 2);
    EXPECT_LE(cluster.status(2).executed, before.plus(1 + cluster.shape.window));
    EXPECT_EQ(cluster.replicas[2].fetches.back().checkpoint, StateRoot{});
    ASSERT_TRUE(cluster.install(2));
    EXPECT_EQ(cluster.status(2).state_lost, "");
    ASSERT_TRUE(write_one(cluster, everybody));
    EXPECT_TRUE(same_state(cluster, 1, 2));
}

TEST(Divergence, is_healed_from_the_newest_stable_checkpoint) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(checkpoint_shape({}, {}, model));
        const Members members = model == FaultModel::crash ? Members{0, 1, 2} : everybody;
        ASSERT_TRUE(write_until(cluster, Height(3 * step + 1), members));
        cluster.corrupt_state(2);
        ASSERT_TRUE(write_until(cluster, Height(3 * step + 2 + 2 * cluster.shape.window), members));
        expect_diverged(cluster, 2);
        EXPECT_GE(cluster.replicas[2].fetches.front().checkpoint.height, Height(2 * step));
        EXPECT_EQ(cluster.replicas[2].fetches.front().block.height,
                  cluster.replicas[2].fetches.front().checkpoint.height);
        // It stays away for a while, and what is committed meanwhile is in its log, or in no log any more.
        ASSERT_TRUE(write_until(cluster, Height(8 * step + 3), without_two(members)));
        ASSERT_TRUE(run_until(cluster, members, [&] {
            return cluster.replicas[2].fetches.back().checkpoint.height == Height(7 * step);
        }));
        EXPECT_LT(cluster.status(2).executed, Height(4 * step + 1));
        ASSERT_TRUE(cluster.install(2));
        EXPECT_EQ(cluster.status(2).executed, cluster.status(2).committed.height);
        ASSERT_TRUE(write_one(cluster, members));
        EXPECT_TRUE(same_state(cluster, 1, 2));
        cluster.check_agreement();
    }
}

TEST(Divergence, of_the_root_alone_is_noticed_before_and_after_the_header_is_committed) {
    for (const bool late : {false, true}) {
        TestCluster cluster(checkpoint_shape());
        cluster.replicas[3].wrong_roots = true;
        cluster.replicas[3].auto_root = !late;
        ASSERT_TRUE(write_until(cluster, Height(2 * step + 1), everybody));
        if (late) {
            EXPECT_EQ(cluster.status(3).state_lost, "");
            cluster.root_all(3);
        }
        expect_diverged(cluster, 3);
        EXPECT_EQ(cluster.replicas[3].fetches.back().checkpoint,
                  (StateRoot{Height(step), TestCluster::root_of(cluster.replicas[0].digests[step])}));
        EXPECT_EQ(stable_effects(cluster, 3, Height(step)), 0U) << "it must not forget what it repairs itself from";
        cluster.replicas[3].wrong_roots = false;
        cluster.replicas[3].auto_root = true;
        ASSERT_TRUE(cluster.install(3));
        ASSERT_TRUE(write_until(cluster, Height(3 * step + 1), everybody));
        EXPECT_EQ(cluster.status(3).state_lost, "");
        EXPECT_EQ(stable_effects(cluster, 3, Height(2 * step)), 1U);
    }
}

TEST(Divergence, a_leader_that_lost_its_state_hands_over_at_once) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(checkpoint_shape({}, {}, model));
        const Members members = model == FaultModel::crash ? Members{0, 1, 2} : everybody;
        ASSERT_TRUE(write_until(cluster, Height(3), members));
        ASSERT_TRUE(cluster.status(0).is_leader);
        cluster.lose_state(0, "a record is damaged");
        EXPECT_FALSE(cluster.status(0).is_leader);
        EXPECT_EQ(cluster.status(0).promised, View(1));
        ASSERT_TRUE(write_one(cluster, members));
        EXPECT_NE(leader_of(cluster.status(1).entered, cluster.shape.n), ReplicaId(0));
        EXPECT_EQ(cluster.replicas[0].fetches.size(), 1U);
    }
}

}  // namespace
}  // namespace loyal::consensus::test
