// Arguments of the data model's commands: times to live, points in time, revisions, leases, fences. Whatever is refused
// is bad input (exit 2), in words that name what was given.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "client/cli/failure.h"
#include "consensus/types.h"
#include "kvstore/operation.h"

namespace loyal::cli {

// Milliseconds, within the bounds of a lease: a duration such as 90s, 5m or 7d; a number alone is of seconds.
[[nodiscard]] Answer<std::uint64_t> ttl_argument(const std::string& text);
// "<wall ms>.<counter>", as `timestamp.hlc` is printed, or RFC 3339, which means the end of that millisecond: what was
// written at a time that was printed is part of the state as of it.
[[nodiscard]] Answer<consensus::Hlc> time_argument(const std::string& text);
// From 1. `what`: "the revision", for messages.
[[nodiscard]] Answer<std::uint64_t> number_argument(const std::string& text, std::string_view what);
// NAME=TOKEN; the name may hold equals signs.
[[nodiscard]] Answer<kvstore::Fence> fence_argument(const std::string& text);

}  // namespace loyal::cli
