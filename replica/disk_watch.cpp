#include "replica/disk_watch.h"

#include <algorithm>

#include "config/limits.h"

namespace loyal::replica {

namespace {

// A small disk keeps an eighth of itself.
std::uint64_t reserve_of(std::uint64_t total_bytes) {
    return std::min(limits::disk_reserve_bytes, total_bytes / 8);
}

bool exceeds(std::uint64_t used, std::uint64_t limit, bool already) {
    return used > (already ? limit - limit / 8 : limit);
}

}  // namespace

void DiskWatch::look(const DiskUse& use) {
    auto& [full, log, state] = alarms_;
    const std::uint64_t reserve = reserve_of(use.total_bytes);
    full.raised = use.free_bytes < reserve + (full.raised ? reserve / 8 : 0);
    log.raised = exceeds(use.log_bytes, limits_.log_quota_bytes, log.raised);
    state.raised = exceeds(use.kv_largest_bytes, limits_.state_quota_bytes, state.raised);
}

bool DiskWatch::refuses_writes() const {
    return std::any_of(alarms_.begin(), alarms_.end(), [](const Alarm& alarm) { return alarm.raised; });
}

}  // namespace loyal::replica
