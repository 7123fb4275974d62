#include "kvstore/whole_state.h"

#include <array>
#include <cstring>
#include <string>

#include "kvstore/checkpoint_tables.h"
#include "kvstore/kv_tables.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

// A set of leaf digests, whatever their order: their number, and their sum modulo 2^64 in each of four words. Leaves
// come in the order of names and records in that of keys; both are this replica's own, and compared against faults of
// its disk and memory, not against somebody who could choose digests: those were proved one by one.
class DigestSum {
 public:
    void add(const crypto::Digest& digest) {
        for (std::size_t i = 0; i < words_.size(); ++i) {
            std::uint64_t word = 0;
            std::memcpy(&word, digest.bytes.data() + i * sizeof word, sizeof word);
            words_[i] += word;
        }
        ++count_;
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }
    friend bool operator==(const DigestSum&, const DigestSum&) = default;

 private:
    std::array<std::uint64_t, 4> words_{};
    std::uint64_t count_ = 0;
};

// Of all leaves, which name what they should and give the root.
Result<DigestSum> sum_of_leaves(const ReadTxn& txn, const Salt& salt, const StateRoot& expected) {
    DigestTree tree;
    DigestSum sum;
    auto walked = walk_buckets(txn, leaves_table, [&](Bucket bucket, ByteView sealed) -> Result<void> {
        const auto leaves = open_checked_leaves(txn, bucket, sealed);
        if (!leaves) {
            return tl::unexpected(leaves.error());
        }
        for (const LeafRecord& record : *leaves) {
            if (record.leaf.name != leaf_name(salt, record.table, record.key)) {
                return linked_table(record.table).damaged(record.key, "its leaf has another name");
            }
            sum.add(record.leaf.digest);
        }
        tree.set_bucket(bucket, digest_of_bucket(*leaves));
        return {};
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    tree.update();
    if (tree.root() != expected.root) {
        return wrong_root(expected, tree.root());
    }
    return sum;
}

Result<DigestSum> sum_of_records(const ReadTxn& txn) {
    DigestSum sum;
    for (const RootedTable& rooted : rooted_tables) {
        LinkedCursor cursor(rooted.table, txn);
        auto moved = cursor.start({});
        for (; moved && cursor.entry(); moved = cursor.advance()) {
            sum.add(leaf_digest(rooted.id, cursor.entry()->key, cursor.entry()->content));
        }
        if (!moved) {
            return tl::unexpected(moved.error());
        }
    }
    return sum;
}

}  // namespace

Result<void> check_whole_state(const ReadTxn& txn, const Salt& salt, const StateRoot& expected) {
    const auto leaves = sum_of_leaves(txn, salt, expected);
    if (!leaves) {
        return tl::unexpected(leaves.error());
    }
    const auto records = sum_of_records(txn);
    if (!records) {
        return tl::unexpected(records.error());
    }
    if (*leaves != *records) {
        return fail(Errc::corrupted, "the state that was put together has " + std::to_string(records->count()) +
                                         " records, which are not those of its " + std::to_string(leaves->count()) +
                                         " leaves");
    }
    return check_height(txn, expected.height);
}

Result<void> check_height(const ReadTxn& txn, Height expected) {
    const auto meta = read_meta(txn);
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    const Height height = *meta ? (*meta)->height : Height(0);
    return height == expected
               ? Result<void>()
               : fail(Errc::corrupted, "the state that was put together is of height " + std::to_string(height.value) +
                                           " and not " + std::to_string(expected.value));
}

tl::unexpected<Error> wrong_root(const StateRoot& expected, const crypto::Digest& root) {
    return fail(Errc::corrupted, "the state that was put together for height " + std::to_string(expected.height.value) +
                                     " has the root " + root.hex() + " and not " + expected.root.hex());
}

}  // namespace loyal::kvstore
