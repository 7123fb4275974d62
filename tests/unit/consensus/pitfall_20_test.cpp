// 20. Checkpoint root after restart (docs/PROTOCOL.md §21, rule S3): whoever loses power while roots are computed must
// be able to compute them afterwards, or nobody could propose or accept the header that carries one, and nobody could
// serve that state to a replica that fell behind.
#include <gtest/gtest.h>

#include "tests/unit/consensus/checkpoint_schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t step = checkpoint_step;
const Members everybody{0, 1, 2, 3};

TEST(Pitfall20, power_loss_of_a_blocking_set_while_a_root_is_computed) {
    TestCluster cluster(checkpoint_shape());
    for (TestCluster::Replica& replica : cluster.replicas) {
        replica.auto_root = false;
    }
    ASSERT_TRUE(write_until(cluster, Height(2 * step - 1), everybody));
    for (const std::size_t replica : {0UL, 1UL}) {  // n - q + 1
        cluster.restart(replica);
    }
    for (const std::size_t replica : {2UL, 3UL}) {
        cluster.root_all(replica);
        cluster.replicas[replica].auto_root = true;
    }
    for (const std::size_t replica : everybody) {
        cluster.submit(replica, "afterwards", 9);
    }
    cluster.run(500);
    EXPECT_EQ(cluster.status(2).committed.height, Height(2 * step - 1)) << "two are no quorum";
    // Their roots come back: the state at the checkpoint is still readable.
    for (const std::size_t replica : {0UL, 1UL}) {
        cluster.root_all(replica);
        cluster.replicas[replica].auto_root = true;
    }
    for (const std::size_t replica : everybody) {
        ASSERT_TRUE(run_until(cluster, everybody, [&] { return cluster.executed_text(replica, "afterwards"); }));
    }
    ASSERT_TRUE(write_until(cluster, Height(4 * step), everybody));
    for (const std::size_t replica : everybody) {
        EXPECT_EQ(cluster.status(replica).state_lost, "");
        EXPECT_EQ(cluster.status(replica).stable_checkpoint, Height(3 * step));
    }
}

// R3 is dead, R2 is behind the logs of R0 and R1, and these two restart: without R2 there is no quorum.
TEST(Pitfall20, two_that_restarted_still_serve_the_checkpoint) {
    for (const bool hands_in : {true, false}) {
        TestCluster cluster(checkpoint_shape());
        ASSERT_TRUE(write_until(cluster, Height(3), everybody));
        ASSERT_TRUE(write_until(cluster, Height(4 * step + 2), {0, 1, 3}));
        EXPECT_GT(cluster.replicas[0].log_first, cluster.status(2).committed.height);
        cluster.crash(3);
        for (const std::size_t replica : {0UL, 1UL}) {
            cluster.replicas[replica].knows_stable = hands_in;
            cluster.restart(replica);
        }
        cut(cluster);
        const Members alive{0, 1, 2};
        ASSERT_TRUE(run_until(cluster, alive, [&] { return !cluster.replicas[2].fetches.empty(); }));
        EXPECT_EQ(cluster.replicas[2].fetches.back().checkpoint.height, Height(3 * step));
        ASSERT_TRUE(cluster.install(2));
        ASSERT_TRUE(write_until(cluster, Height(6 * step), alive));
        cluster.check_agreement();
        EXPECT_EQ(cluster.status(2).state_lost, "");
    }
}

}  // namespace
}  // namespace loyal::consensus::test
