#include "config/log_quota.h"

#include <algorithm>

#include "config/limits.h"

namespace loyal::config {

namespace {

// A block with its header, certificate and votes, rounded up to pages.
constexpr std::uint64_t block_bytes = limits::body_bytes_max + (std::uint64_t{64} << 10);
// Beside the blocks of two intervals: those that certificates reach back to, those in flight, and what is being cut.
constexpr std::uint64_t more_blocks = std::uint64_t{5} * limits::window_max;
// Writes are accepted again when an eighth of the quota is free (replica/disk_watch.h).
constexpr std::uint64_t eighths = 8, eighths_used = 7;

}  // namespace

std::uint64_t log_quota_bytes_min(std::uint64_t checkpoint_interval) {
    return (2 * checkpoint_interval + more_blocks) * block_bytes / eighths_used * eighths;
}

std::uint64_t checkpoint_interval_allowed(std::uint64_t log_quota_bytes) {
    const std::uint64_t blocks = log_quota_bytes / eighths * eighths_used / block_bytes;
    return blocks <= more_blocks ? 0 : (blocks - more_blocks) / 2;
}

std::uint64_t log_quota_of(const Cluster& cluster) {
    return cluster.log_quota_bytes != 0
               ? cluster.log_quota_bytes
               : std::max(limits::log_quota_bytes, log_quota_bytes_min(cluster.checkpoint_interval));
}

}  // namespace loyal::config
