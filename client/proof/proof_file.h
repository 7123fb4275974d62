// A file that proves one thing to who knows the cluster: that an operation had a result (a receipt with w signatures,
// PROTOCOL.md P3), or that the state held a record, or none, under a key (kvstore/state_proof.h).
//
// Layout, little-endian, one encoding for each proof:
//   magic "LKVPROOF" | version u16 = 1 | kind u8 | cluster id 32 | content u32+bytes | H("proof-file", all before) 32
//   kind 1, operation   receipt u32+bytes | signatures u16 + (replica u16 | signature 64)*, by ascending replica
//   kind 2, state       a state proof
// The checksum tells damage from fraud and does no more: anybody can compute it.
#pragma once

#include <filesystem>
#include <variant>
#include <vector>

#include "config/result.h"
#include "crypto/signature.h"
#include "kvstore/receipt.h"
#include "kvstore/state_proof.h"

namespace loyal::proof {

struct ReplicaSignature {
    consensus::ReplicaId replica;
    crypto::Signature signature;  // over consensus::receipt_content
    friend bool operator==(const ReplicaSignature&, const ReplicaSignature&) = default;
};
struct SignedReceipt {
    kvstore::Receipt receipt;
    std::vector<ReplicaSignature> signatures;
    friend bool operator==(const SignedReceipt&, const SignedReceipt&) = default;
};
struct Proof {
    crypto::Digest cluster_id;
    std::variant<SignedReceipt, kvstore::StateProof> content;
    friend bool operator==(const Proof&, const Proof&) = default;
};

// The largest operation with the largest result, or a record in a full bucket.
inline constexpr std::size_t proof_bytes_max = std::size_t{8} << 20U;

[[nodiscard]] Bytes encode_proof(const Proof& proof);
// Errc::invalid_argument: no proof file, or one of another version. Errc::corrupted: a damaged one.
[[nodiscard]] Result<Proof> decode_proof(ByteView bytes);

// A new file, whole or not at all. Errc::conflict when there is one.
[[nodiscard]] Result<void> write_proof_file(const std::filesystem::path& path, const Proof& proof);
// Errors as those of decode_proof; Errc::not_found, permission and io for the file itself.
[[nodiscard]] Result<Proof> read_proof_file(const std::filesystem::path& path);

}  // namespace loyal::proof
