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
