#include "client/read_quorum.h"

#include <algorithm>
#include <functional>

namespace loyal::client {

namespace {

std::size_t count_equal(const std::vector<ReadVote>& votes, const crypto::Digest& digest,
                        consensus::Height executed_min) {
    return static_cast<std::size_t>(std::count_if(votes.begin(), votes.end(), [&](const ReadVote& vote) {
        return vote.digest == digest && vote.executed >= executed_min;
    }));
}

// Smallest idx over all sets of q replies: the q-th smallest lock_h.
consensus::Height smallest_index(const std::vector<ReadVote>& votes, std::size_t q) {
    std::vector<consensus::Height> locks;
    locks.reserve(votes.size());
    for (const ReadVote& vote : votes) {
        locks.push_back(vote.lock);
    }
    const auto nth = locks.begin() + static_cast<std::ptrdiff_t>(q - 1);
    std::nth_element(locks.begin(), nth, locks.end());
    return *nth;
}

}  // namespace

std::optional<crypto::Digest> accepted_result(const std::vector<ReadVote>& votes, const consensus::Quorum& quorum) {
    if (votes.size() < quorum.q) {
        return std::nullopt;
    }
    const consensus::Height index = smallest_index(votes, quorum.q);
    for (const ReadVote& vote : votes) {
        if (count_equal(votes, vote.digest, consensus::Height(0)) >= quorum.q ||
            count_equal(votes, vote.digest, index) >= quorum.w) {
            return vote.digest;
        }
    }
    return std::nullopt;
}

consensus::Height executed_claim(const std::vector<ReadVote>& votes, const consensus::Quorum& quorum) {
    if (votes.size() < quorum.w) {
        return consensus::Height(0);
    }
    std::vector<consensus::Height> heights;
    heights.reserve(votes.size());
    for (const ReadVote& vote : votes) {
        heights.push_back(vote.executed);
    }
    const auto nth = heights.begin() + static_cast<std::ptrdiff_t>(quorum.w - 1);
    std::nth_element(heights.begin(), nth, heights.end(), std::greater<>());
    return *nth;
}

}  // namespace loyal::client
