// Which block a new view starts from: the one decision that carries what was committed across a view change. Pure.
#pragma once

#include <optional>
#include <vector>

#include "consensus/messages.h"
#include "consensus/rules.h"

namespace loyal::consensus {

// Rule V4: the lock of maximal rank, view first, then height (Jolteon's TC rule). Any commit quorum shares a correct
// replica with these q, whose lock was durable before its commit vote left, so the maximum extends what was committed
// (docs/PROTOCOL.md, Lemma 2). Nothing when two locks of maximal rank name different blocks (evidence E6; never an
// assertion, because a traitor can make it so: pitfall 26), or when the list is empty.
[[nodiscard]] std::optional<Lock> select_base(const std::vector<ViewChange>& view_changes, const RuleSet& rules = {});

}  // namespace loyal::consensus
