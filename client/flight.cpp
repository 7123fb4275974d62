#include "client/flight.h"

#include <algorithm>

namespace loyal::client {

std::vector<consensus::ReplicaId> members_of(ReplicaSet set) {
    std::vector<consensus::ReplicaId> members;
    for (std::uint16_t id = 0; id < limits::replicas_max; ++id) {
        if ((set & bit_of(consensus::ReplicaId(id))) != 0) {
            members.emplace_back(id);
        }
    }
    return members;
}

ReplicaSet Ballot::holders_of(const crypto::Digest& digest) const {
    ReplicaSet holders = 0;
    for (std::uint16_t id = 0; id < digests_.size(); ++id) {
        const ReplicaSet bit = bit_of(consensus::ReplicaId(id));
        if ((voted_ & bit) != 0 && digests_[id] == digest) {
            holders |= bit;
        }
    }
    return holders;
}

// Keeps no outcome whose digest nobody holds any more: a liar cannot fill memory by changing its mind.
void Ballot::drop_unused() {
    std::erase_if(outcomes_, [this](const auto& each) { return holders_of(each.first) == 0; });
}

void Ballot::take(consensus::ReplicaId from, const wire::OutcomeReply& reply) {
    const bool held =
        std::any_of(outcomes_.begin(), outcomes_.end(), [&](const auto& each) { return each.first == reply.digest; });
    if (reply.outcome && !held) {
        if (reply.outcome->seq != reply.seq || kvstore::outcome_digest(*reply.outcome) != reply.digest) {
            return;
        }
        outcomes_.emplace_back(reply.digest, *reply.outcome);
    }
    const ReplicaSet bit = bit_of(from);
    const bool changed = (voted_ & bit) != 0 && digests_[from.value] != reply.digest;
    digests_[from.value] = reply.digest;
    voted_ |= bit;
    if (changed) {
        drop_unused();
    }
}

std::optional<Agreed> Ballot::agreed(std::size_t w) const {
    for (const auto& [digest, outcome] : outcomes_) {
        const ReplicaSet holders = holders_of(digest);
        if (count_of(holders) >= w) {
            return Agreed{outcome, holders};
        }
    }
    return std::nullopt;
}

void Ballot::clear() {
    voted_ = 0;
    outcomes_.clear();
}

bool Flight::refused_by_all() const {
    return sent != 0 && std::all_of(unanswered.begin(), unanswered.end(), [](unsigned copies) { return copies == 0; });
}

}  // namespace loyal::client
