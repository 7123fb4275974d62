// Runs a scenario on real loyald processes of this machine: a fresh cluster in a temporary folder, clients, the steps
// at their times, and everything that was seen as a Record. Whatever happens, every process has ended when it returns.
#pragma once

#include "client/lab/record.h"
#include "client/lab/run.h"
#include "client/lab/scenario.h"
#include "config/result.h"

namespace loyal::lab {

[[nodiscard]] Result<Record> run_on_processes(const Scenario& scenario, const RunOptions& options);

}  // namespace loyal::lab
