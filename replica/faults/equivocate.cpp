// A primary that tells two stories: some backups (the victims, drawn anew for each view) get another block than the
// rest, correctly signed, for the same view, height and place in the chain, and votes for it (the attack that PBFT's
// prepare phase exists for). Each side sees a consistent chain: the other block's parent is the other parent. Now and
// then a vote for the other side goes along too, so that honest replicas see both.
// As a backup it behaves correctly: its votes name what the primary sent.
#include <map>

#include "consensus/envelope.h"
#include "replica/faults/behaviours.h"

namespace loyal::replica::faults {
namespace {

using consensus::Block;
using consensus::BlockPtr;
using consensus::BlockRef;
using consensus::Propose;
using consensus::ReplicaId;
using consensus::SignDomain;
using consensus::View;
using consensus::Vote;

constexpr std::size_t twins_max = 512;  // remembered blocks of the second story, of one view
constexpr std::uint64_t both_votes_one_in = 4;

class Equivocate final : public FaultModel {
 public:
    explicit Equivocate(const FaultContext& context) : context_(context) {}

    [[nodiscard]] std::string name() const override { return "equivocate"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId&,
                                                              wire::ReplicaMessage message) override {
        return {std::move(message)};
    }

 private:
    [[nodiscard]] bool leads(View view) const {
        return consensus::leader_of(view, context_.membership.replicas.size()) == context_.self;
    }
    [[nodiscard]] bool is_victim(View view, ReplicaId replica) const;
    void enter(View view);
    [[nodiscard]] BlockPtr twin_of(const BlockPtr& block);
    [[nodiscard]] BlockPtr make_twin(const Block& block) const;
    [[nodiscard]] BlockRef other(const BlockRef& block) const;
    [[nodiscard]] std::vector<PeerSend> votes_for(ReplicaId to, const Vote& vote);
    [[nodiscard]] crypto::Signature sign(SignDomain domain, ByteView content) const;

    FaultContext context_;
    View view_;                                 // of the twins below
    std::map<crypto::Digest, BlockPtr> twins_;  // by the id of the block that the core made
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

void Equivocate::enter(View view) {
    if (view != view_ || twins_.size() >= twins_max) {
        view_ = view;
        twins_.clear();
    }
}

std::vector<PeerSend> Equivocate::to_peer(PeerSend send) {
    std::vector<PeerSend> out;
    if (auto* propose = std::get_if<Propose>(&send.message); propose != nullptr && leads(propose->block->header.view)) {
        const View view = propose->block->header.view;
        enter(view);
        // Made whoever asks first, so that later twins find their parent.
        const BlockPtr twin = twin_of(propose->block);
        if (twin && is_victim(view, send.to)) {
            propose->block = twin;
        }
    } else if (const auto* vote = std::get_if<Vote>(&send.message); vote != nullptr && leads(vote->view)) {
        return votes_for(send.to, *vote);
    }
    out.push_back(std::move(send));
    return out;
}

BlockPtr Equivocate::twin_of(const BlockPtr& block) {
    const auto found = twins_.find(block->id);
    if (found != twins_.end()) {
        return found->second;
    }
    BlockPtr twin = make_twin(*block);
    if (twin) {
        twins_.emplace(block->id, twin);
    }
    return twin;
}

// The same envelopes in another order (if there are two), a moment later.
BlockPtr Equivocate::make_twin(const Block& block) const {
    consensus::Header header = block.header;
    if (const auto parent = twins_.find(header.parent); parent != twins_.end()) {
        header.parent = parent->second->id;
    }
    // The counter grows by one in every twin of the chain: still strictly above its parent's (I11).
    header.hlc = consensus::Hlc(header.hlc.packed + 1);
    const std::vector<consensus::Envelope> reversed(block.envelopes.rbegin(), block.envelopes.rend());
    auto body = std::make_shared<const Bytes>(consensus::make_body(reversed));
    header.body_root = consensus::body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    const auto& cluster = context_.membership.context;
    const crypto::Digest id = consensus::header_id(cluster, header);
    auto made = consensus::make_block(cluster, header, sign(SignDomain::propose, id.view()), std::move(body));
    return made ? *made : nullptr;
}

BlockRef Equivocate::other(const BlockRef& block) const {
    const auto twin = twins_.find(block.id);
    return twin == twins_.end() ? block : BlockRef{block.height, twin->second->id};
}

std::vector<PeerSend> Equivocate::votes_for(ReplicaId to, const Vote& vote) {
    enter(vote.view);
    Vote twin = vote;
    twin.prep = other(vote.prep);
    if (vote.has_commit()) {
        twin.com = other(vote.com);
    }
    if (twin == vote) {  // about the base, which has no twin
        return {PeerSend{to, vote}};
    }
    twin.signature = sign(SignDomain::vote, consensus::vote_content(twin));
    const bool victim = is_victim(vote.view, to);
    std::vector<PeerSend> out;
    if (mix(context_.seed + ++draws_) % both_votes_one_in == 0) {
        out.push_back(PeerSend{to, victim ? vote : twin});
    }
    out.push_back(PeerSend{to, victim ? twin : vote});
    return out;
}

crypto::Signature Equivocate::sign(SignDomain domain, ByteView content) const {
    if (context_.membership.fault_model == consensus::FaultModel::crash) {
        return {};  // the link authenticates there (PROTOCOL.md §8d)
    }
    return context_.signer.sign(consensus::signed_bytes(context_.membership.context, domain, content));
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_equivocate(const FaultContext& context, const std::string&) {
    return std::make_unique<Equivocate>(context);
}

}  // namespace loyal::replica::faults
