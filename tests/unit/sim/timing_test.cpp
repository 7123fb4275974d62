// What each timing and failure model promises, and what happens beyond it.
#include <gtest/gtest.h>

#include "crypto/identity.h"
#include "sim/swarm.h"

namespace loyal::sim {
namespace {

class TimingTest : public ::testing::Test {
 protected:
    TimingTest() { crypto::initialize(); }
    [[nodiscard]] static Scenario uniform(std::uint64_t seed, Timing timing, Failures failures) {
        Mix mix;
        mix.timing = timing;
        mix.failures = failures;
        mix.uniform = true;
        return make_scenario(seed, mix);
    }
    static constexpr std::array failures_{Failures::crash_stop, Failures::crash_recovery, Failures::byzantine};
};

TEST_F(TimingTest, synchronous_networks_lose_nothing_and_keep_their_bound) {
    for (const Failures failures : failures_) {
        for (std::uint64_t seed = 1; seed <= 30; ++seed) {
            const RunResult result = run_scenario(uniform(seed, Timing::synchronous, failures));
            EXPECT_TRUE(result.passed) << name_of(failures) << " " << seed << ": " << result.failure;
            EXPECT_EQ(result.numbers.lost, 0U);
            EXPECT_LE(result.numbers.delay_max_us, 2 * ms);
            EXPECT_EQ(result.numbers.completed, 1U);
        }
    }
}

TEST_F(TimingTest, in_a_synchronous_run_only_failing_processes_lose_their_office) {
    for (const Failures failures : failures_) {
        for (std::uint64_t seed = 1; seed <= 30; ++seed) {
            Scenario scenario = uniform(seed, Timing::synchronous, failures);
            scenario.plan.clear();
            scenario.traitors.clear();
            const RunResult result = run_scenario(scenario);
            EXPECT_TRUE(result.passed) << result.failure;
            EXPECT_EQ(result.numbers.view, 0U) << name_of(failures) << " " << seed;
        }
    }
}

TEST_F(TimingTest, partially_synchronous_runs_complete_once_the_bound_holds) {
    std::uint64_t lost = 0;
    for (const Failures failures : failures_) {
        for (std::uint64_t seed = 1; seed <= 30; ++seed) {
            const RunResult result = run_scenario(uniform(seed, Timing::partial, failures));
            EXPECT_TRUE(result.passed) << name_of(failures) << " " << seed << ": " << result.failure;
            lost += result.numbers.lost;
        }
    }
    EXPECT_GT(lost, 0U) << "before that, anything may happen";
}

// FLP: it loses nothing and delivers everything, and nothing is ever decided. Views go by.
TEST_F(TimingTest, the_adversary_withholds_progress_for_as_long_as_it_likes) {
    for (const Failures failures : failures_) {
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            Scenario scenario = uniform(seed, Timing::asynchronous, failures);
            scenario.plan.clear();
            scenario.traitors.clear();
            const RunResult result = run_scenario(scenario);
            EXPECT_TRUE(result.passed) << name_of(failures) << " " << seed << ": " << result.failure;
            EXPECT_EQ(result.numbers.operations, 0U) << name_of(failures) << " " << seed;
            EXPECT_EQ(result.numbers.completed, 0U);
            EXPECT_EQ(result.numbers.lost, 0U);
            EXPECT_GT(result.numbers.view, 2U) << name_of(failures) << " " << seed;
        }
    }
}

// The same schedule, whose adversary gives up: everything that was asked completes.
TEST_F(TimingTest, what_the_adversary_held_back_arrives_when_it_leaves) {
    for (const Failures failures : failures_) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            Scenario scenario = uniform(seed, Timing::asynchronous, failures);
            scenario.plan.clear();
            scenario.traitors.clear();
            scenario.faults_end_us = 4 * second;
            scenario.ending = Ending::recover;
            const RunResult result = run_scenario(scenario);
            EXPECT_TRUE(result.passed) << name_of(failures) << " " << seed << ": " << result.failure;
            EXPECT_GT(result.numbers.operations, 0U);
        }
    }
}

TEST_F(TimingTest, without_the_adversary_the_same_run_completes) {
    Scenario scenario = uniform(1, Timing::asynchronous, Failures::byzantine);
    scenario.plan.clear();
    scenario.traitors.clear();
    scenario.scheming = Scheming::none;
    EXPECT_EQ(run_scenario(scenario).numbers.completed, 1U);
}

TEST_F(TimingTest, an_adversary_that_shuffles_breaks_nothing_either) {
    for (const Failures failures : failures_) {
        std::uint64_t operations = 0;
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            Scenario scenario = uniform(seed, Timing::asynchronous, failures);
            scenario.scheming = Scheming::shuffle;
            const RunResult result = run_scenario(scenario);
            EXPECT_TRUE(result.passed) << name_of(failures) << " " << seed << ": " << result.failure;
            operations += result.numbers.operations;
        }
        EXPECT_GT(operations, 0U) << "it does not mind if something is decided";
    }
}

TEST_F(TimingTest, who_crashed_for_good_stays_down_and_the_rest_goes_on) {
    for (const auto& [model, failures, n] : std::vector<std::tuple<consensus::FaultModel, Failures, std::size_t>>{
             {consensus::FaultModel::crash, Failures::crash_stop, 5},
             {consensus::FaultModel::byzantine, Failures::byzantine, 7}}) {
        Scenario scenario = uniform(1, Timing::synchronous, failures);
        scenario.fault_model = model;
        scenario.n = n;
        scenario.clocks.assign(n, ClockShape());
        scenario.traitors.clear();
        scenario.plan.clear();
        // f of them, the first primary among them; a restart that somebody tries is no restart.
        for (const std::uint16_t id : {std::uint16_t{0}, std::uint16_t{1}}) {
            FaultEvent end{200 * ms, FaultKind::crash_stop, id, 0, 0, 0, {}, {}};
            FaultEvent restart{600 * ms, FaultKind::restart, id, 0, 0, 0, {}, {}};
            scenario.plan.push_back(end);
            scenario.plan.push_back(restart);
        }
        std::stable_sort(scenario.plan.begin(), scenario.plan.end(),
                         [](const FaultEvent& a, const FaultEvent& b) { return a.at < b.at; });
        struct Watch : Observer {
            void sampled(TimeUs at, const ReplicaSample& sample) override {
                if (at > 700 * ms) {
                    ++(sample.up ? up : down)[sample.replica.value];
                }
            }
            std::map<std::uint16_t, int> up, down;
        } watch;
        RunOptions options;
        options.observer = &watch;
        const RunResult result = run_scenario(scenario, options);
        EXPECT_TRUE(result.passed) << result.failure;
        EXPECT_EQ(result.numbers.completed, 1U);
        EXPECT_EQ(watch.up.count(0) + watch.up.count(1), 0U);
        EXPECT_EQ(watch.up.size(), n - 2);
        EXPECT_EQ(watch.down.size(), 2U);
    }
}

TEST_F(TimingTest, one_more_crash_than_tolerated_stops_everything_and_breaks_nothing) {
    Scenario scenario = uniform(1, Timing::synchronous, Failures::crash_stop);
    scenario.plan = {{200 * ms, FaultKind::crash_stop, 1, 0, 0, 0, {}, {}},
                     {200 * ms, FaultKind::crash_stop, 2, 0, 0, 0, {}, {}}};
    scenario.ending = Ending::stop;
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_EQ(result.numbers.completed, 0U);
}

TEST_F(TimingTest, a_disk_that_fails_ends_the_process_and_nothing_is_lost) {
    for (const std::int64_t which : {0, 1}) {
        for (const Failures failures : {Failures::crash_recovery, Failures::byzantine}) {
            Scenario scenario = uniform(1, Timing::synchronous, failures);
            scenario.traitors.clear();
            scenario.plan = {{300 * ms, FaultKind::fail_sync, 0, 0, 0, which, {}, {}},
                             {700 * ms, FaultKind::restart, 0, 0, 0, 0, {}, {}}};
            const RunResult result = run_scenario(scenario);
            EXPECT_TRUE(result.passed) << result.failure;
            EXPECT_EQ(result.numbers.crashes, 1U);
        }
    }
}

// ---- Beyond the model

class TooManyTraitorsTest : public TimingTest {
 protected:
    // In how many of a hundred seeds correct replicas disagree; each of them is a failure.
    [[nodiscard]] static std::uint64_t disagreed(Failures failures) {
        SwarmOptions options;
        options.seeds = 100;
        options.jobs = 2;
        options.go_on = true;
        options.mix.failures = failures;
        options.mix.too_many_traitors = true;
        const SwarmReport report = run_swarm(options);
        EXPECT_EQ(report.ran, options.seeds);
        EXPECT_GE(report.failures.size(), report.totals.disagreed);
        EXPECT_EQ(report.totals.unsafe, report.failures.size()) << "none is a question of time";
        return report.totals.disagreed;
    }
};

TEST_F(TooManyTraitorsTest, break_agreement_and_are_noticed) {
    EXPECT_GT(disagreed(Failures::byzantine), 50U);
}

TEST_F(TooManyTraitorsTest, one_liar_is_too_many_among_replicas_that_only_crash) {
    EXPECT_GT(disagreed(Failures::crash_recovery), 50U);
    EXPECT_GT(disagreed(Failures::crash_stop), 50U);
}

TEST_F(TooManyTraitorsTest, the_same_liar_harms_nobody_where_liars_are_expected) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        Scenario crash = uniform(seed, Timing::synchronous, Failures::crash_recovery);
        Scenario byzantine = uniform(seed, Timing::synchronous, Failures::byzantine);
        for (Scenario* scenario : {&crash, &byzantine}) {
            scenario->traitors = {0};
            scenario->plan = {{0, FaultKind::behave, 0, 0, 0, 0, "equivocate", {}}};
        }
        const RunResult safe = run_scenario(byzantine);
        EXPECT_TRUE(safe.passed) << safe.failure;
        EXPECT_EQ(run_scenario(crash).numbers.unsafe, 1U) << "seed " << seed;
    }
}

}  // namespace
}  // namespace loyal::sim
