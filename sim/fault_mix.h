// What a traitor of a random run is told to do: any behaviours that replica/faults lists, with arguments that make
// sense in the cluster. A behaviour that is added there takes part from then on.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replica/faults/fault_spec.h"
#include "sim/random.h"

namespace loyal::sim {

// An argument of the form that `info` asks for; empty when it may be left out and is, or takes none. Nothing when there
// is none that makes sense here (accomplices, where there are none). A placeholder that is not known is asserted: teach
// it.
[[nodiscard]] std::optional<std::string> random_argument(Random& random, const replica::BehaviourInfo& info,
                                                         std::size_t n, std::uint16_t self,
                                                         const std::vector<std::uint16_t>& traitors);

// A fault line of one to three behaviours (replica/faults/fault_spec.h) for replica `self`, one of `traitors`.
[[nodiscard]] std::string random_fault(Random& random, std::size_t n, std::uint16_t self,
                                       const std::vector<std::uint16_t>& traitors);

// How f+1 of them break a cluster: all split the others together. One alone is enough in the crash fault model.
[[nodiscard]] std::string betrayal(std::uint16_t self, const std::vector<std::uint16_t>& traitors);

}  // namespace loyal::sim
