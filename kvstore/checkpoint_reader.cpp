#include "kvstore/checkpoint_reader.h"

#include <algorithm>
#include <map>

namespace loyal::kvstore {

using consensus::Height;

CheckpointReader::CheckpointReader(const ReadTxn& txn, Height checkpoint, Height complete, std::uint64_t interval)
    : txn_(txn) {
    for (std::uint64_t height = checkpoint.value; height <= complete.value; height += interval) {
        checkpoints_.emplace_back(height);
    }
}

Result<std::optional<ByteView>> CheckpointReader::content(const LeafName& name, StateTable table, ByteView key) const {
    for (const Height checkpoint : checkpoints_) {
        const auto before = find_pre(txn_, checkpoint, name);
        if (!before) {
            return tl::unexpected(before.error());
        }
        if (*before) {
            return (*before)->content;
        }
    }
    return linked_table(table).find(txn_, key);
}

Result<bool> CheckpointReader::changed_since(const LeafName& name) const {
    for (const Height checkpoint : checkpoints_) {
        const auto before = txn_.get(pre_table, pre_key(checkpoint, name));
        if (!before) {
            return tl::unexpected(before.error());
        }
        if (*before) {
            return true;
        }
    }
    return false;
}

Result<BucketLeaves> CheckpointReader::leaves(Bucket bucket) const {
    auto stored = read_leaves(txn_, bucket);
    if (!stored) {
        return stored;
    }
    std::map<LeafName, std::optional<LeafRecord>> overriding;
    for (auto checkpoint = checkpoints_.rbegin(); checkpoint != checkpoints_.rend(); ++checkpoint) {
        PreCursor cursor(txn_, *checkpoint);
        auto moved = cursor.start(bucket);
        for (; moved && cursor.record() && bucket_of(cursor.record()->name) == bucket; moved = cursor.advance()) {
            const PreRecord& before = *cursor.record();
            auto& leaf = overriding[before.name];
            leaf.reset();
            if (before.content) {
                leaf.emplace(LeafRecord{
                    {before.name, leaf_digest(before.table, before.key, *before.content)}, before.table, before.key});
            }
        }
        if (!moved) {
            return tl::unexpected(moved.error());
        }
    }
    if (overriding.empty()) {
        return stored;
    }
    BucketLeaves leaves;
    for (const LeafRecord& record : *stored) {
        if (overriding.count(record.leaf.name) == 0) {
            leaves.push_back(record);
        }
    }
    for (const auto& [name, record] : overriding) {
        if (record) {
            leaves.push_back(*record);
        }
    }
    std::sort(leaves.begin(), leaves.end(),
              [](const LeafRecord& a, const LeafRecord& b) { return a.leaf.name < b.leaf.name; });
    return leaves;
}

}  // namespace loyal::kvstore
