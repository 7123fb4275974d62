// Evidence: proof that a replica broke the protocol, which convinces anybody who has cluster.toml (PROTOCOL.md §16;
// PeerReview, SOSP'07; BFT protocol forensics, CCS'21). Two statements that one honest replica never signs both, or one
// that it never signs at all. Silence, slowness, clocks and bad link authentication are never evidence: nobody could
// tell them from a network's faults. Pure; thread-safe.
#pragma once

#include <string>
#include <string_view>

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
[[nodiscard]] const char* name_of(EvidenceKind kind);         // "E1" ...
[[nodiscard]] const char* explanation_of(EvidenceKind kind);  // one sentence for a person

struct Evidence {
    EvidenceKind kind = EvidenceKind::two_proposals;
    ReplicaId culprit;
    // Canonical bytes with their signatures; which messages, by kind, is evidence.cpp's table. `second` is empty where
    // one statement is enough.
    Bytes first, second;
    Bytes path;  // headers that tie heads of different heights together (E2), in order; may be empty
    friend bool operator==(const Evidence&, const Evidence&) = default;
};
// Canonical: the two statements in order of their bytes, so that one pair is one evidence.
[[nodiscard]] Bytes encode_evidence(const Evidence& evidence);
[[nodiscard]] Result<Evidence> decode_evidence(ByteView bytes);
[[nodiscard]] crypto::Digest evidence_id(const Evidence& evidence);
// True proof against `culprit` in this cluster: signatures, and the contradiction itself. Says what is missing.
[[nodiscard]] Result<void> check_evidence(const MessageVerifier& verifier, const Evidence& evidence);

}  // namespace loyal::consensus
