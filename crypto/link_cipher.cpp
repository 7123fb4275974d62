#include <sodium.h>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/link_keys.h"

namespace loyal::crypto {
namespace {

static_assert(LinkCipher::overhead_bytes == crypto_aead_chacha20poly1305_ietf_ABYTES);
static_assert(crypto_aead_chacha20poly1305_ietf_KEYBYTES == 32);

using Nonce = std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES>;

// The frame's number, little-endian; each direction has a key of its own, so both may count from zero.
Nonce nonce_of(std::uint64_t frame) noexcept {
    Nonce nonce{};
    for (std::size_t i = 0; i < 8; ++i) {
        nonce[i] = static_cast<std::uint8_t>(frame >> (8U * i));
    }
    return nonce;
}

}  // namespace

LinkCipher::Keys::~Keys() {
    sodium_memzero(receive.data(), receive.size());
    sodium_memzero(send.data(), send.size());
}

LinkCipher::LinkCipher(std::unique_ptr<Keys> keys) : keys_(std::move(keys)) {}
LinkCipher::~LinkCipher() = default;
LinkCipher::LinkCipher(LinkCipher&&) noexcept = default;
LinkCipher& LinkCipher::operator=(LinkCipher&&) noexcept = default;

Bytes LinkCipher::seal(ByteView plain) {
    LOYAL_ASSERT(keys_ != nullptr, "a cipher that was moved away does not seal");
    if (keys_->sent_frames >= link_frames_max) {
        return {};
    }
    const Nonce nonce = nonce_of(keys_->sent_frames++);
    Bytes sealed(plain.size() + overhead_bytes);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed.data(), nullptr, plain.data(), plain.size(), nullptr, 0, nullptr,
                                              nonce.data(), keys_->send.data());
    return sealed;
}

Result<Bytes> LinkCipher::open(ByteView sealed) {
    LOYAL_ASSERT(keys_ != nullptr, "a cipher that was moved away does not open");
    if (keys_->broken) {
        return fail(Errc::unauthentic, "an earlier frame of this link did not verify; the link must be closed");
    }
    keys_->broken = true;  // until this frame has proved otherwise
    if (keys_->received_frames >= link_frames_max) {
        return fail(Errc::unauthentic, "the frame counter of this link is used up; connect again");
    }
    if (sealed.size() < overhead_bytes || sealed.size() > limits::frame_bytes_max + overhead_bytes) {
        return fail(Errc::unauthentic, "a sealed frame of " + std::to_string(sealed.size()) + " bytes is out of range");
    }
    const Nonce nonce = nonce_of(keys_->received_frames);
    Bytes plain(sealed.size() - overhead_bytes);
    if (crypto_aead_chacha20poly1305_ietf_decrypt(plain.data(), nullptr, nullptr, sealed.data(), sealed.size(), nullptr,
                                                  0, nonce.data(), keys_->receive.data()) != 0) {
        return fail(Errc::unauthentic, "a frame did not verify: changed, replayed, out of order or cut");
    }
    ++keys_->received_frames;
    keys_->broken = false;
    return plain;
}

}  // namespace loyal::crypto
