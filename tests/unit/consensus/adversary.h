// A traitor that signs whatever may help it, and random schedules around it (docs/PROTOCOL.md §22 [M]: the model's
// fuzz2 and its traitor search, over the production core). Same seed, same schedule.
#pragma once

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {

struct Chaos {
    std::size_t n = 4;
    FaultModel fault_model = FaultModel::byzantine;
    std::uint64_t window = 8;
    std::vector<std::string> rules_off;
    int views = 6;
    std::size_t turns = 3;                                    // at most so many proposals a view
    bool must_recover = true;                                 // afterwards everybody executes one more operation
    std::function<void(const TestCluster&)> afterwards = {};  // shown the cluster when all is over
    std::optional<std::size_t> traitors = {};                 // fb, unless it is given
    std::uint64_t checkpoint_interval = 0;                    // C: roots come late, states are lost and fetched
    std::size_t losses_at_once = 0;                           // disks are lost while fewer replicas are amnesiac
};

struct Verdict {
    bool safe = true;
    bool live = true;
    std::string why;
    std::uint64_t height = 0;
    std::uint64_t view = 0;
    std::uint64_t transfers = 0;  // of states
    std::uint64_t losses = 0;     // of disks
    std::uint64_t recovered = 0;  // of them
};

[[nodiscard]] Verdict run_chaos(const Chaos& chaos, std::uint64_t seed);

}  // namespace loyal::consensus::test
