// BLAKE2b-256 digests with domain separation (PROTOCOL.md §2): H(tag, x) puts the tag, zero-padded to 16 bytes, into
// BLAKE2b's "personal" field, so that a hash of one kind of thing never equals a hash of another kind.
// Pure and thread-safe. BLAKE2: RFC 7693.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>

#include "config/bytes.h"

namespace loyal::crypto {

struct Digest {
    std::array<std::uint8_t, 32> bytes{};

    friend auto operator<=>(const Digest&, const Digest&) = default;
    [[nodiscard]] bool is_zero() const noexcept { return *this == Digest{}; }
    [[nodiscard]] ByteView view() const noexcept { return bytes; }
    [[nodiscard]] std::string hex() const { return to_hex(bytes); }
    [[nodiscard]] std::string short_hex() const { return to_hex(ByteView(bytes).first(4)); }
};

// `tag` is at most 16 bytes.
[[nodiscard]] Digest digest_of(std::string_view tag, ByteView data) noexcept;

// A digest over several pieces, as if they were concatenated.
class Hasher {
 public:
    explicit Hasher(std::string_view tag) noexcept;
    Hasher& update(ByteView data) noexcept;
    [[nodiscard]] Digest finish() noexcept;  // once

 private:
    // Room for libsodium's crypto_generichash_blake2b_state, whose header stays out of this one.
    alignas(64) std::array<std::uint8_t, 384> state_;
};

}  // namespace loyal::crypto

template <>
struct std::hash<loyal::crypto::Digest> {
    std::size_t operator()(const loyal::crypto::Digest& digest) const noexcept {
        std::size_t value = 0;
        std::memcpy(&value, digest.bytes.data(), sizeof value);
        return value;
    }
};
