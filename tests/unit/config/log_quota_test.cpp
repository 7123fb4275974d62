// The quota of the log against what the log has to hold until a checkpoint lets it be cut.
#include "config/log_quota.h"

#include <gtest/gtest.h>

#include "config/limits.h"
#include "tests/unit/config/sample_cluster.h"

namespace loyal::config {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30;

TEST(LogQuota, holds_two_intervals_of_the_largest_blocks_with_an_eighth_to_spare) {
    for (const std::uint64_t interval : {32U, 64U, 1000U, 8192U, 100'000U}) {
        SCOPED_TRACE(interval);
        const std::uint64_t least = log_quota_bytes_min(interval);
        const std::uint64_t blocks = 2 * interval + 2 * limits::window_max + 2 + limits::window_max;
        EXPECT_GT(least - least / 8, blocks * limits::body_bytes_max);
        EXPECT_LT(least, 2 * (2 * interval + 200) * limits::body_bytes_max) << "and not absurdly much more";
    }
}

TEST(LogQuota, the_interval_that_a_quota_allows_is_the_largest_that_fits) {
    for (const std::uint64_t quota : {2 * gib, 16 * gib, 64 * gib, 1024 * gib}) {
        SCOPED_TRACE(quota);
        const std::uint64_t allowed = checkpoint_interval_allowed(quota);
        ASSERT_GT(allowed, 0U);
        EXPECT_LE(log_quota_bytes_min(allowed), quota);
        EXPECT_GT(log_quota_bytes_min(allowed + 1), quota);
    }
    EXPECT_EQ(checkpoint_interval_allowed(gib / 4), 0U);
    EXPECT_EQ(checkpoint_interval_allowed(0), 0U);
}

TEST(LogQuota, when_the_file_gives_none_it_is_what_the_interval_needs) {
    Cluster cluster = test::sample_cluster();
    cluster.checkpoint_interval = limits::checkpoint_interval_default;
    EXPECT_EQ(log_quota_of(cluster), limits::log_quota_bytes) << "enough for the default interval";
    cluster.checkpoint_interval = 100'000;
    EXPECT_EQ(log_quota_of(cluster), log_quota_bytes_min(100'000));
    cluster.log_quota_bytes = 900 * gib;
    EXPECT_EQ(log_quota_of(cluster), 900 * gib);
}

}  // namespace
}  // namespace loyal::config
