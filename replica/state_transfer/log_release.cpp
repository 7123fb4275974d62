#include "replica/state_transfer/log_release.h"

namespace loyal::replica {

consensus::Height LogRelease::below(consensus::Height durable, bool room, std::uint64_t now_ms) {
    if (durable < stable_) {
        return released_;
    }
    consensus::Height height = stable_;
    for (auto each = asked_.begin(); each != asked_.end();) {
        const Asked& asked = each->second;
        if (asked.at_ms + kept_ms < now_ms || asked.checkpoint.plus(kept_blocks) < stable_) {
            each = asked_.erase(each);
            continue;
        }
        height = room ? std::min(height, asked.checkpoint) : height;
        ++each;
    }
    released_ = std::max(released_, height);
    return released_;
}

}  // namespace loyal::replica
