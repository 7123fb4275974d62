#include "replica/clock.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal::replica {
namespace {

constexpr std::int64_t second = 1'000'000;
constexpr std::int64_t hour = 3'600 * second;

struct Fake {
    std::int64_t boot = 5 * second;
    std::int64_t wall = 1'700'000'000 * second;
    void pass(std::int64_t us) {
        boot += us;
        wall += us;
    }
    ClockSource source() {
        return {[this] { return boot; }, [this] { return wall; }};
    }
};

TEST(SlewedClockTest, starts_at_the_wall_clock_and_follows_it) {
    Fake fake;
    SlewedClock clock(fake.source());
    EXPECT_EQ(clock.now_ms(), 1'700'000'000'000U);
    fake.pass(10 * second);
    EXPECT_EQ(clock.now_ms(), 1'700'000'010'000U);
}

TEST(SlewedClockTest, a_step_of_an_hour_back_neither_freezes_nor_jumps_it) {
    Fake fake;
    SlewedClock clock(fake.source());
    const std::uint64_t before = clock.now_ms();
    fake.wall -= hour;
    fake.pass(second);
    EXPECT_EQ(clock.now_ms() - before, 980U) << "a second less the slew of 20 ms";
    EXPECT_LT(clock.behind_wall_us(), -3'590 * second);
}

TEST(SlewedClockTest, a_step_of_an_hour_forward_does_not_jump_it) {
    Fake fake;
    SlewedClock clock(fake.source());
    const std::uint64_t before = clock.now_ms();
    fake.wall += hour;
    fake.pass(second);
    EXPECT_EQ(clock.now_ms() - before, 1'020U);
}

TEST(SlewedClockTest, reaches_the_wall_clock_in_the_end) {
    Fake fake;
    SlewedClock clock(fake.source());
    fake.wall += 100'000;
    for (int i = 0; i < 10; ++i) {
        fake.pass(second);
        (void)clock.now_ms();
    }
    EXPECT_EQ(static_cast<std::int64_t>(clock.now_ms()), fake.wall / 1'000);
}

RC_GTEST_PROP(SlewedClockProperty, never_goes_back_and_never_runs_away,
              (std::vector<std::pair<std::uint16_t, std::int32_t>> steps)) {
    Fake fake;
    SlewedClock clock(fake.source());
    std::uint64_t last = clock.now_ms();
    for (const auto& [elapsed_ms, wall_step_ms] : steps) {
        fake.wall += static_cast<std::int64_t>(wall_step_ms) * 1'000;
        fake.pass(static_cast<std::int64_t>(elapsed_ms) * 1'000);
        const std::uint64_t now = clock.now_ms();
        RC_ASSERT(now >= last);
        RC_ASSERT(now - last <= static_cast<std::uint64_t>(elapsed_ms) * 51 / 50 + 1);
        last = now;
    }
}

TEST(SlewedClockTest, reads_the_machines_clocks) {
    SlewedClock clock;
    const std::uint64_t first = clock.now_ms();
    EXPECT_GT(first, 1'600'000'000'000U);
    EXPECT_LE(first, clock.now_ms());
}

}  // namespace
}  // namespace loyal::replica
