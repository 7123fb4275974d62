// Signatures as the rest of the house sees them: keys, and two ports. The Ed25519 implementation is in
// crypto/identity.h; the simulator has a cheap one of its own (RFC 8032; acceptance rule: libsodium 1.0.18).
#pragma once

#include <array>
#include <compare>
#include <cstdint>

#include "config/bytes.h"

namespace loyal::crypto {

struct PublicKey {
    std::array<std::uint8_t, 32> bytes{};
    friend auto operator<=>(const PublicKey&, const PublicKey&) = default;
};

struct Signature {
    std::array<std::uint8_t, 64> bytes{};
    friend auto operator<=>(const Signature&, const Signature&) = default;
    [[nodiscard]] bool is_zero() const noexcept { return *this == Signature{}; }
};

// Holds one secret key. Deterministic: equal messages give equal signatures. Used by one thread at a time.
class Signer {
 public:
    virtual ~Signer() = default;
    [[nodiscard]] virtual Signature sign(ByteView message) const = 0;
    [[nodiscard]] virtual const PublicKey& public_key() const = 0;
};

// Stateless and thread-safe.
class SignatureVerifier {
 public:
    virtual ~SignatureVerifier() = default;
    [[nodiscard]] virtual bool verify(const PublicKey& key, ByteView message, const Signature& signature) const = 0;
};

}  // namespace loyal::crypto
