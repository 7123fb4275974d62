// The judge: what a Record shows, measured against what its Scenario expects. Agreement (digests of correct replicas at
// equal heights), linearizability of each key's history, durability (what was acknowledged can be read at the end),
// execution exactly once (a key was changed as often as its changes were acknowledged), liveness, evidence. Knows
// neither processes nor simulators. Pure; thread-safe.
#pragma once

#include "client/lab/record.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

// Findings are also added to the record's events by whoever shows them (violation_events).
[[nodiscard]] Verdict judge(const Scenario& scenario, const Record& record);
[[nodiscard]] std::vector<Event> violation_events(const Verdict& verdict);

}  // namespace loyal::lab
