#include "replica/faults/tools.h"

#include <algorithm>

#include "consensus/quorum.h"

namespace loyal::replica::faults {

using consensus::BlockPtr;
using consensus::BlockRef;
using consensus::Envelope;
using consensus::Header;
using consensus::ReplicaId;
using consensus::SignDomain;
using consensus::View;
using consensus::Vote;

bool is_crash_model(const FaultContext& context) {
    return context.membership.fault_model == consensus::FaultModel::crash;
}

bool leads(const FaultContext& context, View view) {
    return consensus::leader_of(view, context.membership.replicas.size()) == context.self;
}

std::vector<ReplicaId> others_of(const FaultContext& context) {
    std::vector<ReplicaId> others;
    for (std::size_t i = 0; i < context.membership.replicas.size(); ++i) {
        if (const ReplicaId id(static_cast<std::uint16_t>(i)); id != context.self) {
            others.push_back(id);
        }
    }
    return others;
}

void tell_all(const FaultContext& context, const consensus::PeerMessage& message, std::vector<PeerSend>& out) {
    for (const ReplicaId to : others_of(context)) {
        out.push_back(PeerSend{to, message});
    }
}

// ---- Pen

crypto::Signature Pen::sign_as(const crypto::Signer& key, SignDomain domain, ByteView content) const {
    if (is_crash_model(context_)) {
        return {};
    }
    return key.sign(consensus::signed_bytes(context_.membership.context, domain, content));
}

Vote Pen::sealed(Vote vote) const {
    vote.signature = sign(SignDomain::vote, consensus::vote_content(vote));
    return vote;
}

consensus::ViewChange Pen::sealed(consensus::ViewChange message) const {
    message.signature = sign(SignDomain::view_change, consensus::view_change_content(message));
    return message;
}

consensus::NewView Pen::sealed(consensus::NewView message) const {
    message.signature = sign(SignDomain::new_view, consensus::new_view_content(message));
    return message;
}

BlockPtr Pen::block(Header header, const std::vector<Envelope>& envelopes, const crypto::Signer& key) const {
    auto body = std::make_shared<const Bytes>(consensus::make_body(envelopes));
    header.body_root = consensus::body_root_of(*body);
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.envelopes = static_cast<std::uint32_t>(envelopes.size());
    const auto other_flags = static_cast<std::uint8_t>(header.flags & ~consensus::flag_empty);
    header.flags = envelopes.empty() ? static_cast<std::uint8_t>(other_flags | consensus::flag_empty) : other_flags;
    const auto& cluster = context_.membership.context;
    const crypto::Digest id = consensus::header_id(cluster, header);
    auto made = consensus::make_block(cluster, header, sign_as(key, SignDomain::propose, id.view()), std::move(body));
    return made ? *made : nullptr;
}

// ---- ViewWatch

void ViewWatch::sent(const consensus::PeerMessage& message) {
    if (const auto* beat = std::get_if<consensus::Heartbeat>(&message)) {
        entered_ = beat->entered;
    } else if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        entered_ = std::max(entered_, propose->block->header.view);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
        entered_ = std::max(entered_, vote->view);
    } else if (const auto* new_view = std::get_if<consensus::NewView>(&message)) {
        entered_ = std::max(entered_, new_view->view);
    }
}

// ---- Twins

BlockPtr Twins::of(const BlockPtr& block, const crypto::Signer& leader) {
    if (BlockPtr known = find(block->id)) {
        return known;
    }
    Header header = block->header;
    if (const BlockPtr parent = find(header.parent); parent && parent->header.view == header.view) {
        header.parent = parent->id;
    }
    std::vector<Envelope> envelopes = block->envelopes;
    change_(header, envelopes);
    BlockPtr twin = pen_.block(header, envelopes, leader);
    if (!twin || twin->id == block->id) {
        return nullptr;
    }
    if (order_.size() >= twins_max) {
        made_.erase(twins_.at(order_.front())->id);
        twins_.erase(order_.front());
        order_.pop_front();
    }
    twins_.emplace(block->id, twin);
    made_.emplace(twin->id, block->id);
    order_.push_back(block->id);
    return twin;
}

BlockPtr Twins::find(const crypto::Digest& block) const {
    const auto found = twins_.find(block);
    return found == twins_.end() ? nullptr : found->second;
}

BlockRef Twins::other(const BlockRef& block, View view) const {
    const BlockPtr twin = find(block.id);
    return twin && twin->header.view == view ? twin->ref() : block;
}

Vote Twins::retold(const Vote& vote) const {
    Vote twin = vote;
    twin.prep = other(vote.prep, vote.view);
    if (vote.has_commit()) {
        twin.com = other(vote.com, vote.view);
    }
    return twin == vote ? vote : pen_.sealed(twin);
}

consensus::Blocks Twins::retold(consensus::Blocks answer) const {
    bool changed = false;
    for (BlockPtr& block : answer.blocks) {
        const bool covered = std::any_of(answer.headers.begin(), answer.headers.end(),
                                         [&](const Header& header) { return header == block->header; });
        if (const BlockPtr twin = find(block->id); twin && !covered) {
            block = twin;
            changed = true;
        }
    }
    if (changed) {
        answer.prepare.reset();
    }
    return answer;
}

void retell(Header& header, std::vector<Envelope>& envelopes) {
    // The counter grows by one in every twin of the chain: still strictly above its parent's (I11).
    header.hlc = consensus::Hlc(header.hlc.packed + 1);
    std::reverse(envelopes.begin(), envelopes.end());
}

}  // namespace loyal::replica::faults
