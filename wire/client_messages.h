// What clients and replicas say to each other, as typed values (PROTOCOL.md §3, messages 5 to 8). Over the client's own
// encrypted link, so nothing here is signed but the envelope itself.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "consensus/envelope.h"
#include "consensus/messages.h"
#include "consensus/types.h"
#include "kvstore/operation.h"
#include "kvstore/receipt.h"
#include "kvstore/state_proof.h"
#include "wire/watch_messages.h"

namespace loyal::wire {

// ---- Client to replica
struct Submit {  // 5
    consensus::Envelope envelope;
};
struct Read {                 // 7
    std::uint64_t nonce = 0;  // chosen by the client; the answer repeats it
    kvstore::Query query;
    consensus::Height min_executed;  // answer only from this height on (R4's retry)
    bool want_result = true;         // false: the digest is enough
    bool stale = false;              // answer at once from what is executed, no target
};
struct StatusRequest {
    std::uint64_t nonce = 0;
};
// An operator's order to the replica it is sent to, a line as in replica/control.h. Refused unless the link's client
// has the admin right; experiments are also refused unless the cluster allows them.
struct Control {
    std::uint64_t nonce = 0;
    std::string command;
};
// A backup's questions (client/backup/): for the newest stable checkpoint, and for a part of the state at one. Refused
// unless the link's client has the admin right: the state holds everybody's sessions.
struct CheckpointAsk {
    std::uint64_t nonce = 0;
};
struct StateAsk {
    std::uint64_t nonce = 0;
    consensus::StateRequest request;
};
// For the receipt of an own operation that is done (P3): what its outcome says, and of which session it was.
struct ReceiptAsk {
    std::uint64_t nonce = 0;
    consensus::SessionId session;
    consensus::Seq seq;
    consensus::Height height;
};
// For the proof of a key's record, or of its absence, at the newest stable checkpoint.
struct StateProofAsk {
    std::uint64_t nonce = 0;
    Bytes key;
};
using ClientMessage = std::variant<Submit, Read, StatusRequest, Control, CheckpointAsk, StateAsk, ReceiptAsk,
                                   StateProofAsk, Watch, Unwatch>;

// ---- Replica to client
// Sent first on every link and again when the view changes. Hints only: nothing is believed from one replica, except
// that the client takes the hlc that w replicas report for its not_after (C4).
struct Welcome {
    consensus::ReplicaId replica;
    consensus::View view;
    consensus::ReplicaId primary;
    consensus::Hlc hlc;  // of the last executed block, or the clock when nothing was executed for long
};
// An outcome in full, or its digest and what the client needs to match it.
struct OutcomeReply {
    consensus::Seq seq;
    std::optional<kvstore::Outcome> outcome;
    crypto::Digest digest;  // outcome_digest
};
struct Reply {  // 6: one frame for a client's envelope in a block
    consensus::ReplicaId replica;
    consensus::SessionId session;
    consensus::View view;  // current, a hint
    consensus::Hlc hlc;    // current, see Welcome
    std::vector<OutcomeReply> outcomes;
};
enum class RefusalCode : std::uint8_t {
    busy = 1,     // a queue is full; try again later
    expired = 2,  // admission: the same names as kvstore::Admission
    window = 3,
    invalid = 4,
    denied = 5,
    disk_full = 6,
    rate = 7,
    not_allowed = 8,  // experiments are off, or not admin
    starting = 9,
};
// This replica did not take the envelope or read `nonce` (an envelope's is its seq0). Says nothing of other replicas.
struct Refusal {
    consensus::ReplicaId replica;
    RefusalCode code = RefusalCode::busy;
    bool is_read = false;
    consensus::SessionId session;
    std::uint64_t nonce = 0;
    std::string why;
};
struct ReadReply {  // 8
    consensus::ReplicaId replica;
    std::uint64_t nonce = 0;
    crypto::Digest digest;        // H("read", result)
    std::optional<Bytes> result;  // encoded QueryAnswer
    kvstore::Revision revision;   // of the store at `executed`
    consensus::Height executed;   // exec_h
    consensus::Height lock;       // lock_h
    consensus::Hlc hlc;
};
struct StatusReply {
    std::uint64_t nonce = 0;
    std::string json;  // one `replicas[]` element of `status -w json`
};
struct ControlReply {
    std::uint64_t nonce = 0;
    std::string text;  // see replica/control.h; what is in force now, or what was asked for
};
// Proves itself to who knows the cluster's keys.
struct CheckpointAnswer {
    std::uint64_t nonce = 0;
    std::optional<consensus::CheckpointProof> proof;  // nothing: no checkpoint is stable yet
    consensus::Height executed;                       // a hint: how far this replica is
};
// Worth what its content proves against the checkpoint's root.
struct StateAnswer {
    std::uint64_t nonce = 0;
    consensus::StateChunk chunk;
};
struct ReceiptAnswer {  // 9
    std::uint64_t nonce = 0;
    kvstore::Receipt receipt;
    crypto::Signature signature;  // of the replica, over consensus::receipt_content
};
struct StateProofAnswer {
    std::uint64_t nonce = 0;
    kvstore::StateProof proof;
};
using ReplicaMessage = std::variant<Welcome, Reply, Refusal, ReadReply, StatusReply, ControlReply, CheckpointAnswer,
                                    StateAnswer, ReceiptAnswer, StateProofAnswer, WatchEvents, WatchProgress, WatchEnd>;

[[nodiscard]] const char* name_of(RefusalCode code);

}  // namespace loyal::wire
