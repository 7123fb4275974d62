#include "kvstore/state_digest.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using crypto::Digest;

constexpr std::size_t leaf_bytes = consensus::leaf_name_bytes + sizeof(Digest::bytes);
// A user's value, or a session's record, which is smaller, and what the codec puts around it.
constexpr std::size_t content_bytes_max = limits::state_record_bytes_max;
static_assert(content_bytes_max + limits::table_key_bytes_max + 16 <= limits::state_chunk_bytes_max,
              "every record fits into a chunk");

std::uint32_t nodes_on(std::size_t level) {
    return 1U << (4U * level);
}

bool is_table(std::uint8_t number) {
    return number >= static_cast<std::uint8_t>(StateTable::keys) &&
           number <= static_cast<std::uint8_t>(StateTable::clients);
}

tl::unexpected<Error> refuse_chunk(const char* why) {
    return fail(Errc::invalid_argument, std::string("a chunk of the state: ") + why);
}

}  // namespace

Salt salt_of(const Digest& cluster_id) {
    return crypto::digest_of("salt", cluster_id.view());
}

LeafName leaf_name(const Salt& salt, StateTable table, ByteView key) {
    const auto number = static_cast<std::uint8_t>(table);
    const Digest digest =
        crypto::Hasher("leaf-name").update(salt.view()).update(ByteView(&number, 1)).update(key).finish();
    LeafName name{};
    std::copy_n(digest.bytes.begin(), name.size(), name.begin());
    return name;
}

Digest leaf_digest(StateTable table, ByteView key, ByteView content) {
    crypto::CanonicalWriter head(16 + key.size());
    head.number(static_cast<std::uint8_t>(table)).sized(key).number(static_cast<std::uint32_t>(content.size()));
    return crypto::Hasher("leaf").update(head.view()).update(content).finish();
}

Digest bucket_digest(const std::vector<Leaf>& leaves) {
    if (leaves.empty()) {
        return {};
    }
    crypto::Hasher hasher("bucket");
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        LOYAL_ASSERT(i == 0 || leaves[i - 1].name < leaves[i].name, "leaves ascend by name");
        hasher.update(leaves[i].name).update(leaves[i].digest.view());
    }
    return hasher.finish();
}

Digest node_digest(std::span<const Digest> children) {
    LOYAL_ASSERT(children.size() == tree_fan_out || children.size() == subtree_digests, "one level or two");
    if (children.size() == subtree_digests) {
        std::array<Digest, tree_fan_out> nodes;
        for (std::size_t i = 0; i < tree_fan_out; ++i) {
            nodes[i] = node_digest(children.subspan(i * tree_fan_out, tree_fan_out));
        }
        return node_digest(nodes);
    }
    if (std::all_of(children.begin(), children.end(), [](const Digest& child) { return child.is_zero(); })) {
        return {};
    }
    crypto::Hasher hasher("node");
    for (const Digest& child : children) {
        hasher.update(child.view());
    }
    return hasher.finish();
}

// ---- DigestTree

const Digest& DigestTree::at(std::size_t level, std::uint32_t index) const {
    static const Digest zero{};
    LOYAL_ASSERT(level <= bucket_level && index < nodes_on(level), "a node of the tree");
    if (level == 0) {
        return root_;
    }
    const Level& groups = levels_[level - 1];
    const std::size_t group = index / tree_fan_out;
    return group < groups.size() && groups[group] ? (*groups[group])[index % tree_fan_out] : zero;
}

void DigestTree::set(std::size_t level, std::uint32_t index, const Digest& digest) {
    if (level == 0) {
        root_ = digest;
        return;
    }
    Level& groups = levels_[level - 1];
    groups.resize(nodes_on(level - 1));
    std::shared_ptr<Siblings>& group = groups[index / tree_fan_out];
    if (!group) {
        if (digest.is_zero()) {
            return;
        }
        group = std::make_shared<Siblings>();
    } else if (group.use_count() > 1) {
        group = std::make_shared<Siblings>(*group);
    }
    (*group)[index % tree_fan_out] = digest;
}

void DigestTree::set_bucket(Bucket bucket, const Digest& digest) {
    LOYAL_ASSERT(bucket < buckets, "a bucket of the tree");
    set(bucket_level, bucket, digest);
    changed_.push_back(bucket);
}

void DigestTree::update() {
    std::vector<std::uint32_t> changed = std::exchange(changed_, {});
    std::sort(changed.begin(), changed.end());
    for (std::size_t level = bucket_level; level-- > 0;) {
        for (std::uint32_t& index : changed) {
            index /= static_cast<std::uint32_t>(tree_fan_out);
        }
        changed.erase(std::unique(changed.begin(), changed.end()), changed.end());
        for (const std::uint32_t index : changed) {
            const std::shared_ptr<Siblings>& children = levels_[level][index];
            set(level, index, children ? node_digest(*children) : Digest{});
        }
    }
}

std::vector<Digest> DigestTree::subtree(std::uint32_t index) const {
    LOYAL_ASSERT(index <= subtree_digests, "a part in which a tree travels");
    const std::size_t level = index == 0 ? bucket_level - 2 : bucket_level;
    const auto first = static_cast<std::uint32_t>(index == 0 ? 0 : (index - 1) * subtree_digests);
    std::vector<Digest> digests;
    digests.reserve(subtree_digests);
    for (std::uint32_t i = 0; i < subtree_digests; ++i) {
        digests.push_back(at(level, first + i));
    }
    return digests;
}

// ---- Chunks

Bytes encode_subtree(const std::vector<Digest>& digests) {
    LOYAL_ASSERT(digests.size() == subtree_digests, "a subtree is two whole levels");
    crypto::CanonicalWriter out(subtree_digests * sizeof(Digest::bytes));
    for (const Digest& digest : digests) {
        out.digest(digest);
    }
    return out.take();
}

Result<std::vector<Digest>> decode_subtree(ByteView bytes) {
    if (bytes.size() != subtree_digests * sizeof(Digest::bytes)) {
        return refuse_chunk("a subtree has 256 digests");
    }
    crypto::CanonicalReader in(bytes);
    std::vector<Digest> digests(subtree_digests);
    for (Digest& digest : digests) {
        digest = in.digest();
    }
    return digests;
}

Bytes encode_leaves(const std::vector<Leaf>& leaves) {
    crypto::CanonicalWriter out(leaves.size() * leaf_bytes);
    for (const Leaf& leaf : leaves) {
        out.raw(leaf.name).digest(leaf.digest);
    }
    return out.take();
}

Result<std::vector<Leaf>> decode_leaves(Bucket bucket, ByteView bytes) {
    if (bytes.size() > limits::state_chunk_bytes_max || bytes.size() % leaf_bytes != 0) {
        return refuse_chunk("leaves do not fill it");
    }
    crypto::CanonicalReader in(bytes);
    std::vector<Leaf> leaves(bytes.size() / leaf_bytes);
    const Leaf* last = nullptr;
    for (Leaf& leaf : leaves) {
        const ByteView name = in.raw(leaf.name.size());
        std::copy(name.begin(), name.end(), leaf.name.begin());
        leaf.digest = in.digest();
        if (bucket_of(leaf.name) != bucket || (last != nullptr && !(last->name < leaf.name))) {
            return refuse_chunk("a leaf is of another bucket or out of order");
        }
        last = &leaf;
    }
    return leaves;
}

Bytes encode_records(const std::vector<StateRecord>& records) {
    crypto::CanonicalWriter out;
    for (const StateRecord& record : records) {
        out.number(static_cast<std::uint8_t>(record.table)).sized(record.key).sized(record.content);
    }
    return out.take();
}

Result<std::vector<StateRecord>> decode_records(ByteView bytes) {
    if (bytes.size() > limits::state_chunk_bytes_max) {
        return refuse_chunk("too large");
    }
    crypto::CanonicalReader in(bytes);
    std::vector<StateRecord> records;
    while (in.ok() && in.left() > 0) {
        const auto table = in.number<std::uint8_t>();
        const ByteView key = in.sized(limits::table_key_bytes_max - 1);
        const ByteView content = in.sized(content_bytes_max);
        if (!in.ok() || !is_table(table) || key.empty() || records.size() == limits::state_names_max) {
            return refuse_chunk("malformed records");
        }
        records.push_back(
            {static_cast<StateTable>(table), Bytes(key.begin(), key.end()), Bytes(content.begin(), content.end())});
    }
    return records;
}

}  // namespace loyal::kvstore
