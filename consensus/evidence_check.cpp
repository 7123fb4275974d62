// check_evidence: what each kind of evidence has to show (PROTOCOL.md §16). Everything rests on what the culprit
// signed; what others could have put beside it (attached certificates, signatures inside a NEW-VIEW, a body of another
// hash) proves nothing and is not accepted as part of it.
#include <algorithm>

#include "consensus/evidence.h"
#include "consensus/evidence_parts.h"
#include "consensus/verifier.h"

namespace loyal::consensus {
namespace {

tl::unexpected<Error> unproven(std::string why) {
    return fail(Errc::unauthentic, std::move(why));
}

Result<void> check_signature(const MessageVerifier& verifier, const Evidence& evidence, SignDomain domain,
                             ByteView content, const crypto::Signature& signature) {
    if (!verifier.signature_ok(evidence.culprit, domain, content, signature)) {
        return unproven("a statement was not signed by replica " + std::to_string(evidence.culprit.value) +
                        " of this cluster");
    }
    return {};
}

// A header signed by the culprit as leader of its view.
Result<SignedHeader> check_header(const MessageVerifier& verifier, const Evidence& evidence, ByteView bytes) {
    auto statement = read_signed_header(bytes);
    if (!statement) {
        return statement;
    }
    const Membership& membership = verifier.membership();
    if (leader_of(statement->header.view, membership.replicas.size()) != evidence.culprit) {
        return unproven("the accused does not lead the view of the block");
    }
    const crypto::Digest id = header_id(membership.context, statement->header);
    if (auto ok = check_signature(verifier, evidence, SignDomain::propose, id.view(), statement->signature); !ok) {
        return tl::unexpected(ok.error());
    }
    return statement;
}

Result<Vote> check_vote(const MessageVerifier& verifier, const Evidence& evidence, ByteView bytes) {
    auto vote = decode_vote(bytes);
    if (!vote) {
        return vote;
    }
    if (vote->voter != evidence.culprit) {
        return unproven("a vote is not the accused's");
    }
    if (auto ok = check_signature(verifier, evidence, SignDomain::vote, vote_content(*vote), vote->signature); !ok) {
        return tl::unexpected(ok.error());
    }
    return vote;
}

Result<ViewChange> check_change(const MessageVerifier& verifier, const Evidence& evidence, ByteView bytes) {
    auto change = decode_view_change(bytes);
    if (!change) {
        return change;
    }
    if (change->voter != evidence.culprit || change->certificate) {
        return unproven("a view change is not the accused's, or carries what it did not sign");
    }
    if (auto ok = check_signature(verifier, evidence, SignDomain::view_change, view_change_content(*change),
                                  change->signature);
        !ok) {
        return tl::unexpected(ok.error());
    }
    return change;
}

Result<NewView> check_new_view(const MessageVerifier& verifier, const Evidence& evidence, ByteView bytes) {
    auto message = decode_new_view(bytes);
    if (!message) {
        return message;
    }
    const bool bare = std::all_of(message->view_changes.begin(), message->view_changes.end(),
                                  [](const ViewChange& change) { return change.signature == crypto::Signature{}; });
    if (message->leader != evidence.culprit || message->certificate || !bare) {
        return unproven("a new view is not the accused's, or carries what it did not sign");
    }
    if (auto ok =
            check_signature(verifier, evidence, SignDomain::new_view, new_view_content(*message), message->signature);
        !ok) {
        return tl::unexpected(ok.error());
    }
    return message;
}

// E1
Result<void> check_two_proposals(const MessageVerifier& verifier, const Evidence& evidence) {
    const auto one = check_header(verifier, evidence, evidence.first);
    if (!one) {
        return tl::unexpected(one.error());
    }
    const auto other = check_header(verifier, evidence, evidence.second);
    if (!other) {
        return tl::unexpected(other.error());
    }
    if (one->header.view != other->header.view || one->header.height != other->header.height ||
        one->header == other->header) {
        return unproven("the two blocks are not two of one view and height");
    }
    return {};
}

// Whether headers [begin, end) of a hash-linked path show that a head of one vote, just below them, is not an ancestor
// of a head of the other, the last of them.
bool path_proves(const std::vector<Header>& path, const std::vector<crypto::Digest>& ids, std::size_t begin,
                 std::size_t end, const Vote& one, const Vote& other) {
    const Height below = path[begin].height.minus(1);
    const BlockRef top{path[end - 1].height, ids[end - 1]};
    const auto shows = [&](const Vote& low, const Vote& high) {
        const std::vector<BlockRef> lows = heads_of(low);
        const std::vector<BlockRef> highs = heads_of(high);
        return std::find(highs.begin(), highs.end(), top) != highs.end() &&
               std::any_of(lows.begin(), lows.end(),
                           [&](const BlockRef& head) { return head.height == below && head.id != path[begin].parent; });
    };
    return shows(one, other) || shows(other, one);
}

// The whole path proves it and no part of it does, so that one contradiction has one path.
Result<void> check_path(const ClusterContext& context, const std::vector<Header>& path, const Vote& one,
                        const Vote& other) {
    std::vector<crypto::Digest> ids;
    for (const Header& header : path) {
        if (header.height.value == 0 ||
            (!ids.empty() && (header.parent != ids.back() || header.height != path[ids.size() - 1].height.next()))) {
            return unproven("the headers between the two votes are not one chain");
        }
        ids.push_back(header_id(context, header));
    }
    for (std::size_t begin = 0; begin < path.size(); ++begin) {
        for (std::size_t end = begin + 1; end <= path.size(); ++end) {
            const bool whole = begin == 0 && end == path.size();
            if (path_proves(path, ids, begin, end, one, other) != whole) {
                return unproven(whole ? "the headers do not show that the two votes are of different chains"
                                      : "more headers than the proof needs");
            }
        }
    }
    return {};
}

// E2
Result<void> check_two_votes(const MessageVerifier& verifier, const Evidence& evidence) {
    const auto one = check_vote(verifier, evidence, evidence.first);
    if (!one) {
        return tl::unexpected(one.error());
    }
    const auto other = check_vote(verifier, evidence, evidence.second);
    if (!other) {
        return tl::unexpected(other.error());
    }
    if (one->view != other->view) {
        return unproven("the two votes are not of one view");
    }
    const auto path = read_path(evidence.path);
    if (!path) {
        return tl::unexpected(path.error());
    }
    const bool outright = equal_height_conflict(*one, *other).has_value();
    if (outright == path->empty()) {
        return outright ? Result<void>() : check_path(verifier.membership().context, *path, *one, *other);
    }
    return unproven(outright ? "headers where the votes alone are proof" : "the two votes may be of one chain");
}

// E3, E4
Result<void> check_hiding(const MessageVerifier& verifier, const Evidence& evidence) {
    const auto change = check_change(verifier, evidence, evidence.first);
    if (!change) {
        return tl::unexpected(change.error());
    }
    const auto vote = check_vote(verifier, evidence, evidence.second);
    if (!vote) {
        return tl::unexpected(vote.error());
    }
    const bool hidden =
        evidence.kind == EvidenceKind::hidden_vote ? hides_prepare(*change, *vote) : hides_commit(*change, *vote);
    return hidden ? Result<void>() : unproven("the view change hides nothing that the vote says");
}

// E5. An envelope carries its client's key, so that its signature fails for everybody or for nobody. Clients may come
// and go: that one is unknown is not held against the leader.
Result<void> check_bad_proposal(const MessageVerifier& verifier, const Evidence& evidence) {
    const auto statement = check_header(verifier, evidence, evidence.first);
    if (!statement) {
        return tl::unexpected(statement.error());
    }
    if (body_root_of(evidence.second) != statement->header.body_root) {
        return unproven("the body is not the one that the header binds");
    }
    const auto block = make_block(verifier.membership().context, statement->header, statement->signature,
                                  std::make_shared<const Bytes>(evidence.second));
    if (!block) {
        return {};
    }
    for (const Envelope& envelope : (*block)->envelopes) {
        if (!verifier.check_authentic(envelope)) {
            return {};
        }
    }
    return unproven("nothing is wrong with the block's body");
}

// E6
Result<void> check_bad_new_view(const MessageVerifier& verifier, const Evidence& evidence) {
    const auto message = check_new_view(verifier, evidence, evidence.first);
    if (!message) {
        return tl::unexpected(message.error());
    }
    return check_new_view_content(verifier.membership(), *message) ? unproven("nothing is wrong with the new view")
                                                                   : Result<void>();
}

// E7
Result<void> check_two_view_changes(const MessageVerifier& verifier, const Evidence& evidence) {
    if (decode_view_change(evidence.first)) {
        const auto one = check_change(verifier, evidence, evidence.first);
        if (!one) {
            return tl::unexpected(one.error());
        }
        const auto other = check_change(verifier, evidence, evidence.second);
        if (!other) {
            return tl::unexpected(other.error());
        }
        const bool two = one->new_view == other->new_view && view_change_content(*one) != view_change_content(*other);
        return two ? Result<void>() : unproven("the two view changes are not two of one view");
    }
    const auto one = check_new_view(verifier, evidence, evidence.first);
    if (!one) {
        return tl::unexpected(one.error());
    }
    const auto other = check_new_view(verifier, evidence, evidence.second);
    if (!other) {
        return tl::unexpected(other.error());
    }
    const bool two = one->view == other->view && new_view_content(*one) != new_view_content(*other);
    return two ? Result<void>() : unproven("the two new views are not two of one view");
}

}  // namespace

Result<void> check_evidence(const MessageVerifier& verifier, const Evidence& evidence) {
    const Membership& membership = verifier.membership();
    if (membership.fault_model != FaultModel::byzantine) {
        return unproven("replicas of the crash fault model sign nothing, so nothing can be proved against them");
    }
    if (evidence.culprit.value >= membership.replicas.size()) {
        return unproven("this cluster has no replica " + std::to_string(evidence.culprit.value));
    }
    if (Result<void> shape = check_shape(evidence); !shape) {
        return shape;
    }
    switch (evidence.kind) {
        case EvidenceKind::two_proposals: return check_two_proposals(verifier, evidence);
        case EvidenceKind::two_votes: return check_two_votes(verifier, evidence);
        case EvidenceKind::hidden_vote:
        case EvidenceKind::hidden_lock: return check_hiding(verifier, evidence);
        case EvidenceKind::bad_proposal: return check_bad_proposal(verifier, evidence);
        case EvidenceKind::bad_new_view: return check_bad_new_view(verifier, evidence);
        case EvidenceKind::two_view_changes: return check_two_view_changes(verifier, evidence);
    }
    return unproven("unknown kind of evidence");
}

}  // namespace loyal::consensus
