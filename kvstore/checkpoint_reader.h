// Reads the state as it was at a checkpoint, within one transaction: what stands in `pre` of that checkpoint or, if
// nothing does, of the next one above it, and so on; else the live record. Leaves come from the table `leaves`, which
// may be of that checkpoint or of a newer one, or on its way between two: a name whose leaf differs has a record in
// `pre`. Errors: Errc::corrupted, those of the store. One thread; lives no longer than the transaction.
#pragma once

#include <optional>
#include <vector>

#include "kvstore/checkpoint_tables.h"
#include "kvstore/checkpoints.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

class CheckpointReader {
 public:
    // `complete`: the height of the store's meta record.
    CheckpointReader(const ReadTxn& txn, consensus::Height checkpoint, consensus::Height complete,
                     std::uint64_t interval);

    // What the record was; `name` is its leaf's.
    [[nodiscard]] Result<std::optional<ByteView>> content(const LeafName& name, StateTable table, ByteView key) const;
    // Keys live as long as the transaction.
    [[nodiscard]] Result<BucketLeaves> leaves(Bucket bucket) const;
    // True if the record may have changed after the checkpoint.
    [[nodiscard]] Result<bool> changed_since(const LeafName& name) const;

 private:
    const ReadTxn& txn_;
    std::vector<consensus::Height> checkpoints_;  // this one and those above it, ascending
};

}  // namespace loyal::kvstore
