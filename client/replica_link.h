// ReplicaLink: the client's encrypted connection to one replica, kept up: it connects, reconnects with exponential
// backoff and jitter, and hands over decrypted frames. Asio inside, so only client.cpp and replica_link.cpp include it.
//
// Everything happens on the thread that runs the io_context. The observer may call the link back, but must not destroy
// it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <random>
#include <string>

#include "config/bytes.h"
#include "config/cluster.h"
#include "crypto/link.h"

namespace loyal::client {

class LinkObserver {
 public:
    virtual ~LinkObserver() = default;
    virtual void link_up(std::uint16_t replica) = 0;
    virtual void link_down(std::uint16_t replica, const std::string& why) = 0;
    // An attempt to connect has failed. `denied`: the replica does not know our key.
    virtual void link_failed(std::uint16_t replica, const std::string& why, bool denied) = 0;
    virtual void frame_received(std::uint16_t replica, const Bytes& frame) = 0;
    // No more events of this wake-up follow: a good moment to send.
    virtual void link_idle() = 0;
};

struct ReplicaLinkOptions {
    config::ReplicaEntry replica;
    crypto::LinkOptions link;
    std::uint64_t connect_timeout_ms = 2'000;
    std::uint64_t backoff_max_ms = 1'000;
    std::uint64_t jitter_seed = 0;
};

class ReplicaLink {
 public:
    ReplicaLink(boost::asio::io_context& io, ReplicaLinkOptions options, LinkObserver& observer);
    ~ReplicaLink();
    ReplicaLink(const ReplicaLink&) = delete;
    ReplicaLink& operator=(const ReplicaLink&) = delete;

    void start();
    // Ends the pause between two attempts.
    void hurry();
    [[nodiscard]] bool is_up() const { return up_; }
    // Of the last attempt or connection.
    [[nodiscard]] const std::string& last_error() const { return last_error_; }
    [[nodiscard]] bool was_denied() const { return denied_; }
    // Queues a message; nothing when the link is down. flush() writes what was queued.
    void send(ByteView message);
    void flush();

 private:
    struct Attempt;
    using AttemptPtr = std::shared_ptr<Attempt>;

    void begin_attempt();
    void resolve(const AttemptPtr& attempt);
    void connect(const AttemptPtr& attempt, boost::asio::ip::tcp::resolver::results_type endpoints);
    void connected(const AttemptPtr& attempt);
    void read(const AttemptPtr& attempt);
    void received(const AttemptPtr& attempt, std::size_t size);
    void write(const AttemptPtr& attempt);
    void lose(const AttemptPtr& attempt, const std::string& why, bool denied);
    void pause();
    [[nodiscard]] std::string address() const;
    [[nodiscard]] bool is_current(const AttemptPtr& attempt) const { return attempt_ == attempt; }

    boost::asio::io_context& io_;
    ReplicaLinkOptions options_;
    LinkObserver& observer_;
    boost::asio::steady_timer timer_;  // of the attempt, then of the pause
    AttemptPtr attempt_;
    bool up_ = false;
    bool pausing_ = false;
    bool denied_ = false;
    unsigned failures_ = 0;  // in a row
    std::chrono::steady_clock::time_point up_since_;
    std::string last_error_ = "not tried yet";
    std::minstd_rand jitter_;
};

}  // namespace loyal::client
