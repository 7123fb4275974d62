// RootCalculator: the root of a state whose records come one after the other, in ascending order of their names, as
// they stand in a backup. Memory: one bucket's leaves, and the digests of the buckets (4 MiB at most).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "config/result.h"
#include "crypto/digest.h"
#include "kvstore/state_digest.h"

namespace loyal::backup {

class RootCalculator {
 public:
    explicit RootCalculator(const kvstore::Salt& salt) : salt_(salt) {}

    // Errc::corrupted: not above the record before it.
    [[nodiscard]] Result<void> add(const kvstore::StateRecord& record);
    [[nodiscard]] crypto::Digest finish();  // once
    [[nodiscard]] std::uint64_t records() const { return records_; }

 private:
    void end_bucket();

    kvstore::Salt salt_;
    kvstore::DigestTree tree_;
    std::vector<kvstore::Leaf> leaves_;  // of the bucket that is being read
    std::uint64_t records_ = 0;
};

}  // namespace loyal::backup
