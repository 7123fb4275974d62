// A primary that tells two stories: some backups (the victims, drawn anew for each view) get another block than the
// rest, correctly signed, for the same view, height and place in the chain, and votes for it (the attack that PBFT's
// prepare phase exists for). Each side sees a consistent chain: the other block's parent is the other parent. Now and
// then a vote for the other side goes along too, so that honest replicas see both.
// As a backup it behaves correctly: its votes name what the primary sent.
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::Propose;
using consensus::ReplicaId;
using consensus::View;
using consensus::Vote;

constexpr std::uint64_t both_votes_one_in = 4;

class Equivocate final : public FaultModel {
 public:
    explicit Equivocate(const FaultContext& context) : context_(context), twins_(context_, retell) {}

    [[nodiscard]] std::string name() const override { return "equivocate"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;

 private:
    [[nodiscard]] bool is_victim(View view, ReplicaId replica) const;
    [[nodiscard]] std::vector<PeerSend> votes_for(ReplicaId to, const Vote& vote);

    FaultContext context_;
    Twins twins_;
    std::uint64_t draws_ = 0;
};

// At least one victim, never all: the rest is drawn for each view.
bool Equivocate::is_victim(View view, ReplicaId replica) const {
    const std::uint64_t n = context_.membership.replicas.size();
    const std::uint64_t draw = mix(context_.seed ^ mix(view.value));
    const std::uint64_t offset = 1 + draw % (n - 1);
    const ReplicaId first(static_cast<std::uint16_t>((context_.self.value + offset) % n));
    const ReplicaId spared(static_cast<std::uint16_t>((context_.self.value + 1 + offset % (n - 1)) % n));
    if (replica == first) {
        return true;
    }
    return replica != spared && (mix(draw ^ replica.value) & 1U) != 0;
}

std::vector<PeerSend> Equivocate::to_peer(PeerSend send) {
    if (auto* propose = std::get_if<Propose>(&send.message);
        propose != nullptr && leads(context_, propose->block->header.view)) {
        // Made whoever asks first, so that later twins find their parent.
        const consensus::BlockPtr twin = twins_.of(propose->block, context_.signer);
        if (twin && is_victim(propose->block->header.view, send.to)) {
            propose->block = twin;
        }
    } else if (const auto* vote = std::get_if<Vote>(&send.message); vote != nullptr && leads(context_, vote->view)) {
        return votes_for(send.to, *vote);
    }
    return one(std::move(send));
}

std::vector<PeerSend> Equivocate::votes_for(ReplicaId to, const Vote& vote) {
    const Vote twin = twins_.retold(vote);
    if (twin == vote) {  // about the base, which has no twin
        return {PeerSend{to, vote}};
    }
    const bool victim = is_victim(vote.view, to);
    std::vector<PeerSend> out;
    if (mix(context_.seed + ++draws_) % both_votes_one_in == 0) {
        out.push_back(PeerSend{to, victim ? vote : twin});
    }
    out.push_back(PeerSend{to, victim ? twin : vote});
    return out;
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_equivocate(const FaultContext& context, const std::string&) {
    return std::make_unique<Equivocate>(context);
}

}  // namespace loyal::replica::faults
