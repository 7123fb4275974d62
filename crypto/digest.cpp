#include "crypto/digest.h"

#include <sodium.h>

#include "config/assert.h"

namespace loyal::crypto {
namespace {

using State = crypto_generichash_blake2b_state;
static_assert(sizeof(State) <= 384);
static_assert(alignof(State) <= 64);

std::array<std::uint8_t, crypto_generichash_blake2b_PERSONALBYTES> personal_of(std::string_view tag) noexcept {
    std::array<std::uint8_t, crypto_generichash_blake2b_PERSONALBYTES> personal{};
    LOYAL_ASSERT(tag.size() <= personal.size(), "a digest tag has at most 16 bytes");
    std::memcpy(personal.data(), tag.data(), tag.size());
    return personal;
}

}  // namespace

Digest digest_of(std::string_view tag, ByteView data) noexcept {
    const auto personal = personal_of(tag);
    Digest digest;
    crypto_generichash_blake2b_salt_personal(digest.bytes.data(), digest.bytes.size(), data.data(), data.size(),
                                             nullptr, 0, nullptr, personal.data());
    return digest;
}

Hasher::Hasher(std::string_view tag) noexcept : state_{} {
    const auto personal = personal_of(tag);
    crypto_generichash_blake2b_init_salt_personal(reinterpret_cast<State*>(state_.data()), nullptr, 0, sizeof(Digest),
                                                  nullptr, personal.data());
}

Hasher& Hasher::update(ByteView data) noexcept {
    crypto_generichash_blake2b_update(reinterpret_cast<State*>(state_.data()), data.data(), data.size());
    return *this;
}

Digest Hasher::finish() noexcept {
    Digest digest;
    crypto_generichash_blake2b_final(reinterpret_cast<State*>(state_.data()), digest.bytes.data(), digest.bytes.size());
    return digest;
}

}  // namespace loyal::crypto
