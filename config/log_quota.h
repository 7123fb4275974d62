// How much a replica's log may hold. A log is only cut below a stable checkpoint, and a checkpoint is stable only
// checkpoint_interval blocks later (PROTOCOL.md S4, S5): a quota below what lies in between would be reached in the
// normal course of things, and since no block may follow then, for good. So it has to hold that at its largest. What is
// in the way of a quota that large is a disk of less; a smaller checkpoint_interval is the remedy. Pure.
#pragma once

#include <cstdint>

#include "config/cluster.h"

namespace loyal::config {

// The smallest quota that a log with that interval never reaches unless something else is wrong.
[[nodiscard]] std::uint64_t log_quota_bytes_min(std::uint64_t checkpoint_interval);
// The largest interval that a quota allows; 0: none.
[[nodiscard]] std::uint64_t checkpoint_interval_allowed(std::uint64_t log_quota_bytes);
// The quota in force: the file's, or else what the interval needs, and not less than limits::log_quota_bytes.
[[nodiscard]] std::uint64_t log_quota_of(const Cluster& cluster);

}  // namespace loyal::config
