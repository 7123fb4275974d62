// Executes the envelopes of one block against the overlay (PROTOCOL.md N7, C1, C4). One object a block; deterministic:
// what it does depends on the state and the block alone. One thread.
//
// For each operation of an envelope, in this order:
//   below the session's `low`   acknowledged: skipped, no outcome
//   executed before             the stored outcome; a query is executed again
//   block hlc > not_after       expired          )
//   not_after > block hlc + E   beyond_horizon   ) surely not executed,
//   beyond low + 1023           window           ) nothing is recorded
//   no session and no room      no_session       )
//   otherwise                   executed and recorded, also when the outcome is invalid or denied
// An envelope that is timely also moves `low` to its ack_low. A client without any right gets denied and no session.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "consensus/messages.h"
#include "kvstore/operation_applier.h"
#include "kvstore/overlay.h"
#include "kvstore/result_tree.h"
#include "kvstore/state_machine.h"
#include "kvstore/state_view.h"
#include "kvstore/state_writer.h"

namespace loyal::kvstore {

struct ExecutionRules {
    bool dedupe = true;   // C4
    bool horizon = true;  // not_after's two bounds
};

class BlockExecutor {
 public:
    struct Context {
        Store& store;
        Overlay& overlay;
        SessionDirectory& directory;
        LeaseDirectory& leases;
        StateMeta& meta;  // of the block before; what this block makes of it, but for its digest
        const std::map<consensus::ClientId, std::uint8_t>& rights;
        ExecutionRules rules;
        std::uint64_t history_revisions = 0;
    };
    BlockExecutor(const Context& context, const consensus::Block& block);

    // The outcomes of its operations; empty when all of them were acknowledged.
    [[nodiscard]] Result<Replies> execute(const consensus::Envelope& envelope);
    // Behind the last envelope; nothing is executed afterwards.
    [[nodiscard]] Result<void> finish() { return applier_.end_block(); }
    [[nodiscard]] std::shared_ptr<const std::vector<Change>> take_changes() { return writer_.take_changes(); }
    // Of what was executed or refused so far, in order: the leaves of the block's result tree.
    [[nodiscard]] BlockResults take_results();

 private:
    struct Submission;

    [[nodiscard]] Result<Outcome> execute_operation(Submission& submission, std::size_t index);
    void note_result(const Submission& submission, std::size_t index, const Outcome& outcome);
    // Errc::not_found inside: none and no room for one.
    [[nodiscard]] Result<Session*> open_session(Submission& submission);
    [[nodiscard]] Result<Session*> find_session(const SessionKey& key);
    [[nodiscard]] Status refusal_of(const Submission& submission, consensus::Seq seq) const;
    [[nodiscard]] Outcome outcome_of(consensus::Seq seq, Status status, Bytes result = {}) const;

    [[nodiscard]] Result<Applied> apply(Submission& submission, std::size_t index);

    Context context_;
    const consensus::Block& block_;
    StateView view_;
    StateWriter writer_;
    OperationApplier applier_;
    std::vector<ExecutedOperationRef> executed_;
    std::vector<crypto::Digest> leaves_;
};

// H over what a block did, for exec_dig (PROTOCOL.md §13 S1).
[[nodiscard]] crypto::Digest effects_digest(const std::vector<Replies>& replies);

}  // namespace loyal::kvstore
