#include "replica/state_transfer/fetch_peers.h"

#include <algorithm>
#include <cmath>

#include "config/assert.h"

namespace loyal::replica {

using consensus::ReplicaId;

namespace {

constexpr unsigned lateness_max = 8;

}  // namespace

FetchPeers::FetchPeers(ReplicaId self, std::size_t replicas, FetchPeerLimits limits)
    : self_(self), limits_(limits), peers_(replicas) {}

bool FetchPeers::known(ReplicaId peer) const {
    return peer != self_ && peer.value < peers_.size();
}

void FetchPeers::asked(ReplicaId peer, std::size_t bytes) {
    ++peers_[peer.value].outstanding;
    ++outstanding_;
    outstanding_bytes_ += bytes;
}

void FetchPeers::over(Peer& peer, std::size_t bytes) {
    LOYAL_ASSERT(peer.outstanding > 0 && outstanding_ > 0 && outstanding_bytes_ >= bytes, "each request ends once");
    --peer.outstanding;
    --outstanding_;
    outstanding_bytes_ -= bytes;
}

void FetchPeers::answered(ReplicaId id, std::size_t bytes, std::uint64_t asked_ms, std::uint64_t now_ms) {
    Peer& peer = peers_[id.value];
    over(peer, bytes);
    peer.window = std::min(peer.window + 1, limits_.requests_per_peer);
    peer.lateness = 0;
    peer.without = false;
    const auto took = static_cast<double>(now_ms - asked_ms);
    if (!peer.measured) {
        peer.measured = true;
        peer.round_trip_ms = took;
        peer.variation_ms = took / 2;
        return;
    }
    peer.variation_ms = 0.75 * peer.variation_ms + 0.25 * std::fabs(peer.round_trip_ms - took);
    peer.round_trip_ms = 0.875 * peer.round_trip_ms + 0.125 * took;
}

void FetchPeers::late(ReplicaId id, std::size_t bytes, std::uint64_t now_ms) {
    Peer& peer = peers_[id.value];
    over(peer, bytes);
    ++peer.owes;
    peer.window = std::max<std::size_t>(1, peer.window / 2);
    peer.lateness = std::min(peer.lateness + 1, lateness_max);
    // Who is late again and again is asked ever more rarely, but never given up: it may be slow and right.
    if (peer.lateness > 2) {
        peer.rest_until_ms = now_ms + limits_.ask_again_ms;
    }
}

std::uint64_t FetchPeers::timeout_ms(ReplicaId id) const {
    const Peer& peer = peers_[id.value];
    const std::uint64_t usual = peer.measured ? static_cast<std::uint64_t>(peer.round_trip_ms + 4 * peer.variation_ms)
                                              : limits_.timeout_first_ms;
    return std::min(std::max(usual, limits_.timeout_min_ms) << std::min(peer.lateness, 4U), limits_.timeout_max_ms);
}

void FetchPeers::forgotten(ReplicaId id, std::size_t bytes) {
    Peer& peer = peers_[id.value];
    over(peer, bytes);
    ++peer.owes;
}

bool FetchPeers::unasked(ReplicaId id) {
    Peer& peer = peers_[id.value];
    if (peer.owes > 0) {
        --peer.owes;
        return false;
    }
    ++unasked_;
    return ++peer.unasked > limits_.unasked_max && !peer.dropped;
}

void FetchPeers::drop(ReplicaId id) {
    peers_[id.value].dropped = true;
}

void FetchPeers::has_no_checkpoint(ReplicaId id, std::uint64_t now_ms) {
    peers_[id.value].without = true;
    peers_[id.value].rest_until_ms = now_ms + limits_.ask_again_ms;
}

void FetchPeers::retarget() {
    for (Peer& peer : peers_) {
        peer.without = false;
        peer.rest_until_ms = 0;
    }
}

void FetchPeers::forgive_if_all_are_dropped() {
    if (dropped_count() + 1 < peers_.size()) {
        return;
    }
    for (Peer& peer : peers_) {
        peer.dropped = false;
        peer.unasked = 0;
    }
}

bool FetchPeers::dropped(ReplicaId id) const {
    return peers_[id.value].dropped;
}

std::size_t FetchPeers::serving() const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        const bool serves = !peers_[i].without && peers_[i].lateness < lateness_max;
        count += usable(ReplicaId(static_cast<std::uint16_t>(i))) && serves ? 1U : 0U;
    }
    return count;
}

bool FetchPeers::nobody_has_it() const {
    bool anybody = false;
    for (std::size_t i = 0; i < peers_.size(); ++i) {
        const ReplicaId id(static_cast<std::uint16_t>(i));
        if (usable(id)) {
            if (!peers_[i].without) {
                return false;
            }
            anybody = true;
        }
    }
    return anybody;
}

std::size_t FetchPeers::dropped_count() const {
    return static_cast<std::size_t>(
        std::count_if(peers_.begin(), peers_.end(), [](const Peer& peer) { return peer.dropped; }));
}

}  // namespace loyal::replica
