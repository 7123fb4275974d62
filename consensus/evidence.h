// Evidence: proof that a replica broke the protocol, which convinces anybody who has cluster.toml (PROTOCOL.md §16;
// PeerReview, SOSP'07; BFT protocol forensics, CCS'21). Two statements that one honest replica never signs both, or one
// that it never signs at all. Silence, slowness, clocks and bad link authentication are never evidence: nobody could
// tell them from a network's faults. Pure; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/result.h"
#include "consensus/messages.h"
#include "crypto/digest.h"

namespace loyal::consensus {

class MessageVerifier;

enum class EvidenceKind : std::uint8_t {
    two_proposals = 1,     // E1: two headers for one view and height
    two_votes = 2,         // E2: incomparable prepare or commit heads in one view
    hidden_vote = 3,       // E3: VIEW-CHANGE hides a prepare vote of an earlier view
    hidden_lock = 4,       // E4: VIEW-CHANGE reports a lower lock than a commit vote of an earlier view promised
    bad_proposal = 5,      // E5: a signed header whose body is malformed or has a false client signature
    bad_new_view = 6,      // E6: a signed NEWVIEW that breaks V5
    two_view_changes = 7,  // E7: two VIEW-CHANGEs, or two NEWVIEWs, for one view
};
inline constexpr std::size_t evidence_kinds = 7;
[[nodiscard]] const char* name_of(EvidenceKind kind);         // "E1" ...
[[nodiscard]] const char* explanation_of(EvidenceKind kind);  // one sentence for a person

struct Evidence {
    EvidenceKind kind = EvidenceKind::two_proposals;
    ReplicaId culprit;
    // Canonical bytes of what the culprit signed, with its signature and without what that does not cover:
    //   E1  two signed headers               E2  two VOTEs                    E3, E4  VIEW-CHANGE, then VOTE
    //   E5  a signed header, then its body   E6  NEW-VIEW, then nothing       E7  two VIEW-CHANGEs, or two NEW-VIEWs
    // Two of one sort are in the order of their bytes, so that one pair is one evidence.
    Bytes first, second;
    Bytes path;  // headers that tie heads of different heights together (E2), in order; may be empty
    friend bool operator==(const Evidence&, const Evidence&) = default;
};
[[nodiscard]] Bytes encode_evidence(const Evidence& evidence);
// Refuses every encoding but that one. Says nothing of signatures.
[[nodiscard]] Result<Evidence> decode_evidence(ByteView bytes);
[[nodiscard]] crypto::Digest evidence_id(const Evidence& evidence);
// True proof against `culprit` in this cluster: signatures, and the contradiction itself. Says what is missing.
// Byzantine fault model only: nothing is signed in the other one.
[[nodiscard]] Result<void> check_evidence(const MessageVerifier& verifier, const Evidence& evidence);

// What it is about, as far as its statements decode. Height 0: about a view as a whole.
struct EvidenceSubject {
    View view;
    Height height;
    friend bool operator==(const EvidenceSubject&, const EvidenceSubject&) = default;
};
[[nodiscard]] Result<EvidenceSubject> subject_of(const Evidence& evidence);

// ---- Making one; none of these verifies anything, so check_evidence has the last word.
[[nodiscard]] Evidence evidence_of_proposals(ReplicaId culprit, const Block& one, const Block& other);
// `path`: headers above the lower head up to the higher one, none when two heads are of one height.
[[nodiscard]] Evidence evidence_of_votes(const Vote& one, const Vote& other, const std::vector<Header>& path);
// Nothing if the VIEW-CHANGE hides neither the vote's prepare head (E3) nor its commit head (E4).
[[nodiscard]] std::optional<Evidence> evidence_of_hiding(const ViewChange& change, const Vote& vote);
[[nodiscard]] Evidence evidence_of_view_changes(const ViewChange& one, const ViewChange& other);
[[nodiscard]] Evidence evidence_of_new_views(const NewView& one, const NewView& other);
// What a message that MessageVerifier refused proves against its author, who need not be its sender (E5, E6).
[[nodiscard]] std::optional<Evidence> evidence_in_refused(const MessageVerifier& verifier, const PeerMessage& message);
// The same for a signed header whose body is no body, so that there is no message (E5).
[[nodiscard]] std::optional<Evidence> evidence_of_body(const MessageVerifier& verifier, const Header& header,
                                                       const crypto::Signature& signature, ByteView body);

}  // namespace loyal::consensus
