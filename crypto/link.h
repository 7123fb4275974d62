// Authenticated, encrypted links between replicas and with clients (PROTOCOL.md §2.4). Sans-IO: bytes of whole frames
// go in and out; framing (u32 length, little-endian) and sockets are the caller's.
//
// Handshake, three frames (SIGMA with X25519 and Ed25519; Krawczyk, CRYPTO'03): HELLO from the initiator (cluster id,
// epoch, role, public key, ephemeral key), HELLO from the responder with its signature over the transcript, PROOF from
// the initiator. Then ChaCha20-Poly1305 (IETF) frames with counter nonces, one key a direction, from
// crypto_kx. Each object is used by one thread at a time. Frame authentication comes in addition to signatures.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "config/bytes.h"
#include "config/result.h"
#include "crypto/digest.h"
#include "crypto/signature.h"

namespace loyal::crypto {

enum class LinkRole : std::uint8_t { replica = 1, client = 2 };

struct LinkPeer {
    LinkRole role = LinkRole::replica;
    PublicKey key;
};

// Cipher of an established link.
class LinkCipher {
 public:
    struct Keys;
    explicit LinkCipher(std::unique_ptr<Keys> keys);
    ~LinkCipher();
    LinkCipher(LinkCipher&&) noexcept;
    LinkCipher& operator=(LinkCipher&&) noexcept;

    static constexpr std::size_t overhead_bytes = 16;
    // Empty when the counter is used up, which no link lives to see; an empty frame ends the link at the other side.
    [[nodiscard]] Bytes seal(ByteView plain);
    // Errc::unauthentic: changed, replayed, reordered or cut; the link must be closed.
    [[nodiscard]] Result<Bytes> open(ByteView sealed);

 private:
    std::unique_ptr<Keys> keys_;  // wiped on destruction
};

struct LinkOptions {
    Digest cluster_id;
    std::uint32_t epoch = 0;
    LinkRole role = LinkRole::replica;  // own
    // Both must outlive the handshake.
    const Signer* signer = nullptr;
    const SignatureVerifier* verifier = nullptr;
};

class LinkHandshake {
 public:
    static constexpr std::size_t frame_bytes_max = 512;

    // `expected`: the initiator's idea of whom it calls; the handshake fails with anybody else.
    [[nodiscard]] static LinkHandshake initiator(const LinkOptions& options, const LinkPeer& expected);
    // `allow` decides whether a caller's role and key are known; it is asked before any signature work.
    [[nodiscard]] static LinkHandshake responder(const LinkOptions& options,
                                                 std::function<bool(const LinkPeer&)> allow);
    ~LinkHandshake();
    LinkHandshake(LinkHandshake&&) noexcept;
    LinkHandshake& operator=(LinkHandshake&&) noexcept;

    // The initiator's first frame. The responder has none.
    [[nodiscard]] Bytes first_frame();
    // Takes the other side's frame, gives the frame to send back, if any. After it, `done()` may be true.
    // Errors name the reason: wrong cluster, wrong epoch, unknown key, bad signature, malformed frame.
    [[nodiscard]] Result<std::optional<Bytes>> receive(ByteView frame);
    [[nodiscard]] bool done() const;
    [[nodiscard]] const LinkPeer& peer() const;  // once done
    [[nodiscard]] LinkCipher take_cipher();      // once, when done

 private:
    struct State;
    explicit LinkHandshake(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace loyal::crypto
