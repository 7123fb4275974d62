// What a proof proves to who knows the cluster file, and nothing else: no replica is asked (PROTOCOL.md P3). Pure and
// thread-safe.
#pragma once

#include <optional>
#include <variant>
#include <vector>

#include "client/proof/proof_file.h"
#include "config/cluster.h"
#include "config/result.h"
#include "crypto/identity.h"
#include "kvstore/operation.h"

namespace loyal::proof {

// This operation of this client had this outcome.
struct ProvenOperation {
    consensus::ClientId client;
    consensus::SessionId session;
    kvstore::Operation operation;
    kvstore::Outcome outcome;
    std::optional<kvstore::RangeResult> range;  // of a range that was answered
    crypto::Digest block;
    crypto::Digest executed_digest;
};
// The state after block `facts.height` held this under this key, or nothing.
struct ProvenRecord {
    Bytes key;
    std::optional<kvstore::Item> item;
    kvstore::StateFacts facts;
};
struct Proven {
    std::variant<ProvenOperation, ProvenRecord> what;
    std::vector<consensus::ReplicaId> signers;
};

// Knows the cluster; checks any number of proofs.
class ProofVerifier {
 public:
    explicit ProofVerifier(const config::Cluster& cluster);
    // Tests and simulations have other keys than Ed25519's. `signatures` outlives the verifier.
    ProofVerifier(const consensus::Membership& membership, const kvstore::Salt& salt,
                  const crypto::SignatureVerifier& signatures);
    ProofVerifier(const ProofVerifier&) = delete;
    ProofVerifier& operator=(const ProofVerifier&) = delete;

    // Errc::unauthentic: it proves nothing; the message says why.
    [[nodiscard]] Result<Proven> check(const Proof& proof) const;
    // One replica's signature under a receipt.
    [[nodiscard]] bool signature_ok(const kvstore::Receipt& receipt, const crypto::Digest& executed_digest,
                                    const ReplicaSignature& signature) const;
    [[nodiscard]] const consensus::Membership& membership() const { return membership_; }

 private:
    [[nodiscard]] Result<Proven> check_receipt(const SignedReceipt& of) const;
    [[nodiscard]] Result<Proven> check_state(const kvstore::StateProof& proof) const;

    consensus::Membership membership_;
    kvstore::Salt salt_;
    crypto::Ed25519Verifier ed25519_;
    consensus::MessageVerifier verifier_;
};

}  // namespace loyal::proof
