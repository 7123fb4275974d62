// The handshake. Frames are canonical bytes:
//
//   HELLO     u8 kind | "LKVL" | u16 version | cluster id 32 | u32 epoch | u8 role | public key 32 | ephemeral key 32
//             initiator: kind 1, nothing more; responder: kind 2, then its signature 64
//   PROOF     u8 kind 3 | signature 64
//
// Both sign "LKV1" | 12 | cluster id | epoch | u8 own kind | H("link", HELLO of the initiator | HELLO of the responder
// without its signature), the signed form of PROTOCOL.md §2.2. The hash covers both roles, static keys and ephemeral
// keys, which is what binds the X25519 secret to the two identities (SIGMA's identity binding; Krawczyk, CRYPTO'03);
// the kind makes a responder's signature useless as an initiator's.
#include "crypto/link.h"

#include <sodium.h>

#include <array>
#include <string>

#include "config/assert.h"
#include "crypto/canonical.h"
#include "crypto/link_keys.h"

namespace loyal::crypto {
namespace {

static_assert(crypto_kx_SESSIONKEYBYTES == 32 && crypto_kx_PUBLICKEYBYTES == 32);

enum class FrameKind : std::uint8_t { initiator_hello = 1, responder_hello = 2, proof = 3 };

constexpr std::string_view magic = "LKVL";
constexpr std::uint16_t link_version = 1;
constexpr std::uint8_t hello_domain = 12;  // consensus::SignDomain::hello
constexpr std::size_t hello_bytes = 1 + 4 + 2 + 32 + 4 + 1 + 32 + 32;
constexpr std::size_t signature_bytes = sizeof(Signature);
static_assert(hello_bytes + signature_bytes <= LinkHandshake::frame_bytes_max);

using EphemeralKey = std::array<std::uint8_t, crypto_kx_PUBLICKEYBYTES>;

struct Hello {
    FrameKind kind = FrameKind::initiator_hello;
    Digest cluster_id;
    std::uint32_t epoch = 0;
    LinkPeer author;
    EphemeralKey ephemeral{};
};

Bytes encode_hello(const Hello& hello) {
    CanonicalWriter out(hello_bytes + signature_bytes);
    out.number(static_cast<std::uint8_t>(hello.kind)).raw(view_of(magic)).number(link_version);
    out.digest(hello.cluster_id).number(hello.epoch).number(static_cast<std::uint8_t>(hello.author.role));
    out.raw(hello.author.key.bytes).raw(hello.ephemeral);
    return out.take();
}

// `frame` is exactly hello_bytes long. Which cluster and epoch it names is for the caller to judge.
Result<Hello> decode_hello(ByteView frame, FrameKind expected) {
    CanonicalReader in(frame);
    Hello hello;
    hello.kind = static_cast<FrameKind>(in.number<std::uint8_t>());
    if (hello.kind != expected || text_of(in.raw(magic.size())) != magic) {
        return fail(Errc::invalid_argument, "malformed frame: this is not the HELLO of a LoyalKV link");
    }
    if (const auto version = in.number<std::uint16_t>(); version != link_version) {
        return fail(Errc::invalid_argument, "the peer speaks link version " + std::to_string(version) + ", this is " +
                                                std::to_string(link_version) + "; run the same release everywhere");
    }
    hello.cluster_id = in.digest();
    hello.epoch = in.number<std::uint32_t>();
    const auto role = in.number<std::uint8_t>();
    hello.author.role = static_cast<LinkRole>(role);
    const ByteView key = in.raw(hello.author.key.bytes.size());
    const ByteView ephemeral = in.raw(hello.ephemeral.size());
    if (!in.finish() || (hello.author.role != LinkRole::replica && hello.author.role != LinkRole::client)) {
        return fail(Errc::invalid_argument, "malformed frame: HELLO with role " + std::to_string(role));
    }
    std::copy(key.begin(), key.end(), hello.author.key.bytes.begin());
    std::copy(ephemeral.begin(), ephemeral.end(), hello.ephemeral.begin());
    return hello;
}

Result<void> check_size(ByteView frame, std::size_t expected) {
    if (frame.size() != expected) {
        return fail(Errc::invalid_argument, "malformed frame: a handshake frame of " + std::to_string(frame.size()) +
                                                " bytes instead of " + std::to_string(expected));
    }
    return {};
}

Signature signature_in(ByteView bytes) {
    CanonicalReader in(bytes);
    return in.signature();
}

}  // namespace

struct LinkHandshake::State {
    enum class Phase : std::uint8_t { start, wait_responder_hello, wait_initiator_hello, wait_proof, done, failed };

    Phase phase = Phase::start;
    bool initiates = false;
    LinkOptions options;
    LinkPeer peer;  // the expected one until done
    std::function<bool(const LinkPeer&)> allow;
    EphemeralKey ephemeral{};
    std::array<std::uint8_t, crypto_kx_SECRETKEYBYTES> ephemeral_secret{};
    Bytes initiator_hello;
    Digest transcript;
    std::unique_ptr<LinkCipher::Keys> keys;

    ~State() { sodium_memzero(ephemeral_secret.data(), ephemeral_secret.size()); }

    static std::unique_ptr<State> make(const LinkOptions& options, bool initiates) {
        LOYAL_ASSERT(options.signer != nullptr && options.verifier != nullptr, "a handshake needs keys");
        auto state = std::make_unique<State>();
        state->options = options;
        state->initiates = initiates;
        crypto_kx_keypair(state->ephemeral.data(), state->ephemeral_secret.data());
        return state;
    }

    [[nodiscard]] Bytes own_hello() const {
        const LinkPeer self{options.role, options.signer->public_key()};
        const auto kind = initiates ? FrameKind::initiator_hello : FrameKind::responder_hello;
        return encode_hello({kind, options.cluster_id, options.epoch, self, ephemeral});
    }

    [[nodiscard]] Bytes signed_form(FrameKind author) const {
        CanonicalWriter out;
        out.raw(view_of("LKV1")).number(hello_domain).digest(options.cluster_id).number(options.epoch);
        out.number(static_cast<std::uint8_t>(author)).digest(transcript);
        return out.take();
    }

    // Cheap and named refusals, before any public-key work.
    [[nodiscard]] Result<void> check_place(const Hello& hello) const {
        if (hello.cluster_id != options.cluster_id) {
            return fail(Errc::conflict, "wrong cluster: the peer belongs to " + hello.cluster_id.short_hex() +
                                            ", this is " + options.cluster_id.short_hex());
        }
        if (hello.epoch != options.epoch) {
            return fail(Errc::conflict, "wrong epoch: the peer is in " + std::to_string(hello.epoch) + ", this is " +
                                            std::to_string(options.epoch));
        }
        if (hello.author.key == options.signer->public_key()) {
            return fail(Errc::permission, "reflected HELLO: the peer presents our own key");
        }
        return {};
    }

    // Refuses ephemeral keys of low order, whose shared secret anybody knows.
    [[nodiscard]] Result<void> derive_keys(const EphemeralKey& theirs) {
        auto derived = std::make_unique<LinkCipher::Keys>();
        const auto derive = initiates ? crypto_kx_client_session_keys : crypto_kx_server_session_keys;
        const int refused = derive(derived->receive.data(), derived->send.data(), ephemeral.data(),
                                   ephemeral_secret.data(), theirs.data());
        sodium_memzero(ephemeral_secret.data(), ephemeral_secret.size());
        if (refused != 0) {
            return fail(Errc::unauthentic, "weak ephemeral key: the peer's X25519 key has low order");
        }
        keys = std::move(derived);
        return {};
    }

    [[nodiscard]] Result<void> check_signature(FrameKind author, const Signature& signature) const {
        if (!options.verifier->verify(peer.key, signed_form(author), signature)) {
            return fail(Errc::unauthentic, "bad signature: the peer does not hold the key it presents");
        }
        return {};
    }

    Result<std::optional<Bytes>> on_initiator_hello(ByteView frame);
    Result<std::optional<Bytes>> on_responder_hello(ByteView frame);
    Result<std::optional<Bytes>> on_proof(ByteView frame);
    Result<std::optional<Bytes>> receive(ByteView frame);
};

// Responder, first frame.
Result<std::optional<Bytes>> LinkHandshake::State::on_initiator_hello(ByteView frame) {
    if (auto sized = check_size(frame, hello_bytes); !sized) {
        return tl::unexpected(sized.error());
    }
    const auto hello = decode_hello(frame, FrameKind::initiator_hello);
    if (!hello) {
        return tl::unexpected(hello.error());
    }
    if (auto placed = check_place(*hello); !placed) {
        return tl::unexpected(placed.error());
    }
    if (!allow(hello->author)) {
        return fail(Errc::permission, std::string("unknown ") +
                                          (hello->author.role == LinkRole::replica ? "replica" : "client") + " key " +
                                          to_hex(ByteView(hello->author.key.bytes).first(8)));
    }
    peer = hello->author;
    if (auto derived = derive_keys(hello->ephemeral); !derived) {
        return tl::unexpected(derived.error());
    }
    Bytes answer = own_hello();
    transcript = Hasher("link").update(frame).update(answer).finish();
    const Signature signature = options.signer->sign(signed_form(FrameKind::responder_hello));
    answer.insert(answer.end(), signature.bytes.begin(), signature.bytes.end());
    phase = Phase::wait_proof;
    return std::optional<Bytes>(std::move(answer));
}

// Initiator, second frame.
Result<std::optional<Bytes>> LinkHandshake::State::on_responder_hello(ByteView frame) {
    if (auto sized = check_size(frame, hello_bytes + signature_bytes); !sized) {
        return tl::unexpected(sized.error());
    }
    const ByteView unsigned_part = frame.first(hello_bytes);
    const auto hello = decode_hello(unsigned_part, FrameKind::responder_hello);
    if (!hello) {
        return tl::unexpected(hello.error());
    }
    if (auto placed = check_place(*hello); !placed) {
        return tl::unexpected(placed.error());
    }
    if (hello->author.role != peer.role || hello->author.key != peer.key) {
        return fail(Errc::permission, "unknown key: somebody else answered, with key " +
                                          to_hex(ByteView(hello->author.key.bytes).first(8)) + " instead of " +
                                          to_hex(ByteView(peer.key.bytes).first(8)));
    }
    transcript = Hasher("link").update(initiator_hello).update(unsigned_part).finish();
    if (auto checked = check_signature(FrameKind::responder_hello, signature_in(frame.last(signature_bytes)));
        !checked) {
        return tl::unexpected(checked.error());
    }
    if (auto derived = derive_keys(hello->ephemeral); !derived) {
        return tl::unexpected(derived.error());
    }
    CanonicalWriter proof;
    proof.number(static_cast<std::uint8_t>(FrameKind::proof));
    proof.signature(options.signer->sign(signed_form(FrameKind::proof)));
    phase = Phase::done;
    return std::optional<Bytes>(proof.take());
}

// Responder, last frame.
Result<std::optional<Bytes>> LinkHandshake::State::on_proof(ByteView frame) {
    if (auto sized = check_size(frame, 1 + signature_bytes); !sized) {
        return tl::unexpected(sized.error());
    }
    if (frame.front() != static_cast<std::uint8_t>(FrameKind::proof)) {
        return fail(Errc::invalid_argument, "malformed frame: expected the initiator's PROOF");
    }
    if (auto checked = check_signature(FrameKind::proof, signature_in(frame.last(signature_bytes))); !checked) {
        return tl::unexpected(checked.error());
    }
    phase = Phase::done;
    return std::optional<Bytes>();
}

Result<std::optional<Bytes>> LinkHandshake::State::receive(ByteView frame) {
    switch (phase) {
        case Phase::wait_initiator_hello: return on_initiator_hello(frame);
        case Phase::wait_responder_hello: return on_responder_hello(frame);
        case Phase::wait_proof: return on_proof(frame);
        case Phase::start:
        case Phase::done: return fail(Errc::invalid_argument, "malformed frame: no handshake frame is due");
        case Phase::failed: break;
    }
    return fail(Errc::unauthentic, "this handshake has failed; the link must be closed");
}

LinkHandshake::LinkHandshake(std::unique_ptr<State> state) : state_(std::move(state)) {}
LinkHandshake::~LinkHandshake() = default;
LinkHandshake::LinkHandshake(LinkHandshake&&) noexcept = default;
LinkHandshake& LinkHandshake::operator=(LinkHandshake&&) noexcept = default;

LinkHandshake LinkHandshake::initiator(const LinkOptions& options, const LinkPeer& expected) {
    auto state = State::make(options, true);
    state->peer = expected;
    return LinkHandshake(std::move(state));
}

LinkHandshake LinkHandshake::responder(const LinkOptions& options, std::function<bool(const LinkPeer&)> allow) {
    LOYAL_ASSERT(allow != nullptr, "a responder must know whom it admits");
    auto state = State::make(options, false);
    state->allow = std::move(allow);
    state->phase = State::Phase::wait_initiator_hello;
    return LinkHandshake(std::move(state));
}

Bytes LinkHandshake::first_frame() {
    LOYAL_ASSERT(state_->initiates && state_->phase == State::Phase::start, "only an initiator begins, and once");
    state_->initiator_hello = state_->own_hello();
    state_->phase = State::Phase::wait_responder_hello;
    return state_->initiator_hello;
}

Result<std::optional<Bytes>> LinkHandshake::receive(ByteView frame) {
    auto answer = state_->receive(frame);
    if (!answer) {
        state_->phase = State::Phase::failed;
        state_->keys.reset();
    }
    return answer;
}

bool LinkHandshake::done() const {
    return state_->phase == State::Phase::done;
}

const LinkPeer& LinkHandshake::peer() const {
    LOYAL_ASSERT(done(), "a peer is known when the handshake is done");
    return state_->peer;
}

LinkCipher LinkHandshake::take_cipher() {
    LOYAL_ASSERT(done() && state_->keys != nullptr, "the cipher is there once, when the handshake is done");
    return LinkCipher(std::move(state_->keys));
}

}  // namespace loyal::crypto
