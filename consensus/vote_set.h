// The latest votes of every replica, of at most two views each (bounded memory, PROTOCOL.md §17). Votes are cumulative,
// so the newest of a view stands for all before it.
#pragma once

#include <optional>
#include <vector>

#include "consensus/messages.h"

namespace loyal::consensus {

class VoteSet {
 public:
    static constexpr std::size_t views_kept = 2;

    explicit VoteSet(std::size_t replicas) : votes_(replicas) {}

    // Returns an earlier vote of the same voter, view and height for another block, if there is one (evidence E2).
    std::optional<Vote> add(const Vote& vote);
    [[nodiscard]] std::vector<Vote> of(View view) const;
    [[nodiscard]] std::vector<Vote> all() const;
    [[nodiscard]] std::vector<View> views() const;  // distinct, ascending
    [[nodiscard]] std::optional<Vote> latest(ReplicaId voter) const;

 private:
    std::vector<std::vector<Vote>> votes_;  // by voter; descending views
};

}  // namespace loyal::consensus
