// Disks that fail, rot, vanish or come back from the past, each alone in a quiet cluster: what was acknowledged stays,
// nobody signs what contradicts what it signed before, and everybody takes part again in the end (the checkers of a
// run). PROTOCOL.md §13, §14.
#include <gtest/gtest.h>

#include "crypto/identity.h"
#include "sim/shrink.h"
#include "sim/swarm.h"
#include "sim/world.h"

namespace loyal::sim {
namespace {

class DiskFaultsTest : public ::testing::TestWithParam<consensus::FaultModel> {
 protected:
    DiskFaultsTest() { crypto::initialize(); }
    // Nothing goes wrong in it. A checkpoint every four blocks, which the work makes many of.
    [[nodiscard]] static Scenario quiet(std::size_t n = 4) {
        Mix mix;
        mix.timing = Timing::partial;
        mix.failures = GetParam() == consensus::FaultModel::byzantine ? Failures::byzantine : Failures::crash_recovery;
        mix.disk_faults = true;
        Scenario scenario = make_scenario(1, mix);
        scenario.core = consensus::Options();
        scenario.core.progress_max_ms = 3'000;
        scenario.fault_model = GetParam();
        scenario.n = n;
        scenario.window = 1;
        scenario.checkpoint_interval = 4;
        scenario.clocks.assign(n, ClockShape{});
        scenario.plan.clear();
        scenario.traitors.clear();
        scenario.quality = scenario.storm = scenario.calm = LinkQuality{};
        scenario.disk = DiskShape{};
        scenario.workload = WorkloadShape();
        scenario.workload.operations = 40;
        scenario.workload.keys = 8;
        scenario.workload.timeout_ms = 300'000;
        scenario.faults_end_us = 3 * second;
        return scenario;
    }
    // So much is done in it that the logs no longer reach back to its first blocks.
    [[nodiscard]] static Scenario long_and_quiet() {
        Scenario scenario = quiet();
        scenario.workload.clients = 3;
        scenario.workload.operations = 90;
        scenario.workload.mix = {};
        scenario.workload.mix.puts = 90;
        scenario.faults_end_us = 4 * second;
        scenario.workload.think_us = 30'000;
        return scenario;
    }
    static FaultEvent event(TimeUs at, FaultKind kind, std::uint16_t who, std::int64_t arg = 0, std::uint32_t mask = 0,
                            std::uint16_t b = 0) {
        FaultEvent made;
        made.at = at;
        made.kind = kind;
        made.a = who;
        made.b = b;
        made.mask = mask;
        made.arg = arg;
        return made;
    }
    static RunResult run(Scenario scenario, std::vector<FaultEvent> plan) {
        scenario.plan = std::move(plan);
        const RunResult result = run_scenario(scenario);
        EXPECT_TRUE(result.passed) << result.failure;
        return result;
    }
    static constexpr auto all = static_cast<std::int64_t>(DiskPart::all);
    static constexpr auto state = static_cast<std::int64_t>(DiskPart::state);
    static constexpr auto log = static_cast<std::int64_t>(DiskPart::log);
};

TEST_P(DiskFaultsTest, checkpoints_are_taken_and_equal_everywhere) {
    const RunResult result = run(quiet(), {});
    EXPECT_GE(result.numbers.checkpoint, 16U);
    EXPECT_EQ(result.numbers.installs, 0U);
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

TEST_P(DiskFaultsTest, whoever_lost_its_disk_signs_nothing_until_it_may_and_takes_part_again) {
    const RunResult result =
        run(quiet(), {event(1 * second, FaultKind::lose_disk, 2, all), event(1'100 * ms, FaultKind::restart, 2)});
    EXPECT_EQ(result.numbers.amnesias, 1U);
}

TEST_P(DiskFaultsTest, a_disk_lost_late_comes_back_with_a_state_of_the_others) {
    const RunResult result = run(
        long_and_quiet(), {event(3'500 * ms, FaultKind::lose_disk, 2, all), event(3'600 * ms, FaultKind::restart, 2)});
    EXPECT_EQ(result.numbers.amnesias, 1U);
    EXPECT_GE(result.numbers.installs, 1U);
}

TEST_P(DiskFaultsTest, the_first_primary_may_lose_its_disk_too) {
    const RunResult result =
        run(quiet(), {event(1 * second, FaultKind::lose_disk, 0, all), event(1'100 * ms, FaultKind::restart, 0)});
    EXPECT_EQ(result.numbers.amnesias, 1U);
}

TEST_P(DiskFaultsTest, a_lost_log_is_lost_votes_whatever_the_state_is) {
    const RunResult result =
        run(quiet(), {event(1 * second, FaultKind::lose_disk, 1, log), event(1'100 * ms, FaultKind::restart, 1)});
    EXPECT_EQ(result.numbers.amnesias, 1U);
}

TEST_P(DiskFaultsTest, a_lost_state_costs_no_vote_and_is_executed_again) {
    const RunResult result =
        run(quiet(), {event(1 * second, FaultKind::lose_disk, 1, state), event(1'100 * ms, FaultKind::restart, 1)});
    EXPECT_EQ(result.numbers.amnesias, 0U);
    EXPECT_EQ(result.numbers.installs, 0U);
}

TEST_P(DiskFaultsTest, a_state_lost_late_is_fetched) {
    const RunResult result = run(long_and_quiet(), {event(3'500 * ms, FaultKind::lose_disk, 1, state),
                                                    event(3'600 * ms, FaultKind::restart, 1)});
    EXPECT_EQ(result.numbers.amnesias, 0U);
    EXPECT_GE(result.numbers.installs, 1U);
}

TEST_P(DiskFaultsTest, two_of_seven_lose_everything_at_once) {
    const RunResult result =
        run(quiet(7), {event(1 * second, FaultKind::lose_disk, 0, all), event(1 * second, FaultKind::lose_disk, 3, all),
                       event(1'100 * ms, FaultKind::restart, 0), event(1'150 * ms, FaultKind::restart, 3)});
    EXPECT_EQ(result.numbers.amnesias, 2U);
}

TEST_P(DiskFaultsTest, whoever_was_away_longer_than_the_logs_reach_fetches_the_state) {
    const RunResult result =
        run(long_and_quiet(), {event(300 * ms, FaultKind::crash, 3), event(3'800 * ms, FaultKind::restart, 3)});
    EXPECT_GE(result.numbers.installs, 1U);
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

TEST_P(DiskFaultsTest, rot_in_the_state_is_found_and_repaired) {
    std::vector<FaultEvent> plan;
    for (std::uint64_t i = 0; i < 12; ++i) {
        plan.push_back(event((1'000 + 20 * i) * ms, FaultKind::rot, 2, state, 0, static_cast<std::uint16_t>(i % 2)));
    }
    const RunResult result = run(quiet(), plan);
    EXPECT_GE(result.numbers.installs, 1U);
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

TEST_P(DiskFaultsTest, rot_in_the_log_is_found_at_the_next_start) {
    std::vector<FaultEvent> plan;
    for (std::uint64_t i = 0; i < 12; ++i) {
        plan.push_back(event((1'000 + i) * ms, FaultKind::rot, 2, log, 0, static_cast<std::uint16_t>(i % 2)));
    }
    plan.push_back(event(1'020 * ms, FaultKind::crash, 2));
    plan.push_back(event(1'040 * ms, FaultKind::restart, 2));
    (void)run(quiet(), plan);
}

// What has rotted in the log of a replica that runs on: the end of a run asks for a log without damage.
std::vector<FaultEvent> log_rots_while_it_runs() {
    std::vector<FaultEvent> plan;
    for (std::uint64_t i = 0; i < 24; ++i) {
        FaultEvent rot;
        rot.at = (1'000 + 60 * i) * ms;
        rot.kind = FaultKind::rot;
        rot.a = 2;
        rot.b = static_cast<std::uint16_t>(i % 2);
        rot.arg = static_cast<std::int64_t>(DiskPart::log);
        plan.push_back(rot);
    }
    return plan;
}

TEST_P(DiskFaultsTest, rot_in_the_log_is_repaired_while_the_replica_runs) {
    const RunResult result = run(quiet(), log_rots_while_it_runs());
    EXPECT_EQ(result.numbers.amnesias, 0U) << "what it voted for it still knows";
    EXPECT_EQ(result.numbers.crashes, 0U);
}

TEST_P(DiskFaultsTest, rot_in_the_log_stays_without_the_rule) {
    Scenario scenario = quiet();
    scenario.core.rules_off = {"A6-repair"};
    scenario.plan = log_rots_while_it_runs();
    const RunResult result = run_scenario(scenario);
    EXPECT_FALSE(result.passed);
    EXPECT_NE(result.failure.find("the log of replica 2, which begins at height 1, is damaged"), std::string::npos)
        << result.failure;
}

// A replica that knows that its state is wrong knows it after a crash, too.
TEST_P(DiskFaultsTest, a_state_that_was_found_damaged_is_not_believed_by_the_next_process) {
    std::vector<FaultEvent> plan;
    for (std::uint64_t i = 0; i < 12; ++i) {
        plan.push_back(event((1'000 + 20 * i) * ms, FaultKind::rot, 2, state, 0, static_cast<std::uint16_t>(i % 2)));
    }
    for (std::uint64_t i = 0; i < 20; ++i) {
        plan.push_back(event((1'150 + 30 * i) * ms, FaultKind::crash, 2));
        plan.push_back(event((1'160 + 30 * i) * ms, FaultKind::restart, 2));
    }
    const RunResult result = run(quiet(), plan);
    EXPECT_GE(result.numbers.installs, 1U);
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

TEST_P(DiskFaultsTest, a_disk_that_fails_one_operation_in_ten_costs_nothing_but_restarts) {
    const RunResult result = run(quiet(), {event(200 * ms, FaultKind::bad_disk, 1, 100'000, trouble_all)});
    EXPECT_GE(result.numbers.crashes, 1U);
}

TEST_P(DiskFaultsTest, power_fails_for_several_at_once) {
    (void)run(quiet(),
              {event(1 * second, FaultKind::power_cut, 0, 0, 0b0111), event(1'200 * ms, FaultKind::restart_all, 0)});
}

TEST_P(DiskFaultsTest, an_old_image_of_the_state_alone_is_made_good_from_the_log) {
    const RunResult result =
        run(quiet(), {event(600 * ms, FaultKind::keep_image, 1), event(800 * ms, FaultKind::roll_back, 1, state),
                      event(850 * ms, FaultKind::restart, 1)});
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

INSTANTIATE_TEST_SUITE_P(Models, DiskFaultsTest,
                         ::testing::Values(consensus::FaultModel::byzantine, consensus::FaultModel::crash),
                         [](const auto& one) {
                             return one.param == consensus::FaultModel::byzantine ? "byzantine" : "crash";
                         });

// ---- What only the byzantine fault model bears: who does not know yet that it is wrong

class DeceivedTest : public DiskFaultsTest {};

TEST_P(DeceivedTest, an_old_image_of_the_disk_is_told_by_its_peers) {
    const RunResult result =
        run(quiet(), {event(500 * ms, FaultKind::keep_image, 1), event(1'500 * ms, FaultKind::roll_back, 1, all),
                      event(1'550 * ms, FaultKind::restart, 1)});
    EXPECT_EQ(result.numbers.amnesias, 1U);
}

TEST_P(DeceivedTest, a_state_that_diverged_is_noticed_and_replaced) {
    const RunResult result = run(quiet(), {event(1 * second, FaultKind::diverge, 2)});
    EXPECT_GE(result.numbers.installs, 1U);
    EXPECT_EQ(result.numbers.amnesias, 0U);
}

INSTANTIATE_TEST_SUITE_P(Models, DeceivedTest, ::testing::Values(consensus::FaultModel::byzantine),
                         [](const auto&) { return "byzantine"; });

}  // namespace
}  // namespace loyal::sim
