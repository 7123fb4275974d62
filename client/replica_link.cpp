#include "client/replica_link.h"

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "config/limits.h"
#include "wire/secure_channel.h"

namespace loyal::client {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

constexpr std::size_t read_bytes = 64U << 10U;
constexpr std::uint64_t backoff_first_ms = 20;
// A link that fell sooner than this after it came up counts as another failure in a row.
constexpr auto stable_after = std::chrono::milliseconds(100);

std::string host_of(const std::string& advertise) {
    const bool bracketed = advertise.size() > 2 && advertise.front() == '[' && advertise.back() == ']';
    return bracketed ? advertise.substr(1, advertise.size() - 2) : advertise;
}

}  // namespace

// One connection, from its first try to its end. Handlers of an attempt that is over find that it is no longer current.
struct ReplicaLink::Attempt {
    Attempt(asio::io_context& io, wire::SecureChannel secure) : socket(io), resolver(io), channel(std::move(secure)) {}

    tcp::socket socket;
    tcp::resolver resolver;
    wire::SecureChannel channel;
    std::array<std::uint8_t, read_bytes> buffer{};
    Bytes queued;   // to be written next
    Bytes writing;  // empty: nothing is on its way
};

ReplicaLink::ReplicaLink(asio::io_context& io, ReplicaLinkOptions options, LinkObserver& observer)
    : io_(io),
      options_(std::move(options)),
      observer_(observer),
      timer_(io),
      jitter_(static_cast<std::minstd_rand::result_type>(options_.jitter_seed % 0x7FFFFFFFU)) {}

ReplicaLink::~ReplicaLink() = default;

std::string ReplicaLink::address() const {
    return options_.replica.advertise + ":" + std::to_string(options_.replica.client_port);
}

void ReplicaLink::start() {
    begin_attempt();
}

void ReplicaLink::hurry() {
    if (pausing_) {
        timer_.cancel();
        begin_attempt();
    }
}

void ReplicaLink::begin_attempt() {
    pausing_ = false;
    attempt_ = std::make_shared<Attempt>(
        io_, wire::SecureChannel::initiator(options_.link, {crypto::LinkRole::replica, options_.replica.public_key}));
    timer_.expires_after(std::chrono::milliseconds(options_.connect_timeout_ms));
    timer_.async_wait([this, attempt = attempt_](const error_code& error) {
        if (!error && is_current(attempt) && !up_) {
            lose(attempt,
                 "no answer from " + address() + " within " + std::to_string(options_.connect_timeout_ms) + " ms",
                 false);
            observer_.link_idle();
        }
    });
    resolve(attempt_);
}

// A literal address needs no resolver (and its thread).
void ReplicaLink::resolve(const AttemptPtr& attempt) {
    const std::string host = host_of(options_.replica.advertise);
    error_code error;
    const asio::ip::address literal = asio::ip::make_address(host, error);
    if (!error) {
        const tcp::endpoint endpoint(literal, options_.replica.client_port);
        connect(attempt, tcp::resolver::results_type::create(endpoint, host, std::to_string(endpoint.port())));
        return;
    }
    attempt->resolver.async_resolve(
        host, std::to_string(options_.replica.client_port), tcp::resolver::numeric_service,
        [this, attempt](const error_code& failed, tcp::resolver::results_type endpoints) {
            if (!is_current(attempt)) {
                return;
            }
            if (failed) {
                lose(attempt, "cannot resolve " + options_.replica.advertise + ": " + failed.message(), false);
                observer_.link_idle();
                return;
            }
            connect(attempt, std::move(endpoints));
        });
}

void ReplicaLink::connect(const AttemptPtr& attempt, tcp::resolver::results_type endpoints) {
    asio::async_connect(attempt->socket, endpoints, [this, attempt](const error_code& error, const tcp::endpoint&) {
        if (!is_current(attempt)) {
            return;
        }
        if (error) {
            lose(attempt, "cannot connect to " + address() + ": " + error.message(), false);
            observer_.link_idle();
            return;
        }
        connected(attempt);
    });
}

void ReplicaLink::connected(const AttemptPtr& attempt) {
    error_code ignored;
    attempt->socket.set_option(tcp::no_delay(true), ignored);
    attempt->queued = attempt->channel.start();
    write(attempt);
    read(attempt);
}

void ReplicaLink::read(const AttemptPtr& attempt) {
    attempt->socket.async_read_some(
        asio::buffer(attempt->buffer), [this, attempt](const error_code& error, std::size_t size) {
            if (!is_current(attempt)) {
                return;
            }
            if (error) {
                const std::string what = error == asio::error::eof ? "closed by the replica" : error.message();
                lose(attempt, address() + (up_ ? ": connection lost: " : ": no link: ") + what, false);
            } else {
                received(attempt, size);
            }
            observer_.link_idle();
            if (is_current(attempt)) {
                read(attempt);
            }
        });
}

void ReplicaLink::received(const AttemptPtr& attempt, std::size_t size) {
    auto got = attempt->channel.receive(ByteView(attempt->buffer).first(size));
    if (!got) {
        lose(attempt, address() + ": " + got.error().message, got.error().code == Errc::permission);
        return;
    }
    attempt->queued.insert(attempt->queued.end(), got->to_send.begin(), got->to_send.end());
    write(attempt);
    if (got->established) {
        timer_.cancel();
        up_ = true;
        denied_ = false;
        up_since_ = std::chrono::steady_clock::now();
        last_error_.clear();
        observer_.link_up(options_.replica.id);
    }
    for (const Bytes& frame : got->frames) {
        if (!is_current(attempt)) {
            return;
        }
        observer_.frame_received(options_.replica.id, frame);
    }
}

void ReplicaLink::send(ByteView message) {
    if (!up_) {
        return;
    }
    const Bytes frame = attempt_->channel.seal_frame(message);
    Bytes& queued = attempt_->queued;
    queued.insert(queued.end(), frame.begin(), frame.end());
}

void ReplicaLink::flush() {
    if (!up_) {
        return;
    }
    // The replica does not read: what it missed is sent again once it is back.
    if (attempt_->queued.size() > limits::client_outbound_bytes_max) {
        lose(AttemptPtr(attempt_), address() + ": it does not read what it is sent", false);
        return;
    }
    write(AttemptPtr(attempt_));
}

void ReplicaLink::write(const AttemptPtr& attempt) {
    if (!attempt->writing.empty() || attempt->queued.empty()) {
        return;
    }
    attempt->writing.swap(attempt->queued);
    asio::async_write(attempt->socket, asio::buffer(attempt->writing),
                      [this, attempt](const error_code& error, std::size_t) {
                          attempt->writing.clear();
                          if (!is_current(attempt)) {
                              return;
                          }
                          // A failed write is seen by the read, too, which also gets what the replica said before it
                          // closed.
                          if (!error) {
                              write(attempt);
                          }
                      });
}

void ReplicaLink::lose(const AttemptPtr& attempt, const std::string& why, bool denied) {
    error_code ignored;
    attempt->socket.close(ignored);
    attempt->resolver.cancel();
    attempt_.reset();
    last_error_ = why;
    denied_ = denied;
    const bool was_up = std::exchange(up_, false);
    if (was_up && std::chrono::steady_clock::now() - up_since_ >= stable_after) {
        failures_ = 0;
    }
    pause();
    if (was_up) {
        observer_.link_down(options_.replica.id, why);
    } else {
        observer_.link_failed(options_.replica.id, why, denied);
    }
}

// Exponential, with jitter: not all clients come back at the same moment.
void ReplicaLink::pause() {
    const unsigned doublings = std::min(failures_++, 16U);
    const std::uint64_t whole =
        std::min(backoff_first_ms << doublings, std::max(options_.backoff_max_ms, backoff_first_ms));
    const std::uint64_t pause_ms = whole / 2 + jitter_() % (whole / 2 + 1);
    pausing_ = true;
    timer_.expires_after(std::chrono::milliseconds(pause_ms));
    timer_.async_wait([this](const error_code& error) {
        if (!error && pausing_) {
            begin_attempt();
        }
    });
}

}  // namespace loyal::client
