// One maker a behaviour; registry.cpp lists them by name. Private to replica/faults.
#pragma once

#include <memory>
#include <string>

#include "replica/faults/fault_model.h"

namespace loyal::replica::faults {

// `argument` is what stood after '='. Errc::invalid_argument says what is wrong with it.
using Maker = Result<std::unique_ptr<FaultModel>> (*)(const FaultContext& context, const std::string& argument);

[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_silent(const FaultContext& context, const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_equivocate(const FaultContext& context,
                                                                  const std::string& argument);
[[nodiscard]] Result<std::unique_ptr<FaultModel>> make_lie_to_clients(const FaultContext& context,
                                                                      const std::string& argument);

// splitmix64 (Steele, Lea, Flood, OOPSLA'14): a fixed function, so that a behaviour with a seed repeats everywhere.
[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) {
    value += 0x9E3779B97F4A7C15ULL;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
    return value ^ (value >> 31U);
}

}  // namespace loyal::replica::faults
