// Flight: one signed envelope on its way, and what the replicas said about each of its operations (PROTOCOL.md P2). An
// outcome is believed when w replicas sent its digest and one of them the outcome itself, which hashes to it. Bounded:
// one digest a replica and operation, and as many whole outcomes as there are digests held. A later word of a replica
// replaces its earlier one: "expired" now does not contradict "executed" from an older copy, and only words that stand
// at the same time are counted together.
//
// No I/O, no threads; part of Session.
#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/session.h"
#include "config/limits.h"
#include "consensus/envelope.h"

namespace loyal::client {

using ReplicaSet = std::uint32_t;  // bit i: replica i
static_assert(limits::replicas_max <= 32);
[[nodiscard]] inline ReplicaSet bit_of(consensus::ReplicaId replica) {
    return ReplicaSet{1} << replica.value;
}
[[nodiscard]] inline std::size_t count_of(ReplicaSet set) {
    return static_cast<std::size_t>(std::popcount(set));
}
[[nodiscard]] std::vector<consensus::ReplicaId> members_of(ReplicaSet set);

// An operation that was asked for.
struct Asked {
    Bytes encoded;  // kvstore::encode_operations of it alone
    bool is_query = false;
    bool may_be_too_large = false;  // for its envelope or block: a query, a transaction, a delete of a range
    bool alone = false;             // must not share its envelope (its answer did not fit beside others)
    std::uint64_t asked_ms = 0;
    std::uint64_t deadline_ms = 0;
    Session::OnWrite done;
};

struct Agreed {
    kvstore::Outcome outcome;
    ReplicaSet replicas = 0;
};

// One operation of a flight.
class Ballot {
 public:
    explicit Ballot(std::size_t replicas) : digests_(replicas) {}

    // Takes a replica's word. What does not hash to its digest, or is of another operation, is no word at all.
    void take(consensus::ReplicaId from, const wire::OutcomeReply& reply);
    [[nodiscard]] std::optional<Agreed> agreed(std::size_t w) const;
    [[nodiscard]] std::size_t voters() const { return count_of(voted_); }
    void clear();

 private:
    [[nodiscard]] ReplicaSet holders_of(const crypto::Digest& digest) const;
    void drop_unused();

    std::vector<crypto::Digest> digests_;  // by replica; valid where voted_
    ReplicaSet voted_ = 0;
    std::vector<std::pair<crypto::Digest, kvstore::Outcome>> outcomes_;
};

struct Slot {
    Asked asked;
    Ballot ballot;
    bool open = true;
    bool expired = false;  // w replicas agree that no version up to the newest can execute any more
};

struct Flight {
    consensus::SessionId session;
    consensus::Seq seq0;
    Bytes operations;
    std::vector<Slot> slots;
    std::size_t open = 0;  // slots without an answer

    consensus::Envelope envelope;     // the newest signed version
    std::uint64_t first_sent_ms = 0;  // of any version
    std::uint64_t next_resend_ms = 0;
    unsigned resends = 0;
    bool to_all = false;               // also to replicas that connect later
    bool sign_again = false;           // before the next resend
    ReplicaSet sent = 0;               // replicas that were handed any version
    std::vector<unsigned> unanswered;  // by replica: copies handed over and not refused
    ReplicaSet refused_expired = 0;    // of the newest version
    ReplicaSet refused_denied = 0;
    ReplicaSet refused_invalid = 0;
    std::string refusal;  // the last one's words

    [[nodiscard]] std::uint16_t count() const { return static_cast<std::uint16_t>(slots.size()); }
    [[nodiscard]] bool contains(consensus::Seq seq) const {
        return seq >= seq0 && seq.value - seq0.value < slots.size();
    }
    // Nobody who was handed a copy has kept it, in their own words.
    [[nodiscard]] bool refused_by_all() const;
};

}  // namespace loyal::client
