// Lies in view changes, with its own key and whatever it has collected: VIEW-CHANGEs for views a long way off, with
// locks of blocks that nobody certified, of a later view than the one asked for, or at a false genesis; two of them for
// one view; a certificate of real votes below the base of their view (pitfall 16). Its own real VIEW-CHANGE hides the
// lock from half of its peers. As the new primary it sends a NEWVIEW with a broken set to everybody but one: too few,
// twice the same, one of another view, one in another's name, a base that is not the highest lock (pitfalls 6 and 26).
#include <algorithm>

#include "config/limits.h"
#include "replica/faults/behaviours.h"
#include "replica/faults/tools.h"

namespace loyal::replica::faults {
namespace {

using consensus::BlockRef;
using consensus::Certificate;
using consensus::Header;
using consensus::Lock;
using consensus::LockView;
using consensus::NewView;
using consensus::ReplicaId;
using consensus::View;
using consensus::ViewChange;
using consensus::Vote;

constexpr std::size_t headers_max = 128;
constexpr std::uint64_t interval_heartbeats = 4;
constexpr std::uint64_t lie_kinds = 7;

class BadViewChange final : public FaultModel {
 public:
    explicit BadViewChange(const FaultContext& context)
        : context_(context),
          pen_(context_),
          watch_(context_),
          genesis_(consensus::genesis_block(context.membership.context)),
          interval_(interval_heartbeats * context.heartbeat_ms) {}

    [[nodiscard]] std::string name() const override { return "bad-view-change"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override;
    [[nodiscard]] bool from_peer(ReplicaId, const consensus::PeerMessage& message) override {
        collect(message);
        return true;
    }
    [[nodiscard]] Misdeeds tick(std::uint64_t now_ms) override;

 private:
    void collect(const consensus::PeerMessage& message);
    void collect(const Header& header);
    [[nodiscard]] ViewChange plain(View view) const;
    [[nodiscard]] ViewChange false_claim(std::uint64_t kind, ReplicaId to) const;
    [[nodiscard]] Certificate invented_certificate(const Header& target) const;
    [[nodiscard]] std::optional<Certificate> below_the_base() const;
    [[nodiscard]] NewView broken(NewView message, std::uint64_t kind) const;

    FaultContext context_;
    Pen pen_;
    ViewWatch watch_;
    BlockRef genesis_;
    Interval interval_;
    std::map<crypto::Digest, Header> headers_;
    std::deque<crypto::Digest> headers_order_;
    std::map<ReplicaId, Vote> base_votes_;  // votes that are about the base of their view alone
    std::uint64_t made_ = 0;
};

// ---- Material

void BadViewChange::collect(const Header& header) {
    const crypto::Digest id = consensus::header_id(context_.membership.context, header);
    if (headers_.emplace(id, header).second) {
        headers_order_.push_back(id);
    }
    if (headers_order_.size() > headers_max) {
        headers_.erase(headers_order_.front());
        headers_order_.pop_front();
    }
}

void BadViewChange::collect(const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        collect(propose->block->header);
    } else if (const auto* vote = std::get_if<Vote>(&message)) {
        const auto head = headers_.find(vote->prep.id);
        if (head != headers_.end() && head->second.view < vote->view) {
            base_votes_[vote->voter] = *vote;
        }
    }
}

// ---- VIEW-CHANGE

ViewChange BadViewChange::plain(View view) const {
    ViewChange message;
    message.new_view = view;
    message.lock = {LockView(), genesis_};
    message.last_prep = {View(0), genesis_};
    message.voter = context_.self;
    return message;
}

// Votes of everybody, signed with the one key that it has.
Certificate BadViewChange::invented_certificate(const Header& target) const {
    Certificate certificate{consensus::CertKind::prepare, target.view, target, {}, {}};
    const std::size_t q = context_.membership.quorum().q;
    for (std::uint16_t voter = 0; voter < q; ++voter) {
        Vote vote;
        vote.view = target.view;
        vote.prep = {target.height, consensus::header_id(context_.membership.context, target)};
        vote.voter = ReplicaId(voter);
        certificate.votes.push_back(pen_.sealed(vote));
    }
    return certificate;
}

// Real votes of a view for its base contain the base's parent, too; a certificate of the parent in that view would
// outrank the locks of everything that was committed on the base before (pitfall 16).
std::optional<Certificate> BadViewChange::below_the_base() const {
    for (const auto& [voter, first] : base_votes_) {
        std::vector<Vote> same;
        for (const auto& [other, vote] : base_votes_) {
            if (vote.view == first.view && vote.prep == first.prep) {
                same.push_back(vote);
            }
        }
        const auto base = headers_.find(first.prep.id);
        const auto parent = base == headers_.end() ? headers_.end() : headers_.find(base->second.parent);
        if (same.size() >= context_.membership.quorum().q && parent != headers_.end()) {
            return Certificate{consensus::CertKind::prepare, first.view, parent->second, {base->second}, same};
        }
    }
    return std::nullopt;
}

ViewChange BadViewChange::false_claim(std::uint64_t kind, ReplicaId to) const {
    const View view = watch_.entered();
    ViewChange message = plain(view.next());
    Header target;
    if (!headers_order_.empty()) {
        target = headers_.at(headers_order_.back());
    }
    target.view = view;
    target.height = target.height.next();
    const BlockRef block{target.height, consensus::header_id(context_.membership.context, target)};
    const bool with_proof = !is_crash_model(context_);
    switch (kind % lie_kinds) {
        case 0:  // a block that nobody certified
            message.lock = {LockView(view), block};
            if (with_proof) {
                message.certificate = invented_certificate(target);
            }
            break;
        case 1:  // the same without any proof
            message.lock = {LockView(view), block};
            break;
        case 2:  // a lock of the future
            message.lock = {LockView(message.new_view), block};
            break;
        case 3: message.lock = {LockView(), block}; break;                                   // a false genesis
        case 4: message.last_prep = {view, {block.height.plus(to.value), block.id}}; break;  // to each another one
        case 5:
            if (const auto proof = below_the_base(); proof && with_proof) {
                message.new_view = View(std::max(message.new_view.value, proof->view.value + 1));
                message.lock = {
                    LockView(proof->view),
                    {proof->target.height, consensus::header_id(context_.membership.context, proof->target)}};
                message.certificate = proof;
            }
            break;
        default: message.new_view = View(limits::view_max - 1 - made_ % lie_kinds);
    }
    return pen_.sealed(std::move(message));
}

Misdeeds BadViewChange::tick(std::uint64_t now_ms) {
    Misdeeds deeds;
    if (interval_.due(now_ms)) {
        ++made_;
        for (const ReplicaId to : others_of(context_)) {
            // Each peer gets them in another order; a huge view number, after which a correct replica listens to no
            // lower one, comes to one peer at a time.
            deeds.sends.push_back(PeerSend{to, false_claim(made_ + to.value, to)});
        }
    }
    return deeds;
}

// ---- NEWVIEW

NewView BadViewChange::broken(NewView message, std::uint64_t kind) const {
    auto& set = message.view_changes;
    if (set.empty()) {
        return pen_.sealed(std::move(message));
    }
    auto own = std::find_if(set.begin(), set.end(), [this](const auto& each) { return each.voter == context_.self; });
    if (own == set.end()) {
        own = std::prev(set.end());
    }
    constexpr std::uint64_t ways = 6;
    switch (kind % ways) {
        case 0: *own = set.front().voter == own->voter ? set.back() : set.front(); break;  // twice the same
        case 1: set.pop_back(); break;                                                     // too few
        case 2:                                                                            // one of another view
            *own = pen_.sealed(plain(message.view.next()));
            break;
        case 3:  // one in another's name
            own->voter =
                ReplicaId(static_cast<std::uint16_t>((own->voter.value + 1) % context_.membership.replicas.size()));
            *own = pen_.sealed(*own);
            break;
        case 4:  // the base is not the highest lock
            message.base =
                message.base.view.is_genesis()
                    ? Lock{LockView(View(0)), {consensus::Height(1), crypto::digest_of("base", genesis_.id.view())}}
                    : Lock{LockView(), genesis_};
            message.certificate.reset();
            break;
        default: {  // a lock of the same rank for another block, without proof
            ViewChange twin = plain(message.view);
            twin.lock = message.base;
            twin.lock.block.id = crypto::digest_of("tie", message.base.block.id.view());
            *own = pen_.sealed(std::move(twin));
        }
    }
    return pen_.sealed(std::move(message));
}

std::vector<PeerSend> BadViewChange::to_peer(PeerSend send) {
    watch_.sent(send.message);
    collect(send.message);
    if (auto* change = std::get_if<ViewChange>(&send.message); change != nullptr && send.to.value % 2 == 0) {
        *change = pen_.sealed(plain(change->new_view));  // hides its lock
    } else if (auto* message = std::get_if<NewView>(&send.message);
               message != nullptr && message->leader == context_.self) {
        const std::uint64_t draw = mix(context_.seed ^ message->view.value);
        const auto others = others_of(context_);
        if (send.to != others[draw % others.size()]) {  // who gets the true one must bring the others along
            *message = broken(std::move(*message), draw / others.size() + send.to.value);
        }
    }
    return one(std::move(send));
}

}  // namespace

Result<std::unique_ptr<FaultModel>> make_bad_view_change(const FaultContext& context, const std::string&) {
    return std::make_unique<BadViewChange>(context);
}

}  // namespace loyal::replica::faults
