// Envelopes that wait to be ordered, in order of arrival. An envelope is pending while some operation of it is neither
// executed nor hopeless (PROTOCOL.md T1); the pool learns of execution from the blocks themselves. Bounded in count and
// bytes, also of each client, and batches are filled in turns of the clients: a greedy one starves nobody.
#pragma once

#include <bitset>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "config/limits.h"
#include "consensus/messages.h"

namespace loyal::consensus {

class EnvelopePool {
 public:
    struct Entry {
        Envelope envelope;
        std::uint64_t arrived_tick = 0;
        std::optional<std::uint64_t> at_leader_tick;  // since when the leader must have it: timers start here (C2)
        std::uint64_t relayed_tick = 0;               // when it was handed over last
        bool in_chain = false;                        // in a block above the executed ones
        std::bitset<limits::envelope_ops_max> open;   // operations not executed yet
    };

    // False when it is already here or does not fit.
    bool add(const Envelope& envelope, std::uint64_t tick, bool at_leader);
    // Operations of the block's envelopes are executed; envelopes with nothing left leave, also when another one with
    // the same sequence numbers was executed (`by_sequence`; off: a mutant).
    void executed(const Block& block, bool by_sequence = true);
    // Leave when they can execute no more: not_after is behind the committed time.
    void expire(Hlc committed);

    // Envelopes for the next block, one of each client in turn, each client's oldest first, within the limits of a
    // body.
    [[nodiscard]] std::vector<Envelope> next_batch() const;
    [[nodiscard]] bool has_unproposed() const;
    [[nodiscard]] std::size_t unproposed_bytes() const;

    void mark_in_chain(const Block& block, bool in_chain);
    void clear_in_chain();
    // A view began: whoever is not the leader hands its envelopes over again.
    void restart_timers(std::uint64_t tick, bool at_leader);

    [[nodiscard]] const Entry* find(const crypto::Digest& digest) const;
    [[nodiscard]] std::list<Entry>& entries() { return entries_; }
    [[nodiscard]] const std::list<Entry>& entries() const { return entries_; }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

 private:
    using Place = std::list<Entry>::iterator;
    struct Share {
        std::size_t envelopes = 0;
        std::size_t bytes = 0;
    };
    void remove(Place place);
    [[nodiscard]] std::vector<const Entry*> in_turns() const;

    std::list<Entry> entries_;
    std::unordered_map<crypto::Digest, Place> by_digest_;
    std::map<std::pair<ClientId, SessionId>, std::vector<Place>> by_session_;
    std::map<ClientId, Share> shares_;
    std::size_t bytes_ = 0;
};

}  // namespace loyal::consensus
