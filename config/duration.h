// Durations as people write them: 250ms, 5s, 1.5m, 1h, 7d. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "config/result.h"

namespace loyal {

// Whole milliseconds, at most `ms_max`. One decimal number without a sign and one unit (ms, s, m, h, d), nothing else;
// what is finer than a millisecond, too long or not finite is Errc::invalid_argument, in words that name `text`.
[[nodiscard]] Result<std::uint64_t> parse_duration_ms(std::string_view text, std::uint64_t ms_max);

}  // namespace loyal
