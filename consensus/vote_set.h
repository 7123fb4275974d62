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

    void add(const Vote& vote);
    [[nodiscard]] std::vector<Vote> of(View view) const;
    [[nodiscard]] const std::vector<Vote>& of(ReplicaId voter) const { return votes_.at(voter.value); }
    [[nodiscard]] std::optional<Vote> of(View view, ReplicaId voter) const;
    [[nodiscard]] std::vector<Vote> all() const;
    [[nodiscard]] std::vector<View> views() const;  // distinct, ascending
    [[nodiscard]] std::optional<Vote> latest(ReplicaId voter) const;

 private:
    std::vector<std::vector<Vote>> votes_;  // by voter; descending views
};

}  // namespace loyal::consensus
