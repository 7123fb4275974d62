#include "consensus/vote_set.h"

#include <algorithm>
#include <set>
#include <tuple>

namespace loyal::consensus {

void VoteSet::add(const Vote& vote) {
    std::vector<Vote>& kept = votes_.at(vote.voter.value);
    const auto same = std::find_if(kept.begin(), kept.end(), [&](const Vote& old) { return old.view == vote.view; });
    if (same != kept.end()) {
        if (std::tie(vote.prep.height, vote.com.height) >= std::tie(same->prep.height, same->com.height)) {
            *same = vote;
        }
        return;
    }
    kept.push_back(vote);
    std::sort(kept.begin(), kept.end(), [](const Vote& a, const Vote& b) { return a.view > b.view; });
    if (kept.size() > views_kept) {
        kept.pop_back();
    }
}

std::optional<Vote> VoteSet::of(View view, ReplicaId voter) const {
    const std::vector<Vote>& kept = of(voter);
    const auto found = std::find_if(kept.begin(), kept.end(), [&](const Vote& vote) { return vote.view == view; });
    return found == kept.end() ? std::nullopt : std::optional(*found);
}

std::vector<Vote> VoteSet::of(View view) const {
    std::vector<Vote> found;
    for (const auto& kept : votes_) {
        std::copy_if(kept.begin(), kept.end(), std::back_inserter(found),
                     [&](const Vote& vote) { return vote.view == view; });
    }
    return found;
}

std::vector<Vote> VoteSet::all() const {
    std::vector<Vote> found;
    for (const auto& kept : votes_) {
        found.insert(found.end(), kept.begin(), kept.end());
    }
    return found;
}

std::vector<View> VoteSet::views() const {
    std::set<View> found;
    for (const auto& kept : votes_) {
        for (const Vote& vote : kept) {
            found.insert(vote.view);
        }
    }
    return {found.begin(), found.end()};
}

std::optional<Vote> VoteSet::latest(ReplicaId voter) const {
    const auto& kept = votes_.at(voter.value);
    return kept.empty() ? std::nullopt : std::optional(kept.front());
}

}  // namespace loyal::consensus
