#include "sim/swarm.h"

#include <gtest/gtest.h>

#include "config/assert.h"
#include "crypto/identity.h"
#include "sim/shrink.h"

namespace loyal::sim {
namespace {

class SwarmTest : public ::testing::Test {
 protected:
    SwarmTest() { crypto::initialize(); }
    // Two traitors of four lie alike: some runs fail.
    static void too_many_liars(Scenario& scenario) {
        scenario.timing = Timing::partial;
        scenario.scheming = Scheming::none;
        scenario.ending = Ending::recover;
        scenario.fault_model = consensus::FaultModel::byzantine;
        scenario.n = 4;
        scenario.clocks.assign(4, ClockShape{});
        scenario.traitors = {1, 2};
        scenario.plan = {{0, FaultKind::behave, 1, 0, 0, 0, "lie-to-clients", {}},
                         {0, FaultKind::behave, 2, 0, 0, 0, "lie-to-clients", {}}};
    }
};

TEST_F(SwarmTest, runs_every_seed_once_however_many_processes_there_are) {
    SwarmOptions options;
    options.first = 100;
    options.seeds = 30;
    options.jobs = 1;
    const SwarmReport alone = run_swarm(options);
    options.jobs = 4;
    const SwarmReport together = run_swarm(options);
    EXPECT_EQ(alone.ran, 30U);
    EXPECT_EQ(together.ran, 30U);
    EXPECT_EQ(alone.totals.trace_hash, together.totals.trace_hash);
    EXPECT_TRUE(alone.failures.empty()) << alone.failures.front().seed << ": " << alone.failures.front().reason;
}

TEST_F(SwarmTest, reports_the_seeds_that_fail_with_the_reason) {
    SwarmOptions options;
    options.seeds = 10;
    options.jobs = 2;
    options.edit = too_many_liars;
    const SwarmReport report = run_swarm(options);
    EXPECT_EQ(report.ran, 10U);
    ASSERT_FALSE(report.failures.empty());
    EXPECT_NE(report.failures.front().reason.find("at "), std::string::npos);
}

TEST_F(SwarmTest, a_run_that_aborts_is_a_failure_and_the_others_go_on) {
    SwarmOptions options;
    options.seeds = 9;
    options.jobs = 3;
    options.edit = [](Scenario& scenario) {
        LOYAL_ASSERT(scenario.seed != 5, "seed five is unlucky");
        scenario.workload.operations = 1;
    };
    const SwarmReport report = run_swarm(options);
    EXPECT_EQ(report.ran, 9U);
    ASSERT_EQ(report.failures.size(), 1U);
    EXPECT_EQ(report.failures.front().seed, 5U);
    EXPECT_NE(report.failures.front().reason.find("seed five is unlucky"), std::string::npos)
        << report.failures.front().reason;
}

TEST_F(SwarmTest, stops_after_enough_failures) {
    SwarmOptions options;
    options.seeds = 100'000;
    options.jobs = 2;
    options.failures_max = 2;
    options.edit = too_many_liars;
    EXPECT_LT(run_swarm(options).ran, 1'000U);
}

TEST_F(SwarmTest, a_failing_seed_shrinks_to_what_is_needed) {
    // Without deduplication any retry executes twice.
    Reduction reduction;
    reduction.rules_off = {"C4"};
    std::uint64_t seed = 1;
    while (run_isolated(reduction.apply(seed)).passed) {
        ASSERT_LT(++seed, 500U) << "no seed shows the fault";
    }
    const Shrunk shrunk = shrink(seed, reduction, 60);
    EXPECT_FALSE(shrunk.failure.empty());
    const Scenario before = reduction.apply(seed), after = shrunk.reduction.apply(seed);
    EXPECT_LE(after.plan.size(), before.plan.size());
    EXPECT_FALSE(run_isolated(after).passed) << "what it prints still fails";
    EXPECT_NE(shrunk.reduction.command(seed).find("--without C4"), std::string::npos);
}

}  // namespace
}  // namespace loyal::sim
