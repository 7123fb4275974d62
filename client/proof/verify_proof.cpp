#include "client/proof/verify_proof.h"

#include <utility>

#include "consensus/receipt.h"

namespace loyal::proof {

namespace {

tl::unexpected<Error> not_proven(const std::string& why) {
    return fail(Errc::unauthentic, why);
}

// ---- Who vouches for the root of a state

Result<void> check_certified(const consensus::MessageVerifier& verifier, const kvstore::CertifiedRoot& certified,
                             std::vector<consensus::ReplicaId>& signers) {
    for (const consensus::Vote& vote : certified.votes) {
        if (!signers.empty() && !(signers.back() < vote.voter)) {
            return not_proven("its votes are not in order");
        }
        signers.push_back(vote.voter);
    }
    if (signers.size() != verifier.membership().quorum().q) {
        return not_proven("it has not exactly a quorum of votes");
    }
    const auto proof = kvstore::checkpoint_of(certified);
    if (!proof) {
        return not_proven("its headers do not fit its votes");
    }
    if (Result<void> checked = verifier.check_checkpoint(*proof); !checked) {
        return not_proven(checked.error().message);
    }
    return {};
}

Result<void> check_word(const consensus::MessageVerifier& verifier, const kvstore::StateProof& proof,
                        std::vector<consensus::ReplicaId>& signers) {
    const bool crash = verifier.membership().fault_model == consensus::FaultModel::crash;
    if (!crash && proof.certified) {
        return check_certified(verifier, *proof.certified, signers);
    }
    if (!crash || !proof.vouched) {
        return not_proven("what stands for its root is not what this cluster's fault model needs");
    }
    const kvstore::SignedRoot& word = *proof.vouched;
    signers.push_back(word.replica);
    return verifier.signature_ok(word.replica, consensus::SignDomain::state_root,
                                 kvstore::root_content(word.root, word.replica), word.signature)
               ? Result<void>()
               : not_proven("bad signature of a replica on the root");
}

}  // namespace

ProofVerifier::ProofVerifier(const config::Cluster& cluster)
    : membership_(cluster.membership()), salt_(kvstore::salt_of(cluster.salt_id())), verifier_(membership_, ed25519_) {}

ProofVerifier::ProofVerifier(const consensus::Membership& membership, const kvstore::Salt& salt,
                             const crypto::SignatureVerifier& signatures)
    : membership_(membership), salt_(salt), verifier_(membership_, signatures) {}

Result<Proven> ProofVerifier::check(const Proof& proof) const {
    if (proof.cluster_id != membership_.context.cluster_id) {
        return not_proven("it is of cluster " + proof.cluster_id.short_hex() + ", not of " +
                          membership_.context.cluster_id.short_hex());
    }
    const auto* receipt = std::get_if<SignedReceipt>(&proof.content);
    return receipt != nullptr ? check_receipt(*receipt) : check_state(std::get<kvstore::StateProof>(proof.content));
}

bool ProofVerifier::signature_ok(const kvstore::Receipt& receipt, const crypto::Digest& executed_digest,
                                 const ReplicaSignature& signature) const {
    const Bytes content =
        consensus::receipt_content({{receipt.outcome.height, receipt.block_id}, executed_digest, signature.replica});
    return verifier_.signature_ok(signature.replica, consensus::SignDomain::receipt, content, signature.signature);
}

Result<Proven> ProofVerifier::check_receipt(const SignedReceipt& of) const {
    const std::size_t w = membership_.quorum().w;
    if (of.signatures.size() != w) {
        return not_proven("it has " + std::to_string(of.signatures.size()) + " signatures, " + std::to_string(w) +
                          " are needed");
    }
    const auto digest = kvstore::executed_digest_of(of.receipt);
    if (!digest) {
        return not_proven("its path does not fit its place");
    }
    Proven proven;
    for (std::size_t i = 0; i < of.signatures.size(); ++i) {
        const ReplicaSignature& each = of.signatures[i];
        if (i > 0 && !(of.signatures[i - 1].replica < each.replica)) {
            return not_proven("its signatures are not of different replicas in order");
        }
        if (!signature_ok(of.receipt, *digest, each)) {
            return not_proven("the signature of replica " + std::to_string(each.replica.value) + " is not over this");
        }
        proven.signers.push_back(each.replica);
    }
    auto operations = kvstore::decode_operations(of.receipt.operation, 1);
    if (!operations) {
        return not_proven(operations.error().message);
    }
    ProvenOperation operation{of.receipt.client,
                              of.receipt.session,
                              std::move(operations->front()),
                              of.receipt.outcome,
                              std::nullopt,
                              of.receipt.block_id,
                              *digest};
    if (std::holds_alternative<kvstore::Range>(operation.operation) &&
        operation.outcome.status == kvstore::Status::ok) {
        auto range = kvstore::decode_range_result(operation.outcome.result);
        if (!range) {
            return not_proven(range.error().message);
        }
        operation.range = std::move(*range);
    }
    proven.what = std::move(operation);
    return proven;
}

Result<Proven> ProofVerifier::check_state(const kvstore::StateProof& proof) const {
    // Hashes first: signatures cost a hundred times as much.
    auto facts = kvstore::check_records(salt_, proof);
    if (!facts) {
        return tl::unexpected(facts.error());
    }
    Proven proven;
    if (Result<void> word = check_word(verifier_, proof, proven.signers); !word) {
        return tl::unexpected(word.error());
    }
    if (proof.record.table != kvstore::StateTable::keys) {
        return not_proven("its record is not a key's");
    }
    ProvenRecord record{proof.record.key, std::nullopt, std::move(*facts)};
    if (proof.record.content) {
        const auto view = kvstore::decode_key_record(*proof.record.content);
        if (!view) {
            return not_proven(view.error().message);
        }
        if (!view->deleted()) {  // otherwise it was absent, and the record says since when
            record.item = kvstore::Item{record.key,        Bytes(view->value.begin(), view->value.end()),
                                        view->id.revision, view->created,
                                        view->version,     view->timestamp,
                                        view->lease};
        }
    }
    proven.what = std::move(record);
    return proven;
}

}  // namespace loyal::proof
