#include "sim/checkers/chain_checker.h"

#include <fmt/format.h>

#include <deque>

#include "config/assert.h"

namespace loyal::sim {

using kvstore::Operation;
using kvstore::Outcome;
using kvstore::Range;
using kvstore::Revision;
using kvstore::Status;

namespace {

// A retry gets the answer of the first execution. That to a transaction is kept only when it is short, so a retry may
// be told which branch was taken and no more; an ordered read is executed again (C4).
bool is_same_answer(const Operation& operation, const Outcome& first, const Outcome& now) {
    if (std::holds_alternative<kvstore::Txn>(operation) && first.status == Status::ok) {
        const auto kept = kvstore::decode_txn_result(first.result);
        Outcome shortened = first;
        shortened.result = kept ? kvstore::encode_txn_result({kept->succeeded, std::nullopt}) : first.result;
        return now == first || now == shortened;
    }
    return now == first;
}

}  // namespace

bool ChainChecker::took_part(Status status) {
    switch (status) {
        case Status::ok:
        case Status::not_found:
        case Status::mismatch:
        case Status::compacted:
        case Status::future_revision:
        case Status::no_lease:
        case Status::fenced:
        case Status::no_lock: return true;
        default: return false;
    }
}

Finding ChainChecker::executed(consensus::ReplicaId replica, const consensus::Block& block,
                               const kvstore::ExecutedBlock& result) {
    const std::uint64_t height = block.header.height.value;
    if (height == 0 || height > heights_.size()) {
        return fmt::format("replica {} executed height {} before anybody executed the one below", replica.value,
                           height);
    }
    if (height < heights_.size()) {
        const AtHeight& known = heights_[height];
        if (known.id != block.id) {
            return fmt::format("AGREEMENT: replica {} executed block {} at height {}, another replica executed {}",
                               replica.value, block.id.short_hex(), height, known.id.short_hex());
        }
        if (known.digest != result.digest) {
            return fmt::format("DIVERGENCE: replica {} has another state after height {}", replica.value, height);
        }
        return {};
    }
    const AtHeight& parent = heights_.back();
    if (block.header.parent != parent.id) {
        return fmt::format("AGREEMENT: block at height {} does not extend the executed chain", height);
    }
    if (block.header.hlc <= parent.hlc) {
        return fmt::format("the clock of the chain stands still at height {} (I11)", height);
    }
    heights_.push_back({block.id, result.digest, block.header.hlc});
    return first_execution(block, result);
}

Finding ChainChecker::first_execution(const consensus::Block& block, const kvstore::ExecutedBlock& result) {
    model_.begin_block(block.header.hlc);
    std::map<OpKey, std::deque<const Outcome*>> outcomes;
    for (const kvstore::Replies& replies : result.replies) {
        for (const Outcome& outcome : replies.outcomes) {
            outcomes[{replies.client, replies.session.value, outcome.seq.value}].push_back(&outcome);
        }
    }
    for (const consensus::Envelope& envelope : block.envelopes) {
        std::uint64_t& acknowledged = acknowledged_[{envelope.client, envelope.session.value}];
        acknowledged = std::max(acknowledged, envelope.ack_low.value);
        const auto operations = kvstore::decode_operations(envelope.operations, envelope.count);
        if (!operations) {
            return fmt::format("height {} orders operations that do not parse", block.header.height.value);
        }
        for (std::size_t i = 0; i < operations->size(); ++i) {
            const OpKey key{envelope.client, envelope.session.value, envelope.seq0.value + i};
            auto& answers = outcomes[key];
            if (answers.empty() && std::get<2>(key) < acknowledged) {
                continue;  // the client has no use for an answer any more: nothing is executed, nothing answered
            }
            if (answers.empty()) {
                return fmt::format("no outcome for seq {} at height {}", std::get<2>(key), block.header.height.value);
            }
            if (auto finding = execute_one(key, block, (*operations)[i], *answers.front())) {
                return fmt::format("height {}, session {:x}, seq {}: {}", block.header.height.value, std::get<1>(key),
                                   std::get<2>(key), *finding);
            }
            if (answers.size() > 1) {
                answers.pop_front();
            }
        }
    }
    model_.end_block();
    if (model_.revision() != result.revision) {
        return fmt::format("height {} ends at revision {}, the model says {}", block.header.height.value,
                           result.revision.value, model_.revision().value);
    }
    return {};
}

Finding ChainChecker::execute_one(const OpKey& key, const consensus::Block& block, const Operation& operation,
                                  const Outcome& outcome) {
    if (!took_part(outcome.status)) {
        return {};
    }
    const auto known = executed_.find(key);
    if (known != executed_.end()) {
        if (!kvstore::is_query(operation) && !is_same_answer(operation, known->second.outcome, outcome)) {
            return fmt::format("DUPLICATE: executed at height {} before", known->second.outcome.height.value);
        }
        return {};
    }
    if (outcome.height != block.header.height || outcome.hlc != block.header.hlc) {
        return fmt::format("a first execution claims height {}", outcome.height.value);
    }
    const Revision before = model_.revision();
    const ReferenceModel::Answer expected = model_.apply(operation, std::get<0>(key));
    executed_.emplace(key, Execution{outcome, model_.revision() != before});
    if (outcome.status != expected.status || outcome.revision != model_.revision()) {
        return fmt::format("outcome {} at revision {}, the model says {} at {}", to_string(outcome.status),
                           outcome.revision.value, to_string(expected.status), model_.revision().value);
    }
    return outcome.result == expected.result ? Finding() : "the result of an operation is not what the model says";
}

Finding ChainChecker::acknowledged(const consensus::ClientId& client, consensus::SessionId session, const Mark& mark,
                                   const Operation& operation, const Outcome& outcome) {
    LOYAL_ASSERT(!std::holds_alternative<Range>(operation), "ranges are judged by read_returned");
    if (!took_part(outcome.status)) {
        return {};
    }
    const auto known = executed_.find({client, session.value, outcome.seq.value});
    if (known == executed_.end()) {
        return fmt::format("LOST: seq {} was acknowledged and never executed", outcome.seq.value);
    }
    const Outcome& truth = known->second.outcome;
    if (!is_same_answer(operation, truth, outcome)) {
        return fmt::format("FALSE ANSWER: seq {} answered {} at height {} revision {}, executed {} at {} revision {}",
                           outcome.seq.value, to_string(outcome.status), outcome.height.value, outcome.revision.value,
                           to_string(truth.status), truth.height.value, truth.revision.value);
    }
    if (outcome.revision < mark.completed || (known->second.changed && outcome.revision == mark.completed)) {
        return fmt::format("ORDER: revision {} was complete before the operation that got {} began",
                           mark.completed.value, outcome.revision.value);
    }
    completed_ = std::max(completed_, outcome.revision);
    return {};
}

// The revision that a read names is one replica's word, so the answer is judged by its content: it must be the state at
// some revision between what was complete when the read began and now.
Finding ChainChecker::read_returned(const Mark& mark, const Range& range, const kvstore::RangeResult& result) {
    for (Revision at = mark.completed; at <= model_.revision(); at = at.next()) {
        if (model_.read(range, at) == result) {
            completed_ = std::max(completed_, at);
            return {};
        }
    }
    for (Revision at; at < mark.completed; at = at.next()) {
        if (model_.read(range, at) == result) {
            return fmt::format("STALE READ: the state of revision {}, but {} was complete before the read began",
                               at.value, mark.completed.value);
        }
    }
    return "FALSE READ: no state ever was as the answer says";
}

}  // namespace loyal::sim
