// StateMachine: the replicated key-value state, its client sessions and their stored replies (PROTOCOL.md N7, C4, S1).
// Deterministic: the same blocks in the same order give the same state, outcomes and execution digests everywhere.
//
// Writes go to an overlay in memory; `freeze`, `write_frozen` and `drop_frozen` move a generation of it to the `kv`
// store in bounded atomic batches that name the height they are complete for. Reads look in the active generation, the
// frozen one, then the store. Nothing here gates a message: after a crash the blocks above `durable_height` are
// executed again. A generation never crosses a checkpoint (checkpoints.h): whoever drives the machine freezes it at
// each one before the next block (`freeze_due`).
//
// Threads: everything on one thread (the executor's), except write_frozen, which may run on another while the first
// goes on executing and reading.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config/limits.h"
#include "consensus/envelope.h"
#include "consensus/messages.h"
#include "kvstore/history.h"
#include "kvstore/operation.h"
#include "kvstore/result_tree.h"
#include "kvstore/rights.h"
#include "kvstore/sessions.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// Outcomes of one envelope's operations, in sequence order; goes back to its client as one frame.
struct Replies {
    consensus::ClientId client;
    consensus::SessionId session;
    std::vector<Outcome> outcomes;
};
struct ExecutedBlock {
    consensus::Height height;
    crypto::Digest digest;  // exec_dig_h (result_tree.h)
    consensus::Hlc hlc;
    Revision revision;  // of the store after the block
    std::vector<Replies> replies;
    // What the block changed, in order; never null.
    std::shared_ptr<const std::vector<Change>> changes;
    // Something is due by the cluster's clock from this time on (a lease): if nobody writes, a block without envelopes
    // is wanted then (rule B5).
    std::optional<consensus::Hlc> due;
    std::shared_ptr<const ClientDirectory> clients;         // when the block changed who may do what; otherwise null
    std::shared_ptr<const BlockResults> results = nullptr;  // what receipts are made of
};

enum class Admission : std::uint8_t {
    admit,             // some operation is new, or is a range to be executed again: let consensus order it
    already_executed,  // all were: the stored replies are the answer (empty when all were acknowledged)
    expired,           // some operation is new and cannot execute any more
    window,            // some operation is beyond the session's window
    invalid,           // does not parse or breaks a limit
    denied,            // the client lacks a right that some operation needs
};
struct AdmissionResult {
    Admission verdict = Admission::admit;
    Replies replies;  // with already_executed
};

struct ReadAnswer {
    consensus::Height executed;  // the state's height
    consensus::Hlc hlc;
    Revision revision;
    Bytes result;  // encoded QueryAnswer
};

struct StateMachineOptions {
    // The genesis clients: who is neither among them nor was added since may do nothing.
    ClientDirectory::Clients clients;
    // Test switches, as in consensus::Options: "C4" (no deduplication), "horizon" (not_after is not looked at).
    std::vector<std::string> rules_off;
    SessionBounds session_bounds;
    // Of the cluster, fixed at its genesis. Salt: state_digest.h.
    std::uint64_t checkpoint_interval = 0;                                // C; 0: no checkpoints
    std::uint64_t history_revisions = limits::history_revisions_default;  // older ones are forgotten
    crypto::Digest salt;
};
class StateMachine {
 public:
    // `kv` has the tables of state_tables() and outlives the machine. An empty store is the genesis state.
    // Errc::unavailable: the store is being put together (state_builder.h). Errc::corrupted: the session table or the
    // meta record is damaged; what else is, shows when it is read.
    [[nodiscard]] static Result<std::unique_ptr<StateMachine>> open(Store& kv, StateMachineOptions options);
    [[nodiscard]] static std::vector<std::string> state_tables();
    virtual ~StateMachine() = default;

    // `block` is the successor of the last executed one, and no freeze is due (both asserted). Errors come from the
    // store only; after one the block may be half executed, so every later call of execute() gives the same error and
    // nothing is frozen any more. Replies are in the order of the envelopes; an envelope of which everything was
    // acknowledged has none.
    [[nodiscard]] virtual Result<ExecutedBlock> execute(const consensus::Block& block) = 0;
    [[nodiscard]] virtual Result<AdmissionResult> admit(const consensus::Envelope& envelope) const = 0;
    // One page, from the state as executed here; who calls it has waited for the read's target (R2).
    [[nodiscard]] virtual Result<ReadAnswer> read(const Query& query) const = 0;
    // Of the history, up to what is executed here.
    [[nodiscard]] virtual Result<ChangePage> changes(const ChangeQuery& query) const = 0;
    [[nodiscard]] virtual bool may_ask(const consensus::ClientId& client, const Query& query) const = 0;
    // Every client, as of what is executed here; never null. Immutable, for other threads.
    [[nodiscard]] virtual std::shared_ptr<const ClientDirectory> clients() const = 0;

    [[nodiscard]] virtual consensus::Height executed() const = 0;
    [[nodiscard]] virtual consensus::BlockRef executed_block() const = 0;  // zero id at height 0
    [[nodiscard]] virtual consensus::Hlc hlc() const = 0;                  // of the last executed block
    [[nodiscard]] virtual Revision revision() const = 0;
    // The oldest revision that reads may be as of, and behind which changes are known.
    [[nodiscard]] virtual Revision compacted() const = 0;
    [[nodiscard]] virtual std::optional<consensus::Hlc> due() const = 0;  // as ExecutedBlock::due
    // What survives a power failure: of the last batch that was written with Durability::synced, or found at open.
    // May be asked from any thread.
    [[nodiscard]] virtual consensus::Height durable_height() const = 0;
    // Of the last window_max + 1 and more heights up to executed(), for headers after a restart; durable with the
    // state.
    [[nodiscard]] virtual std::vector<std::pair<consensus::Height, crypto::Digest>> recent_digests() const = 0;

    // ---- Background writing
    [[nodiscard]] virtual std::size_t overlay_bytes() const = 0;
    // The last executed block is a checkpoint's, and its generation is still the active one.
    [[nodiscard]] virtual bool freeze_due() const = 0;
    // Starts a new active generation, between two blocks. False when there is nothing to write or the frozen one is
    // still there.
    [[nodiscard]] virtual bool freeze() = 0;
    // The whole frozen generation in one transaction. After an error nothing of it was written: it may be tried again.
    [[nodiscard]] virtual Result<void> write_frozen(Durability durability) = 0;
    // After write_frozen succeeded (asserted).
    virtual void drop_frozen() = 0;
};

}  // namespace loyal::kvstore
