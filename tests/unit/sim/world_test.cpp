#include "sim/world.h"

#include <gtest/gtest.h>

#include "crypto/identity.h"
#include "sim/shrink.h"

namespace loyal::sim {
namespace {

class WorldTest : public ::testing::Test {
 protected:
    WorldTest() { crypto::initialize(); }
    // Nothing goes wrong in it.
    [[nodiscard]] static Scenario quiet(consensus::FaultModel model, std::size_t n) {
        Scenario scenario = make_scenario(1);
        scenario.fault_model = model;
        scenario.n = n;
        scenario.clocks.assign(n, ClockShape{});
        scenario.plan.clear();
        scenario.traitors.clear();
        scenario.quality = scenario.storm = scenario.calm = LinkQuality{};
        scenario.workload.timeout_ms = 300'000;
        return scenario;
    }
};

TEST_F(WorldTest, a_seed_gives_the_same_run_to_the_last_event) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        const RunResult first = run_scenario(make_scenario(seed));
        const RunResult second = run_scenario(make_scenario(seed));
        EXPECT_EQ(first.numbers.trace_hash, second.numbers.trace_hash) << "seed " << seed;
        EXPECT_EQ(first.numbers.events, second.numbers.events);
    }
}

TEST_F(WorldTest, the_text_of_a_trace_is_the_same_and_reading_it_changes_nothing) {
    const auto traced = [](std::uint64_t seed, std::string& text) {
        RunOptions options;
        options.trace = [&text](const std::string& line) { text += line + "\n"; };
        return run_scenario(make_scenario(seed), options);
    };
    std::string first, second;
    const RunResult result = traced(5, first);
    (void)traced(5, second);
    EXPECT_GT(first.size(), 1'000U);
    EXPECT_EQ(first, second);
    EXPECT_EQ(result.numbers.trace_hash, run_scenario(make_scenario(5)).numbers.trace_hash);
}

TEST_F(WorldTest, other_seeds_give_other_runs) {
    EXPECT_NE(run_scenario(make_scenario(1)).numbers.trace_hash, run_scenario(make_scenario(2)).numbers.trace_hash);
}

TEST_F(WorldTest, without_faults_every_cluster_stays_in_its_first_view) {
    for (const auto& [model, n] :
         std::vector<std::pair<consensus::FaultModel, std::size_t>>{{consensus::FaultModel::byzantine, 4},
                                                                    {consensus::FaultModel::byzantine, 7},
                                                                    {consensus::FaultModel::crash, 3},
                                                                    {consensus::FaultModel::crash, 5}}) {
        const RunResult result = run_scenario(quiet(model, n));
        EXPECT_TRUE(result.passed) << result.failure;
        EXPECT_EQ(result.numbers.view, 0U) << n;
        EXPECT_GT(result.numbers.operations, 0U);
        EXPECT_EQ(result.numbers.unknown, 0U);
    }
}

TEST_F(WorldTest, the_crash_of_the_primary_ends_in_another_view) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.plan = {{300 * ms, FaultKind::crash, 0, 0, 0, 0}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.view, 0U);
    EXPECT_EQ(result.numbers.crashes, 1U);
}

TEST_F(WorldTest, a_power_cut_loses_nothing) {
    for (const auto model : {consensus::FaultModel::byzantine, consensus::FaultModel::crash}) {
        Scenario scenario = quiet(model, 4);
        scenario.plan = {{400 * ms, FaultKind::power_cut, 0, 0, 0, 0}, {600 * ms, FaultKind::restart_all, 0, 0, 0, 0}};
        const RunResult result = run_scenario(scenario);
        EXPECT_TRUE(result.passed) << result.failure;
        EXPECT_EQ(result.numbers.crashes, 4U);
    }
}

TEST_F(WorldTest, an_equivocating_primary_is_convicted_and_replaced) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {0};
    scenario.plan = {{0, FaultKind::behave, 0, 0, 0, 0, "equivocate"}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.accusations, 0U);
    EXPECT_GT(result.numbers.view, 0U);
}

TEST_F(WorldTest, a_client_is_not_fooled_by_one_liar) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {2};
    scenario.plan = {{0, FaultKind::behave, 2, 0, 0, 0, "lie-to-clients"}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.done, 0U);
}

TEST_F(WorldTest, more_traitors_than_the_model_allows_are_noticed) {
    // Two of four tell clients the same lie, which is as many as a client believes.
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {1, 2};
    scenario.plan = {{0, FaultKind::behave, 1, 0, 0, 3}, {0, FaultKind::behave, 2, 0, 0, 3}};
    const RunResult result = run_scenario(scenario);
    EXPECT_FALSE(result.passed);
    const bool is_a_lie =
        result.failure.find("FALSE") != std::string::npos || result.failure.find("LOST") != std::string::npos;
    EXPECT_TRUE(is_a_lie) << result.failure;
}

TEST_F(WorldTest, a_cluster_that_cannot_recover_is_reported) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {1, 2};
    scenario.plan = {{0, FaultKind::behave, 1, 0, 0, 1}, {0, FaultKind::behave, 2, 0, 0, 1}};
    scenario.recovery_max_us = 5 * second;
    const RunResult result = run_scenario(scenario);
    EXPECT_FALSE(result.passed);
    EXPECT_NE(result.failure.find("LIVENESS"), std::string::npos) << result.failure;
}

}  // namespace
}  // namespace loyal::sim
