// Traitors who share their keys and act as one. Under a primary of their own the correct replicas are split into two
// sides; each side is told its own story, and every colluder votes for the story of whoever it talks to, at once and
// with the commit vote that nobody else would dare to give yet. Nothing has to be said among them: from the primary's
// block and key each of them computes the other story (Twins). Under any other primary they keep their votes to
// themselves, so that a group large enough to matter comes to lead.
// f of them achieve nothing: two quorums share a correct replica, which votes once. With f+1 both sides commit.
#include <algorithm>

#include "consensus/quorum.h"
#include "replica/faults/arguments.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::BlockPtr;
using consensus::ReplicaId;
using consensus::View;
using consensus::Vote;

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

 private:
    [[nodiscard]] ReplicaId leader(View view) const {
        return consensus::leader_of(view, context_.membership.replicas.size());
    }
    [[nodiscard]] bool ours(View view) const { return group_.contains(leader(view)); }
    [[nodiscard]] bool hears_other_story(View view, ReplicaId replica) const;
    [[nodiscard]] const crypto::Signer& key_of(ReplicaId replica) const {
        return replica == context_.self ? context_.signer : *context_.accomplices.at(replica);
    }
    void learn(const BlockPtr& block);
    [[nodiscard]] std::vector<PeerSend> vote_for(ReplicaId to, const Vote& vote) const;

    FaultContext context_;
    Pen pen_;
    std::set<ReplicaId> group_;
    std::vector<ReplicaId> outsiders_;
    Twins twins_;
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

std::vector<PeerSend> Collude::to_peer(PeerSend send) {
    if (auto* propose = std::get_if<consensus::Propose>(&send.message)) {
        const View view = propose->block->header.view;
        learn(propose->block);
        if (const BlockPtr twin = twins_.find(propose->block->id); twin && hears_other_story(view, send.to)) {
            propose->block = twin;
        }
    } else if (const auto* vote = std::get_if<Vote>(&send.message)) {
        return vote_for(send.to, *vote);
    } else if (auto* answer = std::get_if<consensus::Blocks>(&send.message)) {
        const bool other = std::any_of(answer->blocks.begin(), answer->blocks.end(), [&](const BlockPtr& block) {
            return hears_other_story(block->header.view, send.to);
        });
        if (other) {
            *answer = twins_.retold(std::move(*answer));
        }
    }
    return one(std::move(send));
}

std::vector<PeerSend> Collude::vote_for(ReplicaId to, const Vote& vote) const {
    if (!ours(vote.view)) {
        return {};
    }
    Vote eager = vote;
    if (twins_.find(vote.prep.id)) {  // not about the base
        eager.com = vote.prep;
        eager = pen_.sealed(eager);
    }
    return {PeerSend{to, hears_other_story(vote.view, to) ? twins_.retold(eager) : eager}};
}

// The core inside follows the first story; what tells it of the second would make it convict its own primary.
bool Collude::from_peer(ReplicaId, const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        learn(propose->block);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
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
