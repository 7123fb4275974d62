// Building blocks of schedules in which disks are lost (docs/PROTOCOL.md §14).
#pragma once

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {

// A cluster in which rotations for amnesiacs come every second.
[[nodiscard]] Shape losing_shape(std::size_t n, FaultModel model, const std::vector<std::string>& rules_off = {},
                                 std::set<std::size_t> traitors = {});
// Submits "<text><i>" to everybody in `members` and lets them go on until each has executed it.
[[nodiscard]] bool works(TestCluster& cluster, const Members& members, const std::string& text, std::uint64_t seq,
                         std::size_t ticks = 1500);
// Ticks until none of `replicas` is amnesiac any more; everybody in `members` takes part.
[[nodiscard]] bool remember(TestCluster& cluster, const Members& members, const Members& replicas,
                            std::size_t ticks = 3000);
// Statements of one replica that contradict each other, in everything that ever left it: two VIEW-CHANGEs for a view,
// two votes at one view and height, two NEWVIEWs of a view, two blocks at one view and height.
[[nodiscard]] std::optional<std::string> contradiction_of(const TestCluster& cluster, std::size_t replica);
// Signed statements that left `replica` since the history had `since` entries.
[[nodiscard]] std::size_t statements_of(const TestCluster& cluster, std::size_t replica, std::size_t since);

}  // namespace loyal::consensus::test
