// Runs a scenario in the simulator: the same core, node, log, state machine and client session as real processes have,
// over simulated networks, clocks and disks, in virtual time. A seed gives the same Record on every machine, in a
// fraction of the time; what it does not show are threads, sockets and a real disk.
#pragma once

#include "client/lab/record.h"
#include "client/lab/run.h"
#include "client/lab/scenario.h"
#include "config/result.h"

namespace loyal::lab {

// Errc::invalid_argument: the scenario needs real processes (sim_plan.h).
[[nodiscard]] Result<Record> run_in_simulator(const Scenario& scenario, const RunOptions& options);

}  // namespace loyal::lab
