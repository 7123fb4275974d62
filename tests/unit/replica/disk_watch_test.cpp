// When writes are refused for want of room, when they are accepted again, and what is said.
#include "replica/disk_watch.h"

#include <gtest/gtest.h>

#include "config/limits.h"

namespace loyal::replica {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30, mib = std::uint64_t{1} << 20;

DiskUse plenty() {
    DiskUse use;
    use.free_bytes = 100 * gib;
    use.total_bytes = 200 * gib;
    return use;
}

bool raised(const DiskWatch& watch, std::string_view name) {
    for (const DiskWatch::Alarm& alarm : watch.alarms()) {
        if (alarm.name == name) {
            return alarm.raised;
        }
    }
    ADD_FAILURE() << name;
    return false;
}

TEST(DiskWatchTest, with_room_everything_is_accepted) {
    DiskWatch watch({8 * gib, 16 * gib});
    watch.look(plenty());
    EXPECT_FALSE(watch.refuses_writes());
}

TEST(DiskWatchTest, the_log_at_its_quota_refuses_writes_until_an_eighth_is_free) {
    DiskWatch watch({8 * gib, 16 * gib});
    DiskUse use = plenty();
    use.log_bytes = 8 * gib;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes()) << "the quota itself may be used";
    use.log_bytes = 8 * gib + 1;
    watch.look(use);
    EXPECT_TRUE(watch.refuses_writes());
    EXPECT_TRUE(raised(watch, "log_quota"));
    EXPECT_FALSE(raised(watch, "state_quota"));
    EXPECT_FALSE(raised(watch, "disk_full"));
    use.log_bytes = 7 * gib + 1;
    watch.look(use);
    EXPECT_TRUE(watch.refuses_writes()) << "not to and fro at the quota";
    use.log_bytes = 7 * gib;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes());
    EXPECT_FALSE(raised(watch, "log_quota"));
}

TEST(DiskWatchTest, the_state_at_its_quota_refuses_writes_until_an_eighth_is_free) {
    DiskWatch watch({8 * gib, 16 * gib});
    DiskUse use = plenty();
    use.kv_bytes = 17 * gib;
    use.kv_largest_bytes = 16 * gib;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes()) << "one generation beside another, while the state is built anew";
    use.kv_largest_bytes = 16 * gib + 1;
    watch.look(use);
    EXPECT_TRUE(watch.refuses_writes());
    EXPECT_TRUE(raised(watch, "state_quota"));
    use.kv_largest_bytes = 14 * gib;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes());
}

TEST(DiskWatchTest, a_disk_is_full_before_the_reserve_is_touched) {
    DiskWatch watch({8 * gib, 16 * gib});
    DiskUse use = plenty();
    use.free_bytes = limits::disk_reserve_bytes - 1;
    watch.look(use);
    EXPECT_TRUE(raised(watch, "disk_full"));
    EXPECT_TRUE(watch.refuses_writes());
    use.free_bytes = limits::disk_reserve_bytes;
    watch.look(use);
    EXPECT_TRUE(watch.refuses_writes());
    use.free_bytes = limits::disk_reserve_bytes / 8 * 9;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes());
}

TEST(DiskWatchTest, a_small_disk_keeps_an_eighth_of_itself) {
    DiskWatch watch({8 * gib, 16 * gib});
    DiskUse use = plenty();
    use.total_bytes = 80 * mib;
    use.free_bytes = 11 * mib;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes());
    use.free_bytes = 10 * mib - 1;
    watch.look(use);
    EXPECT_TRUE(watch.refuses_writes());
}

TEST(DiskWatchTest, writes_are_accepted_only_when_every_limit_is_kept) {
    DiskWatch watch({8 * gib, 16 * gib});
    DiskUse use = plenty();
    use.log_bytes = 9 * gib;
    use.kv_largest_bytes = 17 * gib;
    watch.look(use);
    use.log_bytes = 0;
    watch.look(use);
    EXPECT_FALSE(raised(watch, "log_quota"));
    EXPECT_TRUE(raised(watch, "state_quota"));
    EXPECT_TRUE(watch.refuses_writes());
    use.kv_largest_bytes = 0;
    watch.look(use);
    EXPECT_FALSE(watch.refuses_writes());
}

}  // namespace
}  // namespace loyal::replica
