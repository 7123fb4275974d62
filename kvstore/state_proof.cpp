#include "kvstore/state_proof.h"

#include <algorithm>
#include <set>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using consensus::Certificate;
using consensus::CheckpointProof;
using consensus::Header;
using consensus::Vote;
using crypto::CanonicalReader;
using crypto::CanonicalWriter;
using crypto::Digest;

constexpr std::uint8_t kind_certified = 1;
constexpr std::uint8_t kind_vouched = 2;
// From the header that carries the root to the highest one that somebody voted for.
constexpr std::size_t headers_max = limits::fetch_blocks_max + limits::window_max;
static_assert(headers_max < 256);
constexpr std::size_t neighbours_max = 64U << 10U;  // a bucket of a state of four thousand million records
constexpr std::size_t record_bytes_max = limits::value_bytes_max + 64;
constexpr std::size_t vote_bytes = 8 + 2 * (8 + 32) + 2 + 64;

tl::unexpected<Error> refuse_proof(const char* why) {
    return fail(Errc::invalid_argument, std::string("a proof of state: ") + why);
}
tl::unexpected<Error> not_proven(const std::string& why) {
    return fail(Errc::unauthentic, why);
}

std::size_t place_on(std::size_t level, Bucket bucket) {
    return (bucket >> (4U * (bucket_level - level))) % tree_fan_out;  // `level` from 1
}

bool by_name(const Leaf& leaf, const LeafName& name) {
    return leaf.name < name;
}

// ---- Encoding

void write_record(CanonicalWriter& out, const RecordProof& record) {
    out.number(static_cast<std::uint8_t>(record.table)).number(static_cast<std::uint16_t>(record.key.size()));
    out.raw(record.key).number(static_cast<std::uint8_t>(record.content ? 1 : 0));
    if (record.content) {
        out.sized(*record.content);
    }
    out.number(static_cast<std::uint32_t>(record.neighbours.size()));
    for (const Leaf& leaf : record.neighbours) {
        out.raw(leaf.name).digest(leaf.digest);
    }
    for (const auto& level : record.siblings) {
        std::uint16_t which = 0;
        for (std::size_t i = 0; i < level.size(); ++i) {
            which = static_cast<std::uint16_t>(which | (level[i].is_zero() ? 0U : 1U << i));
        }
        out.number(which);
        for (const Digest& digest : level) {
            if (!digest.is_zero()) {
                out.digest(digest);
            }
        }
    }
}

bool read_siblings(CanonicalReader& in, RecordProof& record) {
    for (auto& level : record.siblings) {
        const auto which = in.number<std::uint16_t>();
        for (std::size_t i = 0; i < level.size(); ++i) {
            if ((which >> i & 1U) == 0) {
                continue;
            }
            level[i] = in.digest();
            if (level[i].is_zero()) {
                return false;
            }
        }
    }
    return in.ok();
}

bool read_record(CanonicalReader& in, RecordProof& record) {
    const auto table = in.number<std::uint8_t>();
    const auto key_bytes = in.number<std::uint16_t>();
    const ByteView key = in.raw(key_bytes);
    const auto present = in.number<std::uint8_t>();
    if (!in.ok() || table < static_cast<std::uint8_t>(StateTable::keys) ||
        table > static_cast<std::uint8_t>(StateTable::meta) || key.empty() || key.size() > limits::key_bytes_max ||
        present > 1) {
        return false;
    }
    record.table = static_cast<StateTable>(table);
    record.key.assign(key.begin(), key.end());
    if (present == 1) {
        const ByteView content = in.sized(record_bytes_max);
        record.content.emplace(content.begin(), content.end());
    }
    const auto count = in.number<std::uint32_t>();
    if (!in.ok() || count > neighbours_max || in.left() / sizeof(Leaf) < count) {
        return false;
    }
    record.neighbours.resize(count);
    for (Leaf& leaf : record.neighbours) {
        const ByteView name = in.raw(leaf.name.size());
        std::copy(name.begin(), name.end(), leaf.name.begin());
        leaf.digest = in.digest();
    }
    return read_siblings(in, record);
}

bool read_certified(CanonicalReader& in, CertifiedRoot& certified) {
    const auto headers = in.number<std::uint8_t>();
    if (!in.ok() || headers == 0 || headers > headers_max || in.left() / consensus::header_bytes < headers) {
        return false;
    }
    for (std::size_t i = 0; i < headers; ++i) {
        const auto header = consensus::decode_header(in.raw(consensus::header_bytes));
        if (!header) {
            return false;
        }
        certified.headers.push_back(*header);
    }
    certified.view = consensus::View(in.number<std::uint64_t>());
    const auto votes = in.number<std::uint16_t>();
    if (!in.ok() || votes > limits::replicas_max || in.left() / vote_bytes < votes) {
        return false;
    }
    for (std::size_t i = 0; i < votes; ++i) {
        const auto vote = consensus::decode_vote(in.raw(vote_bytes));
        if (!vote) {
            return false;
        }
        certified.votes.push_back(*vote);
    }
    return in.ok();
}

// ---- Checking

const Vote* lowest_head(const std::vector<Vote>& votes) {
    const auto lowest = std::min_element(votes.begin(), votes.end(),
                                         [](const Vote& a, const Vote& b) { return a.com.height < b.com.height; });
    return lowest == votes.end() ? nullptr : &*lowest;
}

// ---- Making

// The digests beside the way to `bucket`, out of two parts of the tree.
Result<void> fill_siblings(const Checkpoints& checkpoints, consensus::Height checkpoint, Bucket bucket,
                           RecordProof& record) {
    const std::uint32_t node = bucket / static_cast<std::uint32_t>(subtree_digests);  // of level 2
    for (std::size_t part = 0; part < 2; ++part) {
        const auto digests = checkpoints.subtree(checkpoint, part == 0 ? 0 : node + 1);
        if (!digests) {
            return tl::unexpected(digests.error());
        }
        const std::span<const Digest> all(*digests);
        const std::size_t lower = part == 0 ? node : bucket % subtree_digests;
        const std::size_t group = lower / tree_fan_out;
        auto& above = record.siblings[2 * part];
        auto& below = record.siblings[2 * part + 1];
        for (std::size_t i = 0; i < tree_fan_out; ++i) {
            above[i] = i == group ? Digest{} : node_digest(all.subspan(i * tree_fan_out, tree_fan_out));
            below[i] = i == lower % tree_fan_out ? Digest{} : all[group * tree_fan_out + i];
        }
    }
    return {};
}

Result<RecordProof> prove_record(const Checkpoints& checkpoints, consensus::Height checkpoint, const Salt& salt,
                                 StateTable table, ByteView key) {
    RecordProof proof;
    proof.table = table;
    proof.key.assign(key.begin(), key.end());
    const LeafName name = leaf_name(salt, table, key);
    auto leaves = checkpoints.leaves(checkpoint, bucket_of(name));
    if (!leaves) {
        return tl::unexpected(leaves.error());
    }
    auto records = checkpoints.records(checkpoint, {name}, record_bytes_max);
    if (!records) {
        return tl::unexpected(records.error());
    }
    if (!records->empty()) {
        proof.content = std::move(records->front().content);
        leaves->erase(std::lower_bound(leaves->begin(), leaves->end(), name, by_name));
    }
    proof.neighbours = std::move(*leaves);
    if (auto filled = fill_siblings(checkpoints, checkpoint, bucket_of(name), proof); !filled) {
        return tl::unexpected(filled.error());
    }
    return proof;
}

}  // namespace

Bytes root_content(const StateRoot& root, consensus::ReplicaId replica) {
    CanonicalWriter out(8 + 32 + 2);
    return out.number(root.height.value).digest(root.root).number(replica.value).take();
}

Result<Digest> root_over(const Salt& salt, const RecordProof& proof) {
    const LeafName name = leaf_name(salt, proof.table, proof.key);
    const Bucket bucket = bucket_of(name);
    std::vector<Leaf> leaves = proof.neighbours;
    for (std::size_t i = 0; i < leaves.size(); ++i) {
        if (bucket_of(leaves[i].name) != bucket || (i > 0 && !(leaves[i - 1].name < leaves[i].name))) {
            return not_proven("a neighbour is of another bucket or out of order");
        }
    }
    const auto place = std::lower_bound(leaves.begin(), leaves.end(), name, by_name);
    if (place != leaves.end() && place->name == name) {
        return not_proven(proof.content ? "a neighbour has the record's name" : "there is a record under the key");
    }
    if (proof.content) {
        leaves.insert(place, {name, leaf_digest(proof.table, proof.key, *proof.content)});
    }
    Digest digest = bucket_digest(leaves);
    for (std::size_t level = bucket_level; level > 0; --level) {
        std::array<Digest, tree_fan_out> children = proof.siblings[level - 1];
        Digest& own = children[place_on(level, bucket)];
        if (!own.is_zero()) {
            return not_proven("a digest stands in the place of the record's own");
        }
        own = digest;
        digest = node_digest(children);
    }
    return digest;
}

StateRoot StateProof::root() const {
    if (vouched) {
        return vouched->root;
    }
    return certified && !certified->headers.empty()
               ? StateRoot{certified->headers.front().checkpoint, certified->headers.front().checkpoint_root}
               : StateRoot{};
}

Bytes encode_state_proof(const StateProof& proof) {
    LOYAL_ASSERT(proof.certified.has_value() != proof.vouched.has_value(), "one word for the root");
    CanonicalWriter out;
    if (proof.certified) {
        out.number(kind_certified).number(static_cast<std::uint8_t>(proof.certified->headers.size()));
        for (const Header& header : proof.certified->headers) {
            out.raw(consensus::encode_header(header));
        }
        out.number(proof.certified->view.value).number(static_cast<std::uint16_t>(proof.certified->votes.size()));
        for (const Vote& vote : proof.certified->votes) {
            out.raw(consensus::encode_vote(vote));
        }
    } else {
        const SignedRoot& word = *proof.vouched;
        out.number(kind_vouched).number(word.root.height.value).digest(word.root.root).number(word.replica.value);
        out.signature(word.signature);
    }
    write_record(out, proof.record);
    write_record(out, proof.meta);
    return out.take();
}

Result<StateProof> decode_state_proof(ByteView bytes) {
    CanonicalReader in(bytes);
    StateProof proof;
    const auto kind = in.number<std::uint8_t>();
    if (kind == kind_certified) {
        if (!read_certified(in, proof.certified.emplace())) {
            return refuse_proof("a malformed certificate");
        }
    } else if (kind == kind_vouched) {
        SignedRoot& word = proof.vouched.emplace();
        word.root.height = consensus::Height(in.number<std::uint64_t>());
        word.root.root = in.digest();
        word.replica = consensus::ReplicaId(in.number<std::uint16_t>());
        word.signature = in.signature();
    } else {
        return refuse_proof("of no known kind");
    }
    if (!read_record(in, proof.record) || !read_record(in, proof.meta)) {
        return refuse_proof("a malformed record");
    }
    return in.finish() ? Result<StateProof>(std::move(proof)) : refuse_proof("with bytes left over");
}

Result<StateFacts> check_records(const Salt& salt, const StateProof& proof) {
    const StateRoot root = proof.root();
    for (const RecordProof* record : {&proof.record, &proof.meta}) {
        const auto over = root_over(salt, *record);
        if (!over) {
            return tl::unexpected(over.error());
        }
        if (*over != root.root) {
            return not_proven("a record does not lead to the root");
        }
    }
    if (proof.meta.table != StateTable::meta || text_of(proof.meta.key) != meta_key || !proof.meta.content) {
        return not_proven("the state does not say what it is of");
    }
    const auto meta = decode_meta(*proof.meta.content);
    if (!meta || meta->height != root.height) {
        return not_proven("the state says that it is of another height");
    }
    StateFacts facts;
    facts.height = root.height;
    facts.block = meta->block;
    facts.hlc = meta->hlc;
    facts.revision = meta->revision;
    return facts;
}

std::optional<CheckpointProof> checkpoint_of(const CertifiedRoot& certified) {
    const Vote* lowest = lowest_head(certified.votes);
    const Header& first = certified.headers.front();
    if (lowest == nullptr || lowest->com.height < first.height) {
        return std::nullopt;
    }
    const std::size_t target = lowest->com.height.value - first.height.value;
    consensus::Height highest;
    for (const Vote& vote : certified.votes) {
        highest = std::max(highest, vote.com.height);
    }
    if (target >= certified.headers.size() || highest != certified.headers.back().height) {
        return std::nullopt;
    }
    CheckpointProof proof;
    proof.block.height = first.checkpoint;
    const auto middle = certified.headers.begin() + static_cast<std::ptrdiff_t>(target) + 1;
    proof.headers.assign(certified.headers.begin(), middle);
    proof.commit = Certificate{consensus::CertKind::commit, certified.view, certified.headers[target],
                               std::vector<Header>(middle, certified.headers.end()), certified.votes};
    return proof;
}

std::optional<CertifiedRoot> certified_root(const CheckpointProof& proof, std::size_t q) {
    if (!proof.commit || proof.headers.empty() || proof.commit->votes.size() < q) {
        return std::nullopt;
    }
    CertifiedRoot certified;
    certified.view = proof.commit->view;
    certified.votes = proof.commit->votes;
    std::sort(certified.votes.begin(), certified.votes.end(),
              [](const Vote& a, const Vote& b) { return a.voter < b.voter; });
    certified.votes.resize(q);
    certified.headers = proof.headers;
    certified.headers.insert(certified.headers.end(), proof.commit->path.begin(), proof.commit->path.end());
    consensus::Height highest;
    for (const Vote& vote : certified.votes) {
        highest = std::max(highest, vote.com.height);
    }
    while (certified.headers.size() > 1 && certified.headers.back().height > highest) {
        certified.headers.pop_back();
    }
    // A certificate far above the carrier may be too long once its target is the lowest head.
    const auto again = checkpoint_of(certified);
    return again && again->headers.size() <= limits::fetch_blocks_max ? std::optional(certified) : std::nullopt;
}

Result<StateProof> make_state_proof(const Checkpoints& checkpoints, consensus::Height checkpoint, const Salt& salt,
                                    StateTable table, ByteView key) {
    StateProof proof;
    auto record = prove_record(checkpoints, checkpoint, salt, table, key);
    if (!record) {
        return tl::unexpected(record.error());
    }
    auto meta = prove_record(checkpoints, checkpoint, salt, StateTable::meta, view_of(meta_key));
    if (!meta) {
        return tl::unexpected(meta.error());
    }
    proof.record = std::move(*record);
    proof.meta = std::move(*meta);
    return proof;
}

}  // namespace loyal::kvstore
