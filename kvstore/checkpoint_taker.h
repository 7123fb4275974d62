// Takes a checkpoint in bounded steps: the records that changed since the one before, bucket by bucket, out of `pre`.
// A step reads in one short transaction and writes in another: what a record was at a checkpoint does not change while
// the executor goes on. Also forgets what no checkpoint needs any more. See checkpoints.h for threads and errors.
#pragma once

#include <map>
#include <set>

#include "kvstore/checkpoint_reader.h"
#include "kvstore/checkpoint_tables.h"
#include "kvstore/checkpoints.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

class CheckpointTaker {
 public:
    CheckpointTaker(Store& store, CheckpointOptions options) : store_(store), options_(options) {}
    // Reads where the last process stopped; Errc::corrupted when the digests do not give the roots.
    [[nodiscard]] Result<void> load();

    // One step; false when there is nothing to do.
    [[nodiscard]] Result<bool> work(std::size_t records_max);
    void release_below(consensus::Height height);

    // Those kept, ascending; the first may be genesis.
    [[nodiscard]] const std::vector<StateRoot>& kept() const { return progress_.kept; }
    // Null when it is not readable.
    [[nodiscard]] const DigestTree* tree(consensus::Height checkpoint) const;
    // Somebody fetches this one: it stays readable a little longer than it is kept.
    void note_served(consensus::Height checkpoint) { served_.insert(checkpoint); }
    [[nodiscard]] std::uint64_t interval() const { return options_.interval; }

 private:
    struct ChangedBucket {
        Bucket bucket = 0;
        crypto::Digest digest;
        Bytes leaves;  // sealed
    };
    struct Step {
        std::vector<ChangedBucket> buckets;
        Bucket next = 0;  // the first bucket that was not looked at
        std::size_t records = 0;
    };
    [[nodiscard]] consensus::Height next_checkpoint() const {
        return progress_.newest().height.plus(options_.interval);
    }
    [[nodiscard]] Result<bool> is_due() const;
    [[nodiscard]] Result<void> take(std::size_t records_max);
    [[nodiscard]] Result<Step> read_step(std::size_t records_max) const;
    // All of one bucket, on the first of whose records `changed` stands.
    [[nodiscard]] Result<ChangedBucket> read_bucket(const ReadTxn& txn, const CheckpointReader& reader,
                                                    PreCursor& changed, std::size_t& records) const;
    [[nodiscard]] Result<void> write_step(const Step& step);
    [[nodiscard]] Result<void> count_changed(WriteTxn& txn, const Step& step, bool taken) const;
    [[nodiscard]] Result<bool> forget(std::size_t records_max);
    void hold(consensus::Height checkpoint);
    void let_go_of_held();
    // What the tables have to tell of.
    [[nodiscard]] consensus::Height oldest_readable() const {
        return held_.empty() ? progress_.kept.front().height : held_.begin()->first;
    }

    Store& store_;
    CheckpointOptions options_;
    CheckpointProgress progress_;
    std::map<consensus::Height, DigestTree> trees_;  // of what is kept and of what is being taken
    // Beyond those kept, while somebody fetches them; their trees are in memory only, so no start finds them again.
    std::map<consensus::Height, DigestTree> held_;
    std::set<consensus::Height> served_;  // since the last checkpoint was begun
    bool released_ = false;               // the stored progress still names checkpoints that are not kept
};

}  // namespace loyal::kvstore
