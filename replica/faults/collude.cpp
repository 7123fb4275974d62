// Traitors who share their keys and act as one. Under a primary of their own the correct replicas are split into two
// sides; each side is told its own story, and every colluder votes for the story of whoever it talks to, at once and
// with the commit vote that nobody else would dare to give yet. Nothing has to be said among them: from the primary's
// block and key each of them computes the other story (Twins). The second side hears of a block only when the first
// is convinced: two sides that vote at the same time would notice one another before either has committed (E1). Under
// any other primary they keep their votes to themselves, so that a group large enough to matter comes to lead.
// f of them achieve nothing: two quorums share a correct replica, which votes once. With f+1 both sides commit.
#include <algorithm>

#include "consensus/quorum.h"
#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::BlockPtr;
using consensus::Height;
using consensus::ReplicaId;
using consensus::View;
using consensus::Vote;

constexpr std::uint64_t patience_heartbeats = 4;
constexpr std::size_t waiting_max = 1024;  // messages; then the oldest leave early

class Collude final : public FaultModel {
 public:
    Collude(const FaultContext& context, std::set<ReplicaId> group)
        : context_(context), pen_(context_), group_(std::move(group)), twins_(context_, retell) {
        group_.insert(context.self);
        for (std::size_t i = 0; i < context.membership.replicas.size(); ++i) {
            if (const ReplicaId id(static_cast<std::uint16_t>(i)); !group_.contains(id)) {
                outsiders_.push_back(id);
            }
        }
    }

    [[nodiscard]] std::string name() const override { return "collude"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] bool from_peer(ReplicaId from, const consensus::PeerMessage& message) override;
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    struct Waiting {  // a proposal to the second side, or a vote
        PeerSend send;
        View view;
        Height height;
        std::optional<std::uint64_t> due_ms;  // sent by then, whatever the first side does
    };
    [[nodiscard]] ReplicaId leader(View view) const {
        return consensus::leader_of(view, context_.membership.replicas.size());
    }
    [[nodiscard]] bool ours(View view) const { return group_.contains(leader(view)); }
    [[nodiscard]] bool hears_other_story(View view, ReplicaId replica) const;
    [[nodiscard]] const crypto::Signer& key_of(ReplicaId replica) const {
        return replica == context_.self ? context_.signer : *context_.accomplices.at(replica);
    }
    void learn(const BlockPtr& block);
    void tell(ReplicaId to, const Vote& vote, std::vector<PeerSend>& out);
    void listen(ReplicaId from, const Vote& vote);
    [[nodiscard]] bool convinced(View view, Height height) const;
    void release(std::vector<PeerSend>& out);

    FaultContext context_;
    Pen pen_;
    std::set<ReplicaId> group_;
    std::vector<ReplicaId> outsiders_;
    Twins twins_;
    std::map<ReplicaId, std::pair<View, Height>> committed_to_;  // highest commit vote of each outsider
    std::deque<Waiting> waiting_;
    std::uint64_t now_ms_ = 0;
};

// The smaller half, another one in each view; the same for all of the group.
bool Collude::hears_other_story(View view, ReplicaId replica) const {
    const auto found = std::find(outsiders_.begin(), outsiders_.end(), replica);
    if (found == outsiders_.end()) {
        return false;
    }
    const auto rank = static_cast<std::uint64_t>(found - outsiders_.begin());
    return (rank + view.value) % outsiders_.size() >= (outsiders_.size() + 1) / 2;
}

void Collude::learn(const BlockPtr& block) {
    if (ours(block->header.view) && !twins_.is_twin(block->id)) {
        (void)twins_.of(block, key_of(leader(block->header.view)));
    }
}

// Whether everybody on the first side has given its commit vote.
bool Collude::convinced(View view, Height height) const {
    return std::all_of(outsiders_.begin(), outsiders_.end(), [&](ReplicaId outsider) {
        const auto heard = committed_to_.find(outsider);
        return hears_other_story(view, outsider) ||
               (heard != committed_to_.end() && heard->second >= std::pair(view, height));
    });
}

void Collude::release(std::vector<PeerSend>& out) {
    while (!waiting_.empty()) {
        const Waiting& first = waiting_.front();
        const bool late = first.due_ms && *first.due_ms <= now_ms_;
        if (!late && waiting_.size() <= waiting_max && !convinced(first.view, first.height)) {
            return;
        }
        out.push_back(std::move(waiting_.front().send));
        waiting_.pop_front();
    }
}

Misdeeds Collude::tick(std::uint64_t now_ms) {
    now_ms_ = now_ms;
    Misdeeds deeds;
    release(deeds.sends);
    for (Waiting& each : waiting_) {
        each.due_ms = each.due_ms.value_or(now_ms + patience_heartbeats * context_.heartbeat_ms);
    }
    return deeds;
}

std::vector<PeerSend> Collude::to_peer(PeerSend send) {
    std::vector<PeerSend> out;
    release(out);
    if (auto* propose = std::get_if<consensus::Propose>(&send.message)) {
        const View view = propose->block->header.view;
        learn(propose->block);
        if (const BlockPtr twin = twins_.find(propose->block->id); twin && hears_other_story(view, send.to)) {
            propose->block = twin;
            waiting_.push_back({std::move(send), view, twin->header.height, std::nullopt});
            return out;
        }
    } else if (const auto* vote = std::get_if<Vote>(&send.message)) {
        tell(send.to, *vote, out);
        return out;
    } else if (auto* answer = std::get_if<consensus::Blocks>(&send.message)) {
        const bool other = std::any_of(answer->blocks.begin(), answer->blocks.end(), [&](const BlockPtr& block) {
            return hears_other_story(block->header.view, send.to);
        });
        if (other) {
            *answer = twins_.retold(std::move(*answer));
        }
    }
    out.push_back(std::move(send));
    return out;
}

void Collude::tell(ReplicaId to, const Vote& vote, std::vector<PeerSend>& out) {
    if (!ours(vote.view)) {
        return;
    }
    if (!twins_.find(vote.prep.id)) {  // about the base
        out.push_back(PeerSend{to, vote});
        return;
    }
    Vote eager = vote;
    eager.com = vote.prep;
    eager = pen_.sealed(eager);
    if (hears_other_story(vote.view, to)) {
        // Not before its block: a receiver keeps only the latest vote, and can do nothing with a block it has not.
        waiting_.push_back({PeerSend{to, twins_.retold(eager)}, vote.view, vote.prep.height, std::nullopt});
    } else {
        out.push_back(PeerSend{to, eager});
    }
}

void Collude::listen(ReplicaId from, const Vote& vote) {
    if (vote.has_commit()) {
        auto& heard = committed_to_[from];
        heard = std::max(heard, {vote.view, vote.com.height});
    }
}

// The core inside follows the first story; what tells it of the second would make it convict its own primary.
bool Collude::from_peer(ReplicaId from, const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        learn(propose->block);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
        listen(from, *vote);
        return !twins_.is_twin(vote->prep.id);
    } else if (const auto* answer = std::get_if<consensus::Blocks>(&message)) {
        const auto& blocks = answer->blocks;
        if (answer->headers.empty() && std::any_of(blocks.begin(), blocks.end(), [this](const BlockPtr& block) {
                return twins_.is_twin(block->id);
            })) {
            return false;
        }
        std::for_each(blocks.begin(), blocks.end(), [this](const BlockPtr& block) { learn(block); });
    }
    return true;
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_collude(const FaultContext& context, const std::string& argument) {
    auto group = ids_of(context, argument);
    if (!group) {
        return tl::unexpected(group.error());
    }
    for (const ReplicaId id : *group) {
        const auto key = context.accomplices.find(id);
        if (key == context.accomplices.end() || !key->second) {
            return fail(Errc::invalid_argument, "the key of replica " + std::to_string(id.value) +
                                                    " is not here; colluders need one another's keys");
        }
    }
    return std::make_unique<Collude>(context, std::move(*group));
}

}  // namespace loyal::replica::faults
