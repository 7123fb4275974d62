#include "kvstore/checkpoint_tables.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"
#include "crypto/seal.h"

namespace loyal::kvstore {

namespace {

using consensus::Height;

constexpr std::string_view checkpoints_key = "checkpoints";
constexpr std::string_view transfer_key = "transfer";
constexpr std::size_t kept_max = 2;
// Of a record of `leaves`: name, digest, table and the key's length.
constexpr std::size_t leaf_head_bytes = 16 + 32 + 1 + 4;

template <std::unsigned_integral T>
void put_big_endian(Bytes& out, T value) {
    for (std::size_t shift = 8 * sizeof(T); shift > 0; shift -= 8) {
        out.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> (shift - 8)));
    }
}
std::uint64_t big_endian(ByteView bytes) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : bytes) {
        value = value << 8U | byte;
    }
    return value;
}

tl::unexpected<Error> malformed_in(std::string_view table) {
    return fail(Errc::corrupted, "a malformed record in the table " + std::string(table));
}

bool rooted(std::uint8_t number) {
    return std::any_of(rooted_tables.begin(), rooted_tables.end(),
                       [&](const RootedTable& table) { return static_cast<std::uint8_t>(table.id) == number; });
}

LeafName read_name(crypto::CanonicalReader& in) {
    LeafName name{};
    const ByteView bytes = in.raw(name.size());
    std::copy(bytes.begin(), bytes.end(), name.begin());
    return name;
}

// Content of a record of a small table, if it is there.
Result<std::optional<ByteView>> read_sealed(const ReadTxn& txn, TableIndex table, std::string_view name, ByteView key) {
    const auto sealed = txn.get(table, key);
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    if (!*sealed) {
        return std::optional<ByteView>();
    }
    return crypto::unseal(name, key, **sealed).map([](ByteView content) { return std::optional(content); });
}

}  // namespace

// ---- pre

Bytes pre_key(Height checkpoint, const LeafName& name) {
    Bytes key;
    key.reserve(sizeof checkpoint.value + name.size());
    put_big_endian(key, checkpoint.value);
    key.insert(key.end(), name.begin(), name.end());
    return key;
}

Result<std::pair<Height, LeafName>> parse_pre_key(ByteView key) {
    std::pair<Height, LeafName> parsed;
    if (key.size() != sizeof(std::uint64_t) + parsed.second.size()) {
        return malformed_in(pre_table_name);
    }
    parsed.first = Height(big_endian(key.first(sizeof(std::uint64_t))));
    std::copy_n(key.begin() + sizeof(std::uint64_t), parsed.second.size(), parsed.second.begin());
    return parsed;
}

Bytes seal_pre(ByteView pre_key, const PreRecord& record) {
    crypto::CanonicalWriter out(8 + record.key.size() + (record.content ? record.content->size() : 0));
    out.number(static_cast<std::uint8_t>(record.table)).sized(record.key);
    out.number(static_cast<std::uint8_t>(record.content ? 1 : 0)).raw(record.content.value_or(ByteView{}));
    return crypto::seal(pre_table_name, pre_key, out.view());
}

Result<PreRecord> open_pre(const RawEntry& entry) {
    const auto parsed = parse_pre_key(entry.key);
    if (!parsed) {
        return tl::unexpected(parsed.error());
    }
    const auto content = crypto::unseal(pre_table_name, entry.key, entry.value);
    if (!content) {
        return tl::unexpected(content.error());
    }
    crypto::CanonicalReader in(*content);
    PreRecord record;
    record.name = parsed->second;
    const auto table = in.number<std::uint8_t>();
    record.table = static_cast<StateTable>(table);
    record.key = in.sized(limits::table_key_bytes_max - 1);
    const auto present = in.number<std::uint8_t>();
    const ByteView rest = in.raw(in.left());
    if (!in.finish() || !rooted(table) || present > 1 || (present == 0 && !rest.empty())) {
        return malformed_in(pre_table_name);
    }
    if (present == 1) {
        record.content = rest;
    }
    return record;
}

Result<std::optional<PreRecord>> find_pre(const ReadTxn& txn, Height checkpoint, const LeafName& name) {
    const Bytes key = pre_key(checkpoint, name);
    const auto sealed = txn.get(pre_table, key);
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    if (!*sealed) {
        return std::optional<PreRecord>();
    }
    return open_pre({key, **sealed}).map([](const PreRecord& record) { return std::optional(record); });
}

Result<void> PreCursor::start(Bucket from) {
    LeafName name{};
    name[0] = static_cast<std::uint8_t>(from >> 8U);
    name[1] = static_cast<std::uint8_t>(from);
    at_ = pre_key(checkpoint_, name);
    return settle(txn_.seek(pre_table, at_));
}

Result<void> PreCursor::advance() {
    return settle(txn_.seek(pre_table, at_, true));
}

Result<void> PreCursor::settle(const Result<std::optional<RawEntry>>& found) {
    record_.reset();
    if (!found) {
        return tl::unexpected(found.error());
    }
    if (!*found) {
        return {};
    }
    const auto parsed = parse_pre_key((*found)->key);
    if (!parsed) {
        return tl::unexpected(parsed.error());
    }
    if (parsed->first != checkpoint_) {
        return {};
    }
    at_.assign((*found)->key.begin(), (*found)->key.end());
    return open_pre(**found).map([&](const PreRecord& record) { record_ = record; });
}

// ---- leaves

Bytes bucket_key(Bucket bucket) {
    Bytes key;
    put_big_endian(key, static_cast<std::uint16_t>(bucket));
    return key;
}

Result<Bucket> parse_bucket_key(ByteView key) {
    if (key.size() != sizeof(std::uint16_t)) {
        return fail(Errc::corrupted, "a malformed key in the tables of digests");
    }
    return static_cast<Bucket>(big_endian(key));
}

Bytes seal_leaves(Bucket bucket, const BucketLeaves& leaves) {
    if (leaves.empty()) {
        return {};
    }
    std::size_t bytes = 0;
    for (const LeafRecord& record : leaves) {
        bytes += leaf_head_bytes + record.key.size();
    }
    crypto::CanonicalWriter out(bytes);
    for (const LeafRecord& record : leaves) {
        out.raw(record.leaf.name).digest(record.leaf.digest);
        out.number(static_cast<std::uint8_t>(record.table)).sized(record.key);
    }
    return crypto::seal(leaves_table_name, bucket_key(bucket), out.view());
}

Result<BucketLeaves> open_leaves(Bucket bucket, ByteView sealed) {
    const auto content = crypto::unseal(leaves_table_name, bucket_key(bucket), sealed);
    if (!content) {
        return tl::unexpected(content.error());
    }
    crypto::CanonicalReader in(*content);
    BucketLeaves leaves;
    leaves.reserve(content->size() / leaf_head_bytes);
    if (content->empty()) {
        return malformed_in(leaves_table_name);  // a bucket without records has no record either
    }
    while (in.ok() && in.left() > 0) {
        LeafRecord record;
        record.leaf.name = read_name(in);
        record.leaf.digest = in.digest();
        const auto table = in.number<std::uint8_t>();
        record.key = in.sized(limits::table_key_bytes_max - 1);
        const bool ascends = leaves.empty() || leaves.back().leaf.name < record.leaf.name;
        if (!in.ok() || !rooted(table) || bucket_of(record.leaf.name) != bucket || !ascends) {
            return malformed_in(leaves_table_name);
        }
        record.table = static_cast<StateTable>(table);
        leaves.push_back(record);
    }
    return leaves;
}

Result<BucketLeaves> open_checked_leaves(const ReadTxn& txn, Bucket bucket, ByteView sealed) {
    auto leaves = open_leaves(bucket, sealed);
    if (!leaves) {
        return leaves;
    }
    const auto node = read_node(txn, bucket);
    if (!node) {
        return tl::unexpected(node.error());
    }
    if (digest_of_bucket(*leaves) != node->newest.digest) {
        return fail(Errc::corrupted, "table leaves at bucket " + std::to_string(bucket) +
                                         ": the leaves do not give the bucket's digest");
    }
    return leaves;
}

Result<BucketLeaves> read_leaves(const ReadTxn& txn, Bucket bucket) {
    const auto sealed = txn.get(leaves_table, bucket_key(bucket));
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    return *sealed ? open_leaves(bucket, **sealed) : BucketLeaves();
}

Result<void> write_leaves(WriteTxn& txn, Bucket bucket, ByteView sealed) {
    const Bytes key = bucket_key(bucket);
    return sealed.empty() ? txn.erase(leaves_table, key) : txn.put(leaves_table, key, sealed);
}

std::vector<Leaf> leaves_of(const BucketLeaves& bucket) {
    std::vector<Leaf> leaves;
    leaves.reserve(bucket.size());
    for (const LeafRecord& record : bucket) {
        leaves.push_back(record.leaf);
    }
    return leaves;
}

crypto::Digest digest_of_bucket(const BucketLeaves& bucket) {
    return bucket_digest(leaves_of(bucket));
}

// ---- nodes

Bytes seal_node(Bucket bucket, const BucketNode& node) {
    crypto::CanonicalWriter out(80);
    for (const BucketVersion& version : {node.newest, node.previous}) {
        out.number(version.since.value).digest(version.digest);
    }
    return crypto::seal(nodes_table_name, bucket_key(bucket), out.view());
}

Result<BucketNode> open_node(Bucket bucket, ByteView sealed) {
    const auto content = crypto::unseal(nodes_table_name, bucket_key(bucket), sealed);
    if (!content) {
        return tl::unexpected(content.error());
    }
    crypto::CanonicalReader in(*content);
    BucketNode node;
    for (BucketVersion* version : {&node.newest, &node.previous}) {
        version->since = Height(in.number<std::uint64_t>());
        version->digest = in.digest();
    }
    if (!in.finish() || node.newest.since < node.previous.since) {
        return malformed_in(nodes_table_name);
    }
    return node;
}

Result<BucketNode> read_node(const ReadTxn& txn, Bucket bucket) {
    const auto sealed = txn.get(nodes_table, bucket_key(bucket));
    if (!sealed) {
        return tl::unexpected(sealed.error());
    }
    return *sealed ? open_node(bucket, **sealed) : BucketNode();
}

Result<void> write_node(WriteTxn& txn, Bucket bucket, const BucketNode& node) {
    return txn.put(nodes_table, bucket_key(bucket), seal_node(bucket, node));
}

// ---- progress

Result<CheckpointProgress> read_progress(const ReadTxn& txn, std::uint64_t interval) {
    const auto content = read_sealed(txn, progress_table, progress_table_name, view_of(checkpoints_key));
    if (!content) {
        return tl::unexpected(content.error());
    }
    CheckpointProgress progress;
    progress.interval = interval;
    if (!*content) {
        progress.kept.push_back(StateRoot{});
        return progress;
    }
    crypto::CanonicalReader in(**content);
    progress.interval = in.number<std::uint64_t>();
    const auto count = in.number<std::uint8_t>();
    for (std::uint8_t i = 0; i < count && in.ok(); ++i) {
        const Height height(in.number<std::uint64_t>());
        progress.kept.push_back({height, in.digest()});
    }
    progress.taking = Height(in.number<std::uint64_t>());
    progress.next = in.number<std::uint32_t>();
    if (!in.finish() || count == 0 || count > kept_max || progress.next > buckets) {
        return malformed_in(progress_table_name);
    }
    return progress;
}

Result<void> write_progress(WriteTxn& txn, const CheckpointProgress& progress) {
    LOYAL_ASSERT(!progress.kept.empty() && progress.kept.size() <= kept_max, "one or two checkpoints are kept");
    crypto::CanonicalWriter out(128);
    out.number(progress.interval).number(static_cast<std::uint8_t>(progress.kept.size()));
    for (const StateRoot& root : progress.kept) {
        out.number(root.height.value).digest(root.root);
    }
    out.number(progress.taking.value).number(progress.next);
    const ByteView key = view_of(checkpoints_key);
    return txn.put(progress_table, key, crypto::seal(progress_table_name, key, out.view()));
}

namespace {

Bytes changed_key(Height checkpoint) {
    Bytes key = bytes_of("changed ");
    put_big_endian(key, checkpoint.value);
    return key;
}

}  // namespace

Result<ChangedCount> read_changed_count(const ReadTxn& txn, Height checkpoint) {
    const auto content = read_sealed(txn, progress_table, progress_table_name, changed_key(checkpoint));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return ChangedCount{};
    }
    crypto::CanonicalReader in(**content);
    ChangedCount count;
    count.stored = in.number<std::uint64_t>();
    count.met = in.number<std::uint64_t>();
    if (!in.finish()) {
        return malformed_in(progress_table_name);
    }
    return count;
}

Result<void> write_changed_count(WriteTxn& txn, Height checkpoint, const ChangedCount& count) {
    const Bytes key = changed_key(checkpoint);
    crypto::CanonicalWriter out(16);
    out.number(count.stored).number(count.met);
    return txn.put(progress_table, key, crypto::seal(progress_table_name, key, out.view()));
}

Result<void> erase_changed_count(WriteTxn& txn, Height checkpoint) {
    return txn.erase(progress_table, changed_key(checkpoint));
}

Result<std::optional<StateRoot>> read_transfer(const ReadTxn& txn) {
    const auto content = read_sealed(txn, progress_table, progress_table_name, view_of(transfer_key));
    if (!content) {
        return tl::unexpected(content.error());
    }
    if (!*content) {
        return std::optional<StateRoot>();
    }
    crypto::CanonicalReader in(**content);
    const Height height(in.number<std::uint64_t>());
    const StateRoot target{height, in.digest()};
    if (!in.finish()) {
        return malformed_in(progress_table_name);
    }
    return std::optional(target);
}

Result<void> write_transfer(WriteTxn& txn, const StateRoot& target) {
    crypto::CanonicalWriter out(40);
    out.number(target.height.value).digest(target.root);
    const ByteView key = view_of(transfer_key);
    return txn.put(progress_table, key, crypto::seal(progress_table_name, key, out.view()));
}

Result<void> erase_transfer(WriteTxn& txn) {
    return txn.erase(progress_table, view_of(transfer_key));
}

}  // namespace loyal::kvstore
