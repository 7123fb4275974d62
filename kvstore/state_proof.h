// The proof that the replicated state held a record, or held none under a key, at a stable checkpoint (PROTOCOL.md S2,
// S4): the record, the names and digests of its neighbours in their bucket, the digests beside the way up to the root,
// and what a quorum says of that root. The state's own record `meta` is proven along with it, for the block, time and
// revision that the state is of. An absence is proven by all names of the bucket, of which the key's is none.
//
// Encoding, little-endian, one for each value:
//   kind u8: 1 certified | headers u8+(header)* | view u64 | votes u16+(vote)*
//            2 signed    | height u64 | root 32 | replica u16 | signature 64       (crash fault model)
//   record | record of meta
//   record = table u8 | key u16+bytes | present u8 | [content u32+bytes] |
//            neighbours u32+(name 16 | leaf 32)*, ascending | 4 levels, from the root on, of (u16 which | digest 32)*
// `which` has a bit for each sibling whose digest is not zero; the own bit is never set. The headers begin with the one
// that carries the root; votes are exactly a quorum, by ascending voter, and the last header is the highest of their
// commit heads. Pure, except for what it is given.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "config/result.h"
#include "consensus/messages.h"
#include "kvstore/checkpoints.h"
#include "kvstore/kv_tables.h"
#include "kvstore/state_digest.h"

namespace loyal::kvstore {

struct RecordProof {
    StateTable table = StateTable::keys;
    Bytes key;
    std::optional<Bytes> content;  // nothing: there was no such record
    std::vector<Leaf> neighbours;  // the other leaves of its bucket
    // Of the levels 1 to 4: the 16 children of the node above, with zeros in the own place.
    std::array<std::array<crypto::Digest, tree_fan_out>, bucket_level> siblings{};
    friend bool operator==(const RecordProof&, const RecordProof&) = default;
};
// Errc::corrupted: a neighbour has the key's name.
[[nodiscard]] Result<crypto::Digest> root_over(const Salt& salt, const RecordProof& proof);

struct CertifiedRoot {
    std::vector<consensus::Header> headers;
    consensus::View view;  // of the votes
    std::vector<consensus::Vote> votes;
    friend bool operator==(const CertifiedRoot&, const CertifiedRoot&) = default;
};
// Crash fault model, where nothing between replicas is signed: one replica's word for the root of its own checkpoint.
struct SignedRoot {
    StateRoot root;
    consensus::ReplicaId replica;
    crypto::Signature signature;  // over root_content, under SignDomain::state_root
    friend bool operator==(const SignedRoot&, const SignedRoot&) = default;
};
[[nodiscard]] Bytes root_content(const StateRoot& root, consensus::ReplicaId replica);

struct StateProof {
    std::optional<CertifiedRoot> certified;  // one of these two
    std::optional<SignedRoot> vouched;
    RecordProof record;
    RecordProof meta;
    [[nodiscard]] StateRoot root() const;
    friend bool operator==(const StateProof&, const StateProof&) = default;
};
[[nodiscard]] Bytes encode_state_proof(const StateProof& proof);
[[nodiscard]] Result<StateProof> decode_state_proof(ByteView bytes);  // Errc::invalid_argument

// What a valid proof says.
struct StateFacts {
    consensus::Height height;  // the state is that after this block
    crypto::Digest block;
    consensus::Hlc hlc;  // of that block
    Revision revision;   // of the store
};
// That the records lead to the root and the state says of which height it is; who vouches for the root is another
// question (client/proof/verify_proof.h). Errc::unauthentic says why not.
[[nodiscard]] Result<StateFacts> check_records(const Salt& salt, const StateProof& proof);
// As a checkpoint's proof whose certificate is for the lowest commit head. Nothing when it has not the one form.
[[nodiscard]] std::optional<consensus::CheckpointProof> checkpoint_of(const CertifiedRoot& certified);

// ---- At the replica

// The certificate of `proof` in the one form that a state proof has: q of its votes, and no header above them. Nothing
// in the crash fault model.
[[nodiscard]] std::optional<CertifiedRoot> certified_root(const consensus::CheckpointProof& proof, std::size_t q);
// Without anybody's word for the root. Errors as those of Checkpoints.
[[nodiscard]] Result<StateProof> make_state_proof(const Checkpoints& checkpoints, consensus::Height checkpoint,
                                                  const Salt& salt, StateTable table, ByteView key);

}  // namespace loyal::kvstore
