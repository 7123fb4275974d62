// Shrink: makes a failing scenario smaller while it goes on failing, so that a human can follow it: fewer faults, fewer
// clients and operations, a calmer network (delta debugging, Zeller and Hildebrandt, TSE'02).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sim/world.h"

namespace loyal::sim {

// A scenario made from a seed and then cut down; what `loyal-sim run` takes on its command line.
struct Reduction {
    std::optional<std::vector<std::size_t>> keep;  // indices of the seed's plan; absent: all
    std::optional<std::size_t> clients, operations, outstanding;
    bool calm_network = false;
    Mix mix;
    std::vector<std::string> rules_off;

    [[nodiscard]] Scenario apply(std::uint64_t seed) const;
    [[nodiscard]] std::string command(std::uint64_t seed) const;
};

struct Shrunk {
    Reduction reduction;
    std::string failure;  // of the smallest scenario; empty: the seed did not fail
    std::size_t runs = 0;
};

// `on_step` hears of every success.
[[nodiscard]] Shrunk shrink(std::uint64_t seed, const Reduction& from, std::size_t runs_max,
                            const std::function<void(const Reduction&, const std::string& failure)>& on_step = {});

}  // namespace loyal::sim
