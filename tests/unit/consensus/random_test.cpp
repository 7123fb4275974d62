// Random schedules with traitors over the production core: agreement, reads, and recovery when the trouble is over.
#include <gtest/gtest.h>

#include "tests/unit/consensus/adversary.h"

namespace loyal::consensus::test {
namespace {

void expect_safe_and_live(const Chaos& chaos, std::uint64_t seeds) {
    std::uint64_t heights = 0;
    std::uint64_t views = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Verdict verdict = run_chaos(chaos, seed);
        ASSERT_TRUE(verdict.safe) << "seed " << seed << ": " << verdict.why;
        ASSERT_TRUE(verdict.live) << "seed " << seed << ": " << verdict.why;
        heights += verdict.height;
        views += verdict.view;
    }
    // The schedules do something: otherwise they prove nothing.
    EXPECT_GE(heights, 3 * seeds);
    EXPECT_GE(views, 3 * seeds);
}

// The first of `seeds` schedules that is unsafe without the rules; 0 if none is.
std::uint64_t first_unsafe(const std::vector<std::string>& rules_off, std::uint64_t seeds) {
    Chaos chaos;
    chaos.rules_off = rules_off;
    chaos.must_recover = false;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        if (!run_chaos(chaos, seed).safe) {
            return seed;
        }
    }
    return 0;
}

TEST(Random, four_replicas_and_a_traitor) {
    expect_safe_and_live({4, FaultModel::byzantine, 8, {}}, 600);
}
TEST(Random, four_replicas_and_a_traitor_with_a_window_of_one) {
    expect_safe_and_live({4, FaultModel::byzantine, 1, {}}, 200);
}
TEST(Random, seven_replicas_and_two_traitors) {
    expect_safe_and_live({7, FaultModel::byzantine, 8, {}}, 60);
}
TEST(Random, three_replicas_that_crash) {
    expect_safe_and_live({3, FaultModel::crash, 8, {}}, 400);
}
TEST(Random, five_replicas_that_crash) {
    expect_safe_and_live({5, FaultModel::crash, 4, {}}, 200);
}

// Enough blocks for some checkpoints: longer views, a short interval.
Chaos with_checkpoints(std::size_t n, FaultModel fault_model, std::uint64_t window) {
    Chaos chaos{n, fault_model, window, {}};
    chaos.checkpoint_interval = 4 * window;
    chaos.turns = 16;
    chaos.views = 8;
    return chaos;
}

void expect_checkpoints_safe_and_live(const Chaos& chaos, std::uint64_t seeds) {
    std::uint64_t heights = 0;
    std::uint64_t transfers = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Verdict verdict = run_chaos(chaos, seed);
        ASSERT_TRUE(verdict.safe) << "seed " << seed << ": " << verdict.why;
        ASSERT_TRUE(verdict.live) << "seed " << seed << ": " << verdict.why;
        heights += verdict.height;
        transfers += verdict.transfers;
    }
    ::testing::Test::RecordProperty("heights", static_cast<int>(heights));
    ::testing::Test::RecordProperty("transfers", static_cast<int>(transfers));
    EXPECT_GE(heights, 3 * chaos.checkpoint_interval * seeds / 2);
    EXPECT_GE(transfers, seeds / 2);
}

TEST(RandomCheckpoints, four_replicas_and_a_traitor) {
    expect_checkpoints_safe_and_live(with_checkpoints(4, FaultModel::byzantine, 1), 150);
}
TEST(RandomCheckpoints, four_replicas_and_a_traitor_with_a_window_of_two) {
    expect_checkpoints_safe_and_live(with_checkpoints(4, FaultModel::byzantine, 2), 100);
}
TEST(RandomCheckpoints, three_replicas_that_crash) {
    expect_checkpoints_safe_and_live(with_checkpoints(3, FaultModel::crash, 2), 100);
}

// Without S3-wait they find nothing: two roots have to be late when a traitor leads (checkpoint_test.cpp directs it).
TEST(RandomMutant, a_root_that_nobody_compared) {
    Chaos chaos = with_checkpoints(4, FaultModel::byzantine, 1);
    chaos.rules_off = {"S4-root"};
    chaos.must_recover = false;
    bool found = false;
    for (std::uint64_t seed = 1; seed <= 100 && !found; ++seed) {
        found = !run_chaos(chaos, seed).safe;
    }
    EXPECT_TRUE(found);
}

TEST(RandomMutant, a_lock_that_does_not_last) {
    EXPECT_NE(first_unsafe({"N5-lock"}, 1000), 0U);
}
TEST(RandomMutant, votes_that_leave_before_they_are_durable) {
    EXPECT_NE(first_unsafe({"D1"}, 1000), 0U);
}
TEST(RandomMutant, a_new_view_of_one_voter_twice) {
    EXPECT_NE(first_unsafe({"V5-distinct"}, 1000), 0U);
}
TEST(RandomMutant, votes_without_a_path) {
    EXPECT_NE(first_unsafe({"cert-path"}, 1000), 0U);
}
TEST(RandomMutant, reads_that_do_not_wait) {
    EXPECT_NE(first_unsafe({"R2"}, 1000), 0U);
}

}  // namespace
}  // namespace loyal::consensus::test
