// Valid proofs of all kinds, made in process by what makes them in replicas, and the truth that they are compared with:
// a chain of blocks, a state machine over a store in memory, its checkpoints, and the keys of four replicas. The same
// every time. Used by loyal-mutations and by the fuzz target of proofs.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "client/proof/proof_file.h"
#include "client/proof/verify_proof.h"
#include "crypto/identity.h"

namespace loyal::mutations {

class ProofWorld {
 public:
    explicit ProofWorld(consensus::FaultModel model = consensus::FaultModel::byzantine);
    ~ProofWorld();
    ProofWorld(const ProofWorld&) = delete;
    ProofWorld& operator=(const ProofWorld&) = delete;

    [[nodiscard]] const proof::ProofVerifier& verifier() const { return *verifier_; }
    [[nodiscard]] const std::vector<Bytes>& proofs() const { return proofs_; }  // whole files
    // Keys that are in no state, but in a bucket with others or with none; and keys that are in one.
    [[nodiscard]] const std::vector<Bytes>& keys() const { return keys_; }

    // Why what a proof file says must not be believed, although it verifies; empty when it is true and the only proof
    // of it by these signers.
    [[nodiscard]] std::string objection(ByteView file, const proof::Proof& proof, const proof::Proven& proven) const;

 private:
    struct Built;
    void execute_blocks(Built& built);
    void prove_operations(const Built& built);
    void prove_states(Built& built);
    void keep(const proof::Proof& proof);
    [[nodiscard]] std::vector<std::vector<std::uint16_t>> signer_sets(std::size_t size) const;
    [[nodiscard]] consensus::Vote vote_for(const consensus::BlockRef& head, std::uint16_t voter) const;
    [[nodiscard]] std::optional<kvstore::CertifiedRoot> certificate_of(const Built& built, consensus::Height checkpoint,
                                                                       const std::vector<std::uint16_t>& voters) const;

    using Claim = Bytes;
    [[nodiscard]] static Claim claim_of(const proof::Proven& proven);

    consensus::Membership membership_;
    std::vector<crypto::Identity> replicas_;
    crypto::Ed25519Verifier signatures_;
    kvstore::Salt salt_;
    std::unique_ptr<proof::ProofVerifier> verifier_;
    std::vector<Bytes> proofs_;
    std::vector<Bytes> keys_;

    // ---- The truth
    std::set<Bytes> operations_;  // claim_of each, without signers
    std::map<consensus::Height, std::map<Bytes, Bytes>> states_;
    std::map<consensus::Height, kvstore::StateFacts> facts_;
    std::map<Claim, Bytes> by_claim_;  // with signers
};

}  // namespace loyal::mutations
