// A lab scenario as the simulator runs it: the same cluster, workload, timers and steps, in virtual time. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "client/lab/scenario.h"
#include "config/result.h"
#include "sim/scenario.h"

namespace loyal::lab {

struct SimPlan {
    sim::Scenario scenario;
    // Of each event of the plan: the index of the step that it is a part of.
    std::vector<std::size_t> step_of;
};

// Errc::invalid_argument: a step that only real processes can do, with its name and what to do instead.
[[nodiscard]] Result<SimPlan> plan_for_simulator(const Scenario& scenario, std::uint64_t seed);

}  // namespace loyal::lab
