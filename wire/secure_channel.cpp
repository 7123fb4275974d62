#include "wire/secure_channel.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "wire/framing.h"

namespace loyal::wire {

namespace {

constexpr std::uint8_t kind_handshake = 1;
constexpr std::uint8_t kind_refusal = 2;
constexpr std::size_t opening_frame_bytes_max = crypto::LinkHandshake::frame_bytes_max + 1;
constexpr std::size_t sealed_frame_bytes_max = limits::frame_bytes_max + crypto::LinkCipher::overhead_bytes;
constexpr std::size_t refusal_bytes_max = 200;
// First byte of a refusal; the text follows.
constexpr std::uint8_t refused_other = 0;
constexpr std::uint8_t refused_key = 1;

Bytes opening_frame(std::uint8_t kind, ByteView payload) {
    Bytes frame;
    frame.reserve(payload.size() + 1);
    frame.push_back(kind);
    frame.insert(frame.end(), payload.begin(), payload.end());
    return with_prefix(frame);
}

// A refusal is written by whoever answers there: printable ASCII and short, whatever it was.
std::string harmless(ByteView text) {
    std::string out;
    for (const std::uint8_t byte : text.first(std::min(text.size(), refusal_bytes_max))) {
        out += byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '?';
    }
    return out;
}

}  // namespace

struct SecureChannel::State {
    State(crypto::LinkHandshake opening, bool is_initiator)
        : handshake(std::move(opening)), initiates(is_initiator), reader(opening_frame_bytes_max) {}

    crypto::LinkHandshake handshake;
    bool initiates;
    FrameReader reader;
    std::optional<crypto::LinkCipher> cipher;
    bool failed = false;
    Bytes refusal;

    [[nodiscard]] Result<void> on_opening_frame(ByteView frame, Received& got);
    void establish(Received& got);
};

SecureChannel::SecureChannel(std::unique_ptr<State> state) : state_(std::move(state)) {}
SecureChannel::~SecureChannel() = default;
SecureChannel::SecureChannel(SecureChannel&&) noexcept = default;
SecureChannel& SecureChannel::operator=(SecureChannel&&) noexcept = default;

SecureChannel SecureChannel::initiator(const crypto::LinkOptions& options, const crypto::LinkPeer& expected) {
    return SecureChannel(std::make_unique<State>(crypto::LinkHandshake::initiator(options, expected), true));
}

SecureChannel SecureChannel::responder(const crypto::LinkOptions& options,
                                       std::function<bool(const crypto::LinkPeer&)> allow) {
    return SecureChannel(std::make_unique<State>(crypto::LinkHandshake::responder(options, std::move(allow)), false));
}

Bytes SecureChannel::start() {
    if (!state_->initiates) {
        return {};
    }
    return opening_frame(kind_handshake, state_->handshake.first_frame());
}

void SecureChannel::State::establish(Received& got) {
    cipher.emplace(handshake.take_cipher());
    reader.set_frame_bytes_max(sealed_frame_bytes_max);
    got.established = true;
}

// Entry: no cipher yet.
Result<void> SecureChannel::State::on_opening_frame(ByteView frame, Received& got) {
    const std::uint8_t kind = frame.front();
    const ByteView payload = frame.subspan(1);
    if (kind == kind_refusal) {
        const bool key = !payload.empty() && payload.front() == refused_key;
        return fail(key ? Errc::permission : Errc::conflict,
                    "refused by the other side: " + harmless(payload.subspan(payload.empty() ? 0 : 1)));
    }
    if (kind != kind_handshake) {
        return fail(Errc::invalid_argument, "not a LoyalKV handshake");
    }
    auto answer = handshake.receive(payload);
    if (!answer) {
        if (!initiates) {
            const std::string text = harmless(view_of(answer.error().message));
            refusal.push_back(answer.error().code == Errc::permission ? refused_key : refused_other);
            refusal.insert(refusal.end(), text.begin(), text.end());
        }
        return tl::unexpected(answer.error());
    }
    if (answer->has_value()) {
        const Bytes out = opening_frame(kind_handshake, **answer);
        got.to_send.insert(got.to_send.end(), out.begin(), out.end());
    }
    if (handshake.done()) {
        establish(got);
    }
    return {};
}

Result<SecureChannel::Received> SecureChannel::receive(ByteView bytes) {
    State& state = *state_;
    if (state.failed) {
        return fail(Errc::invalid_argument, "the link has failed before");
    }
    state.reader.feed(bytes);
    Received got;
    for (;;) {
        auto frame = state.reader.next();
        if (!frame) {
            state.failed = true;
            return tl::unexpected(frame.error());
        }
        if (!frame->has_value()) {
            return got;
        }
        if (!state.cipher) {
            if (auto taken = state.on_opening_frame(**frame, got); !taken) {
                state.failed = true;
                return tl::unexpected(taken.error());
            }
            continue;
        }
        auto plain = state.cipher->open(**frame);
        if (!plain || plain->empty()) {
            state.failed = true;
            return plain ? fail(Errc::invalid_argument, "an empty frame") : tl::unexpected(plain.error());
        }
        got.frames.push_back(std::move(*plain));
    }
}

Bytes SecureChannel::take_refusal() {
    if (state_->refusal.empty()) {
        return {};
    }
    return opening_frame(kind_refusal, std::exchange(state_->refusal, {}));
}

bool SecureChannel::established() const {
    return state_->cipher.has_value();
}

const crypto::LinkPeer& SecureChannel::peer() const {
    LOYAL_ASSERT(established(), "the peer is known once the link is established");
    return state_->handshake.peer();
}

Bytes SecureChannel::seal_frame(ByteView plain) {
    LOYAL_ASSERT(established(), "nothing is sent before the link is established");
    LOYAL_ASSERT(!plain.empty() && plain.size() <= limits::frame_bytes_max, "a frame has 1 to frame_bytes_max bytes");
    return with_prefix(state_->cipher->seal(plain));
}

}  // namespace loyal::wire
