// FetchPeers: whom a state transfer asks, how much at once, and when an answer is late. Windows grow by one with each
// answer and halve with each late one (additive increase, multiplicative decrease; Chiu and Jain, 1989); time-outs
// follow the round trips (RFC 6298 §2). Pure; times are milliseconds of a monotonic clock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "consensus/types.h"

namespace loyal::replica {

struct FetchPeerLimits {
    std::size_t requests_per_peer = 32;
    std::size_t requests_max = 128;                 // of all peers
    std::size_t bytes_max = std::size_t{16} << 20;  // expected of all answers that are outstanding
    std::uint64_t timeout_min_ms = 500;
    std::uint64_t timeout_first_ms = 1'000;
    std::uint64_t timeout_max_ms = 8'000;
    std::uint64_t ask_again_ms = 2'000;  // a peer that had no such checkpoint, or was late
    std::size_t unasked_max = 64;        // chunks that nobody asked a peer for, before it is dropped
};

class FetchPeers {
 public:
    FetchPeers(consensus::ReplicaId self, std::size_t replicas, FetchPeerLimits limits);

    // Who may be asked for an answer of about `bytes` now, least loaded first; `avoid` only if nobody else may, and
    // nobody for whom `taken` says yes.
    template <class Taken>
    [[nodiscard]] std::optional<consensus::ReplicaId> pick(std::size_t bytes, std::optional<consensus::ReplicaId> avoid,
                                                           std::uint64_t now_ms, const Taken& taken) {
        if (outstanding_ >= limits_.requests_max ||
            (outstanding_bytes_ > 0 && outstanding_bytes_ + bytes > limits_.bytes_max)) {
            return std::nullopt;
        }
        std::optional<consensus::ReplicaId> best;
        for (std::size_t i = 0; i < peers_.size(); ++i) {
            const consensus::ReplicaId id(static_cast<std::uint16_t>((turn_ + i) % peers_.size()));
            const Peer& peer = peers_[id.value];
            const bool may = usable(id) && peer.rest_until_ms <= now_ms && peer.outstanding < peer.window && !taken(id);
            if (may &&
                (!best || best == avoid || (id != avoid && peer.outstanding < peers_[best->value].outstanding))) {
                best = id;
            }
        }
        if (best) {
            turn_ = best->value + std::size_t{1};
        }
        return best;
    }
    void asked(consensus::ReplicaId peer, std::size_t bytes);
    // The request that was asked at `asked_ms` is over: answered, or late.
    void answered(consensus::ReplicaId peer, std::size_t bytes, std::uint64_t asked_ms, std::uint64_t now_ms);
    void late(consensus::ReplicaId peer, std::size_t bytes, std::uint64_t now_ms);
    [[nodiscard]] std::uint64_t timeout_ms(consensus::ReplicaId peer) const;
    // Given up without blame: its answer may still come.
    void forgotten(consensus::ReplicaId peer, std::size_t bytes);
    // A chunk that belongs to no request. True when that was one too many.
    [[nodiscard]] bool unasked(consensus::ReplicaId peer);

    void drop(consensus::ReplicaId peer);
    void has_no_checkpoint(consensus::ReplicaId peer, std::uint64_t now_ms);
    // Another checkpoint is wanted: who had none of the old one may have this one.
    void retarget();
    // Whom nobody can do without: when all are dropped, all get another chance.
    void forgive_if_all_are_dropped();

    [[nodiscard]] bool dropped(consensus::ReplicaId peer) const;
    [[nodiscard]] bool known(consensus::ReplicaId peer) const;
    // Peers of whom nothing says that they do not serve the checkpoint: who said so, and who was late again and again,
    // are not among them.
    [[nodiscard]] std::size_t serving() const;
    // Every peer that is left said that it has no such checkpoint.
    [[nodiscard]] bool nobody_has_it() const;
    [[nodiscard]] std::size_t outstanding() const { return outstanding_; }
    [[nodiscard]] std::size_t dropped_count() const;
    [[nodiscard]] std::uint64_t unasked_count() const { return unasked_; }

 private:
    struct Peer {
        bool dropped = false;
        bool without = false;  // has no such checkpoint, as it said
        std::size_t window = 4;
        std::size_t outstanding = 0;
        std::uint64_t rest_until_ms = 0;
        double round_trip_ms = 0;
        double variation_ms = 0;
        bool measured = false;
        unsigned lateness = 0;  // late answers in a row
        std::size_t owes = 0;   // answers of given up requests that may still come
        std::size_t unasked = 0;
    };
    [[nodiscard]] bool usable(consensus::ReplicaId peer) const { return peer != self_ && !peers_[peer.value].dropped; }
    void over(Peer& peer, std::size_t bytes);

    consensus::ReplicaId self_;
    FetchPeerLimits limits_;
    std::vector<Peer> peers_;  // by id; the own entry is not used
    std::size_t outstanding_ = 0;
    std::size_t outstanding_bytes_ = 0;
    std::size_t turn_ = 0;
    std::uint64_t unasked_ = 0;
};

}  // namespace loyal::replica
