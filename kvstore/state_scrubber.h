// Reads everything that the state's store holds, a bounded number of records at a time, so that what rotted is found
// before somebody needs it (checkpoints.h, scrub).
#pragma once

#include "kvstore/checkpoint_taker.h"
#include "kvstore/checkpoints.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

class StateScrubber {
 public:
    StateScrubber(Store& store, const Salt& salt, const CheckpointTaker& taker)
        : store_(store), salt_(salt), taker_(taker) {}

    [[nodiscard]] Result<Checkpoints::ScrubStep> step(std::size_t records_max);

 private:
    // One record behind `at_`; false at the end of the table.
    [[nodiscard]] Result<bool> check_next(const ReadTxn& txn);
    [[nodiscard]] Result<bool> check_linked(const ReadTxn& txn, const RootedTable& rooted);
    [[nodiscard]] Result<bool> check_plain(const ReadTxn& txn, TableIndex table);
    // The record's leaf says what the record holds, if the record is what it was at the newest checkpoint.
    [[nodiscard]] Result<void> check_leaf(const ReadTxn& txn, const RootedTable& rooted,
                                          const LinkedEntry& entry) const;
    // Behind a record that is damaged.
    [[nodiscard]] Result<void> skip(const ReadTxn& txn);
    [[nodiscard]] TableIndex table() const;

    Store& store_;
    Salt salt_;
    const CheckpointTaker& taker_;
    std::size_t stage_ = 0;  // which table
    Bytes at_;               // the last key that was looked at
    consensus::Height complete_;
};

}  // namespace loyal::kvstore
