// SimSigner and SimVerifier: signatures that cost one hash instead of 50 microseconds. A signature is a keyed hash; the
// verifier holds the secret of every public key of the simulation. Nobody inside the simulation can forge one, because
// signers only ever give out tags of messages that they were asked to sign (a message authentication code, Bellare,
// Canetti, Krawczyk, CRYPTO'96), and everybody can check one. Single-threaded.
#pragma once

#include <map>

#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::sim {

class SimSigner final : public crypto::Signer {
 public:
    explicit SimSigner(std::uint64_t key_seed);
    [[nodiscard]] crypto::Signature sign(ByteView message) const override;
    [[nodiscard]] const crypto::PublicKey& public_key() const override { return public_key_; }

 private:
    friend class SimVerifier;
    crypto::Digest secret_;
    crypto::PublicKey public_key_;
};

class SimVerifier final : public crypto::SignatureVerifier {
 public:
    void learn(const SimSigner& signer) { secrets_.emplace(signer.public_key_, signer.secret_); }
    [[nodiscard]] bool verify(const crypto::PublicKey& key, ByteView message,
                              const crypto::Signature& signature) const override;
    [[nodiscard]] std::uint64_t verifications() const { return verifications_; }

 private:
    mutable std::uint64_t verifications_ = 0;
    std::map<crypto::PublicKey, crypto::Digest> secrets_;
};

}  // namespace loyal::sim
