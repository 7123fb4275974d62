#include "consensus/view_change_safety.h"

namespace loyal::consensus {

std::optional<Lock> select_base(const std::vector<ViewChange>& view_changes, const RuleSet& rules) {
    const auto rank = [&](const Lock& lock) {
        const auto [view, height] = lock.rank();
        return rules.has("V4") ? std::pair(view, height)
                               : std::pair(static_cast<std::int64_t>(height), std::uint64_t{0});
    };
    std::optional<Lock> best;
    bool tie = false;
    for (const ViewChange& change : view_changes) {
        if (!best || rank(change.lock) > rank(*best)) {
            best = change.lock;
            tie = false;
        } else if (rank(change.lock) == rank(*best) && change.lock != *best) {
            tie = true;
        }
    }
    return tie && rules.has("V4") ? std::nullopt : best;
}

}  // namespace loyal::consensus
