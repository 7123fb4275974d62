// Swarm: many seeds on several processes. A run that aborts (an assertion of the code under test) or never ends costs
// its worker, not the swarm: the seed is reported with the last line it wrote to standard error.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sim/world.h"

namespace loyal::sim {

using EditScenario = std::function<void(Scenario&)>;  // after it was made from its seed

struct SwarmOptions {
    std::uint64_t first = 1;
    std::uint64_t seeds = 1'000;
    std::size_t jobs = 1;
    std::uint64_t seed_time_max_s = 120;  // of real time
    std::size_t failures_max = 0;         // stop after so many; 0: run all
    Mix mix;
    EditScenario edit;
    bool go_on = false;                                                // RunOptions::go_on
    std::function<void(std::uint64_t seed, const RunResult&)> on_run;  // of each; not in order of seed
};

struct SwarmFailure {
    std::uint64_t seed = 0;
    std::string reason;
};

struct SwarmReport {
    std::uint64_t ran = 0;
    std::vector<SwarmFailure> failures;  // in order of seed
    RunNumbers totals;                   // sums; `view`, `recovery_us` and `slowest_us` are maxima
};

// `progress` is called now and then with what is known so far.
[[nodiscard]] SwarmReport run_swarm(const SwarmOptions& options,
                                    const std::function<void(const SwarmReport&)>& progress = {});

// One scenario in a process of its own: an abort is a failure like another.
[[nodiscard]] RunResult run_isolated(const Scenario& scenario, std::uint64_t time_max_s = 120);

}  // namespace loyal::sim
