#include "kvstore/checkpoints.h"

#include <algorithm>

#include "kvstore/checkpoint_reader.h"
#include "kvstore/checkpoint_taker.h"
#include "kvstore/state_scrubber.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

class StoredCheckpoints final : public Checkpoints {
 public:
    StoredCheckpoints(Store& store, const CheckpointOptions& options)
        : store_(store), taker_(store, options), scrubber_(store, options.salt, taker_) {}

    [[nodiscard]] Result<void> load() { return taker_.load(); }

    Result<bool> work(std::size_t records_max) override { return taker_.work(records_max); }
    std::vector<StateRoot> roots() const override {
        std::vector<StateRoot> roots = taker_.kept();
        if (roots.front().height == Height(0)) {
            roots.erase(roots.begin());
        }
        return roots;
    }
    void release_below(Height height) override { taker_.release_below(height); }
    Result<ScrubStep> scrub(std::size_t records_max) override { return scrubber_.step(records_max); }

    Result<std::vector<crypto::Digest>> subtree(Height checkpoint, std::uint32_t index) const override;
    Result<std::vector<Leaf>> leaves(Height checkpoint, Bucket bucket) const override;
    Result<std::vector<StateRecord>> records(Height checkpoint, const std::vector<LeafName>& names,
                                             std::size_t bytes_max) const override;

 private:
    struct Reading {
        std::unique_ptr<ReadTxn> txn;
        CheckpointReader reader;
        const DigestTree& tree;
        // Leaves that give the bucket's digest.
        [[nodiscard]] Result<BucketLeaves> leaves(Bucket bucket) const;
    };
    [[nodiscard]] Result<Reading> begin(Height checkpoint) const;
    [[nodiscard]] const DigestTree* readable(Height checkpoint) const;

    Store& store_;
    mutable CheckpointTaker taker_;  // remembers what was read
    StateScrubber scrubber_;
};

tl::unexpected<Error> no_checkpoint(Height checkpoint) {
    return fail(Errc::not_found, "no checkpoint of height " + std::to_string(checkpoint.value) + " is kept here");
}

const DigestTree* StoredCheckpoints::readable(Height checkpoint) const {
    const DigestTree* tree = taker_.interval() == 0 ? nullptr : taker_.tree(checkpoint);
    if (tree != nullptr) {
        taker_.note_served(checkpoint);
    }
    return tree;
}

Result<StoredCheckpoints::Reading> StoredCheckpoints::begin(Height checkpoint) const {
    const DigestTree* tree = readable(checkpoint);
    if (tree == nullptr) {
        return no_checkpoint(checkpoint);
    }
    auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto meta = read_meta(**txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    const CheckpointReader reader(**txn, checkpoint, *meta ? (*meta)->height : Height(0), taker_.interval());
    return Reading{std::move(*txn), reader, *tree};
}

Result<BucketLeaves> StoredCheckpoints::Reading::leaves(Bucket bucket) const {
    auto found = reader.leaves(bucket);
    if (found && digest_of_bucket(*found) != tree.at(bucket_level, bucket)) {
        return fail(Errc::corrupted,
                    "the leaves of bucket " + std::to_string(bucket) + " of the state do not give its digest");
    }
    return found;
}

Result<std::vector<crypto::Digest>> StoredCheckpoints::subtree(Height checkpoint, std::uint32_t index) const {
    const DigestTree* tree = readable(checkpoint);
    if (tree == nullptr) {
        return no_checkpoint(checkpoint);
    }
    if (index > subtree_digests) {
        return fail(Errc::invalid_argument, "a tree of digests has no part " + std::to_string(index));
    }
    return tree->subtree(index);
}

Result<std::vector<Leaf>> StoredCheckpoints::leaves(Height checkpoint, Bucket bucket) const {
    if (bucket >= buckets) {
        return fail(Errc::invalid_argument, "there is no bucket " + std::to_string(bucket));
    }
    const auto reading = begin(checkpoint);
    if (!reading) {
        return tl::unexpected(reading.error());
    }
    return reading->leaves(bucket).map([](const BucketLeaves& leaves) { return leaves_of(leaves); });
}

Result<std::vector<StateRecord>> StoredCheckpoints::records(Height checkpoint, const std::vector<LeafName>& names,
                                                            std::size_t bytes_max) const {
    const auto reading = begin(checkpoint);
    if (!reading) {
        return tl::unexpected(reading.error());
    }
    std::vector<StateRecord> records;
    std::size_t bytes = 0;
    std::optional<Bucket> bucket;
    BucketLeaves leaves;
    for (const LeafName& name : names) {
        if (bucket != bucket_of(name)) {
            bucket = bucket_of(name);
            auto found = reading->leaves(*bucket);
            if (!found) {
                return tl::unexpected(found.error());
            }
            leaves = std::move(*found);
        }
        const auto leaf =
            std::lower_bound(leaves.begin(), leaves.end(), name,
                             [](const LeafRecord& record, const LeafName& at) { return record.leaf.name < at; });
        if (leaf == leaves.end() || leaf->leaf.name != name) {
            continue;
        }
        const auto content = reading->reader.content(name, leaf->table, leaf->key);
        if (!content) {
            return tl::unexpected(content.error());
        }
        if (!*content || leaf_digest(leaf->table, leaf->key, **content) != leaf->leaf.digest) {
            return linked_table(leaf->table).damaged(leaf->key, "not the record whose digest was kept");
        }
        bytes += 9 + leaf->key.size() + (*content)->size();
        if (bytes > bytes_max && !records.empty()) {
            break;
        }
        records.push_back(
            {leaf->table, Bytes(leaf->key.begin(), leaf->key.end()), Bytes((*content)->begin(), (*content)->end())});
    }
    return records;
}

}  // namespace

Result<std::unique_ptr<Checkpoints>> Checkpoints::open(Store& state, CheckpointOptions options) {
    auto checkpoints = std::make_unique<StoredCheckpoints>(state, options);
    return checkpoints->load().map([&] { return std::unique_ptr<Checkpoints>(std::move(checkpoints)); });
}

}  // namespace loyal::kvstore
