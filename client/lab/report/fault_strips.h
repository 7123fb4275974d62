// What was wrong with a replica, its links, clock, disk or process, and from when to when: read from what it said of
// itself and from the scenario's steps. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/scenario.h"

namespace loyal::lab {

struct FaultStrip {
    double from_s = 0, to_s = 0;
    std::string text;
    bool lie = false;  // a traitor's behaviour, not a fault of its surroundings
    friend bool operator==(const FaultStrip&, const FaultStrip&) = default;
};
inline constexpr std::size_t strips_max = 120;  // of one replica; neighbours are joined beyond that

// In order of their beginning.
[[nodiscard]] std::vector<FaultStrip> fault_strips(const Record& record, const Scenario& scenario,
                                                   std::uint16_t replica, double end_s);
// When events of a kind happened that were about `replica` or about nobody in particular, ascending.
[[nodiscard]] std::vector<double> times_of(const Record& record, Event::Kind kind,
                                           std::optional<std::uint16_t> replica);
// Samples are rare: when one of `times` fell between two of them, that is when things changed; else when it was seen.
[[nodiscard]] double changed_at(const std::vector<double>& times, double before_s, double seen_s);
// When the last step of the scenario was done.
[[nodiscard]] double last_step_s(const Record& record, const Scenario& scenario);

}  // namespace loyal::lab
