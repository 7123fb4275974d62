// What evidence is made of, and its one encoding. Whether it proves anything is evidence_check.cpp's business.
#include "consensus/evidence.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <utility>

#include "config/limits.h"
#include "consensus/evidence_parts.h"
#include "consensus/verifier.h"
#include "crypto/canonical.h"

namespace loyal::consensus {
namespace {

using crypto::CanonicalReader;
using crypto::CanonicalWriter;

constexpr std::size_t overhead_bytes = 1 + 2 + 3 * 4;  // kind, culprit, three lengths

Evidence pair_of(EvidenceKind kind, ReplicaId culprit, Bytes one, Bytes other) {
    if (other < one) {
        std::swap(one, other);
    }
    return {kind, culprit, std::move(one), std::move(other), {}};
}

Bytes statement_of(const ViewChange& change) {
    ViewChange bare = change;
    bare.certificate.reset();
    return encode_view_change(bare);
}

// The leader signs what the VIEW-CHANGEs say, not their signatures.
Bytes statement_of(const NewView& message) {
    NewView bare = message;
    bare.certificate.reset();
    for (ViewChange& change : bare.view_changes) {
        change.signature = {};
    }
    return encode_new_view(bare);
}

Result<EvidenceSubject> subject_of_votes(const Evidence& evidence) {
    const auto one = decode_vote(evidence.first);
    const auto other = decode_vote(evidence.second);
    const auto path = read_path(evidence.path);
    if (!one || !other || !path) {
        return fail(Errc::invalid_argument, "malformed statements");
    }
    if (!path->empty()) {
        return EvidenceSubject{one->view, path->front().height.minus(1)};
    }
    const auto height = equal_height_conflict(*one, *other);
    return EvidenceSubject{one->view, height.value_or(std::min(one->prep.height, other->prep.height))};
}

Result<EvidenceSubject> subject_of_hiding(const Evidence& evidence) {
    const auto change = decode_view_change(evidence.first);
    const auto vote = decode_vote(evidence.second);
    if (!change || !vote) {
        return fail(Errc::invalid_argument, "malformed statements");
    }
    const bool prepare = evidence.kind == EvidenceKind::hidden_vote;
    return EvidenceSubject{change->new_view, prepare ? vote->prep.height : vote->com.height};
}

}  // namespace

const char* name_of(EvidenceKind kind) {
    static constexpr std::array<const char*, evidence_kinds> names = {"E1", "E2", "E3", "E4", "E5", "E6", "E7"};
    return names.at(static_cast<std::size_t>(kind) - 1);
}

const char* explanation_of(EvidenceKind kind) {
    static constexpr std::array<const char*, evidence_kinds> texts = {
        "as primary it signed two different blocks for one view and height",
        "it signed votes for two chains in one view, of which only one can continue the other",
        "its view change hides a block that it had voted to prepare in an earlier view",
        "its view change reports a lower lock than its commit vote of an earlier view promised",
        "as primary it signed a block whose body is malformed or holds a request that its client never signed",
        "as primary it signed a new view that does not follow from the view changes in it",
        "it signed two different view changes, or two different new views, for one view"};
    return texts.at(static_cast<std::size_t>(kind) - 1);
}

Bytes encode_evidence(const Evidence& evidence) {
    CanonicalWriter out(overhead_bytes + evidence.first.size() + evidence.second.size() + evidence.path.size());
    out.number(static_cast<std::uint8_t>(evidence.kind)).number(evidence.culprit.value);
    out.sized(evidence.first).sized(evidence.second).sized(evidence.path);
    return out.take();
}

Result<Evidence> decode_evidence(ByteView bytes) {
    if (bytes.size() > limits::evidence_bytes_max) {
        return fail(Errc::invalid_argument, "evidence of " + std::to_string(bytes.size()) + " bytes");
    }
    CanonicalReader in(bytes);
    Evidence evidence;
    const auto kind = in.number<std::uint8_t>();
    evidence.culprit = ReplicaId(in.number<std::uint16_t>());
    for (Bytes* part : {&evidence.first, &evidence.second, &evidence.path}) {
        const ByteView view = in.sized(limits::evidence_bytes_max);
        part->assign(view.begin(), view.end());
    }
    if (!in.finish() || kind < 1 || kind > evidence_kinds || evidence.culprit.value >= limits::replicas_max) {
        return fail(Errc::invalid_argument, "malformed evidence");
    }
    evidence.kind = static_cast<EvidenceKind>(kind);
    if (const Result<void> shape = check_shape(evidence); !shape) {
        return tl::unexpected(shape.error());
    }
    return evidence;
}

crypto::Digest evidence_id(const Evidence& evidence) {
    return crypto::digest_of("evidence", encode_evidence(evidence));
}

// ---- Parts

Result<void> check_shape(const Evidence& evidence) {
    const EvidenceKind kind = evidence.kind;
    const bool same_sort = kind == EvidenceKind::two_proposals || kind == EvidenceKind::two_votes ||
                           kind == EvidenceKind::two_view_changes;
    if (evidence.first.size() + evidence.second.size() + evidence.path.size() + overhead_bytes >
        limits::evidence_bytes_max) {
        return fail(Errc::invalid_argument, "evidence is longer than the limit");
    }
    if (same_sort && !(evidence.first < evidence.second)) {
        return fail(Errc::invalid_argument, "the two statements are not in the order of their bytes");
    }
    if (kind != EvidenceKind::two_votes && !evidence.path.empty()) {
        return fail(Errc::invalid_argument, "a path of headers where none belongs");
    }
    if (kind == EvidenceKind::bad_new_view && !evidence.second.empty()) {
        return fail(Errc::invalid_argument, "a second statement where one is enough");
    }
    return {};
}

Result<SignedHeader> read_signed_header(ByteView bytes) {
    if (bytes.size() != header_bytes + sizeof(crypto::Signature::bytes)) {
        return fail(Errc::invalid_argument, "malformed signed header");
    }
    auto header = decode_header(bytes.first(header_bytes));
    if (!header) {
        return tl::unexpected(header.error());
    }
    SignedHeader statement{*header, {}};
    std::copy(bytes.begin() + header_bytes, bytes.end(), statement.signature.bytes.begin());
    return statement;
}

Result<std::vector<Header>> read_path(ByteView bytes) {
    if (bytes.size() % header_bytes != 0 || bytes.size() / header_bytes > evidence_path_max) {
        return fail(Errc::invalid_argument, "malformed path of headers");
    }
    std::vector<Header> path;
    for (std::size_t at = 0; at < bytes.size(); at += header_bytes) {
        auto header = decode_header(bytes.subspan(at, header_bytes));
        if (!header) {
            return tl::unexpected(header.error());
        }
        path.push_back(*header);
    }
    return path;
}

std::vector<BlockRef> heads_of(const Vote& vote) {
    std::vector<BlockRef> heads{vote.prep};
    if (vote.has_commit()) {
        heads.push_back(vote.com);
    }
    return heads;
}

std::optional<Height> equal_height_conflict(const Vote& one, const Vote& other) {
    for (const BlockRef& head : heads_of(one)) {
        for (const BlockRef& against : heads_of(other)) {
            if (head.height == against.height && head.id != against.id) {
                return head.height;
            }
        }
    }
    return std::nullopt;
}

bool hides_prepare(const ViewChange& change, const Vote& vote) {
    const auto said = std::tuple(change.last_prep.view, change.last_prep.block.height);
    const auto voted = std::tuple(vote.view, vote.prep.height);
    return vote.view < change.new_view &&
           (said < voted || (said == voted && change.last_prep.block.id != vote.prep.id));
}

bool hides_commit(const ViewChange& change, const Vote& vote) {
    const auto said = std::tuple(change.lock.view, change.lock.block.height);
    const auto voted = std::tuple(LockView(vote.view), vote.com.height);
    return vote.has_commit() && vote.view < change.new_view &&
           (said < voted || (said == voted && change.lock.block.id != vote.com.id));
}

Result<EvidenceSubject> subject_of(const Evidence& evidence) {
    switch (evidence.kind) {
        case EvidenceKind::two_proposals:
        case EvidenceKind::bad_proposal: {
            const auto statement = read_signed_header(evidence.first);
            if (!statement) {
                return tl::unexpected(statement.error());
            }
            return EvidenceSubject{statement->header.view, statement->header.height};
        }
        case EvidenceKind::two_votes: return subject_of_votes(evidence);
        case EvidenceKind::hidden_vote:
        case EvidenceKind::hidden_lock: return subject_of_hiding(evidence);
        case EvidenceKind::bad_new_view:
        case EvidenceKind::two_view_changes: break;
    }
    if (const auto change = decode_view_change(evidence.first)) {
        return EvidenceSubject{change->new_view, Height(0)};
    }
    const auto message = decode_new_view(evidence.first);
    if (!message) {
        return tl::unexpected(message.error());
    }
    return EvidenceSubject{message->view, Height(0)};
}

// ---- Making one

Evidence evidence_of_proposals(ReplicaId culprit, const Block& one, const Block& other) {
    return pair_of(EvidenceKind::two_proposals, culprit, encode_signed_header(one), encode_signed_header(other));
}

Evidence evidence_of_votes(const Vote& one, const Vote& other, const std::vector<Header>& path) {
    Evidence evidence = pair_of(EvidenceKind::two_votes, one.voter, encode_vote(one), encode_vote(other));
    for (const Header& header : path) {
        const Bytes bytes = encode_header(header);
        evidence.path.insert(evidence.path.end(), bytes.begin(), bytes.end());
    }
    return evidence;
}

std::optional<Evidence> evidence_of_hiding(const ViewChange& change, const Vote& vote) {
    if (hides_commit(change, vote)) {
        return Evidence{EvidenceKind::hidden_lock, change.voter, statement_of(change), encode_vote(vote), {}};
    }
    if (hides_prepare(change, vote)) {
        return Evidence{EvidenceKind::hidden_vote, change.voter, statement_of(change), encode_vote(vote), {}};
    }
    return std::nullopt;
}

Evidence evidence_of_view_changes(const ViewChange& one, const ViewChange& other) {
    return pair_of(EvidenceKind::two_view_changes, one.voter, statement_of(one), statement_of(other));
}

Evidence evidence_of_new_views(const NewView& one, const NewView& other) {
    return pair_of(EvidenceKind::two_view_changes, one.leader, statement_of(one), statement_of(other));
}

std::optional<Evidence> evidence_of_body(const MessageVerifier& verifier, const Header& header,
                                         const crypto::Signature& signature, ByteView body) {
    Block statement;
    statement.header = header;
    statement.signature = signature;
    Evidence evidence{EvidenceKind::bad_proposal,
                      leader_of(header.view, verifier.membership().replicas.size()),
                      encode_signed_header(statement),
                      {},
                      {}};
    if (body.size() + evidence.first.size() + overhead_bytes > limits::evidence_bytes_max) {
        return std::nullopt;  // PROTOCOL.md §16: the header binds the body as a whole only
    }
    evidence.second.assign(body.begin(), body.end());
    return check_evidence(verifier, evidence) ? std::optional(std::move(evidence)) : std::nullopt;
}

std::optional<Evidence> evidence_in_refused(const MessageVerifier& verifier, const PeerMessage& message) {
    if (const auto* propose = std::get_if<Propose>(&message)) {
        const Block& block = *propose->block;
        return evidence_of_body(verifier, block.header, block.signature, *block.body);
    }
    if (const auto* new_view = std::get_if<NewView>(&message)) {
        Evidence evidence{EvidenceKind::bad_new_view, new_view->leader, statement_of(*new_view), {}, {}};
        return check_evidence(verifier, evidence) ? std::optional(std::move(evidence)) : std::nullopt;
    }
    if (const auto* blocks = std::get_if<Blocks>(&message)) {
        for (const BlockPtr& block : blocks->blocks) {
            if (auto found = evidence_of_body(verifier, block->header, block->signature, *block->body)) {
                return found;
            }
        }
    }
    return std::nullopt;
}

}  // namespace loyal::consensus
