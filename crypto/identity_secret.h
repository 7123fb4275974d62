// Inside crypto/ only: where secrets live.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "crypto/identity.h"

namespace loyal::crypto {

// Memory of libsodium's: between guard pages, locked into RAM and kept out of core dumps where the system allows it,
// wiped when freed.
class SecretBytes {
 public:
    explicit SecretBytes(std::size_t size);
    ~SecretBytes();
    SecretBytes(const SecretBytes&) = delete;
    SecretBytes& operator=(const SecretBytes&) = delete;

    [[nodiscard]] std::uint8_t* data() noexcept { return data_; }
    [[nodiscard]] const std::uint8_t* data() const noexcept { return data_; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] std::span<std::uint8_t> span() noexcept { return {data_, size_}; }
    void make_read_only() noexcept;

 private:
    std::uint8_t* data_ = nullptr;
    std::size_t size_;
};

// Decodes base64 into `out` without copies elsewhere; the number of bytes, or nothing when the text is not the one
// base64 text (standard alphabet, padded) of some bytes that fit.
[[nodiscard]] std::optional<std::size_t> decode_base64(std::string_view text, std::span<std::uint8_t> out) noexcept;

struct Identity::Secret {
    SecretBytes key;  // libsodium's form: seed, then public key
    PublicKey public_key;

    Secret();
    [[nodiscard]] static std::unique_ptr<Secret> from_seed(const std::uint8_t* seed);
};

// What reads and writes key files may look inside an identity.
struct KeyFileAccess {
    [[nodiscard]] static const std::uint8_t* seed_of(const Identity& identity) { return identity.secret_->key.data(); }
    [[nodiscard]] static Identity from_seed(const std::uint8_t* seed) {
        return Identity(Identity::Secret::from_seed(seed));
    }
};

}  // namespace loyal::crypto
