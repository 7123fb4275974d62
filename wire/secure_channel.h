// SecureChannel: one end of an encrypted link, without I/O: framing + handshake + cipher (PROTOCOL.md §2.4). Feed it
// what the socket received; it gives the decrypted frames and what must be sent back. Used by replicas and clients
// alike.
//
//     SecureChannel channel = SecureChannel::initiator(options, expected);     // or responder(options, allow)
//     socket.write(channel.start());                                           // empty for a responder
//     on received bytes:
//         auto got = channel.receive(bytes);
//         if (!got) { write channel.take_refusal(), if any; close; }           // why: got.error()
//         else { socket.write(got->to_send); if (got->established) ...; handle got->frames }
//     to send:  socket.write(channel.seal_frame(encode(message)));             // only once established()
//
// Order matters: what seal_frame returns must be written in the order of the calls (counter nonces). One thread at a
// time.
//
// Frames before the cipher is up start with a kind byte: 1 handshake, 2 refusal (a text, unauthenticated: a hint that
// lets the caller say "unknown key" instead of "connection closed"). They are bounded by
// LinkHandshake::frame_bytes_max. Afterwards a frame is sealed bytes only, at most limits::frame_bytes_max of plain
// text.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "crypto/link.h"

namespace loyal::wire {

class SecureChannel {
 public:
    [[nodiscard]] static SecureChannel initiator(const crypto::LinkOptions& options, const crypto::LinkPeer& expected);
    [[nodiscard]] static SecureChannel responder(const crypto::LinkOptions& options,
                                                 std::function<bool(const crypto::LinkPeer&)> allow);
    ~SecureChannel();
    SecureChannel(SecureChannel&&) noexcept;
    SecureChannel& operator=(SecureChannel&&) noexcept;

    // What to write when the connection stands; empty for the responder. Once.
    [[nodiscard]] Bytes start();

    struct Received {
        Bytes to_send;              // handshake output, prefix included; write it before anything else
        bool established = false;   // the link came up with these bytes; peer() is known from now on
        std::vector<Bytes> frames;  // decrypted, in order, each 1 .. frame_bytes_max
    };
    // An error ends the channel: close the connection. Errc::permission: we were refused (the peer's own words, a
    // hint), or `allow` said no; Errc::unauthentic: a bad signature, tag, or another cluster; Errc::invalid_argument:
    // malformed.
    [[nodiscard]] Result<Received> receive(ByteView bytes);
    // After an error of a responder: a frame that tells the caller why. Empty when there is nothing to tell.
    [[nodiscard]] Bytes take_refusal();

    [[nodiscard]] bool established() const;
    [[nodiscard]] const crypto::LinkPeer& peer() const;  // once established
    // Seals one frame, prefix included. Asserts that the link is up and the size is 1 .. limits::frame_bytes_max.
    [[nodiscard]] Bytes seal_frame(ByteView plain);

 private:
    struct State;
    explicit SecureChannel(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace loyal::wire
