#include "sim/shrink.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

#include "sim/swarm.h"

namespace loyal::sim {

Scenario Reduction::apply(std::uint64_t seed) const {
    Scenario scenario = make_scenario(seed, mix);
    if (keep) {
        std::vector<FaultEvent> plan;
        for (const std::size_t index : *keep) {
            if (index < scenario.plan.size()) {
                plan.push_back(scenario.plan[index]);
            }
        }
        scenario.plan = std::move(plan);
    }
    scenario.workload.clients = clients.value_or(scenario.workload.clients);
    scenario.workload.operations = operations.value_or(scenario.workload.operations);
    scenario.workload.outstanding = outstanding.value_or(scenario.workload.outstanding);
    if (calm_network) {
        scenario.quality = scenario.calm;
    }
    scenario.core.rules_off = rules_off;
    scenario.state_rules_off = rules_off;
    return scenario;
}

std::string Reduction::command(std::uint64_t seed) const {
    std::string text = fmt::format("loyal-sim run --seed {}", seed);
    if (keep) {
        text += keep->empty() ? " --keep none" : fmt::format(" --keep {}", fmt::join(*keep, ","));
    }
    if (clients) {
        text += fmt::format(" --clients {}", *clients);
    }
    if (operations) {
        text += fmt::format(" --operations {}", *operations);
    }
    if (outstanding) {
        text += fmt::format(" --outstanding {}", *outstanding);
    }
    text += calm_network ? " --calm" : "";
    if (mix.timing) {
        text += fmt::format(" --timing {}", name_of(*mix.timing));
    }
    if (mix.failures) {
        text += fmt::format(" --failure-model {}", name_of(*mix.failures));
    }
    text += mix.uniform ? " --uniform" : "";
    text += mix.too_many_traitors ? " --too-many-traitors" : "";
    text += mix.disk_faults ? " --disk-faults" : "";
    text += mix.watches ? fmt::format(" --watches {}", *mix.watches) : "";
    for (const std::string& rule : rules_off) {
        text += " --without " + rule;
    }
    return text;
}

namespace {

class Shrinker {
 public:
    Shrinker(std::uint64_t seed, std::size_t runs_max,
             const std::function<void(const Reduction&, const std::string&)>& on_step)
        : seed_(seed), runs_max_(runs_max), on_step_(on_step) {}

    [[nodiscard]] Shrunk run(const Reduction& from) {
        best_.reduction = from;
        if (!fails(from)) {
            return best_;
        }
        bool smaller = true;
        while (smaller && best_.runs < runs_max_) {
            smaller = fewer_faults();
            smaller |= lower(&Reduction::clients, best().workload.clients);
            smaller |= lower(&Reduction::operations, best().workload.operations);
            smaller |= lower(&Reduction::outstanding, best().workload.outstanding);
            smaller |= calmer();
        }
        return best_;
    }

 private:
    [[nodiscard]] Scenario best() const { return best_.reduction.apply(seed_); }
    bool fails(const Reduction& candidate) {
        if (best_.runs >= runs_max_) {
            return false;
        }
        ++best_.runs;
        const RunResult result = run_isolated(candidate.apply(seed_));
        if (result.passed) {
            return false;
        }
        best_.reduction = candidate;
        best_.failure = result.failure;
        if (on_step_) {
            on_step_(candidate, result.failure);
        }
        return true;
    }
    // Without halves of the plan, then quarters, ... then single events.
    bool fewer_faults() {
        bool any = false;
        std::vector<std::size_t> kept = best_.reduction.keep.value_or(std::vector<std::size_t>());
        if (!best_.reduction.keep) {
            kept.resize(make_scenario(seed_, best_.reduction.mix).plan.size());
            std::iota(kept.begin(), kept.end(), std::size_t{0});
        }
        for (std::size_t chunk = std::max<std::size_t>(1, kept.size() / 2); !kept.empty(); chunk /= 2) {
            for (std::size_t at = 0; at < kept.size();) {
                Reduction candidate = best_.reduction;
                std::vector<std::size_t> rest(kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(at));
                rest.insert(rest.end(), kept.begin() + static_cast<std::ptrdiff_t>(std::min(at + chunk, kept.size())),
                            kept.end());
                candidate.keep = rest;
                if (fails(candidate)) {
                    kept = std::move(rest);
                    any = true;
                } else {
                    at += chunk;
                }
            }
            if (chunk == 1) {
                break;
            }
        }
        return any;
    }
    bool lower(std::optional<std::size_t> Reduction::*field, std::size_t now) {
        bool any = false;
        for (std::size_t to = 1; to < now; to = to * 2) {
            Reduction candidate = best_.reduction;
            candidate.*field = to;
            if (fails(candidate)) {
                any = true;
                break;
            }
        }
        return any;
    }
    bool calmer() {
        if (best_.reduction.calm_network) {
            return false;
        }
        Reduction candidate = best_.reduction;
        candidate.calm_network = true;
        return fails(candidate);
    }

    std::uint64_t seed_;
    std::size_t runs_max_;
    const std::function<void(const Reduction&, const std::string&)>& on_step_;
    Shrunk best_;
};

}  // namespace

Shrunk shrink(std::uint64_t seed, const Reduction& from, std::size_t runs_max,
              const std::function<void(const Reduction&, const std::string&)>& on_step) {
    return Shrinker(seed, runs_max, on_step).run(from);
}

}  // namespace loyal::sim
