#include "kvstore/state_builder.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "kvstore/checkpoint_tables.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

// Of one transaction, in memory until then.
constexpr std::size_t batch_bytes_max = 8U << 20U;
// A synced transaction now and then bounds what an interrupted transfer fetches again.
constexpr std::uint64_t batches_per_sync = 16;

tl::unexpected<Error> misfit(Bucket bucket, const char* why) {
    return fail(Errc::invalid_argument, "bucket " + std::to_string(bucket) + " of a state: " + why);
}

class StoredBuilder final : public StateBuilder {
 public:
    StoredBuilder(Store& store, const CheckpointOptions& options, const StateRoot& target, std::size_t batch_records)
        : store_(store), options_(options), target_(target), batch_records_max_(batch_records) {}

    [[nodiscard]] Result<void> load();

    std::optional<crypto::Digest> done(Bucket bucket) const override { return tree_.at(bucket_level, bucket); }
    Result<std::vector<Leaf>> leaves(Bucket bucket) const override;
    Result<void> put(Bucket bucket, const std::vector<Leaf>& leaves, const std::vector<StateRecord>& records) override;
    Result<void> finish() override;

 private:
    struct Pending {
        BucketLeaves before;
        BucketLeaves after;
        std::vector<StateRecord> records;
    };
    [[nodiscard]] Result<BucketLeaves> known(Bucket bucket) const;
    [[nodiscard]] Result<BucketLeaves> merge(Bucket bucket, const BucketLeaves& before, const std::vector<Leaf>& leaves,
                                             const std::vector<StateRecord>& records) const;
    [[nodiscard]] Result<void> flush();
    [[nodiscard]] static Result<void> erase_old(WriteTxn& txn, const std::map<Bucket, Pending>& pending);
    [[nodiscard]] static Result<void> put_new(WriteTxn& txn, const std::map<Bucket, Pending>& pending);
    [[nodiscard]] Result<void> check_buckets(const ReadTxn& txn, std::uint64_t& records) const;
    [[nodiscard]] Result<void> check_bucket(const ReadTxn& txn, const RawEntry& entry, DigestTree& tree,
                                            std::uint64_t& records) const;
    [[nodiscard]] Result<void> check_tables(const ReadTxn& txn, std::uint64_t records) const;

    Store& store_;
    CheckpointOptions options_;
    StateRoot target_;
    std::size_t batch_records_max_;
    DigestTree tree_;  // buckets only; with what waits
    std::map<Bucket, Pending> pending_;
    std::size_t pending_records_ = 0;
    std::size_t pending_bytes_ = 0;
    std::uint64_t batches_ = 0;
};

Result<bool> is_empty(const ReadTxn& txn) {
    for (const TableIndex table :
         {keys_table, sessions_table, meta_table, pre_table, leaves_table, nodes_table, progress_table}) {
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

Result<void> StoredBuilder::load() {
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
        const auto nodes = read_nodes(**txn);
        if (!nodes) {
            return tl::unexpected(nodes.error());
        }
        for (const auto& [bucket, node] : *nodes) {
            tree_.set_bucket(bucket, node.newest.digest);
        }
    }
    auto txn = store_.begin_write();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return create_tables(**txn).and_then([&] { return write_transfer(**txn, target_); }).and_then([&] {
        return (*txn)->commit(Durability::synced);
    });
}

Result<BucketLeaves> StoredBuilder::known(Bucket bucket) const {
    if (const auto waiting = pending_.find(bucket); waiting != pending_.end()) {
        return waiting->second.after;
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    return read_leaves(**txn, bucket);
}

Result<std::vector<Leaf>> StoredBuilder::leaves(Bucket bucket) const {
    return known(bucket).map([](const BucketLeaves& leaves) { return leaves_of(leaves); });
}

// What the bucket is to be, with the tables and keys that its leaves stand for.
Result<BucketLeaves> StoredBuilder::merge(Bucket bucket, const BucketLeaves& before, const std::vector<Leaf>& leaves,
                                          const std::vector<StateRecord>& records) const {
    std::map<Leaf, LeafRecord> offered;
    for (const LeafRecord& record : before) {
        offered[record.leaf] = record;
    }
    for (const StateRecord& record : records) {
        const Leaf leaf{leaf_name(options_.salt, record.table, record.key),
                        leaf_digest(record.table, record.key, record.content)};
        offered[leaf] = {leaf, record.table, record.key};
    }
    BucketLeaves after;
    after.reserve(leaves.size());
    for (const Leaf& leaf : leaves) {
        const auto found = offered.find(leaf);
        if (found == offered.end()) {
            return misfit(bucket, "a leaf has no record");
        }
        if (bucket_of(leaf.name) != bucket || (!after.empty() && !(after.back().leaf.name < leaf.name))) {
            return misfit(bucket, "its leaves are of another one or out of order");
        }
        after.push_back(found->second);
    }
    const bool all_wanted = std::all_of(records.begin(), records.end(), [&](const StateRecord& record) {
        return std::any_of(after.begin(), after.end(), [&](const LeafRecord& leaf) {
            return leaf.table == record.table && leaf.key == record.key;
        });
    });
    return all_wanted ? Result<BucketLeaves>(std::move(after)) : misfit(bucket, "a record has no leaf");
}

Result<void> StoredBuilder::put(Bucket bucket, const std::vector<Leaf>& leaves,
                                const std::vector<StateRecord>& records) {
    if (bucket >= buckets) {
        return misfit(bucket, "there is none of that number");
    }
    if (pending_.count(bucket) != 0) {
        if (auto flushed = flush(); !flushed) {
            return flushed;
        }
    }
    auto before = known(bucket);
    if (!before) {
        return tl::unexpected(before.error());
    }
    auto after = merge(bucket, *before, leaves, records);
    if (!after) {
        return tl::unexpected(after.error());
    }
    for (const StateRecord& record : records) {
        pending_bytes_ += record.key.size() + record.content.size();
    }
    pending_records_ += records.size() + 1;
    tree_.set_bucket(bucket, bucket_digest(leaves));
    pending_[bucket] = {std::move(*before), std::move(*after), records};
    return pending_records_ >= batch_records_max_ || pending_bytes_ >= batch_bytes_max ? flush() : Result<void>();
}

Result<void> StoredBuilder::erase_old(WriteTxn& txn, const std::map<Bucket, Pending>& pending) {
    for (const auto& [bucket, change] : pending) {
        for (const LeafRecord& old : change.before) {
            const bool stays = std::any_of(change.after.begin(), change.after.end(),
                                           [&](const LeafRecord& record) { return record.leaf.name == old.leaf.name; });
            if (!stays) {
                if (auto erased = linked_table(old.table).erase(txn, old.key); !erased) {
                    return erased;
                }
            }
        }
    }
    return {};
}

// In order of the keys, which is the order of the pages.
Result<void> StoredBuilder::put_new(WriteTxn& txn, const std::map<Bucket, Pending>& pending) {
    std::vector<const StateRecord*> records;
    for (const auto& [bucket, change] : pending) {
        for (const StateRecord& record : change.records) {
            records.push_back(&record);
        }
    }
    std::sort(records.begin(), records.end(), [](const StateRecord* a, const StateRecord* b) {
        return std::tie(a->table, a->key) < std::tie(b->table, b->key);
    });
    for (const StateRecord* record : records) {
        if (auto done = linked_table(record->table).put(txn, record->key, record->content); !done) {
            return done;
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
    if (auto done = erase_old(txn, pending_).and_then([&] { return put_new(txn, pending_); }); !done) {
        return done;
    }
    for (const auto& [bucket, change] : pending_) {
        const BucketNode node{{Height(0), tree_.at(bucket_level, bucket)}, {}};
        auto done =
            write_leaves(txn, bucket, change.after).and_then([&, b = bucket] { return write_node(txn, b, node); });
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

// ---- The end

Result<void> StoredBuilder::check_bucket(const ReadTxn& txn, const RawEntry& entry, DigestTree& tree,
                                         std::uint64_t& records) const {
    const auto bucket = parse_bucket_key(entry.key);
    if (!bucket) {
        return tl::unexpected(bucket.error());
    }
    const auto leaves = open_leaves(*bucket, entry.value);
    if (!leaves) {
        return tl::unexpected(leaves.error());
    }
    for (const LeafRecord& record : *leaves) {
        const LinkedTable& table = linked_table(record.table);
        const auto content = table.find(txn, record.key);
        if (!content) {
            return tl::unexpected(content.error());
        }
        const bool agrees = *content && record.leaf == Leaf{leaf_name(options_.salt, record.table, record.key),
                                                            leaf_digest(record.table, record.key, **content)};
        if (!agrees) {
            return table.damaged(record.key, "not the record that was put together");
        }
    }
    records += leaves->size();
    const crypto::Digest digest = bucket_digest(leaves_of(*leaves));
    const auto node = read_node(txn, *bucket);
    if (!node) {
        return tl::unexpected(node.error());
    }
    if (node->newest.digest != digest) {
        return fail(Errc::corrupted, "the digest of bucket " + std::to_string(*bucket) + " is not its leaves'");
    }
    tree.set_bucket(*bucket, digest);
    return {};
}

// Every leaf has its record, and the leaves give the target's root.
Result<void> StoredBuilder::check_buckets(const ReadTxn& txn, std::uint64_t& records) const {
    DigestTree tree;
    auto entry = txn.seek(leaves_table, {});
    while (entry && *entry) {
        if (auto checked = check_bucket(txn, **entry, tree, records); !checked) {
            return checked;
        }
        entry = txn.seek(leaves_table, (*entry)->key, true);
    }
    if (!entry) {
        return tl::unexpected(entry.error());
    }
    tree.update();
    if (tree.root() != target_.root) {
        return fail(Errc::corrupted, "the state that was put together for height " +
                                         std::to_string(target_.height.value) + " has the root " + tree.root().hex() +
                                         " and not " + target_.root.hex());
    }
    return {};
}

// There is no record without a leaf, the links fit, and the state is the target height's.
Result<void> StoredBuilder::check_tables(const ReadTxn& txn, std::uint64_t records) const {
    std::uint64_t found = 0;
    for (const RootedTable& rooted : rooted_tables) {
        LinkedCursor cursor(rooted.table, txn);
        auto moved = cursor.start({});
        for (; moved && cursor.entry(); moved = cursor.advance()) {
            ++found;
        }
        if (!moved) {
            return moved;
        }
    }
    if (found != records) {
        return fail(Errc::corrupted, "the state that was put together has " + std::to_string(found) +
                                         " records and leaves of " + std::to_string(records));
    }
    const auto meta = read_meta(txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    const Height height = *meta ? (*meta)->height : Height(0);
    return height == target_.height
               ? Result<void>()
               : fail(Errc::corrupted, "the state that was put together is of height " + std::to_string(height.value) +
                                           " and not " + std::to_string(target_.height.value));
}

Result<void> StoredBuilder::finish() {
    if (auto flushed = flush(); !flushed) {
        return flushed;
    }
    {
        auto txn = store_.begin_read();
        if (!txn) {
            return tl::unexpected(txn.error());
        }
        std::uint64_t records = 0;
        if (auto checked = check_buckets(**txn, records).and_then([&] { return check_tables(**txn, records); });
            !checked) {
            return checked;
        }
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

}  // namespace

Result<std::unique_ptr<StateBuilder>> StateBuilder::begin(Store& store, const CheckpointOptions& options,
                                                          const StateRoot& target, std::size_t batch_records) {
    if (options.interval != 0 && target.height.value % options.interval != 0) {
        return fail(Errc::invalid_argument,
                    "height " + std::to_string(target.height.value) + " is not that of a checkpoint");
    }
    auto builder = std::make_unique<StoredBuilder>(store, options, target, batch_records);
    return builder->load().map([&] { return std::unique_ptr<StateBuilder>(std::move(builder)); });
}

}  // namespace loyal::kvstore
