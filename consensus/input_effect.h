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
    std::optional<Hlc>
        due{};  // something is due in that state from then on: a block is wanted, if need be an empty one (B5)
};
// The root of the own state at a checkpoint height was computed and is durable here (S3).
struct CheckpointReady {
    StateRoot root;
};
// The own state is damaged, or is not the one that a quorum certified: it neither executes nor answers reads, and wants
// a checkpoint. The node builds the core anew when the state is there again (Node::restart).
struct StateLost {
    std::string why;
};
// Committed blocks that the own log cannot read any more (A6); what an earlier one named and this does not is there.
struct LogDamaged {
    std::vector<BlockRef> blocks;
};
// No more inputs wait. The core now writes what it decided (one Persist) and proposes if it may (rule N8).
struct EndOfBatch {};

using Input = std::variant<Received, Submitted, Tick, ClockReading, Persisted, Executed, CheckpointReady, StateLost,
                           LogDamaged, EndOfBatch>;

// ---- Durable records
// Voting state (`vs`). Written whole whenever any part changed.
struct VotingState {
    View promised;
    View entered;
    std::int64_t leading = -1;  // highest view in which this replica may have proposed or sent NEWVIEW
    Prepared prep;
    Lock lock;
    // This replica may have forgotten votes (A1): until A5 it signs nothing and answers no reads.
    bool amnesiac = false;
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
// The state after `block` came by transfer: the log need not hold that block nor any below it.
struct InstalledRecord {
    Header block;
};
using LogRecord = std::variant<VotingState, BlockRecord, LockRecord, NewViewRecord, ViewChangeRecord, CommitRecord,
                               EvidenceRecord, InstalledRecord>;

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
// S4, S5: what lies below this checkpoint may be forgotten: blocks, and what kept older states readable.
struct Stable {
    StateRoot checkpoint;
};
// S6: fetch this state, which a quorum certified, and install it. A later one replaces it.
struct FetchState {
    StateRoot checkpoint;
    Header block;  // claimed to be of the block at the checkpoint; the state under the root says whether it is
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
using Effect =
    std::variant<Persist, Send, Execute, ServeCommitted, Stable, FetchState, Accuse, Rejected, ViewEntered, Trace>;
using Effects = std::vector<Effect>;

// What a restarted replica reads back from its log and its executed state.
struct Recovered {
    bool fresh = true;  // first start: genesis
    VotingState voting;
    std::optional<Certificate> lock_certificate;
    std::optional<NewView> new_view;        // of voting.entered
    std::optional<ViewChange> view_change;  // own, of voting.promised
    BlockRef committed;                     // highest whose chain from `executed` on is here
    Height known_committed;                 // highest of which the log says that it is; its chain may have holes
    Height executed;                        // durable in the state store; Execute starts above it
    crypto::Digest executed_id;             // id of that block; unused at height 0
    // Blocks above `executed` (or committed - 2W if lower) on the chain of prep, base and lock, in height order.
    std::vector<BlockPtr> blocks;
    // Headers a replica needs below them are in blocks too, down to committed - 2W.
    std::vector<std::pair<Height, crypto::Digest>> executed_digests;  // the last W and more
    std::optional<Hlc> due;                                           // as Executed::due
    std::vector<StateRoot> roots;                                     // of checkpoints, computed and durable here
    // Newest in the log (ConsensusLog::checkpoint_proof). Without it the core looks among `blocks`.
    std::optional<CheckpointProof> stable;
    // The state was installed at this block: `blocks` may lack it and all below (S6).
    std::optional<Header> installed;
    std::string state_lost;  // why the state store cannot be used; empty: it can
    std::string votes_lost;  // why this replica became AMNESIAC just now (A1); empty: it did not
};

}  // namespace loyal::consensus
