// Contents of the tables that checkpoints are made of (docs/STORAGE.md); all records are sealed.
//
//   pre        checkpoint u64 big-endian | name 16  ->  table u8 | u32+key | present u8 | content
//              what a record was at the checkpoint, of every record that was written since, up to the next checkpoint
//   leaves     bucket u16 big-endian  ->  (name 16 | leaf 32 | table u8 | u32+key)*, ascending by name
//   nodes      bucket u16 big-endian  ->  (since u64 | bucket digest 32) twice: the newest and the one before it
//   progress   "checkpoints"  ->  how far the others are
//              "transfer"     ->  the store is being put together (state_builder.h); nobody executes or reads
//
// Pure but for the store; Errc::corrupted for what does not match its seal or is malformed.
#pragma once

#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "kvstore/kv_tables.h"
#include "kvstore/state_digest.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

inline constexpr std::string_view pre_table_name = "pre";
inline constexpr std::string_view leaves_table_name = "leaves";
inline constexpr std::string_view nodes_table_name = "nodes";
inline constexpr std::string_view progress_table_name = "progress";

// ---- pre

struct PreRecord {
    LeafName name{};
    StateTable table = StateTable::keys;
    ByteView key;
    std::optional<ByteView> content;  // nothing: it was absent
};
[[nodiscard]] Bytes pre_key(consensus::Height checkpoint, const LeafName& name);
[[nodiscard]] Result<std::pair<consensus::Height, LeafName>> parse_pre_key(ByteView key);
[[nodiscard]] Bytes seal_pre(ByteView pre_key, const PreRecord& record);
// Views are into `entry`.
[[nodiscard]] Result<PreRecord> open_pre(const RawEntry& entry);
[[nodiscard]] Result<std::optional<PreRecord>> find_pre(const ReadTxn& txn, consensus::Height checkpoint,
                                                        const LeafName& name);

// The records of one checkpoint, from a bucket on.
class PreCursor {
 public:
    PreCursor(const ReadTxn& txn, consensus::Height checkpoint) : txn_(txn), checkpoint_(checkpoint) {}
    [[nodiscard]] Result<void> start(Bucket from);
    [[nodiscard]] Result<void> advance();
    [[nodiscard]] const std::optional<PreRecord>& record() const { return record_; }

 private:
    [[nodiscard]] Result<void> settle(const Result<std::optional<RawEntry>>& found);

    const ReadTxn& txn_;
    consensus::Height checkpoint_;
    Bytes at_;
    std::optional<PreRecord> record_;
};

// ---- leaves

struct LeafRecord {
    Leaf leaf;
    StateTable table = StateTable::keys;
    ByteView key;  // where it was read
};
using BucketLeaves = std::vector<LeafRecord>;
[[nodiscard]] Bytes bucket_key(Bucket bucket);
[[nodiscard]] Result<Bucket> parse_bucket_key(ByteView key);
// Every record of `leaves` or `nodes`, ascending: take(bucket, value) -> Result<void>.
template <class Take>
[[nodiscard]] Result<void> walk_buckets(const ReadTxn& txn, TableIndex table, const Take& take) {
    auto entry = txn.seek(table, {});
    while (entry && *entry) {
        const auto bucket = parse_bucket_key((*entry)->key);
        if (!bucket) {
            return tl::unexpected(bucket.error());
        }
        if (Result<void> taken = take(*bucket, (*entry)->value); !taken) {
            return taken;
        }
        entry = txn.seek(table, (*entry)->key, true);
    }
    return entry ? Result<void>() : Result<void>(tl::unexpected(entry.error()));
}
[[nodiscard]] Bytes seal_leaves(Bucket bucket, const BucketLeaves& leaves);
[[nodiscard]] Result<BucketLeaves> open_leaves(Bucket bucket, ByteView sealed);
// The same, and they give the digest that stands in `nodes` as the newest.
[[nodiscard]] Result<BucketLeaves> open_checked_leaves(const ReadTxn& txn, Bucket bucket, ByteView sealed);
// Empty when the bucket has no record.
[[nodiscard]] Result<BucketLeaves> read_leaves(const ReadTxn& txn, Bucket bucket);
// Nothing is sealed for an empty bucket: it has no record.
[[nodiscard]] Result<void> write_leaves(WriteTxn& txn, Bucket bucket, ByteView sealed);
[[nodiscard]] std::vector<Leaf> leaves_of(const BucketLeaves& bucket);
[[nodiscard]] crypto::Digest digest_of_bucket(const BucketLeaves& bucket);

// ---- nodes

struct BucketVersion {
    consensus::Height since;
    crypto::Digest digest;
};
struct BucketNode {
    BucketVersion newest;
    BucketVersion previous;
    // Of the checkpoint at `height`, which is not below `previous.since`.
    [[nodiscard]] const crypto::Digest& at(consensus::Height height) const {
        return newest.since <= height ? newest.digest : previous.digest;
    }
};
[[nodiscard]] Bytes seal_node(Bucket bucket, const BucketNode& node);
[[nodiscard]] Result<BucketNode> open_node(Bucket bucket, ByteView sealed);
[[nodiscard]] Result<BucketNode> read_node(const ReadTxn& txn, Bucket bucket);  // zeros when there is none
[[nodiscard]] Result<void> write_node(WriteTxn& txn, Bucket bucket, const BucketNode& node);

// ---- progress

struct CheckpointProgress {
    std::uint64_t interval = 0;
    std::vector<StateRoot> kept;  // ascending, the newest last; one or two, among them genesis
    // Being taken: the buckets below `next` are at `taking`; 0: none is.
    consensus::Height taking;
    Bucket next = 0;
    [[nodiscard]] const StateRoot& newest() const { return kept.back(); }
};
// Of a store in which none was ever written: nothing but genesis, which is the empty state.
[[nodiscard]] Result<CheckpointProgress> read_progress(const ReadTxn& txn, std::uint64_t interval);
[[nodiscard]] Result<void> write_progress(WriteTxn& txn, const CheckpointProgress& progress);

// How many records of `pre` there are for a checkpoint, and how many of them the next one has met so far while it is
// taken: `pre` is not linked, so one that is hidden would not be missed otherwise. Zeros when nothing is stored.
struct ChangedCount {
    std::uint64_t stored = 0;
    std::uint64_t met = 0;
};
[[nodiscard]] Result<ChangedCount> read_changed_count(const ReadTxn& txn, consensus::Height checkpoint);
[[nodiscard]] Result<void> write_changed_count(WriteTxn& txn, consensus::Height checkpoint, const ChangedCount& count);
[[nodiscard]] Result<void> erase_changed_count(WriteTxn& txn, consensus::Height checkpoint);

// The mark of a store that is being put together.
[[nodiscard]] Result<std::optional<StateRoot>> read_transfer(const ReadTxn& txn);
[[nodiscard]] Result<void> write_transfer(WriteTxn& txn, const StateRoot& target);
[[nodiscard]] Result<void> erase_transfer(WriteTxn& txn);

}  // namespace loyal::kvstore
