#include "crypto/identity.h"

#include <sodium.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "config/assert.h"
#include "crypto/identity_secret.h"

namespace loyal::crypto {

static_assert(sizeof(PublicKey) == crypto_sign_PUBLICKEYBYTES);
static_assert(sizeof(Signature) == crypto_sign_BYTES);

Identity::Secret::Secret() : key(crypto_sign_SECRETKEYBYTES) {}

std::unique_ptr<Identity::Secret> Identity::Secret::from_seed(const std::uint8_t* seed) {
    auto secret = std::make_unique<Secret>();
    crypto_sign_seed_keypair(secret->public_key.bytes.data(), secret->key.data(), seed);
    secret->key.make_read_only();
    return secret;
}

Identity::Identity(std::unique_ptr<Secret> secret) : secret_(std::move(secret)) {}
Identity::~Identity() = default;
Identity::Identity(Identity&&) noexcept = default;
Identity& Identity::operator=(Identity&&) noexcept = default;

Identity Identity::generate() {
    initialize();
    SecretBytes seed(crypto_sign_SEEDBYTES);
    randombytes_buf(seed.data(), seed.size());
    return Identity(Secret::from_seed(seed.data()));
}

Identity Identity::from_seed(const std::array<std::uint8_t, 32>& seed) {
    initialize();
    return Identity(Secret::from_seed(seed.data()));
}

Signature Identity::sign(ByteView message) const {
    LOYAL_ASSERT(secret_ != nullptr, "an identity that was moved away does not sign");
    Signature signature;
    crypto_sign_detached(signature.bytes.data(), nullptr, message.data(), message.size(), secret_->key.data());
    return signature;
}

const PublicKey& Identity::public_key() const {
    LOYAL_ASSERT(secret_ != nullptr, "an identity that was moved away has no key");
    return secret_->public_key;
}

bool Ed25519Verifier::verify(const PublicKey& key, ByteView message, const Signature& signature) const {
    return crypto_sign_verify_detached(signature.bytes.data(), message.data(), message.size(), key.bytes.data()) == 0;
}

bool is_valid_public_key(const PublicKey& key) {
    return crypto_core_ed25519_is_valid_point(key.bytes.data()) == 1;
}

void initialize() {
    if (sodium_init() < 0) {
        LOYAL_ASSERT(false, "libsodium cannot start: the system gives no random numbers");
    }
}

std::string to_base64(ByteView bytes) {
    std::string text(sodium_base64_encoded_len(bytes.size(), sodium_base64_VARIANT_ORIGINAL), '\0');
    sodium_bin2base64(text.data(), text.size(), bytes.data(), bytes.size(), sodium_base64_VARIANT_ORIGINAL);
    text.pop_back();  // the terminating zero
    return text;
}

std::optional<std::size_t> decode_base64(std::string_view text, std::span<std::uint8_t> out) noexcept {
    // libsodium 1.0.18 takes some characters above 127 for digits.
    const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
    std::size_t size = 0;
    const char* end = nullptr;
    if (!ascii || sodium_base642bin(out.data(), out.size(), text.data(), text.size(), nullptr, &size, &end,
                                    sodium_base64_VARIANT_ORIGINAL) != 0) {
        return std::nullopt;
    }
    return end == text.data() + text.size() ? std::optional(size) : std::nullopt;
}

Result<Bytes> from_base64(std::string_view text) {
    Bytes bytes(text.size() / 4 * 3 + 3);
    const auto size = decode_base64(text, bytes);
    if (!size) {
        return fail(Errc::invalid_argument, "not base64 (standard alphabet, with padding)");
    }
    bytes.resize(*size);
    return bytes;
}

bool equal_constant_time(ByteView a, ByteView b) {
    return a.size() == b.size() && (a.empty() || sodium_memcmp(a.data(), b.data(), a.size()) == 0);
}

SecretBytes::SecretBytes(std::size_t size) : size_(size) {
    initialize();  // sodium_malloc aborts without
    data_ = static_cast<std::uint8_t*>(sodium_malloc(size));
    LOYAL_ASSERT(data_ != nullptr, "out of memory for a secret");
    sodium_memzero(data_, size_);
}

SecretBytes::~SecretBytes() {
    sodium_free(data_);
}

void SecretBytes::make_read_only() noexcept {
    sodium_mprotect_readonly(data_);
}

}  // namespace loyal::crypto
