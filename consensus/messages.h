// The protocol's messages as typed values (PROTOCOL.md §3), their identities and their signed bytes. How they travel is
// wire/'s business; whether they are authentic is verifier.h's. Message numbers are those of the protocol document.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "config/bytes.h"
#include "consensus/envelope.h"
#include "consensus/types.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::consensus {

// What every signature and block id is bound to.
struct ClusterContext {
    crypto::Digest cluster_id;
    Epoch epoch;
};

enum class SignDomain : std::uint8_t {
    propose = 1,
    vote = 2,
    view_change = 3,
    new_view = 4,
    submit = 5,
    receipt = 9,
    hello = 12,
    birth = 19,
    state_root = 26,  // crash fault model: kvstore/state_proof.h
};
// "LKV1" | type | cluster id | epoch | body (PROTOCOL.md §2.2).
[[nodiscard]] Bytes signed_bytes(const ClusterContext& context, SignDomain domain, ByteView body);

enum HeaderFlags : std::uint8_t { flag_none = 0, flag_end = 1, flag_empty = 2 };

struct Header {
    View view;
    Height height;
    crypto::Digest parent;
    crypto::Digest body_root;  // H("body", body)
    std::uint32_t body_bytes = 0;
    std::uint32_t envelopes = 0;
    Hlc hlc;
    Height executed;                 // height - W, or 0
    crypto::Digest executed_digest;  // of the state after `executed`
    // S4: a header at a multiple of C names the state C blocks before it; others have zeros here.
    Height checkpoint;
    crypto::Digest checkpoint_root;
    std::uint8_t flags = flag_none;
    friend bool operator==(const Header&, const Header&) = default;
};
inline constexpr std::size_t header_bytes = 8 + 8 + 32 + 32 + 4 + 4 + 8 + 8 + 32 + 8 + 32 + 1;
[[nodiscard]] Bytes encode_header(const Header& header);
[[nodiscard]] Result<Header> decode_header(ByteView bytes);
[[nodiscard]] crypto::Digest header_id(const ClusterContext& context, const Header& header);
[[nodiscard]] BlockRef genesis_block(const ClusterContext& context);
[[nodiscard]] crypto::Digest body_root_of(ByteView body);

// A block as it is proposed, logged and fetched. `signature` is the leader's of the header's view.
struct Block {
    Header header;
    crypto::Signature signature;
    SharedBytes body;
    crypto::Digest id;                // header_id, computed once where the block entered
    std::vector<Envelope> envelopes;  // parsed from the body; they point into it
    [[nodiscard]] BlockRef ref() const { return {header.height, id}; }
};
using BlockPtr = std::shared_ptr<const Block>;

struct Propose {  // 1
    BlockPtr block;
    Height committed;  // hint; trusted in crash mode only (rule 8c)
};

struct Vote {  // 2
    View view;
    BlockRef prep;  // covers the base and all blocks of `view` up to here
    BlockRef com;   // zero: none
    ReplicaId voter;
    crypto::Signature signature;
    [[nodiscard]] bool has_commit() const { return com.height.value != 0; }
    friend bool operator==(const Vote&, const Vote&) = default;
};

enum class CertKind : std::uint8_t { prepare = 1, commit = 2 };

// A quorum certificate: q votes whose chains contain `target`. `path` is target+1 .. the highest head, hash-linked.
struct Certificate {
    CertKind kind = CertKind::prepare;
    View view;  // of the votes; may exceed the target's own view
    Header target;
    std::vector<Header> path;
    std::vector<Vote> votes;
    friend bool operator==(const Certificate&, const Certificate&) = default;
};

struct ViewChange {  // 3
    View new_view;
    Lock lock;
    Prepared last_prep;
    ReplicaId voter;
    crypto::Signature signature;
    std::optional<Certificate> certificate;  // attachment, not signed: proves the lock; absent for genesis, crash mode
};

struct NewView {  // 4
    View view;
    Lock base;
    std::vector<ViewChange> view_changes;    // q, without attachments
    std::optional<Certificate> certificate;  // of the base; absent for genesis and in crash mode
    ReplicaId leader;
    crypto::Signature signature;
};

struct Relay {  // 5 between replicas: a backup hands a client's envelope to the leader
    Envelope envelope;
};

struct Heartbeat {  // 13
    View entered;
    View promised;
    Height committed;
    Height prepared;
};

struct Fetch {  // 10
    enum class What : std::uint8_t { committed = 1, by_id = 2, new_view = 3 };
    What what = What::committed;
    Height from;                      // committed: the first height wanted
    std::vector<crypto::Digest> ids;  // by_id: at most 2 * window_max
};

// Root of the state after the block of that height (S2).
struct StateRoot {
    Height height;
    crypto::Digest root;
    friend auto operator<=>(const StateRoot&, const StateRoot&) = default;
};

// What a quorum says of the state after a block (S4): a committed header, C above it, carries its root.
struct CheckpointProof {
    Header block;  // of the block at the checkpoint; proved by the state under the root, which holds the block's id
    // From the header that carries the root up to the certified one, hash-linked; at most fetch_blocks_max.
    std::vector<Header> headers;
    std::optional<Certificate> commit;  // target == headers.back(); absent in crash mode
    [[nodiscard]] StateRoot root() const {
        return headers.empty() ? StateRoot{} : StateRoot{headers.front().checkpoint, headers.front().checkpoint_root};
    }
    friend bool operator==(const CheckpointProof&, const CheckpointProof&) = default;
};

struct Blocks {  // 11
    // Committed part: headers from..top of a chain under `commit` (top == commit.target; absent in crash mode), and the
    // bodies of the first of them, as many as fit. Blocks fetched by id are only in `blocks`.
    std::vector<Header> headers;
    std::optional<Certificate> commit;
    std::vector<BlockPtr> blocks;
    // The sender's uncommitted chain in the view it has entered follows in `blocks`, after the committed ones, when
    // all committed ones fitted; `prepare` proves the sender's lock of that view.
    std::optional<Certificate> prepare;
    // The answerer's log no longer reaches down to what was asked for: its newest stable checkpoint. Nothing else is
    // in such an answer.
    std::optional<CheckpointProof> checkpoint;
};

// Crash mode only: asked before a time-out may turn into a VIEW-CHANGE (Raft thesis 9.6).
struct PreVote {  // 20
    View new_view;
};
struct PreVoteGrant {  // 21
    View new_view;
};

// Clock comparison (Mills, NTP, RFC 5905 §8): four readings give an offset and how far it may be wrong. Times are
// microseconds since 1970 by the sender's own clock. The node answers these; the core never sees a peer's clock (H4).
struct ClockProbe {  // 22
    std::uint64_t sent_us = 0;
};
struct ClockAnswer {                // 23
    std::uint64_t probe_us = 0;     // sent_us of the probe, by the asker's clock
    std::uint64_t received_us = 0;  // by the answerer's
    std::uint64_t sent_us = 0;
};

// ---- Amnesia (PROTOCOL.md §14)

// 12: what HELLO's echo is there: the newest that the sender holds signed by the receiver, sent when a link comes up. A
// receiver whose voting state does not cover it has lost votes (A1).
struct Echo {
    std::optional<Vote> vote;
    std::optional<ViewChange> view_change;  // without its attachment
};
struct Recover {  // 17: the sender is AMNESIAC (A3)
    std::uint64_t nonce = 0;
};
struct RecoverAck {  // 18: proves a view that is at least the sender's promised one minus 1
    std::uint64_t nonce = 0;
    View proven;
    std::optional<NewView> new_view;       // of `proven`, or
    std::vector<ViewChange> view_changes;  // fb+1 for `proven` or above, without attachments; both empty: view 0
};

// ---- State transfer (S6). The node answers and reads these; the core never sees them.

inline constexpr std::size_t leaf_name_bytes = 16;
using LeafName = std::array<std::uint8_t, leaf_name_bytes>;  // of a record of the state: kvstore/state_digest.h

enum class StatePart : std::uint8_t {
    subtree = 1,  // the 256 digests two levels below a node: index 0 the root's, 1 + i those of node i of level 2
    leaves = 2,   // names and digests of the records of `count` buckets from `index` on, as many buckets as fit
    records = 3,  // the records that `names` names, as many as fit; `index` is the bucket of the first
};
struct StateRequest {  // 24
    Height checkpoint;
    StatePart part = StatePart::subtree;
    std::uint32_t index = 0;
    std::vector<LeafName> names;  // at most state_names_max
    std::uint32_t count = 1;      // of buckets (leaves); 1 .. state_buckets_max
};
struct StateChunk {  // 25
    Height checkpoint;
    StatePart part = StatePart::subtree;
    std::uint32_t index = 0;
    bool available = false;  // false: the sender has no such checkpoint (any more)
    SharedBytes content;     // canonical, kvstore/state_digest.h; at most state_chunk_bytes_max
};

using PeerMessage =
    std::variant<Propose, Vote, ViewChange, NewView, Relay, Heartbeat, Fetch, Blocks, PreVote, PreVoteGrant, ClockProbe,
                 ClockAnswer, Echo, Recover, RecoverAck, StateRequest, StateChunk>;
[[nodiscard]] const char* name_of(const PeerMessage& message);

// Unsigned content of each signed message; signing and identity are over these.
[[nodiscard]] Bytes vote_content(const Vote& vote);
[[nodiscard]] Bytes view_change_content(const ViewChange& message);
[[nodiscard]] Bytes new_view_content(const NewView& message);

// Canonical encodings for the durable log, with strict decoders (PROTOCOL.md §2.1). Certificates and votes inside carry
// their signatures.
[[nodiscard]] Bytes encode_vote(const Vote& vote);
[[nodiscard]] Result<Vote> decode_vote(ByteView bytes);
[[nodiscard]] Bytes encode_certificate(const Certificate& certificate);
[[nodiscard]] Result<Certificate> decode_certificate(ByteView bytes);
[[nodiscard]] Bytes encode_view_change(const ViewChange& message);
[[nodiscard]] Result<ViewChange> decode_view_change(ByteView bytes);
[[nodiscard]] Bytes encode_checkpoint_proof(const CheckpointProof& proof);
[[nodiscard]] Result<CheckpointProof> decode_checkpoint_proof(ByteView bytes);
[[nodiscard]] Bytes encode_new_view(const NewView& message);
[[nodiscard]] Result<NewView> decode_new_view(ByteView bytes);
// header | signature | body. Parses the body and computes the id; checks body_root, body_bytes and envelopes count.
[[nodiscard]] Bytes encode_block(const Block& block);
// header | signature: what convicts a leader, without the body that the header binds.
[[nodiscard]] Bytes encode_signed_header(const Block& block);
[[nodiscard]] Result<BlockPtr> decode_block(const ClusterContext& context, ByteView bytes);
[[nodiscard]] Result<BlockPtr> make_block(const ClusterContext& context, const Header& header,
                                          const crypto::Signature& signature, SharedBytes body);

}  // namespace loyal::consensus
