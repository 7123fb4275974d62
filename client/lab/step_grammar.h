// The small language of steps: who, which links, which fault. Private to client/lab; pure.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "client/lab/scenario.h"
#include "config/result.h"

namespace loyal::lab {

// "0", "0,2", "all", "primary", "backup", "dead". Errors name the word and what there is.
[[nodiscard]] Result<Target> parse_target(const std::string& text, std::uint16_t replicas);
// The value of a step's one field; `kind` is the field's.
[[nodiscard]] Result<Step> parse_step(Step::Kind kind, const std::string& value, std::uint16_t replicas);
// "replica 0", "replicas 0, 2", "the primary".
[[nodiscard]] std::string words_of(const Target& target);

}  // namespace loyal::lab
