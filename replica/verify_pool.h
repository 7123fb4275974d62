// VerifyPool: decodes frames and checks signatures off the event loop (rule N9's expensive part). Results of one link
// come back in the order in which its frames arrived; links take turns, peers before clients three times out of four,
// so that a flood of client envelopes delays no vote (PROTOCOL.md §17). The caller bounds what it submits for each
// link.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "consensus/evidence.h"
#include "consensus/verifier.h"
#include "replica/inbox.h"
#include "wire/client_messages.h"

namespace loyal::replica {

struct PeerFrame {
    consensus::ReplicaId from;
};
struct ClientFrame {
    consensus::ClientId client;
};
struct VerifyTask {
    std::uint64_t link = 0;
    std::variant<PeerFrame, ClientFrame> author;
    Bytes frame;
};

using PeerVerified = crypto::Verified<consensus::PeerMessage>;
using EnvelopeVerified = crypto::Verified<consensus::Envelope>;
struct VerifyResult {
    std::uint64_t link = 0;
    std::variant<PeerFrame, ClientFrame> author;
    std::size_t frame_bytes = 0;
    // A ClientMessage is a Read, StatusRequest or Control, which the link alone authenticates.
    std::variant<PeerVerified, EnvelopeVerified, wire::ClientMessage, Error> outcome;
    std::optional<consensus::Evidence> proof;  // what a peer's refused frame proves
};

class VerifyPool {
 public:
    // References outlive it.
    VerifyPool(const consensus::MessageVerifier& verifier, Inbox<VerifyResult>& results, std::size_t threads);
    ~VerifyPool();
    VerifyPool(const VerifyPool&) = delete;
    VerifyPool& operator=(const VerifyPool&) = delete;

    void submit(VerifyTask task);
    // The same work on the caller's thread; the result is the caller's to hand on.
    [[nodiscard]] VerifyResult verify(VerifyTask task) const;
    // Drops what waits.
    void stop();
    // Zero: the results of everything that was submitted are in the inbox.
    [[nodiscard]] std::size_t waiting() const { return waiting_.load(std::memory_order_acquire); }
    [[nodiscard]] std::size_t waiting_bytes() const { return waiting_bytes_.load(std::memory_order_relaxed); }

 private:
    struct Lane {
        std::deque<VerifyTask> tasks;
        bool taken = false;  // a worker is at it: nobody else may be, or the order would be lost
        bool peer = false;
    };
    void run();
    [[nodiscard]] std::optional<std::uint64_t> next_lane();
    [[nodiscard]] std::variant<PeerVerified, EnvelopeVerified, wire::ClientMessage, Error> check(
        const VerifyTask& task) const;

    const consensus::MessageVerifier& verifier_;
    Inbox<VerifyResult>& results_;
    std::mutex mutex_;
    std::condition_variable ready_;
    std::map<std::uint64_t, Lane> lanes_;  // by link; only those with work
    std::deque<std::uint64_t> peer_turns_, client_turns_;
    std::size_t turn_ = 0;
    bool stopped_ = false;
    std::atomic<std::size_t> waiting_{0};
    std::atomic<std::size_t> waiting_bytes_{0};
    std::vector<std::thread> threads_;
};

}  // namespace loyal::replica
