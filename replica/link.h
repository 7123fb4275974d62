// Link: one encrypted TCP connection with a peer or a client: framing, handshake and cipher (wire/secure_channel.h) on
// an Asio socket. Outbound frames wait in a bounded queue as plain text and are sealed when they are written, so that
// the oldest can be dropped; one write gathers whatever waits. Everything runs on the event loop. Callbacks come from
// the loop, never from inside a call of this class.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "config/bytes.h"
#include "wire/secure_channel.h"

namespace loyal::replica {

struct LinkStats {  // sums over all links of an owner
    std::uint64_t bytes_in = 0, bytes_out = 0;
    std::uint64_t frames_in = 0, frames_out = 0, frames_dropped = 0;
};

struct LinkLimits {
    std::size_t outbound_bytes_max = 0;
    bool drop_oldest = false;  // otherwise an overflow closes the link
    std::chrono::milliseconds handshake_timeout{5'000};
    std::chrono::milliseconds idle_timeout{0};  // nothing received for so long: closed; 0: never
};

class Link : public std::enable_shared_from_this<Link> {
 public:
    using Socket = boost::asio::ip::tcp::socket;
    struct Events {
        std::function<void(Link&)> up;  // the handshake is done
        std::function<void(Link&, std::vector<Bytes>&& frames)> frames;
        std::function<void(Link&, const std::string& why, bool hostile)> down;  // once; hostile: a bad handshake or tag
    };

    // `stats` outlives the link.
    static std::shared_ptr<Link> open(std::uint64_t id, Socket socket, wire::SecureChannel channel, Events events,
                                      LinkLimits limits, LinkStats& stats);
    void start();
    // Queues a frame; written by the next flush().
    void send(SharedBytes frame);
    void flush();
    void close(const std::string& why, bool hostile = false);

    // Stops and resumes reading; several reasons may hold at once.
    enum Pause : unsigned { pause_own = 1, pause_global = 2 };
    void pause(Pause reason);
    void resume(Pause reason);
    [[nodiscard]] bool paused(Pause reason) const { return (paused_ & reason) != 0; }

    [[nodiscard]] std::uint64_t id() const { return id_; }
    [[nodiscard]] bool is_up() const { return up_ && !closed_; }
    [[nodiscard]] bool is_closed() const { return closed_; }
    [[nodiscard]] const crypto::PublicKey& peer_key() const { return channel_.peer().key; }
    [[nodiscard]] std::size_t outbound_bytes() const { return outbound_bytes_; }
    [[nodiscard]] const std::string& remote() const { return remote_; }

    // Bytes and frames handed to the verify pool and not yet answered; kept by the owner.
    std::size_t inbound_bytes = 0;
    std::size_t inbound_frames = 0;

 private:
    Link(std::uint64_t id, Socket socket, wire::SecureChannel channel, Events events, LinkLimits limits,
         LinkStats& stats);
    void tune_socket();
    void read();
    void on_read(std::size_t bytes);
    void write();
    void arm_timer(std::chrono::milliseconds timeout);

    std::uint64_t id_;
    Socket socket_;
    wire::SecureChannel channel_;
    Events events_;
    LinkLimits limits_;
    LinkStats& stats_;
    boost::asio::steady_timer timer_;
    std::string remote_;
    Bytes read_buffer_;
    Bytes handshake_out_;
    std::deque<SharedBytes> outbound_;
    std::size_t outbound_bytes_ = 0;
    std::vector<Bytes> in_write_;
    std::chrono::steady_clock::time_point last_received_;
    unsigned paused_ = 0;
    bool reading_ = false;
    bool writing_ = false;
    bool up_ = false;
    bool closed_ = false;
    bool close_after_write_ = false;
};

}  // namespace loyal::replica
