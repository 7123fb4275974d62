// Building blocks of schedules about checkpoints and state transfer.
#pragma once

#include <string>
#include <vector>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {

inline constexpr std::uint64_t checkpoint_step = 8;  // C of these schedules; W is 2

[[nodiscard]] Shape checkpoint_shape(const std::vector<std::string>& rules_off = {},
                                     std::set<std::size_t> traitors = {},
                                     FaultModel fault_model = FaultModel::byzantine);
// Writes, one after the other, among `members`, until each of them has committed `height`. False if that takes too
// long.
bool write_until(TestCluster& cluster, Height height, const Members& members);
// One more write, executed by all of `members` that execute.
bool write_one(TestCluster& cluster, const Members& members);
// Both computed the same, as far as both have.
[[nodiscard]] bool same_state(const TestCluster& cluster, std::size_t one, std::size_t other);
// Ticks until `done`.
bool run_until(TestCluster& cluster, const Members& members, const std::function<bool()>& done,
               std::size_t ticks = 3000);
// The traitor R0 leads view 0 and has the others prepare its next block, which carries `checkpoint`.
void traitor_proposes(TestCluster& cluster, const StateRoot& checkpoint);

}  // namespace loyal::consensus::test
