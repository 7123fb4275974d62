#include "sim/scenario.h"

#include <gtest/gtest.h>

#include <set>

namespace loyal::sim {
namespace {

constexpr std::uint64_t seeds = 2'000;

TEST(ScenarioTest, a_seed_always_means_the_same) {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        EXPECT_EQ(describe(make_scenario(seed)), describe(make_scenario(seed)));
    }
}

TEST(ScenarioTest, all_shapes_and_faults_occur) {
    std::set<std::pair<consensus::FaultModel, std::size_t>> shapes;
    std::set<std::uint64_t> windows;
    std::set<FaultKind> kinds;
    std::size_t calm = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Scenario scenario = make_scenario(seed);
        shapes.emplace(scenario.fault_model, scenario.n);
        windows.insert(scenario.window);
        calm += scenario.plan.empty() ? 1 : 0;
        for (const FaultEvent& event : scenario.plan) {
            kinds.insert(event.kind);
        }
    }
    EXPECT_EQ(shapes.size(), 7U);
    EXPECT_EQ(windows, (std::set<std::uint64_t>{1, 2, 4, 8}));
    EXPECT_EQ(kinds.size(), static_cast<std::size_t>(FaultKind::heal_clients) + 1);
    EXPECT_GT(calm, 50U);
}

TEST(ScenarioTest, every_scenario_keeps_the_assumptions_of_the_protocol) {
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Scenario s = make_scenario(seed);
        EXPECT_TRUE(s.quorum().is_sound());
        EXPECT_LE(s.traitors.size(), s.quorum().fb);
        EXPECT_EQ(s.clocks.size(), s.n);
        for (const ClockShape& a : s.clocks) {
            for (const ClockShape& b : s.clocks) {
                EXPECT_LE(std::abs(a.offset_ms - b.offset_ms), static_cast<std::int64_t>(s.core.precision_ms));
            }
        }
        TimeUs last = 0;
        for (const FaultEvent& event : s.plan) {
            EXPECT_GE(event.at, last);
            EXPECT_LT(event.at, s.faults_end_us);
            last = event.at;
        }
    }
}

}  // namespace
}  // namespace loyal::sim
