// The core's face: everything that may change its mind (Input) and everything it may ask for, in order (Effect).
#pragma once

#include <deque>
#include <string>
#include <variant>
#include <vector>

#include "consensus/evidence.h"
#include "consensus/messages.h"
#include "crypto/verified.h"

namespace loyal::consensus {

// ---- Inputs
struct Received {
    ReplicaId from;
    crypto::Verified<PeerMessage> message;
};
struct Submitted {  // an admitted envelope that a client sent to this replica
    crypto::Verified<Envelope> envelope;
};
struct Tick {};        // time passes in these; Options says how long one is
struct ClockReading {  // physical part of the local HLC
    std::uint64_t wall_ms = 0;
};
struct Persisted {  // this Persist and all before it are on disk
    PersistId id;
};
struct Executed {
    Height height;
    crypto::Digest digest;  // exec_dig of PROTOCOL.md §13 S1
};
// No more inputs wait. The core now writes what it decided (one Persist) and proposes if it may (rule N8).
struct EndOfBatch {};

using Input = std::variant<Received, Submitted, Tick, ClockReading, Persisted, Executed, EndOfBatch>;

// ---- Durable records
// Voting state (`vs`). Written whole whenever any part changed.
struct VotingState {
    View promised;
    View entered;
    std::int64_t leading = -1;  // highest view in which this replica may have proposed or sent NEWVIEW
    Prepared prep;
    Lock lock;
    friend bool operator==(const VotingState&, const VotingState&) = default;
};

struct BlockRecord {
    BlockPtr block;
};
struct LockRecord {  // certificate of vs.lock
    Certificate certificate;
};
struct NewViewRecord {
    NewView message;
};
struct ViewChangeRecord {  // own, byte-identical when re-sent
    ViewChange message;
};
struct CommitRecord {  // lazy: written with whatever comes next
    BlockRef block;
    std::optional<Certificate> certificate;  // absent in crash mode
};
struct EvidenceRecord {  // lazy as well
    Evidence evidence;
};
using LogRecord =
    std::variant<VotingState, BlockRecord, LockRecord, NewViewRecord, ViewChangeRecord, CommitRecord, EvidenceRecord>;

// ---- Effects
struct Persist {  // one synced transaction
    PersistId id;
    std::vector<LogRecord> records;
};
struct Send {
    std::optional<ReplicaId> to;  // none: every other replica
    PeerMessage message;
    PersistId after;  // leaves only when this is durable
};
struct Execute {  // committed blocks, in height order, each exactly once per run of the process
    BlockPtr block;
};
struct ServeCommitted {  // answer a Fetch{committed} from the durable log
    ReplicaId to;
    Height from;
    Height top;   // own committed head
    Blocks tail;  // to append when everything up to `top` fitted
};
struct Accuse {  // proof of a peer's guilt, found just now; its EvidenceRecord is on the way to the disk
    Evidence evidence;
};
struct Rejected {  // a peer's message that broke a rule; counted, never fatal
    ReplicaId from;
    std::string why;
};
struct ViewEntered {
    View view;
    ReplicaId leader;
};
struct Trace {  // worth a line in the log
    std::string text;
};
using Effect = std::variant<Persist, Send, Execute, ServeCommitted, Accuse, Rejected, ViewEntered, Trace>;
using Effects = std::vector<Effect>;

// What a restarted replica reads back from its log and its executed state.
struct Recovered {
    bool fresh = true;  // first start: genesis
    VotingState voting;
    std::optional<Certificate> lock_certificate;
    std::optional<NewView> new_view;        // of voting.entered
    std::optional<ViewChange> view_change;  // own, of voting.promised
    BlockRef committed;                     // highest known
    Height executed;                        // durable in the state store; Execute starts above it
    crypto::Digest executed_id;             // id of that block; unused at height 0
    // Blocks above `executed` (or committed - 2W if lower) on the chain of prep, base and lock, in height order.
    std::vector<BlockPtr> blocks;
    // Headers a replica needs below them are in blocks too, down to committed - 2W.
    std::vector<std::pair<Height, crypto::Digest>> executed_digests;  // the last W and more
};

}  // namespace loyal::consensus
