#include "kvstore/state_builder.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kvstore/checkpoint_tables.h"
#include "kvstore/sorted_runs.h"
#include "kvstore/whole_state.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

// A synced transaction now and then bounds what an interrupted transfer fetches again.
constexpr std::uint64_t batches_per_sync = 8;

tl::unexpected<Error> misfit(Bucket bucket, const char* why) {
    return fail(Errc::invalid_argument, "bucket " + std::to_string(bucket) + " of a state: " + why);
}

struct NamedKey {
    StateTable table = StateTable::keys;
    Bytes key;
};

class StoredBuilder final : public StateBuilder {
 public:
    StoredBuilder(Store& store, const CheckpointOptions& options, const BuilderLimits& limits)
        : store_(store), options_(options), limits_(limits) {}

    [[nodiscard]] Result<void> load(const StateRoot& target);

    std::optional<crypto::Digest> done(Bucket bucket) const override { return tree_.at(bucket_level, bucket); }
    Result<std::vector<Leaf>> leaves(Bucket bucket) const override;
    Result<void> put(Bucket bucket, const std::vector<Leaf>& leaves, std::vector<StateRecord> records) override;
    Result<void> retarget(const StateRoot& target) override;
    Result<void> settle() override;
    Result<void> finish() override;

 private:
    struct Pending {
        Bytes leaves;  // sealed; empty when it has none
        std::vector<StateRecord> records;
        std::vector<NamedKey> gone;  // that it held before
        [[nodiscard]] std::size_t weight() const;
    };
    [[nodiscard]] Result<BucketLeaves> merged_leaves(Bucket bucket, const BucketLeaves& before,
                                                     const std::vector<Leaf>& leaves,
                                                     const std::vector<StateRecord>& records) const;
    [[nodiscard]] Result<void> mark(const StateRoot& target);
    [[nodiscard]] Result<void> check_target();
    [[nodiscard]] Result<void> merge();
    [[nodiscard]] Result<void> flush();
    [[nodiscard]] Result<void> write_as_run(WriteTxn& txn) const;
    [[nodiscard]] Result<void> change_tables(WriteTxn& txn) const;

    Store& store_;
    CheckpointOptions options_;
    StateRoot target_;
    BuilderLimits limits_;
    MergeState merge_ = MergeState::not_begun;
    bool settled_ = false;  // it was read back, and changed by this object alone since
    DigestTree tree_;       // buckets only; with what waits
    std::map<Bucket, Pending> pending_;
    std::size_t pending_records_ = 0;
    std::size_t pending_bytes_ = 0;
    std::uint64_t batches_ = 0;
};

// Of the memory that it takes.
std::size_t StoredBuilder::Pending::weight() const {
    std::size_t bytes = leaves.size() + sizeof(Pending);
    for (const StateRecord& record : records) {
        bytes += record.key.size() + record.content.size() + sizeof record;
    }
    for (const NamedKey& old : gone) {
        bytes += old.key.size() + sizeof old;
    }
    return bytes;
}

Result<bool> is_empty(const ReadTxn& txn) {
    for (const TableIndex table :
         {keys_table, sessions_table, meta_table, pre_table, leaves_table, nodes_table, progress_table, runs_table}) {
        const auto first = txn.seek(table, {});
        if (!first) {
            return tl::unexpected(first.error());
        }
        if (*first) {
            return false;
        }
    }
    return true;
}

Result<void> StoredBuilder::load(const StateRoot& target) {
    {
        auto txn = store_.begin_read();
        if (!txn) {
            return tl::unexpected(txn.error());
        }
        const auto transfer = read_transfer(**txn);
        if (!transfer) {
            return tl::unexpected(transfer.error());
        }
        const auto empty = is_empty(**txn);
        if (!empty) {
            return tl::unexpected(empty.error());
        }
        if (!*transfer && !*empty) {
            return fail(Errc::conflict, "a state is put together in an empty store only, and this one holds a state");
        }
        auto walked = walk_buckets(**txn, nodes_table, [this](Bucket bucket, ByteView sealed) -> Result<void> {
            return open_node(bucket, sealed).map([&](const BucketNode& node) {
                tree_.set_bucket(bucket, node.newest.digest);
            });
        });
        if (!walked) {
            return walked;
        }
        const auto merged = merge_state(**txn);
        if (!merged) {
            return tl::unexpected(merged.error());
        }
        merge_ = *merged;
    }
    return mark(target);
}

Result<std::vector<Leaf>> StoredBuilder::leaves(Bucket bucket) const {
    if (const auto waiting = pending_.find(bucket); waiting != pending_.end()) {
        return waiting->second.leaves.empty() ? std::vector<Leaf>()
                                              : open_leaves(bucket, waiting->second.leaves).map(leaves_of);
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return read_leaves(**txn, bucket).map(leaves_of);
}

// What the bucket is to be, with the tables and keys that its leaves stand for.
Result<BucketLeaves> StoredBuilder::merged_leaves(Bucket bucket, const BucketLeaves& before,
                                                  const std::vector<Leaf>& leaves,
                                                  const std::vector<StateRecord>& records) const {
    BucketLeaves offered;
    offered.reserve(before.size() + records.size());
    for (const StateRecord& record : records) {
        offered.push_back({{leaf_name(options_.salt, record.table, record.key),
                            leaf_digest(record.table, record.key, record.content)},
                           record.table,
                           record.key});
    }
    offered.insert(offered.end(), before.begin(), before.end());
    const auto less = [](const LeafRecord& a, const LeafRecord& b) { return a.leaf < b.leaf; };
    std::stable_sort(offered.begin(), offered.end(), less);
    BucketLeaves after;
    after.reserve(leaves.size());
    std::size_t given = 0;
    for (const Leaf& leaf : leaves) {
        const auto found = std::lower_bound(offered.begin(), offered.end(), LeafRecord{leaf, {}, {}}, less);
        if (found == offered.end() || found->leaf != leaf) {
            return misfit(bucket, "a leaf has no record");
        }
        if (bucket_of(leaf.name) != bucket || (!after.empty() && !(after.back().leaf.name < leaf.name))) {
            return misfit(bucket, "its leaves are of another one or out of order");
        }
        const auto is_it = [&](const StateRecord& record) { return record.key.data() == found->key.data(); };
        given += std::any_of(records.begin(), records.end(), is_it) ? 1U : 0U;
        after.push_back(*found);
    }
    return given == records.size() ? Result<BucketLeaves>(std::move(after)) : misfit(bucket, "a record has no leaf");
}

Result<void> StoredBuilder::put(Bucket bucket, const std::vector<Leaf>& leaves, std::vector<StateRecord> records) {
    if (bucket >= buckets) {
        return misfit(bucket, "there is none of that number");
    }
    if (pending_.count(bucket) != 0) {
        if (auto flushed = flush(); !flushed) {
            return flushed;
        }
    }
    if (merge_ == MergeState::begun) {
        // Interrupted while it was merging for an older target: behind the front of a merge nothing can be added.
        if (auto merged = merge(); !merged) {
            return merged;
        }
    }
    Pending change;
    {
        auto txn = store_.begin_read();
        if (!txn) {
            return tl::unexpected(txn.error());
        }
        const auto before = tree_.at(bucket_level, bucket).is_zero() ? BucketLeaves() : read_leaves(**txn, bucket);
        if (!before) {
            return tl::unexpected(before.error());
        }
        const auto after = merged_leaves(bucket, *before, leaves, records);
        if (!after) {
            return tl::unexpected(after.error());
        }
        for (const LeafRecord& old : *before) {
            const bool stays =
                std::binary_search(after->begin(), after->end(), old,
                                   [](const LeafRecord& a, const LeafRecord& b) { return a.leaf.name < b.leaf.name; });
            if (!stays) {
                change.gone.push_back({old.table, Bytes(old.key.begin(), old.key.end())});
            }
        }
        change.leaves = seal_leaves(bucket, *after);
    }
    change.records = std::move(records);
    tree_.set_bucket(bucket, bucket_digest(leaves));
    pending_records_ += change.records.size() + 1;
    pending_bytes_ += change.weight();
    pending_.emplace(bucket, std::move(change));
    const bool full = pending_records_ >= limits_.batch_records || pending_bytes_ >= limits_.batch_bytes;
    return full ? flush() : Result<void>();
}

Result<void> StoredBuilder::write_as_run(WriteTxn& txn) const {
    std::vector<RunEntry> entries;
    for (const auto& [bucket, change] : pending_) {
        for (const StateRecord& record : change.records) {
            entries.push_back({record.table, record.key, ByteView(record.content)});
        }
        for (const NamedKey& old : change.gone) {
            entries.push_back({old.table, old.key, std::nullopt});
        }
    }
    return entries.empty() ? Result<void>() : write_run(txn, std::move(entries), limits_.block_bytes);
}

Result<void> StoredBuilder::change_tables(WriteTxn& txn) const {
    for (const auto& [bucket, change] : pending_) {
        for (const NamedKey& old : change.gone) {
            if (auto erased = linked_table(old.table).erase(txn, old.key); !erased) {
                return erased;
            }
        }
        for (const StateRecord& record : change.records) {
            if (auto done = linked_table(record.table).put(txn, record.key, record.content); !done) {
                return done;
            }
        }
    }
    return {};
}

Result<void> StoredBuilder::flush() {
    if (pending_.empty()) {
        return {};
    }
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    if (auto done = merge_ == MergeState::done ? change_tables(txn) : write_as_run(txn); !done) {
        return done;
    }
    for (const auto& [bucket, change] : pending_) {
        auto done = write_leaves(txn, bucket, change.leaves);
        if (done) {
            done = write_node(txn, bucket, {{Height(0), tree_.at(bucket_level, bucket)}, {}});
        }
        if (!done) {
            return done;
        }
    }
    const bool synced = ++batches_ % batches_per_sync == 0;
    if (auto done = txn.commit(synced ? Durability::synced : Durability::lazy); !done) {
        return done;
    }
    pending_.clear();
    pending_records_ = pending_bytes_ = 0;
    return {};
}

Result<void> StoredBuilder::merge() {
    auto merged = merge_runs(store_, limits_.batch_bytes, batches_per_sync);
    if (merged) {
        merge_ = MergeState::done;
    }
    return merged;
}

Result<void> StoredBuilder::settle() {
    if (auto flushed = flush(); !flushed || settled_) {
        return flushed;
    }
    if (merge_ != MergeState::done) {
        merge_ = MergeState::begun;  // also when it fails on the way
        if (auto merged = merge(); !merged) {
            return merged;
        }
    }
    const auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    auto checked = check_whole_state(**txn, options_.salt, target_);
    settled_ = checked.has_value();
    return checked;
}

// What was put after it was read back was proved against leaves, and those give the digests of their buckets.
Result<void> StoredBuilder::check_target() {
    tree_.update();
    if (tree_.root() != target_.root) {
        return wrong_root(target_, tree_.root());
    }
    const auto txn = store_.begin_read();
    return txn ? check_height(**txn, target_.height) : Result<void>(tl::unexpected(txn.error()));
}

Result<void> StoredBuilder::finish() {
    if (auto checked = settle().and_then([this] { return check_target(); }); !checked) {
        return checked;
    }
    auto txn = store_.begin_write();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    CheckpointProgress progress;
    progress.interval = options_.interval;
    progress.kept.push_back(target_);
    return write_progress(**txn, progress).and_then([&] { return erase_transfer(**txn); }).and_then([&] {
        return (*txn)->commit(Durability::synced);
    });
}

Result<void> StoredBuilder::mark(const StateRoot& target) {
    if (options_.interval != 0 && target.height.value % options_.interval != 0) {
        return fail(Errc::invalid_argument,
                    "height " + std::to_string(target.height.value) + " is not that of a checkpoint");
    }
    auto txn = store_.begin_write();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    target_ = target;
    return write_transfer(**txn, target_).and_then([&] { return (*txn)->commit(Durability::synced); });
}

Result<void> StoredBuilder::retarget(const StateRoot& target) {
    return flush().and_then([&] { return mark(target); });
}

}  // namespace

Result<std::unique_ptr<StateBuilder>> StateBuilder::begin(Store& store, const CheckpointOptions& options,
                                                          const StateRoot& target, const BuilderLimits& limits) {
    auto builder = std::make_unique<StoredBuilder>(store, options, limits);
    return builder->load(target).map([&] { return std::unique_ptr<StateBuilder>(std::move(builder)); });
}

}  // namespace loyal::kvstore
