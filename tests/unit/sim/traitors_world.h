// Runs with traitors, for the tests of behaviours in a whole cluster.
#pragma once

#include <gtest/gtest.h>

#include "crypto/identity.h"
#include "sim/world.h"

namespace loyal::sim {

class TraitorsTest : public ::testing::Test {
 protected:
    TraitorsTest() { crypto::initialize(); }

    struct Traitor {
        std::uint16_t replica;
        std::string fault;
    };
    // Timers, network, disks and workload of the seed; nothing goes wrong but what the traitors do.
    [[nodiscard]] static Scenario betrayed(std::uint64_t seed, std::size_t n, const std::vector<Traitor>& traitors,
                                           consensus::FaultModel model = consensus::FaultModel::byzantine) {
        Mix mix;
        mix.timing = Timing::partial;
        mix.failures = model == consensus::FaultModel::byzantine ? Failures::byzantine : Failures::crash_recovery;
        Scenario scenario = make_scenario(seed, mix);
        scenario.fault_model = model;
        scenario.n = n;
        scenario.clocks.assign(n, ClockShape{});
        scenario.quality = scenario.storm = scenario.calm;
        scenario.workload.timeout_ms = 300'000;
        scenario.workload.operations = 20;
        scenario.workload.clients = 2;
        scenario.faults_end_us = 1'500 * ms;
        scenario.workload.think_us = 80 * ms;
        scenario.plan.clear();
        scenario.traitors.clear();
        for (const Traitor& traitor : traitors) {
            scenario.traitors.push_back(traitor.replica);
            scenario.plan.push_back(behave(traitor));
        }
        return scenario;
    }
    [[nodiscard]] static FaultEvent behave(const Traitor& traitor) {
        FaultEvent event;
        event.kind = FaultKind::behave;
        event.a = traitor.replica;
        event.text = traitor.fault;
        return event;
    }
    [[nodiscard]] static FaultEvent event(TimeUs at, FaultKind kind, std::uint16_t a = 0, std::uint32_t mask = 0) {
        FaultEvent event;
        event.at = at;
        event.kind = kind;
        event.a = a;
        event.mask = mask;
        return event;
    }
    // One of the others is away for a while and has to catch up.
    static void leave_behind(Scenario& scenario, std::uint16_t replica) {
        scenario.plan.push_back(event(200 * ms, FaultKind::partition, 0, std::uint32_t{1} << replica));
        scenario.plan.push_back(event(900 * ms, FaultKind::heal_network));
    }
    [[nodiscard]] static RunNumbers contained(const Scenario& scenario) {
        const RunResult result = run_scenario(scenario);
        EXPECT_TRUE(result.passed) << describe(scenario) << result.failure;
        // Everything that was asked, and more than what is asked once the faults are over.
        EXPECT_EQ(result.numbers.completed, 1U) << describe(scenario);
        EXPECT_GT(result.numbers.done, scenario.workload.clients * scenario.workload.last_operations);
        EXPECT_EQ(result.numbers.disagreed, 0U);
        return result.numbers;
    }
};

}  // namespace loyal::sim
