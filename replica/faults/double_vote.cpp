// A voter that supports whatever anybody likes to hear. For each of its votes, half of its peers get another one for
// the same view and heights, correctly signed: for the block that this peer itself votes for when that is a different
// one (so that an equivocating primary has a helper on both sides), otherwise for a block that nobody made. One peer in
// four gets both. And whenever a peer votes for something else than this replica did, it is told at once that it is
// right, commit vote and all.
#include <array>

#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::BlockRef;
using consensus::Height;
using consensus::ReplicaId;
using consensus::Vote;

constexpr std::size_t remembered_heights = 256;
constexpr std::uint64_t both_one_in = 4;

class DoubleVote final : public FaultModel {
 public:
    explicit DoubleVote(const FaultContext& context)
        : context_(context), pen_(context_), heard_(context.membership.replicas.size()) {}

    [[nodiscard]] std::string name() const override { return "double-vote"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] bool from_peer(ReplicaId from, const consensus::PeerMessage& message) override;
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    struct Heard {  // latest vote of a peer
        consensus::View view;
        BlockRef prep;
        bool to_be_confirmed = false;
    };
    [[nodiscard]] Vote other_vote(ReplicaId to, const Vote& vote) const;
    [[nodiscard]] BlockRef other(const BlockRef& block) const {
        return {block.height, crypto::digest_of("double-vote", block.id.view())};
    }

    FaultContext context_;
    Pen pen_;
    std::map<Height, crypto::Digest> voted_;  // own prepare heads of `view_`
    consensus::View view_;
    std::vector<Heard> heard_;
    std::uint64_t draws_ = 0;
};

Vote DoubleVote::other_vote(ReplicaId to, const Vote& vote) const {
    Vote lie = vote;
    const Heard& peer = heard_[to.value];
    const bool differs = peer.view == vote.view && peer.prep.height == vote.prep.height && peer.prep.id != vote.prep.id;
    lie.prep = differs ? peer.prep : other(vote.prep);
    if (vote.has_commit()) {
        lie.com = vote.com.height == vote.prep.height ? lie.prep : other(vote.com);
    }
    return pen_.sealed(lie);
}

std::vector<PeerSend> DoubleVote::to_peer(PeerSend send) {
    const auto* vote = std::get_if<Vote>(&send.message);
    if (vote == nullptr || vote->voter != context_.self) {
        return one(std::move(send));
    }
    if (vote->view != view_ || voted_.size() >= remembered_heights) {
        view_ = vote->view;
        voted_.clear();
    }
    voted_[vote->prep.height] = vote->prep.id;
    const std::uint64_t draw = mix(context_.seed + ++draws_);
    const Vote lie = other_vote(send.to, *vote);
    if (draw % both_one_in == 0) {
        return {PeerSend{send.to, lie}, std::move(send)};
    }
    // The same half for a whole view, so that each side is consistent in itself.
    const bool lied_to = (mix(context_.seed ^ mix(view_.value) ^ send.to.value) & 1U) != 0;
    return lied_to ? std::vector{PeerSend{send.to, lie}} : one(std::move(send));
}

bool DoubleVote::from_peer(ReplicaId from, const consensus::PeerMessage& message) {
    if (const auto* vote = std::get_if<Vote>(&message); vote != nullptr && vote->voter == from) {
        Heard& peer = heard_[from.value];
        const auto own = voted_.find(vote->prep.height);
        const bool differs = vote->view == view_ && own != voted_.end() && own->second != vote->prep.id;
        const bool is_new = peer.view != vote->view || peer.prep != vote->prep;
        peer = {vote->view, vote->prep, (differs && is_new) || (peer.to_be_confirmed && !is_new)};
    }
    return true;
}

Misdeeds DoubleVote::tick(std::uint64_t) {
    Misdeeds deeds;
    for (std::size_t i = 0; i < heard_.size(); ++i) {
        if (std::exchange(heard_[i].to_be_confirmed, false)) {
            Vote vote;
            vote.view = heard_[i].view;
            vote.prep = vote.com = heard_[i].prep;
            vote.voter = context_.self;
            deeds.sends.push_back(PeerSend{ReplicaId(static_cast<std::uint16_t>(i)), pen_.sealed(vote)});
        }
    }
    return deeds;
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_double_vote(const FaultContext& context, const std::string&) {
    return std::make_unique<DoubleVote>(context);
}

}  // namespace loyal::replica::faults
