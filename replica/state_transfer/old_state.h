// OldState: the checkpoints of a state that is given up, as far as they can be read, for the transfer that takes its
// place. What is wrong with a record, the fetcher sees. Threads: as of the checkpoints.
#pragma once

#include <vector>

#include "kvstore/checkpoints.h"
#include "replica/state_transfer/state_fetch.h"

namespace loyal::replica {

class OldState final : public LocalState {
 public:
    // Null: nothing is left. It outlives the object.
    explicit OldState(const kvstore::Checkpoints* checkpoints);
    [[nodiscard]] std::vector<std::vector<crypto::Digest>> subtrees(std::uint32_t index) override;
    [[nodiscard]] std::vector<std::vector<kvstore::Leaf>> leaves(kvstore::Bucket bucket) override;
    [[nodiscard]] std::vector<kvstore::StateRecord> records(const std::vector<kvstore::Leaf>& wanted) override;

 private:
    const kvstore::Checkpoints* checkpoints_;
    std::vector<kvstore::StateRoot> roots_;  // newest first
};

}  // namespace loyal::replica
