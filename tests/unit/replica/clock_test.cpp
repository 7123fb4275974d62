#include "replica/clock.h"

#include "replica/clock_steps.h"

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

// ---- Steps of the wall clock

struct StepWatch {
    Fake fake;
    SlewedClock clock{fake.source()};
    ClockSteps steps;
    std::optional<std::int64_t> look() {
        (void)clock.now_us();
        return steps.observe(clock.behind_wall_us(), static_cast<std::uint64_t>(fake.boot));
    }
    std::optional<std::int64_t> pass(std::int64_t us) {
        fake.pass(us);
        return look();
    }
};

TEST(ClockStepsTest, a_step_is_noticed_once_and_its_size_is_told) {
    for (const std::int64_t step : {-hour, 10 * second, -200'000L}) {
        StepWatch watch;
        for (int i = 0; i < 100; ++i) {
            EXPECT_FALSE(watch.pass(10'000));
        }
        watch.fake.wall += step;
        EXPECT_FALSE(watch.pass(10'000)) << "seen once, it may have been a pause between two readings";
        const auto found = watch.pass(10'000);
        ASSERT_TRUE(found);
        EXPECT_NEAR(static_cast<double>(*found), static_cast<double>(step), 1'000);
        for (int i = 0; i < 30'000; ++i) {
            EXPECT_FALSE(watch.pass(10'000)) << "what SlewedClock makes up for is no further step";
        }
        EXPECT_EQ(watch.steps.count(), 1U);
    }
}

TEST(ClockStepsTest, a_long_sleep_and_a_pause_between_readings_are_no_steps) {
    StepWatch watch;
    EXPECT_FALSE(watch.pass(10'000));
    EXPECT_FALSE(watch.pass(hour));
    EXPECT_FALSE(watch.pass(10'000));
    // The process slept after it had read one clock and before it read the other.
    EXPECT_FALSE(
        watch.steps.observe(watch.clock.behind_wall_us() + 3 * second, static_cast<std::uint64_t>(watch.fake.boot)));
    EXPECT_FALSE(watch.pass(10'000));
    EXPECT_FALSE(watch.pass(10'000));
    EXPECT_EQ(watch.steps.count(), 0U);
}

TEST(SlewedClockTest, reads_the_machines_clocks) {
    SlewedClock clock;
    const std::uint64_t first = clock.now_ms();
    EXPECT_GT(first, 1'600'000'000'000U);
    EXPECT_LE(first, clock.now_ms());
}

}  // namespace
}  // namespace loyal::replica
