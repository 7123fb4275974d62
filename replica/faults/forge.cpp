// Speaks in others' names, and with bad signatures: votes, proposals, VIEW-CHANGEs and NEWVIEWs of other replicas,
// commit certificates that nobody signed, requests that no client made. One kind after the other, once a heartbeat, to
// everybody, built around the blocks that are under way now. It has its own key only: a forgery is signed with that one
// or not at all.
#include "consensus/quorum.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::BlockPtr;
using consensus::Certificate;
using consensus::CertKind;
using consensus::PeerMessage;
using consensus::ReplicaId;
using consensus::View;
using consensus::Vote;

class Forge final : public FaultModel {
 public:
    explicit Forge(const FaultContext& context)
        : context_(context),
          pen_(context_),
          watch_(context_),
          genesis_(consensus::genesis_block(context.membership.context)),
          interval_(context.heartbeat_ms) {}

    [[nodiscard]] std::string name() const override { return "forge"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        watch_.sent(send.message);
        notice(send.message);
        return one(std::move(send));
    }
    [[nodiscard]] bool from_peer(ReplicaId, const PeerMessage& message) override {
        notice(message);
        return true;
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    void notice(const PeerMessage& message) {
        if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
            last_ = propose->block;
        }
    }
    [[nodiscard]] PeerMessage forgery(std::uint64_t kind, ReplicaId to) const;
    [[nodiscard]] ReplicaId somebody_else(ReplicaId than) const;
    [[nodiscard]] Vote vote_of(ReplicaId voter, const consensus::BlockRef& block) const;
    [[nodiscard]] Certificate certificate(CertKind kind, const consensus::Header& target) const;
    [[nodiscard]] BlockPtr invented(View view) const;
    [[nodiscard]] consensus::ViewChange view_change_of(ReplicaId voter, View view) const;
    [[nodiscard]] PeerMessage new_view(View view) const;
    [[nodiscard]] PeerMessage request() const;

    FaultContext context_;
    Pen pen_;
    ViewWatch watch_;
    consensus::BlockRef genesis_;
    Interval interval_;
    BlockPtr last_;
    std::uint64_t made_ = 0;
};

Misdeeds Forge::tick(std::uint64_t now_ms) {
    Misdeeds deeds;
    if (interval_.due(now_ms)) {
        ++made_;
        for (const ReplicaId to : others_of(context_)) {
            deeds.sends.push_back(PeerSend{to, forgery(made_, to)});
        }
    }
    return deeds;
}

// Neither itself nor the receiver, who knows best what it said.
ReplicaId Forge::somebody_else(ReplicaId than) const {
    for (const ReplicaId id : others_of(context_)) {
        if (id != than) {
            return id;
        }
    }
    return than;
}

PeerMessage Forge::forgery(std::uint64_t kind, ReplicaId to) const {
    const View view = watch_.entered();
    const BlockPtr block = invented(view);
    constexpr std::uint64_t forgery_kinds = 8;
    switch (kind % forgery_kinds) {
        case 0: return vote_of(somebody_else(to), block->ref());
        case 1: {  // in its own name, for what it might have voted for, but not signed by it
            Vote vote = vote_of(context_.self, last_ ? last_->ref() : block->ref());
            vote.signature.bytes[made_ % vote.signature.bytes.size()] ^= 0x40U;
            return vote;
        }
        case 2: return consensus::Propose{block, block->header.height};
        case 3: return view_change_of(somebody_else(to), view.next());
        case 4: {
            View led = view.next();
            while (consensus::leader_of(led, context_.membership.replicas.size()) == context_.self) {
                led = led.next();
            }
            return new_view(led);
        }
        case 5: return request();
        case 6: {
            consensus::Blocks answer;
            answer.headers = {block->header};
            answer.blocks = {block};
            if (!is_crash_model(context_)) {
                answer.commit = certificate(CertKind::commit, block->header);
            }
            return answer;
        }
        default: {  // its own VIEW-CHANGE with a lock that a forged certificate proves
            consensus::ViewChange change = view_change_of(context_.self, view.next());
            change.lock = {consensus::LockView(view), block->ref()};
            if (!is_crash_model(context_)) {
                change.certificate = certificate(CertKind::prepare, block->header);
            }
            return pen_.sealed(std::move(change));
        }
    }
}

Vote Forge::vote_of(ReplicaId voter, const consensus::BlockRef& block) const {
    Vote vote;
    vote.view = watch_.entered();
    vote.prep = vote.com = block;
    vote.voter = voter;
    return pen_.sealed(vote);
}

Certificate Forge::certificate(CertKind kind, const consensus::Header& target) const {
    Certificate forged{kind, target.view, target, {}, {}};
    const consensus::BlockRef block{target.height, consensus::header_id(context_.membership.context, target)};
    const std::size_t q = context_.membership.quorum().q;
    for (std::uint16_t voter = 0; voter < q; ++voter) {
        forged.votes.push_back(vote_of(ReplicaId(voter), block));
        forged.votes.back().view = target.view;
    }
    return forged;
}

// The successor of the last block that it saw, as the primary of `view` would propose it.
BlockPtr Forge::invented(View view) const {
    consensus::Header header;
    header.parent = genesis_.id;
    header.height = consensus::Height(1);
    if (last_) {
        header = last_->header;
        header.parent = last_->id;
        header.height = header.height.next();
        header.hlc = consensus::Hlc(header.hlc.packed + 1);
        header.executed = header.height.minus(context_.membership.window);
    }
    header.view = view;
    return pen_.block(header, {}, context_.signer);
}

consensus::ViewChange Forge::view_change_of(ReplicaId voter, View view) const {
    consensus::ViewChange change;
    change.new_view = view;
    change.lock = {consensus::LockView(), genesis_};
    change.last_prep = {View(0), genesis_};
    change.voter = voter;
    return pen_.sealed(std::move(change));
}

PeerMessage Forge::new_view(View view) const {
    consensus::NewView message;
    message.view = view;
    message.base = {consensus::LockView(), genesis_};
    message.leader = consensus::leader_of(view, context_.membership.replicas.size());
    const std::size_t q = context_.membership.quorum().q;
    for (std::uint16_t voter = 0; voter < q; ++voter) {
        message.view_changes.push_back(view_change_of(ReplicaId(voter), view));
    }
    return pen_.sealed(std::move(message));
}

PeerMessage Forge::request() const {
    if (context_.membership.clients.empty()) {
        return consensus::PreVote{watch_.entered().next()};
    }
    consensus::EnvelopeContent content;
    content.key = context_.membership.clients.begin()->second;
    content.session = consensus::SessionId(mix(context_.seed));
    content.seq0 = consensus::Seq(made_);
    content.count = 1;
    content.not_after = last_ ? consensus::Hlc(last_->header.hlc.wall_ms() + 60'000, 0) : consensus::Hlc(60'000, 0);
    content.operations = kvstore::encode_operations({kvstore::Put{bytes_of("forged"), bytes_of("forged")}});
    const auto& cluster = context_.membership.context;
    auto bytes = std::make_shared<const Bytes>(consensus::make_envelope(
        content, cluster.cluster_id, cluster.epoch, is_crash_model(context_) ? nullptr : &context_.signer));
    auto envelope = consensus::parse_envelope(std::move(bytes));
    if (!envelope) {
        return consensus::PreVote{watch_.entered().next()};
    }
    return consensus::Relay{std::move(*envelope)};
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_forge(const FaultContext& context, const std::string&) {
    return std::make_unique<Forge>(context);
}

}  // namespace loyal::replica::faults
