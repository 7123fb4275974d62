// The inside of Client: everything that happens on its thread. Asio inside; only client.cpp and client_state.cpp
// include it.
#pragma once

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "client/client.h"
#include "client/replica_link.h"
#include "crypto/identity.h"

namespace loyal::client {

// Nonces of status and fault requests; a session's sequence numbers and read nonces stay far below.
inline constexpr std::uint64_t first_control_nonce = std::uint64_t{1} << 63U;

// A request to one replica that is no operation: status, orders, checkpoints.
struct Ask {
    consensus::ReplicaId replica;
    wire::ClientMessage message;
    std::uint64_t deadline_ms = 0;
    bool sent = false;
    std::function<void(Result<wire::ReplicaMessage>)> done;
};

struct Client::State final : LinkObserver {
    explicit State(ClientOptions chosen);

    // ---- Any thread
    // Runs `task` on the client's thread; false when that has ended.
    [[nodiscard]] bool submit(std::function<void()> task);
    void stop();

    // ---- The client's thread from here on
    void run();
    void run_inbox();
    void link_up(std::uint16_t replica) override;
    void link_down(std::uint16_t replica, const std::string& why) override;
    void link_failed(std::uint16_t replica, const std::string& why, bool denied) override;
    void frame_received(std::uint16_t replica, const Bytes& frame) override;
    void link_idle() override { settle(); }
    void settle();
    void send_outgoing();
    void arm_tick();
    void on_tick();
    void fail_what_nobody_took();
    [[nodiscard]] std::string links_text() const;

    void write(kvstore::Operation operation, OnWrite done);
    void read(kvstore::Query query, OnRead done, std::optional<consensus::ReplicaId> stale_from, bool in_order = false);
    void read_from_somebody(const kvstore::Query& query, const OnRead& done, std::size_t attempts,
                            std::uint64_t deadline_ms);
    [[nodiscard]] consensus::ReplicaId some_replica();
    [[nodiscard]] bool take_place(const char*& why);

    void ask(consensus::ReplicaId replica, wire::ClientMessage message, std::uint64_t timeout_ms,
             std::function<void(Result<wire::ReplicaMessage>)> done);
    // An answer of another kind than `Reply` is none.
    template <class Reply>
    void ask_for(consensus::ReplicaId replica, wire::ClientMessage message, std::uint64_t timeout_ms,
                 std::function<void(Result<Reply>)> done) {
        ask(replica, std::move(message), timeout_ms,
            [done = std::move(done)](const Result<wire::ReplicaMessage>& answered) {
                if (!answered) {
                    done(tl::unexpected(answered.error()));
                } else if (const auto* reply = std::get_if<Reply>(&*answered)) {
                    done(*reply);
                } else {
                    done(fail(Errc::unavailable, "the replica answered something else"));
                }
            });
    }
    void send_ask(Ask& ask);
    void answer(std::uint64_t nonce, Result<wire::ReplicaMessage> result);
    // The same for what `from` sent: only what it was asked counts.
    void answered_by(consensus::ReplicaId from, std::uint64_t nonce, Result<wire::ReplicaMessage> result);
    void fail_asks(consensus::ReplicaId replica, bool sent_only, Errc code, const std::string& why);
    [[nodiscard]] bool take_control_message(consensus::ReplicaId from, const wire::ReplicaMessage& message);
    void status(OnStatus done, std::uint64_t timeout_ms);
    void shut_down();

    [[nodiscard]] std::uint64_t now_ms() const {
        // Begins at 1 s, so that differences never go below zero.
        return 1'000 + static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                                      std::chrono::steady_clock::now() - started)
                                                      .count());
    }

    const ClientOptions options;
    const consensus::Membership membership;
    const crypto::Ed25519Verifier verifier;
    const std::chrono::steady_clock::time_point started = std::chrono::steady_clock::now();

    std::mutex mutex;  // of the next two
    std::vector<std::function<void()>> inbox;
    bool open = true;

    boost::asio::io_context io{1};
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work{io.get_executor()};
    boost::asio::steady_timer tick_timer{io};
    bool ticking = false;
    bool closing = false;
    Session session;
    std::vector<std::unique_ptr<ReplicaLink>> links;
    std::vector<std::uint64_t> last_failure_ms;  // by replica; 0: none
    std::map<std::uint64_t, Ask> asks;           // by nonce
    std::uint64_t next_nonce = first_control_nonce;
    std::size_t under_way = 0;
    std::size_t next_stale = 0;
    std::atomic<std::uint64_t> next_watch{1};
    std::thread thread;
};

}  // namespace loyal::client
