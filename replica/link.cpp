#include "replica/link.h"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <utility>

#include "config/limits.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;

constexpr std::size_t read_bytes = std::size_t{64} << 10U;
constexpr std::size_t write_bytes_max = std::size_t{1} << 20U;  // of one gathered write
constexpr std::size_t write_frames_max = 64;                    // and pieces, IOV_MAX being 1024
// An established peer that vanished without a word is noticed by the kernel after about 6 s; the link is then opened
// anew, which after a partition is faster than waiting for TCP's doubled retransmission timer.
constexpr int keepalive_idle_s = 3, keepalive_interval_s = 1, keepalive_probes = 3;
constexpr unsigned user_timeout_ms = 6'000;

}  // namespace

std::shared_ptr<Link> Link::open(std::uint64_t id, Socket socket, wire::SecureChannel channel, Events events,
                                 LinkLimits limits, LinkStats& stats) {
    return std::shared_ptr<Link>(new Link(id, std::move(socket), std::move(channel), std::move(events), limits, stats));
}

Link::Link(std::uint64_t id, Socket socket, wire::SecureChannel channel, Events events, LinkLimits limits,
           LinkStats& stats)
    : id_(id),
      socket_(std::move(socket)),
      channel_(std::move(channel)),
      events_(std::move(events)),
      limits_(limits),
      stats_(stats),
      timer_(socket_.get_executor()),
      read_buffer_(read_bytes),
      last_received_(std::chrono::steady_clock::now()) {
    boost::system::error_code error;
    const auto endpoint = socket_.remote_endpoint(error);
    remote_ = error ? "unknown" : endpoint.address().to_string(error) + ":" + std::to_string(endpoint.port());
}

void Link::tune_socket() {
    boost::system::error_code ignored;
    socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
    socket_.set_option(asio::socket_base::keep_alive(true), ignored);
    const int handle = socket_.native_handle();
    ::setsockopt(handle, IPPROTO_TCP, TCP_KEEPIDLE, &keepalive_idle_s, sizeof keepalive_idle_s);
    ::setsockopt(handle, IPPROTO_TCP, TCP_KEEPINTVL, &keepalive_interval_s, sizeof keepalive_interval_s);
    ::setsockopt(handle, IPPROTO_TCP, TCP_KEEPCNT, &keepalive_probes, sizeof keepalive_probes);
    ::setsockopt(handle, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms, sizeof user_timeout_ms);
}

void Link::start() {
    tune_socket();
    handshake_out_ = channel_.start();
    arm_timer(limits_.handshake_timeout);
    flush();
    read();
}

void Link::arm_timer(std::chrono::milliseconds timeout) {
    if (timeout.count() == 0) {
        timer_.cancel();
        return;
    }
    timer_.expires_after(timeout);
    timer_.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
        if (error || self->closed_) {
            return;
        }
        if (!self->up_) {
            self->close("no handshake in time", true);
            return;
        }
        const auto quiet = std::chrono::steady_clock::now() - self->last_received_;
        if (quiet >= self->limits_.idle_timeout && self->paused_ == 0) {
            self->close("nothing received for too long");
            return;
        }
        self->arm_timer(self->limits_.idle_timeout);
    });
}

void Link::read() {
    if (reading_ || closed_ || close_after_write_ || paused_ != 0) {
        return;
    }
    reading_ = true;
    socket_.async_read_some(asio::buffer(read_buffer_), [self = shared_from_this()](
                                                            const boost::system::error_code& error, std::size_t bytes) {
        self->reading_ = false;
        if (self->closed_) {
            return;
        }
        if (error) {
            self->close(error == asio::error::eof ? "closed by the other side" : error.message());
            return;
        }
        self->on_read(bytes);
    });
}

void Link::on_read(std::size_t bytes) {
    last_received_ = std::chrono::steady_clock::now();
    stats_.bytes_in += bytes;
    auto received = channel_.receive(ByteView(read_buffer_).first(bytes));
    if (!received) {
        const Bytes refusal = channel_.take_refusal();
        const bool refused_by_them = received.error().code == Errc::permission && refusal.empty();
        if (refusal.empty()) {
            close(received.error().message, !refused_by_them);
            return;
        }
        // Say why, then close: the caller can then name the reason instead of a broken connection.
        handshake_out_.insert(handshake_out_.end(), refusal.begin(), refusal.end());
        close_after_write_ = true;
        remote_ += " (" + received.error().message + ")";
        flush();
        return;
    }
    handshake_out_.insert(handshake_out_.end(), received->to_send.begin(), received->to_send.end());
    if (received->established) {
        up_ = true;
        arm_timer(limits_.idle_timeout);
        events_.up(*this);
    }
    if (!received->frames.empty() && !closed_) {
        stats_.frames_in += received->frames.size();
        events_.frames(*this, std::move(received->frames));
    }
    flush();
    read();
}

void Link::send(SharedBytes frame) {
    if (closed_ || close_after_write_ || frame->empty() || frame->size() > limits::frame_bytes_max) {
        ++stats_.frames_dropped;
        return;
    }
    outbound_bytes_ += frame->size();
    outbound_.push_back(std::move(frame));
    if (outbound_bytes_ <= limits_.outbound_bytes_max) {
        return;
    }
    if (!limits_.drop_oldest) {
        close("does not read what it is sent");
        return;
    }
    while (outbound_bytes_ > limits_.outbound_bytes_max && !outbound_.empty()) {
        outbound_bytes_ -= outbound_.front()->size();
        outbound_.pop_front();
        ++stats_.frames_dropped;
    }
}

void Link::flush() {
    if (writing_ || closed_ || (handshake_out_.empty() && (!up_ || outbound_.empty()))) {
        return;
    }
    write();
}

void Link::write() {
    in_write_.clear();
    std::size_t bytes = handshake_out_.size();
    if (!handshake_out_.empty()) {
        in_write_.push_back(std::exchange(handshake_out_, {}));
    }
    while (up_ && !outbound_.empty() && bytes < write_bytes_max && in_write_.size() < write_frames_max) {
        const SharedBytes frame = std::move(outbound_.front());
        outbound_.pop_front();
        outbound_bytes_ -= frame->size();
        in_write_.push_back(channel_.seal_frame(*frame));
        bytes += in_write_.back().size();
        ++stats_.frames_out;
    }
    std::vector<asio::const_buffer> gather;
    gather.reserve(in_write_.size());
    for (const Bytes& piece : in_write_) {
        gather.push_back(asio::buffer(piece));
    }
    writing_ = true;
    asio::async_write(socket_, gather,
                      [self = shared_from_this()](const boost::system::error_code& error, std::size_t written) {
                          self->writing_ = false;
                          self->stats_.bytes_out += written;
                          if (self->closed_) {
                              return;
                          }
                          if (error) {
                              self->close(error.message());
                          } else if (self->close_after_write_ && self->handshake_out_.empty()) {
                              self->close("refused", true);
                          } else {
                              self->flush();
                          }
                      });
}

void Link::close(const std::string& why, bool hostile) {
    if (std::exchange(closed_, true)) {
        return;
    }
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_both, ignored);
    socket_.close(ignored);
    timer_.cancel();
    outbound_.clear();
    outbound_bytes_ = 0;
    asio::post(socket_.get_executor(),
               [self = shared_from_this(), why, hostile] { self->events_.down(*self, why, hostile); });
}

void Link::pause(Pause reason) {
    paused_ |= reason;
}

void Link::resume(Pause reason) {
    paused_ &= ~static_cast<unsigned>(reason);
    read();
}

}  // namespace loyal::replica
