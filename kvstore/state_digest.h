// The commitment to the replicated state (PROTOCOL.md §13 S2; Merkle, CRYPTO'87; PBFT's hierarchical state digests,
// Castro's thesis §5.3): every record of the state is a leaf in one of 2^16 buckets; above them stands a 16-ary tree.
//
//   name     first 16 bytes of H("leaf-name", salt | table u8 | key)    its first two bytes, big-endian, are the bucket
//   leaf     H("leaf", table u8 | u32+key | u32+content)
//   bucket   H("bucket", (name 16 | leaf 32)* in ascending order of the names); zero when it holds nothing
//   node     H("node", 16 digests of the level below); zero when all of them are
//
// Level 4 are the buckets, level 0 is the root. What a record's `content` is, is what the table's codec says
// (kv_tables.h), without what is local to a replica (links to neighbours, seals). Pure, except for what it is given.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "crypto/digest.h"

namespace loyal::kvstore {

using consensus::LeafName;
using consensus::StateRoot;

// Tables under the root. Numbers are part of the digests and never reused.
enum class StateTable : std::uint8_t {
    keys = 1,
    sessions = 2,
    meta = 3,
    history = 4,
    leases = 5,
    lease_items = 6,
    locks = 7,
    clients = 8,
};

struct StateRecord {
    StateTable table = StateTable::keys;
    Bytes key;
    Bytes content;
    friend bool operator==(const StateRecord&, const StateRecord&) = default;
};

struct Leaf {
    LeafName name{};
    crypto::Digest digest;
    friend auto operator<=>(const Leaf&, const Leaf&) = default;
};

using Bucket = std::uint32_t;  // 0 .. buckets - 1
inline constexpr Bucket buckets = 1U << 16U;
inline constexpr std::size_t tree_fan_out = 16;
inline constexpr std::size_t bucket_level = 4;
inline constexpr std::size_t subtree_digests = 256;  // of the parts in which a tree travels: two levels

// Fixed at genesis, so that nobody can prepare keys that all fall into one bucket: H("salt", cluster id).
using Salt = crypto::Digest;
[[nodiscard]] Salt salt_of(const crypto::Digest& cluster_id);

[[nodiscard]] LeafName leaf_name(const Salt& salt, StateTable table, ByteView key);
[[nodiscard]] crypto::Digest leaf_digest(StateTable table, ByteView key, ByteView content);
[[nodiscard]] inline Bucket bucket_of(const LeafName& name) {
    return static_cast<Bucket>(name[0]) << 8U | name[1];
}
// `leaves` ascend strictly by name (asserted) and are all of one bucket.
[[nodiscard]] crypto::Digest bucket_digest(const std::vector<Leaf>& leaves);
// Of 16 or, two levels up, 256 digests.
[[nodiscard]] crypto::Digest node_digest(std::span<const crypto::Digest> children);

// The digests of all levels, sparse: what is not there is zero. A copy shares what neither of the two changes, so one
// of a tree that differs in little costs little.
class DigestTree {
 public:
    [[nodiscard]] const crypto::Digest& at(std::size_t level, std::uint32_t index) const;
    [[nodiscard]] const crypto::Digest& root() const { return at(0, 0); }
    void set_bucket(Bucket bucket, const crypto::Digest& digest);
    // Recomputes what stands above the buckets that were set since the last call; work is linear in their number.
    void update();
    // StatePart::subtree of `index`, 0 .. 256.
    [[nodiscard]] std::vector<crypto::Digest> subtree(std::uint32_t index) const;

 private:
    // The children of one node. Null: all are zero.
    using Siblings = std::array<crypto::Digest, tree_fan_out>;
    using Level = std::vector<std::shared_ptr<Siblings>>;

    void set(std::size_t level, std::uint32_t index, const crypto::Digest& digest);

    crypto::Digest root_;
    std::array<Level, bucket_level> levels_;  // 1 to bucket_level
    std::vector<Bucket> changed_;
};

// ---- Contents of StateChunk, canonical, with strict decoders (Errc::invalid_argument)

[[nodiscard]] Bytes encode_subtree(const std::vector<crypto::Digest>& digests);
[[nodiscard]] Result<std::vector<crypto::Digest>> decode_subtree(ByteView bytes);
[[nodiscard]] Bytes encode_leaves(const std::vector<Leaf>& leaves);
// Ascending, of `bucket`.
[[nodiscard]] Result<std::vector<Leaf>> decode_leaves(Bucket bucket, ByteView bytes);
[[nodiscard]] Bytes encode_records(const std::vector<StateRecord>& records);
[[nodiscard]] Result<std::vector<StateRecord>> decode_records(ByteView bytes);

}  // namespace loyal::kvstore
