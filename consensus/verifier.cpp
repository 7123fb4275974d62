#include "consensus/verifier.h"

#include <algorithm>
#include <set>

#include "config/limits.h"
#include "consensus/view_change_safety.h"

namespace loyal::consensus {
namespace {

Result<void> reject(std::string why) {
    return fail(Errc::unauthentic, std::move(why));
}

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

// What a VIEW-CHANGE says, whoever signed it.
Result<void> check_view_change_content(const Membership& membership, const ViewChange& message, const RuleSet& rules) {
    if ((!message.lock.view.before(message.new_view) && rules.has("V5-lock-view")) || message.new_view.value == 0 ||
        message.last_prep.view >= message.new_view) {
        return reject("view change whose lock is not of an earlier view");
    }
    if (message.lock.view.is_genesis() && message.lock.block != genesis_block(membership.context)) {
        return reject("view change with a false genesis lock");
    }
    return {};
}

}  // namespace

// Rule V5. Ties at the maximal rank with different ids make the message invalid (E6), never assert.
Result<void> check_new_view_content(const Membership& membership, const NewView& message, const RuleSet& rules) {
    const Quorum quorum = membership.quorum();
    if (message.view.value == 0 || message.leader != leader_of(message.view, quorum.n)) {
        return reject("new view not from the leader of its view");
    }
    if (message.view_changes.size() > quorum.n) {
        return reject("new view with too many view changes");
    }
    std::set<ReplicaId> voters;
    for (const ViewChange& change : message.view_changes) {
        const bool right_view = change.new_view == message.view || !rules.has("V5-view");
        const bool distinct = voters.insert(change.voter).second || !rules.has("V5-distinct");
        if (!right_view || change.voter.value >= quorum.n || !distinct) {
            return reject("new view with a view change of another view, an unknown voter, or twice the same");
        }
        if (Result<void> content = check_view_change_content(membership, change, rules); !content) {
            return content;
        }
    }
    if ((rules.has("V5-distinct") ? voters.size() : message.view_changes.size()) < quorum.q) {
        return reject("new view without a quorum of view changes");
    }
    if (select_base(message.view_changes, rules) != message.base) {
        return reject("new view whose base is not the one highest lock of its view changes");
    }
    return {};
}

MessageVerifier::MessageVerifier(const Membership& membership, const crypto::SignatureVerifier& signatures,
                                 const std::vector<std::string>& rules_off)
    : membership_(membership), signatures_(signatures), quorum_(membership.quorum()), rules_(rules_off) {}

bool MessageVerifier::signature_ok(ReplicaId signer, SignDomain domain, ByteView content,
                                   const crypto::Signature& signature) const {
    if (signer.value >= membership_.replicas.size()) {
        return false;
    }
    return signatures_.verify(membership_.replicas[signer.value], signed_bytes(membership_.context, domain, content),
                              signature);
}

Result<crypto::Verified<PeerMessage>> MessageVerifier::verify(PeerMessage message, ReplicaId from) const {
    if (from.value >= quorum_.n) {
        return fail(Errc::unauthentic, "sender is not a replica of this cluster");
    }
    const Result<void> verdict = std::visit(
        Overloaded{
            [&](const Propose& propose) { return check_propose(propose, from); },
            [&](const Vote& vote) {
                return vote.voter == from ? check_vote(vote, rules_.has("N9"))
                                          : reject("vote in another replica's name");
            },
            [&](const ViewChange& change) {
                return change.voter == from ? check_view_change(change, true) : reject("view change in another's name");
            },
            [&](const NewView& new_view) { return check_new_view(new_view); },
            [&](const Relay& relay) -> Result<void> {
                const auto envelope = verify_envelope(relay.envelope, std::nullopt);
                return envelope ? Result<void>() : Result<void>(tl::unexpected(envelope.error()));
            },
            [&](const Fetch& fetch) {
                return fetch.ids.size() <= 2 * limits::window_max ? Result<void>() : reject("fetch of too many blocks");
            },
            [&](const Blocks& blocks) { return check_blocks(blocks); },
            [&](const Heartbeat&) { return Result<void>(); },
            [&](const PreVote&) { return Result<void>(); },
            [&](const PreVoteGrant&) { return Result<void>(); },
            [&](const ClockProbe&) { return Result<void>(); },
            [&](const ClockAnswer&) { return Result<void>(); },
            [&](const Echo& echo) { return check_echo(echo); },
            [&](const Recover&) { return Result<void>(); },
            [&](const RecoverAck& ack) { return check_recover_ack(ack); },
            [&](const StateRequest& request) {
                return request.names.size() <= limits::state_names_max ? Result<void>()
                                                                       : reject("request for too many records");
            },
            [&](const StateChunk&) { return Result<void>(); },
        },
        message);
    if (!verdict) {
        return tl::unexpected(verdict.error());
    }
    return crypto::Verified<PeerMessage>(std::move(message), {});
}

std::optional<crypto::Verified<Envelope>> MessageVerifier::relayed(const crypto::Verified<PeerMessage>& message) {
    const auto* relay = std::get_if<Relay>(&*message);
    return relay == nullptr ? std::nullopt : std::optional(crypto::Verified<Envelope>(relay->envelope, {}));
}

crypto::Verified<PeerMessage> MessageVerifier::own(PeerMessage message) const {
    return {std::move(message), {}};
}

Result<crypto::Verified<Envelope>> MessageVerifier::verify_envelope(Envelope envelope,
                                                                    std::optional<ClientId> link_client) const {
    if (const Result<void> known = check_known(envelope.client); !known) {
        return tl::unexpected(known.error());
    }
    if (link_client && *link_client != envelope.client) {
        return fail(Errc::unauthentic, "envelope in another client's name");
    }
    if (const Result<void> authentic = check_authentic(envelope); !authentic) {
        return tl::unexpected(authentic.error());
    }
    return crypto::Verified<Envelope>(std::move(envelope), {});
}

Result<void> MessageVerifier::check_known(const ClientId& client) const {
    return membership_.clients.contains(client) ? Result<void>()
                                                : fail(Errc::permission, "envelope of an unknown client");
}

// That the key is the client's was checked when the envelope was parsed.
Result<void> MessageVerifier::check_authentic(const Envelope& envelope) const {
    if (membership_.fault_model == FaultModel::byzantine &&
        !signatures_.verify(envelope.key, signed_bytes(membership_.context, SignDomain::submit, envelope.digest.view()),
                            envelope.signature)) {
        return fail(Errc::unauthentic, "bad signature on an envelope");
    }
    return {};
}

Result<void> MessageVerifier::check_envelopes(const Block& block) const {
    for (const Envelope& envelope : block.envelopes) {
        const auto verified = verify_envelope(envelope, std::nullopt);
        if (!verified) {
            return tl::unexpected(verified.error());
        }
    }
    return {};
}

// Entry conditions of N3 that need no state: the leader's signature over the header, body and envelopes authentic.
Result<void> MessageVerifier::check_propose(const Propose& message, ReplicaId from) const {
    const Block& block = *message.block;
    const ReplicaId leader = leader_of(block.header.view, quorum_.n);
    if (from != leader) {
        return reject("proposal from a replica that does not lead its view");
    }
    if (membership_.fault_model == FaultModel::byzantine &&
        !signature_ok(leader, SignDomain::propose, block.id.view(), block.signature)) {
        return reject("bad signature on a proposal");
    }
    return check_envelopes(block);
}

Result<void> MessageVerifier::check_vote(const Vote& vote, bool with_signature) const {
    if (vote.com.height > vote.prep.height || (vote.com.height == vote.prep.height && vote.com.id != vote.prep.id)) {
        return reject("vote with a commit head beyond its prepare head");
    }
    if (membership_.fault_model == FaultModel::byzantine && with_signature &&
        !signature_ok(vote.voter, SignDomain::vote, vote_content(vote), vote.signature)) {
        return reject("bad signature on a vote");
    }
    return {};
}

// Rule cert_ok (PROTOCOL.md §3; pitfalls 1, 8 and 16): distinct voters of one view, each head on the hash-linked path,
// and a prepare vote above the target counts only through blocks of the certificate's own view.
Result<void> MessageVerifier::check_certificate(const Certificate& certificate) const {
    return check_certificate(certificate, true);
}

Result<void> MessageVerifier::check_own_certificate(const Certificate& certificate) const {
    return check_certificate(certificate, false);
}

Result<void> MessageVerifier::check_certificate(const Certificate& certificate, bool with_signatures) const {
    if (membership_.fault_model == FaultModel::crash) {
        return reject("certificates do not exist in the crash fault model");
    }
    if (certificate.path.size() > membership_.window) {
        return reject("certificate path longer than the window");
    }
    if (certificate.votes.size() > quorum_.n || certificate.target.view > certificate.view ||
        certificate.target.height.value == 0) {
        return reject("certificate out of bounds");
    }
    std::vector<crypto::Digest> ids{header_id(membership_.context, certificate.target)};
    std::size_t own_view_prefix = 0;  // path headers from the target on, up to which every one is of certificate.view
    bool prefix_open = true;
    Height height = certificate.target.height;
    for (const Header& header : certificate.path) {
        height = height.next();
        if (header.height != height || header.parent != ids.back()) {
            return reject("certificate path is not hash-linked");
        }
        ids.push_back(header_id(membership_.context, header));
        prefix_open = prefix_open && header.view == certificate.view;
        own_view_prefix += prefix_open ? 1U : 0U;
    }
    std::set<ReplicaId> voters;
    for (const Vote& vote : certificate.votes) {
        const BlockRef& head = certificate.kind == CertKind::prepare ? vote.prep : vote.com;
        if (vote.view != certificate.view || vote.voter.value >= quorum_.n || !voters.insert(vote.voter).second) {
            return reject("certificate with a vote of another view, an unknown voter, or twice the same");
        }
        if (head.height < certificate.target.height || head.height > height) {
            return reject("certificate with a vote off its path");
        }
        const std::size_t above = head.height.value - certificate.target.height.value;
        if (head.id != ids[above] && rules_.has("cert-path")) {
            return reject("certificate with a vote for another chain");
        }
        if (certificate.kind == CertKind::prepare && above > own_view_prefix && rules_.has("cert-base")) {
            return reject("prepare certificate below the base of its view");
        }
        const Result<void> authentic = check_vote(vote, with_signatures);
        if (!authentic) {
            return authentic;
        }
    }
    return voters.size() >= quorum_.q ? Result<void>() : reject("certificate without a quorum");
}

// Rule V3.
Result<void> MessageVerifier::check_view_change(const ViewChange& message, bool with_certificate) const {
    if (Result<void> content = check_view_change_content(membership_, message, rules_); !content) {
        return content;
    }
    if (message.certificate && (message.lock.view.is_genesis() || membership_.fault_model == FaultModel::crash)) {
        return reject("view change with a certificate that it does not need");
    }
    if (membership_.fault_model == FaultModel::crash) {
        return {};
    }
    if (!signature_ok(message.voter, SignDomain::view_change, view_change_content(message), message.signature)) {
        return reject("bad signature on a view change");
    }
    if (!with_certificate || message.lock.view.is_genesis()) {
        return {};
    }
    const auto& certificate = message.certificate;
    if (!certificate || certificate->kind != CertKind::prepare || !message.lock.view.is(certificate->view) ||
        certificate->target.height != message.lock.block.height ||
        header_id(membership_.context, certificate->target) != message.lock.block.id) {
        return reject("view change whose certificate does not prove its lock");
    }
    return check_certificate(*certificate);
}

// Rule V5, what needs no state.
Result<void> MessageVerifier::check_new_view(const NewView& message) const {
    if (Result<void> content = check_new_view_content(membership_, message, rules_); !content) {
        return content;
    }
    for (const ViewChange& change : message.view_changes) {
        const Result<void> authentic = check_view_change(change, false);
        if (!authentic) {
            return authentic;
        }
    }
    const bool needs_certificate = membership_.fault_model == FaultModel::byzantine && !message.base.view.is_genesis();
    if (message.certificate && !needs_certificate) {
        return reject("new view with a certificate that it does not need");
    }
    if (membership_.fault_model == FaultModel::crash) {
        return {};
    }
    if (!signature_ok(message.leader, SignDomain::new_view, new_view_content(message), message.signature)) {
        return reject("bad signature on a new view");
    }
    if (!needs_certificate) {
        return {};  // each lock was checked, so a genesis lock is the genesis block
    }
    const auto& certificate = message.certificate;
    if (!certificate || certificate->kind != CertKind::prepare || !message.base.view.is(certificate->view) ||
        certificate->target.height != message.base.block.height ||
        header_id(membership_.context, certificate->target) != message.base.block.id) {
        return reject("new view whose certificate does not prove its base");
    }
    return check_certificate(*certificate);
}

// A commit certificate covers the header chain up to its target; blocks outside it must carry their leader's signature
// and authentic envelopes, because the core may take them for proposals.
Result<void> MessageVerifier::check_blocks(const Blocks& message) const {
    if (message.headers.size() > limits::fetch_blocks_max || message.blocks.size() > 2 * limits::fetch_blocks_max) {
        return reject("too many blocks");
    }
    std::set<crypto::Digest> covered;
    for (std::size_t i = 0; i < message.headers.size(); ++i) {
        const crypto::Digest id = header_id(membership_.context, message.headers[i]);
        if (i + 1 < message.headers.size() && (message.headers[i + 1].parent != id ||
                                               message.headers[i + 1].height != message.headers[i].height.next())) {
            return reject("fetched headers are not hash-linked");
        }
        covered.insert(id);
    }
    if (message.checkpoint) {
        const bool alone = message.headers.empty() && message.blocks.empty() && !message.commit && !message.prepare;
        return alone ? check_checkpoint(*message.checkpoint) : reject("checkpoint among fetched blocks");
    }
    if (membership_.fault_model == FaultModel::crash) {
        return {};
    }
    if (!message.headers.empty()) {
        if (!message.commit || message.commit->kind != CertKind::commit ||
            message.commit->target != message.headers.back()) {
            return reject("fetched headers without their commit certificate");
        }
        const Result<void> certified = check_certificate(*message.commit);
        if (!certified) {
            return certified;
        }
    }
    if (message.prepare) {
        const Result<void> certified = check_certificate(*message.prepare);
        if (!certified || message.prepare->kind != CertKind::prepare) {
            return reject("fetched blocks with a bad prepare certificate");
        }
    }
    for (const BlockPtr& block : message.blocks) {
        if (covered.contains(block->id)) {
            continue;
        }
        if (!signature_ok(leader_of(block->header.view, quorum_.n), SignDomain::propose, block->id.view(),
                          block->signature)) {
            return reject("fetched block without its leader's signature");
        }
        const Result<void> authentic = check_envelopes(*block);
        if (!authentic) {
            return authentic;
        }
    }
    return {};
}

Result<void> MessageVerifier::check_checkpoint(const CheckpointProof& proof) const {
    const std::uint64_t interval = membership_.checkpoint_interval;
    if (interval == 0 || proof.headers.empty() || proof.headers.size() > limits::fetch_blocks_max) {
        return reject("checkpoint out of bounds");
    }
    const Header& carrier = proof.headers.front();
    const bool in_step = proof.block.height.value > 0 && proof.block.height.value % interval == 0 &&
                         carrier.checkpoint == proof.block.height &&
                         carrier.height == proof.block.height.plus(interval);
    if (!in_step) {
        return reject("checkpoint whose header does not carry it");
    }
    for (std::size_t i = 1; i < proof.headers.size(); ++i) {
        if (proof.headers[i].height != proof.headers[i - 1].height.next() ||
            proof.headers[i].parent != header_id(membership_.context, proof.headers[i - 1])) {
            return reject("checkpoint whose headers are not hash-linked");
        }
    }
    if (membership_.fault_model == FaultModel::crash) {
        return proof.commit ? reject("checkpoint with a certificate in the crash fault model") : Result<void>();
    }
    if (!proof.commit || proof.commit->kind != CertKind::commit || proof.commit->target != proof.headers.back()) {
        return reject("checkpoint without its commit certificate");
    }
    return check_certificate(*proof.commit);
}

// What it echoes is the receiver's own: the core looks at who that is.
Result<void> MessageVerifier::check_echo(const Echo& message) const {
    if (message.vote) {
        if (message.vote->voter.value >= quorum_.n) {
            return reject("echo of nobody's vote");
        }
        if (Result<void> authentic = check_vote(*message.vote, true); !authentic) {
            return authentic;
        }
    }
    if (message.view_change && message.view_change->certificate) {
        return reject("echo with an attachment");
    }
    return message.view_change ? check_view_change(*message.view_change, false) : Result<void>();
}

Result<void> MessageVerifier::check_recover_ack(const RecoverAck& message) const {
    if (message.new_view) {
        return message.view_changes.empty() && message.new_view->view == message.proven
                   ? check_new_view(*message.new_view)
                   : reject("recover ack that proves another view");
    }
    if (message.view_changes.empty()) {
        return message.proven.value == 0 ? Result<void>() : reject("recover ack without a proof");
    }
    std::set<ReplicaId> voters;
    for (const ViewChange& change : message.view_changes) {
        if (change.new_view < message.proven || change.voter.value >= quorum_.n || change.certificate ||
            !voters.insert(change.voter).second) {
            return reject("recover ack that proves another view");
        }
        if (Result<void> authentic = check_view_change(change, false); !authentic) {
            return authentic;
        }
    }
    return voters.size() == quorum_.w ? Result<void>() : reject("recover ack without enough view changes");
}

}  // namespace loyal::consensus
