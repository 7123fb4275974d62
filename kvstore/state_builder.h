// StateBuilder: puts a state together in an empty store from records that were proved against a certified root (S6).
// Records are gathered as sorted runs and merged into their tables when every bucket is there (sorted_runs.h); what
// changes after that, because a newer state is wanted, is changed in the tables. Resumable: buckets that are complete
// are remembered in the same transactions as their records. Whoever serves reads or executes has nothing to do with the
// store until `finish` succeeded: a store under construction is marked as such, and StateMachine::open refuses it.
//
// Threads: one. Errors: Errc::corrupted (the root of what was built is not the target's), disk_full, io.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kvstore/checkpoints.h"
#include "kvstore/state_digest.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// Memory and transactions: both are as large as this.
struct BuilderLimits {
    std::size_t batch_records = 65'536;
    std::size_t batch_bytes = std::size_t{16} << 20U;
    std::size_t block_bytes = std::size_t{60} << 10U;  // of a run
};

class StateBuilder {
 public:
    // An empty store, or one that an interrupted transfer left, also of an older target: its buckets are kept where
    // their digest is still the wanted one. Durable when it returns: 'transferring to `target`'. Errc::conflict: the
    // store holds a state in force. An interruption loses what was put since the last transaction that was synced.
    [[nodiscard]] static Result<std::unique_ptr<StateBuilder>> begin(Store& store, const CheckpointOptions& options,
                                                                     const StateRoot& target,
                                                                     const BuilderLimits& limits = {});
    virtual ~StateBuilder() = default;

    // Digest of a bucket that is complete in the store, or waits to be written; zero for one that holds nothing yet,
    // which is complete if it is to be empty.
    [[nodiscard]] virtual std::optional<crypto::Digest> done(Bucket bucket) const = 0;
    // Leaves of a bucket that are in the store already, of this or of an older target.
    [[nodiscard]] virtual Result<std::vector<Leaf>> leaves(Bucket bucket) const = 0;
    // The bucket becomes exactly `leaves`: `records` are those of them that the store lacks, each checked by the caller
    // against its leaf. Buffered; written in bounded transactions.
    [[nodiscard]] virtual Result<void> put(Bucket bucket, const std::vector<Leaf>& leaves,
                                           std::vector<StateRecord> records) = 0;
    // A newer state is wanted. Durable when it returns, with all that was put; buckets that are the same stay.
    [[nodiscard]] virtual Result<void> retarget(const StateRoot& target) = 0;
    // Every bucket is done: puts everything in its place and reads it back, which takes time in proportion to the
    // state. After that a newer target costs what differs. Errc::corrupted: the transfer begins again.
    [[nodiscard]] virtual Result<void> settle() = 0;
    // Settles, compares the root, takes the mark away, syncs. Errc::corrupted: nothing is taken away, the transfer
    // begins again.
    [[nodiscard]] virtual Result<void> finish() = 0;
};

}  // namespace loyal::kvstore
