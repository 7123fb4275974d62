#include "kvstore/block_executor.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using consensus::Seq;

constexpr std::size_t envelope_result_bytes_max = limits::range_bytes_max + 64;

// What a session remembers of a result: all of a small one; of a transaction's, which branch was taken.
Outcome remembered(Outcome outcome, bool repeatable) {
    if (!repeatable && outcome.result.size() > limits::result_inline_bytes_max) {
        outcome.result.resize(1);
    }
    return outcome;
}

}  // namespace

struct BlockExecutor::Submission {
    const consensus::Envelope& envelope;
    SessionKey key;
    Caller caller;
    std::optional<std::vector<Operation>> operations;  // none: they do not parse
    Session* session = nullptr;                        // in the active generation
    bool expired = false;
    bool beyond = false;
    bool is_repeated = false;  // the outcome is a stored one

    [[nodiscard]] bool is_query_at(std::size_t index) const { return operations && is_query((*operations)[index]); }
    [[nodiscard]] bool timely() const { return !expired && !beyond; }
    // Of the session, or of the one that this envelope would open.
    [[nodiscard]] Seq low() const { return session != nullptr ? session->low() : timely() ? envelope.ack_low : Seq(0); }
};

BlockExecutor::BlockExecutor(const Context& context, const consensus::Block& block)
    : context_(context),
      block_(block),
      view_(context.store, context.overlay),
      writer_(view_, context.overlay, context.meta, context.leases, context.clients),
      applier_(writer_, context.history_revisions) {
    StateMeta& meta = context_.meta;
    const std::uint64_t before = meta.hlc.wall_ms();
    meta.hlc = block.header.hlc;
    meta.height = block.header.height;
    meta.block = block.id;
    const std::uint64_t step = meta.hlc.wall_ms() > before ? meta.hlc.wall_ms() - before : 0;
    meta.lease_clock_ms += std::min(step, limits::lease_step_ms_max);
}

Outcome BlockExecutor::outcome_of(Seq seq, Status status, Bytes result) const {
    const consensus::Header& header = block_.header;
    return {seq, header.height, header.view, header.hlc, context_.meta.revision, status, std::move(result)};
}

Result<Replies> BlockExecutor::execute(const consensus::Envelope& envelope) {
    Replies replies{envelope.client, envelope.session, {}};
    replies.outcomes.reserve(envelope.count);
    if (context_.clients.find(envelope.client) == nullptr) {
        for (std::uint16_t i = 0; i < envelope.count; ++i) {
            replies.outcomes.push_back(outcome_of(envelope.seq0.plus(i), Status::denied));
        }
        return replies;
    }
    Submission submission{
        envelope, {envelope.client, envelope.session}, {envelope.client, envelope_result_bytes_max}, {}, nullptr};
    if (auto operations = decode_operations(envelope.operations, envelope.count)) {
        submission.operations = std::move(*operations);
    }
    if (context_.rules.horizon) {
        submission.expired = block_.header.hlc > envelope.not_after;
        submission.beyond = beyond_horizon(envelope.not_after, block_.header.hlc);
    }
    auto session = find_session(submission.key);
    if (!session) {
        return tl::unexpected(session.error());
    }
    submission.session = *session;
    const std::size_t before = submission.session != nullptr ? submission.session->size() : 0;
    if (submission.session != nullptr && submission.timely()) {
        submission.session->acknowledge(envelope.ack_low);
        context_.directory.touch(submission.key, submission.session->last_executed(), submission.session->size());
    }
    for (std::uint16_t i = 0; i < envelope.count; ++i) {
        const Seq seq = envelope.seq0.plus(i);
        if (seq < submission.low() && seq >= envelope.seq0) {
            continue;  // acknowledged
        }
        auto outcome = execute_operation(submission, i);
        if (!outcome) {
            return tl::unexpected(outcome.error());
        }
        note_result(submission, i, *outcome);
        replies.outcomes.push_back(std::move(*outcome));
    }
    if (submission.session != nullptr) {
        context_.overlay.count_session_change(before, submission.session->size());
        context_.directory.touch(submission.key, submission.session->last_executed(), submission.session->size());
    }
    return replies;
}

Result<Session*> BlockExecutor::find_session(const SessionKey& key) {
    if (Session* session = context_.overlay.active_session(key); session != nullptr) {
        return session;
    }
    const auto older = view_.session(key);
    if (!older) {
        return tl::unexpected(older.error());
    }
    return *older == nullptr ? nullptr : &context_.overlay.put_session(key, **older);
}

Status BlockExecutor::refusal_of(const Submission& submission, Seq seq) const {
    if (submission.expired) {
        return Status::expired;
    }
    if (submission.beyond) {
        return Status::beyond_horizon;
    }
    // A number that wrapped around belongs to no window either.
    const bool wrapped = seq < submission.envelope.seq0;
    const bool full = !context_.directory.may_remember(submission.key.client);
    return wrapped || full || beyond_window(submission.low(), seq) ? Status::window : Status::ok;
}

Result<Outcome> BlockExecutor::execute_operation(Submission& submission, std::size_t index) {
    const Seq seq = submission.envelope.seq0.plus(index);
    submission.is_repeated = false;
    if (submission.session != nullptr && context_.rules.dedupe && seq >= submission.envelope.seq0) {
        if (const ExecutedOperation* executed = submission.session->find(seq); executed != nullptr) {
            if (!executed->repeatable) {
                submission.is_repeated = true;
                return Session::outcome_of(seq, *executed);
            }
            // The number was used for a query, and only a query may be executed under it again: a client that reuses
            // it for a write gets nothing done, however often that envelope comes.
            if (!submission.is_query_at(index)) {
                return outcome_of(seq, Status::invalid);
            }
            auto again = apply(submission, index);
            if (!again) {
                return tl::unexpected(again.error());
            }
            return outcome_of(seq, again->status, std::move(again->result));
        }
    }
    if (const Status refusal = refusal_of(submission, seq); refusal != Status::ok) {
        return outcome_of(seq, refusal);
    }
    if (submission.session == nullptr) {
        auto opened = open_session(submission);
        if (!opened) {
            return tl::unexpected(opened.error());
        }
        if (*opened == nullptr) {
            return outcome_of(seq, Status::no_session);
        }
        submission.session = *opened;
    }
    auto applied = apply(submission, index);
    if (!applied) {
        return tl::unexpected(applied.error());
    }
    Outcome outcome = outcome_of(seq, applied->status, std::move(applied->result));
    submission.session->record(remembered(outcome, applied->repeatable), applied->repeatable);
    return outcome;
}

// What does not parse has no operation that a leaf could name.
void BlockExecutor::note_result(const Submission& submission, std::size_t index, const Outcome& outcome) {
    if (submission.is_repeated || !submission.operations) {
        return;
    }
    const consensus::Envelope& envelope = submission.envelope;
    const Bytes operation = encode_operation((*submission.operations)[index]);
    leaves_.push_back(result_leaf(envelope.client, envelope.session, operation, outcome));
    executed_.push_back({envelope.client, envelope.session, envelope.operations, envelope.count,
                         static_cast<std::uint16_t>(index), outcome});
}

BlockResults BlockExecutor::take_results() {
    BlockResults results;
    results.operations = std::move(executed_);
    results.tree = ResultTree(std::move(leaves_));
    return results;
}

Result<Session*> BlockExecutor::open_session(Submission& submission) {
    SessionDirectory& directory = context_.directory;
    if (!directory.has_room(submission.key.client)) {
        const auto idle = directory.evictable(submission.key.client, block_.header.hlc);
        if (!idle) {
            return nullptr;
        }
        directory.remove(*idle);
        context_.overlay.erase_session(*idle);
    }
    Session session;
    session.acknowledge(submission.envelope.ack_low);
    return &context_.overlay.put_session(submission.key, std::move(session));
}

Result<Applied> BlockExecutor::apply(Submission& submission, std::size_t index) {
    if (!submission.operations) {
        return Applied{Status::invalid, {}, false};
    }
    const Operation& operation = (*submission.operations)[index];
    // Looked up each time: an operation before this one may have changed it.
    const ClientRecord* client = context_.clients.find(submission.key.client);
    if (client == nullptr || !allows(*client, operation)) {
        return Applied{Status::denied, {}, false};
    }
    return applier_.apply(submission.caller, operation);
}

crypto::Digest effects_digest(const std::vector<Replies>& replies) {
    crypto::CanonicalWriter out(replies.size() * 64);
    for (const Replies& reply : replies) {
        out.raw(reply.client.bytes).number(reply.session.value);
        out.number(static_cast<std::uint16_t>(reply.outcomes.size()));
        for (const Outcome& outcome : reply.outcomes) {
            out.number(outcome.seq.value).number(static_cast<std::uint8_t>(outcome.status));
            out.number(outcome.revision.value);
            out.digest(outcome.result.empty() ? crypto::Digest{} : crypto::digest_of("result", outcome.result));
        }
    }
    return crypto::digest_of("effects", out.view());
}

}  // namespace loyal::kvstore
