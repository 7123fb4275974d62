// Checkpoints: digests of the state at heights that are a multiple of C, kept readable until they are not needed any
// more (PROTOCOL.md §13 S2 to S4). Lives in the state's own store, beside the tables that it is about, so that what it
// says and what they hold change in the same transactions (docs/decisions/0009).
//
//   StateMachine   ends a generation of the overlay exactly at each checkpoint height c. From then on the transaction
//                  that first changes a record also stores, in table `pre`, what it was at c (or that it was absent).
//   Checkpoints    in the background, in bounded transactions: takes the names in pre[c - C], which are exactly the
//                  records that changed between, brings their leaves and buckets up to date, and has the root of c.
//
// The state at c is `keys`, `sessions` and `meta`, overridden by pre[c], also after a restart. Two checkpoints are
// kept: the newest stable one and the one above it; one that is being fetched when its time is over stays readable for
// some intervals more, if they are short.
//
// Threads: one thread (the background's), while the executor's threads use the same Store. Errors: Errc::corrupted
// (a record that this replica should have is damaged: its state needs repair), disk_full, io.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "kvstore/state_digest.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

struct CheckpointOptions {
    Salt salt;
    std::uint64_t interval = 0;  // C; 0: none are taken
};

class Checkpoints {
 public:
    // `state` has the tables of StateMachine::state_tables() and outlives the object.
    [[nodiscard]] static Result<std::unique_ptr<Checkpoints>> open(Store& state, CheckpointOptions options);
    virtual ~Checkpoints() = default;

    // ---- Taking
    // One bounded step (at most about `records_max` records) toward the root of the next checkpoint that the store
    // is complete for, or of forgetting an old one. False when there is nothing to do.
    [[nodiscard]] virtual Result<bool> work(std::size_t records_max) = 0;
    // Checkpoints whose root is durable here and whose state is readable, ascending; at most two, after genesis (0).
    [[nodiscard]] virtual std::vector<StateRoot> roots() const = 0;
    // `height` is stable: older ones are forgotten, a little with each work(). Returns at once.
    virtual void release_below(consensus::Height height) = 0;

    // ---- Serving, from the state at one of roots(). Errc::not_found: no such checkpoint here.
    [[nodiscard]] virtual Result<std::vector<crypto::Digest>> subtree(consensus::Height checkpoint,
                                                                      std::uint32_t index) const = 0;
    [[nodiscard]] virtual Result<std::vector<Leaf>> leaves(consensus::Height checkpoint, Bucket bucket) const = 0;
    // Those of `names` that exist there, in their order, until `bytes_max` is reached; at least one.
    [[nodiscard]] virtual Result<std::vector<StateRecord>> records(consensus::Height checkpoint,
                                                                   const std::vector<LeafName>& names,
                                                                   std::size_t bytes_max) const = 0;

    // ---- Scrubbing
    // Reads on, at most `records_max` records, behind where the last call stopped; seals, links to neighbours and,
    // where nothing was written since, the leaf of each record are compared. Starts anew at the end.
    struct ScrubStep {
        std::uint64_t records = 0;
        bool wrapped = false;               // this step reached the end
        std::optional<std::string> damage;  // what was found, if anything
    };
    [[nodiscard]] virtual Result<ScrubStep> scrub(std::size_t records_max) = 0;
};

}  // namespace loyal::kvstore
