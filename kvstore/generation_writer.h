// Writes a frozen generation of the overlay to the store: the records themselves, with their links, and what those that
// change were at the checkpoint below (table `pre`, PROTOCOL.md S3).
#pragma once

#include "kvstore/checkpoints.h"
#include "kvstore/overlay.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// The newest checkpoint at or below `height`; genesis is one.
[[nodiscard]] inline consensus::Height checkpoint_below(consensus::Height height, std::uint64_t interval) {
    return consensus::Height(height.value / interval * interval);
}

// `from`: what the store is complete for; no checkpoint lies between that and the generation's own height. Does not
// commit. Errors: those of linked_table.h.
[[nodiscard]] Result<void> write_generation(WriteTxn& txn, const Generation& generation, consensus::Height from,
                                            const CheckpointOptions& options);

}  // namespace loyal::kvstore
