// ChainChecker: agreement, validity and durability of what was executed and answered.
//  - No two correct replicas execute different blocks at a height, or get different states from them (I7, I10).
//  - Each operation executes at most once, and its outcome is what an independent model of the store says.
//  - What a client accepted as an outcome is the outcome of that execution, in full: nothing acknowledged is lost.
//  - Operations take effect in an order that respects real time, by the revisions they report (strict serializability
//    with the revision as witness); a read returns the model's state at a revision that was current while it ran.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "client/session.h"
#include "kvstore/state_machine.h"
#include "sim/checkers/reference_model.h"
#include "sim/checkers/signing_ledger.h"

namespace loyal::sim {

class ChainChecker {
 public:
    explicit ChainChecker(const consensus::BlockRef& genesis) { heights_.push_back({genesis.id, {}, {}}); }

    // By a correct replica; again after a restart.
    [[nodiscard]] Finding executed(consensus::ReplicaId replica, const consensus::Block& block,
                                   const kvstore::ExecutedBlock& result);

    // Whether an operation with that outcome was executed: the store answered, be it with no.
    [[nodiscard]] static bool took_part(kvstore::Status status);

    // ---- What clients saw: outcomes of writes, results of reads (ordered ones too). A mark is taken when an operation
    // begins and handed back when it ends.
    struct Mark {
        kvstore::Revision completed;  // at least this had taken effect before the operation began
    };
    [[nodiscard]] Mark begin() const { return Mark{completed_}; }
    [[nodiscard]] Finding acknowledged(const consensus::ClientId& client, consensus::SessionId session,
                                       const Mark& mark, const kvstore::Operation& operation,
                                       const kvstore::Outcome& outcome);
    [[nodiscard]] Finding read_returned(const Mark& mark, const kvstore::Range& range,
                                        const kvstore::RangeResult& result);

    [[nodiscard]] consensus::Height height() const { return consensus::Height(heights_.size() - 1); }
    [[nodiscard]] std::uint64_t operations() const { return executed_.size(); }
    [[nodiscard]] const ReferenceModel& model() const { return model_; }

 private:
    struct AtHeight {
        crypto::Digest id, digest;
        consensus::Hlc hlc;
    };
    using OpKey = std::tuple<consensus::ClientId, std::uint64_t, std::uint64_t>;  // client, session, seq

    [[nodiscard]] Finding first_execution(const consensus::Block& block, const kvstore::ExecutedBlock& result);
    [[nodiscard]] Finding execute_one(const OpKey& key, const consensus::Block& block,
                                      const kvstore::Operation& operation, const kvstore::Outcome& outcome);
    struct Execution {
        kvstore::Outcome outcome;
        bool changed = false;  // it made a revision
    };

    std::vector<AtHeight> heights_;  // index = height
    ReferenceModel model_;
    std::map<OpKey, Execution> executed_;
    std::map<std::pair<consensus::ClientId, std::uint64_t>, std::uint64_t> acknowledged_;  // of a session: below this
    kvstore::Revision completed_;  // highest that a client has seen
};

}  // namespace loyal::sim
