#include "replica/state_transfer/log_release.h"

#include <gtest/gtest.h>

namespace loyal::replica {
namespace {

using consensus::Height;
using consensus::ReplicaId;

constexpr Height all(1'000'000);  // the own state is durable

TEST(LogReleaseTest, what_lies_below_a_stable_checkpoint_goes_when_the_own_state_is_durable) {
    LogRelease release;
    EXPECT_EQ(release.below(all, true, 0), Height(0));
    release.stable(Height(100));
    EXPECT_EQ(release.below(Height(99), true, 0), Height(0));
    EXPECT_EQ(release.below(Height(100), true, 0), Height(100));
    release.stable(Height(200));
    EXPECT_EQ(release.below(Height(150), true, 0), Height(100));
}

TEST(LogReleaseTest, what_a_peer_needs_behind_the_state_that_it_fetches_stays_for_a_while) {
    LogRelease release;
    release.stable(Height(100));
    ASSERT_EQ(release.below(all, true, 0), Height(100));
    release.asked(ReplicaId(1), Height(100), 1'000);
    release.asked(ReplicaId(2), Height(200), 1'000);
    release.stable(Height(300));
    EXPECT_EQ(release.below(all, true, 2'000), Height(100));
    release.asked(ReplicaId(1), Height(300), 2'000);  // it moved on
    EXPECT_EQ(release.below(all, true, 3'000), Height(200));
    EXPECT_EQ(release.below(all, true, 1'000 + LogRelease::kept_ms), Height(200));
    EXPECT_EQ(release.below(all, true, 1'001 + LogRelease::kept_ms), Height(300));
}

TEST(LogReleaseTest, who_asks_on_and_on_holds_up_a_bounded_number_of_blocks) {
    LogRelease release;
    for (std::uint64_t i = 1; i < 100; ++i) {
        release.asked(ReplicaId(1), Height(100), i);
        release.stable(Height(100 * i));
        const Height below = release.below(all, true, i);
        EXPECT_GE(below.plus(LogRelease::kept_blocks), Height(100 * i));
    }
}

TEST(LogReleaseTest, nothing_is_kept_for_others_where_there_is_no_room_and_what_went_does_not_come_back) {
    LogRelease release;
    release.asked(ReplicaId(1), Height(100), 0);
    release.stable(Height(300));
    EXPECT_EQ(release.below(all, false, 0), Height(300));
    release.asked(ReplicaId(1), Height(100), 1);
    EXPECT_EQ(release.below(all, true, 1), Height(300));
}

}  // namespace
}  // namespace loyal::replica
