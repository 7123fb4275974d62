// Makes false proofs out of valid ones: bits and bytes changed, cut, lengthened, moved, spliced between two, fields
// exchanged. Mostly with the checksum and the length made right again, as who forges a proof would. A seed decides.
#pragma once

#include <random>
#include <vector>

#include "client/proof/proof_file.h"

namespace loyal::mutations {

// The file with its length field and checksum as its content wants them; as it is when it is too short for that.
[[nodiscard]] Bytes resealed(Bytes file);

class ProofMutator {
 public:
    // Both outlive it.
    ProofMutator(const std::vector<Bytes>& proofs, const std::vector<Bytes>& keys, std::uint64_t seed);
    // May come to be one of the valid ones again.
    [[nodiscard]] Bytes next();

 private:
    [[nodiscard]] std::size_t below(std::size_t end) { return end == 0 ? 0 : random_() % end; }
    // As often of a state as of an operation, whatever there is more of.
    [[nodiscard]] const Bytes& any_proof() {
        const std::vector<std::size_t>& kind = below(2) == 0 && !states_.empty() ? states_ : operations_;
        return proofs_[kind[below(kind.size())]];
    }
    void change_bytes(Bytes& file);
    void change_number(Bytes& file);
    void cut(Bytes& file);
    void lengthen(Bytes& file);
    void move(Bytes& file);
    void splice(Bytes& file);
    // Of the same kind, as typed values.
    void exchange(Bytes& file);
    void exchange(proof::SignedReceipt& into, const proof::SignedReceipt& from);
    void exchange(kvstore::StateProof& into, const kvstore::StateProof& from);
    void exchange(kvstore::RecordProof& into, const kvstore::RecordProof& from);

    const std::vector<Bytes>& proofs_;
    const std::vector<Bytes>& keys_;
    std::vector<std::size_t> operations_, states_;  // places in proofs_
    std::mt19937_64 random_;
};

}  // namespace loyal::mutations
