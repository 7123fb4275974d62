// CountedVerifier: Ed25519 checks of a replica, counted: what Byzantine tolerance costs (docs/OPERATIONS.md). Those of
// votes, certificates, client envelopes and handshakes alike. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "crypto/identity.h"

namespace loyal::replica {

class CountedVerifier final : public crypto::SignatureVerifier {
 public:
    [[nodiscard]] bool verify(const crypto::PublicKey& key, ByteView message,
                              const crypto::Signature& signature) const override {
        count_.fetch_add(1, std::memory_order_relaxed);
        return verifier_.verify(key, message, signature);
    }
    [[nodiscard]] std::uint64_t count() const { return count_.load(std::memory_order_relaxed); }

 private:
    crypto::Ed25519Verifier verifier_;
    mutable std::atomic<std::uint64_t> count_{0};
};

}  // namespace loyal::replica
