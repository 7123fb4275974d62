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
    Mix disks;
    disks.disk_faults = true;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        for (const FaultEvent& event : make_scenario(seed, disks).plan) {
            kinds.insert(event.kind);
        }
    }
    kinds.insert(FaultKind::heal_all);  // of the lab alone
    EXPECT_EQ(kinds.size(), static_cast<std::size_t>(FaultKind::heal_all) + 1);
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

TEST(ScenarioTest, timing_and_failure_models_all_occur_and_can_be_asked_for) {
    std::set<std::pair<Timing, Failures>> drawn;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Scenario s = make_scenario(seed);
        drawn.emplace(s.timing, s.failures);
        EXPECT_EQ(s.fault_model == consensus::FaultModel::byzantine, s.failures == Failures::byzantine);
        EXPECT_EQ(s.scheming != Scheming::none, s.timing == Timing::asynchronous);
    }
    EXPECT_EQ(drawn.size(), 9U);
    Mix mix;
    mix.timing = Timing::asynchronous;
    mix.failures = Failures::crash_stop;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        const Scenario s = make_scenario(seed, mix);
        EXPECT_EQ(s.timing, Timing::asynchronous);
        EXPECT_EQ(s.failures, Failures::crash_stop);
    }
}

// Those who end for good and those who lie are at most f together, in every model: nobody makes up for them.
TEST(ScenarioTest, whoever_never_returns_counts_against_what_the_cluster_tolerates) {
    std::size_t stopped_in_all = 0, with_f_stopped = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Scenario s = make_scenario(seed);
        std::set<std::uint16_t> stopped;
        for (const FaultEvent& event : s.plan) {
            if (event.kind == FaultKind::crash_stop) {
                stopped.insert(event.a);
            }
            if (s.failures == Failures::crash_stop) {
                EXPECT_NE(event.kind, FaultKind::restart) << "seed " << seed;
                EXPECT_NE(event.kind, FaultKind::power_cut) << "seed " << seed;
            }
        }
        EXPECT_LE(stopped.size() + s.traitors.size(), s.quorum().f) << "seed " << seed;
        stopped_in_all += stopped.size();
        with_f_stopped += stopped.size() == s.quorum().f ? 1 : 0;
        if (s.failures == Failures::crash_recovery) {
            EXPECT_TRUE(stopped.empty());
        }
    }
    EXPECT_GT(stopped_in_all, 50U);
    EXPECT_GT(with_f_stopped, 20U);
}

// A bound that always holds: nothing is lost, nothing is late, nobody is slow and no clock is wrong.
TEST(ScenarioTest, synchronous_scenarios_have_faults_of_processes_only) {
    const std::set<FaultKind> allowed{FaultKind::crash,     FaultKind::crash_midway, FaultKind::crash_in_sync,
                                      FaultKind::fail_sync, FaultKind::crash_stop,   FaultKind::power_cut,
                                      FaultKind::restart,   FaultKind::restart_all,  FaultKind::behave};
    Mix mix;
    mix.timing = Timing::synchronous;
    std::size_t faults = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        const Scenario s = make_scenario(seed, mix);
        EXPECT_EQ(s.quality.loss_ppm + s.quality.slow_ppm + s.quality.corrupt_ppm, 0U);
        EXPECT_LE(s.quality.delay_min_us + s.quality.delay_spread_us, 2 * ms);
        for (const FaultEvent& event : s.plan) {
            EXPECT_TRUE(allowed.contains(event.kind)) << name_of(event.kind);
        }
        faults += s.plan.size();
    }
    EXPECT_GT(faults, seeds);
}

TEST(ScenarioTest, uniform_scenarios_differ_in_their_faults_alone) {
    Mix mix;
    mix.uniform = true;
    for (const Failures failures : {Failures::crash_stop, Failures::crash_recovery, Failures::byzantine}) {
        mix.failures = failures;
        for (std::uint64_t seed = 1; seed <= 50; ++seed) {
            const Scenario s = make_scenario(seed, mix);
            EXPECT_EQ(s.n, failures == Failures::byzantine ? 4U : 3U);
            EXPECT_EQ(s.workload.clients, WorkloadShape().clients);
            EXPECT_EQ(s.core.heartbeat_ms, consensus::Options().heartbeat_ms);
        }
    }
}

}  // namespace
}  // namespace loyal::sim
