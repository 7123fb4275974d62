// The way of a write (PROTOCOL.md C1, C2, C4, P2): waiting -> launched in a signed envelope -> agreed by w replicas.
//
// When is a write surely not applied?
//   - No copy was ever handed to a replica. A replica whose disk is full says so before it is asked (and when it is):
//   while more than n - q do, so that those with room are no quorum, nothing is handed over and what waits fails at
//   once. Up to n - q may be lying or full without harm to anybody.
//   - w replicas agree that a block with hlc > not_after found it unexecuted: hlc only grows along the chain, and one
//   of
//     the w is honest, so no signed version up to that not_after can execute any more.
//   - Crash model only: whoever was handed a copy refused it. A Byzantine replica may refuse and still have its copy
//     ordered later, so there refusals prove nothing.
//   - w replicas say that the client lacks the right, or that the operation is malformed: an honest one among them
//   would
//     say the same at execution.
// Everything else that ends at its time-out "may have been applied". Such an operation is given up: the next ack_low
// passes its number, and from the block on that carries it no copy of it can execute (executed or never). So a lost
// operation does not hold up its session, and at most session_window numbers are ever open.
//
// Signing again keeps the numbers and the operations and changes only not_after and ack_low, so that even a copy of
// each version in one chain executes at most once, as long as the replicas remember the session. They forget it no
// earlier than E after its last execution; hence nothing is signed again later than E/2 after it was first sent (half,
// because the clocks that count are not the same).
#include <algorithm>

#include "client/session_state.h"
#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::client {

namespace {

using consensus::ReplicaId;
using consensus::Seq;
using kvstore::Status;

constexpr std::uint64_t horizon_slack_ms = 60'000;
constexpr std::uint64_t horizon_max_ms = limits::session_horizon_ms / 2;
constexpr std::uint64_t sign_again_within_ms = limits::session_horizon_ms / 2;
constexpr std::uint64_t idle_stream_max_ms = limits::session_horizon_ms / 2;
constexpr std::uint64_t resend_max_ms = 2'000;
constexpr std::size_t queries_per_envelope_max = 16;
constexpr std::size_t old_streams_max = 8;

constexpr std::size_t operations_bytes_max = limits::envelope_bytes_max - limits::envelope_overhead_bytes_max;

WriteResult refused_as_invalid(std::string why) {
    WriteResult result{Certainty::not_applied, {}, {}, std::move(why), false};
    result.outcome.status = Status::invalid;
    return result;
}

}  // namespace

void Session::State::write(kvstore::Operation operation, std::uint64_t deadline_ms, OnWrite done) {
    if (closed) {
        writes_done.emplace_back(
            std::move(done), WriteResult{Certainty::not_applied, {}, {}, "not applied: the session is closed", false});
        return;
    }
    // What breaks a limit of every replica: found here, it is surely not applied.
    if (const auto checked = kvstore::check_operation(operation); !checked) {
        writes_done.emplace_back(std::move(done),
                                 refused_as_invalid("not applied: invalid: " + checked.error().message));
        return;
    }
    const bool is_query = kvstore::is_query(operation);
    const auto* erase = std::get_if<kvstore::Delete>(&operation);
    const bool may_be_too_large =
        is_query || std::holds_alternative<kvstore::Txn>(operation) || (erase != nullptr && erase->end);
    std::vector<kvstore::Operation> one;
    one.push_back(std::move(operation));
    Bytes encoded = kvstore::encode_operations(one);
    if (encoded.size() > operations_bytes_max) {
        writes_done.emplace_back(
            std::move(done),
            refused_as_invalid("not applied: invalid: the operation has " + std::to_string(encoded.size()) +
                               " bytes in all; at most " + std::to_string(operations_bytes_max) + " are allowed"));
        return;
    }
    waiting.push_back(
        Asked{std::move(encoded), is_query, may_be_too_large, false, now_ms, deadline_ms, std::move(done)});
}

// ---- Launching

// An envelope needs the cluster's time and somebody to hear of its fate from: w links.
bool Session::State::may_launch() {
    if (count_of(connected) < quorum.w || !clock.believed_ms(now_ms)) {
        return false;
    }
    // When one has no room, the others are heard first, as long as that takes no longer than a retry.
    if (without_room != 0 && count_of(connected) < quorum.n && now_ms < waiting.front().asked_ms + options.retry_ms) {
        return false;
    }
    Stream& stream = streams.back();
    if (stream.flights.empty() && stream.next.value > 1 && now_ms - stream.last_used_ms > idle_stream_max_ms) {
        stream.stuck = true;  // the replicas may be about to forget it
    }
    if (stream.stuck && streams.size() <= old_streams_max) {
        renew_stream();
    }
    return !streams.back().stuck && streams.back().flights.size() < limits::session_envelopes_in_flight;
}

// A new session id, as random as the first one.
void Session::State::renew_stream() {
    crypto::CanonicalWriter content;
    content.raw(consensus::client_id_of(options.key).bytes).number(options.session.value).number(++stream_count);
    const crypto::Digest digest = crypto::digest_of("session", content.view());
    Stream stream;
    stream.id = consensus::SessionId(crypto::CanonicalReader(digest.view()).number<std::uint64_t>());
    stream.last_used_ms = now_ms;
    streams.push_back(std::move(stream));
    forget_finished();
}

// Fewer than q have room: not within the fault model, or liars and the full together are more than it allows.
bool Session::State::writes_refused() const {
    return count_of(without_room) > quorum.n - quorum.q;
}

void Session::State::fail_what_waits() {
    const std::string why = "not applied: " + std::to_string(count_of(without_room)) + " of " +
                            std::to_string(quorum.n) + " replicas take no writes (disk_full)";
    for (Asked& asked : std::exchange(waiting, {})) {
        writes_done.emplace_back(std::move(asked.done), WriteResult{Certainty::not_applied, {}, {}, why, false});
    }
}

void Session::State::launch_what_waits() {
    if (writes_refused()) {
        fail_what_waits();
    }
    while (!waiting.empty() && may_launch()) {
        launch(next_batch());
    }
}

// Reads and writes are not mixed: a right that is missing for one kind refuses the whole envelope.
std::vector<Asked> Session::State::next_batch() {
    std::vector<Asked> batch;
    std::size_t bytes = 0;
    const bool queries = waiting.front().is_query;
    const std::size_t count_max = queries ? queries_per_envelope_max : limits::envelope_ops_max;
    while (!waiting.empty() && batch.size() < count_max) {
        Asked& next = waiting.front();
        const bool fits = batch.empty() || bytes + next.encoded.size() <= options.envelope_bytes_target;
        if (next.is_query != queries || !fits || (next.alone && !batch.empty())) {
            break;
        }
        bytes += next.encoded.size();
        batch.push_back(std::move(next));
        waiting.pop_front();
        if (batch.back().alone) {
            break;
        }
    }
    return batch;
}

void Session::State::launch(std::vector<Asked> batch) {
    Stream& stream = streams.back();
    Flight flight;
    flight.session = stream.id;
    flight.seq0 = stream.next;
    flight.unanswered.assign(quorum.n, 0);
    std::size_t bytes = 0;
    for (const Asked& asked : batch) {
        bytes += asked.encoded.size();
    }
    flight.operations.reserve(bytes);
    flight.slots.reserve(batch.size());
    for (Asked& asked : batch) {
        flight.operations.insert(flight.operations.end(), asked.encoded.begin(), asked.encoded.end());
        if (!asked.may_be_too_large) {
            Bytes().swap(asked.encoded);
        }
        flight.slots.push_back(Slot{std::move(asked), Ballot(quorum.n)});
    }
    flight.open = flight.slots.size();
    stream.next = stream.next.plus(flight.slots.size());
    stream.last_used_ms = now_ms;
    stream.flights.push_back(std::move(flight));
    Flight& launched = stream.flights.back();
    if (!sign(launched)) {
        return;
    }
    ++envelopes;
    launched.first_sent_ms = now_ms;
    const bool probe = options.replicas_probe_every != 0 && envelopes % options.replicas_probe_every == 0;
    const bool primary_there = primary && (connected & bit_of(*primary)) != 0;
    if (probe || !primary_there) {
        send_to_all(launched);
    } else {
        send(launched, *primary);
    }
    schedule(launched, true);
}

// Signs a version with a fresh not_after and ack_low. False when the envelope cannot be: it is settled then.
bool Session::State::sign(Flight& flight) {
    const auto believed = clock.believed_ms(now_ms);
    LOYAL_ASSERT(believed, "nothing is launched before the cluster's time is known");
    const std::uint64_t ahead_ms = std::min(options.timeout_ms + horizon_slack_ms, horizon_max_ms);
    // A later version is never due earlier: "expired" then speaks of all versions.
    const std::uint64_t not_after_ms = std::max(*believed + ahead_ms, flight.envelope.not_after.wall_ms());
    Seq ack_low = flight.seq0;
    for (const Stream& stream : streams) {
        if (stream.id == flight.session && !stream.flights.empty()) {
            const Flight& oldest = stream.flights.front();
            const auto first_open =
                std::find_if(oldest.slots.begin(), oldest.slots.end(), [](const Slot& slot) { return slot.open; });
            ack_low = oldest.seq0.plus(static_cast<std::uint64_t>(first_open - oldest.slots.begin()));
        }
    }
    consensus::EnvelopeContent content;
    content.key = options.key;
    content.session = flight.session;
    content.seq0 = flight.seq0;
    content.count = flight.count();
    content.not_after = consensus::Hlc(not_after_ms, 0xFFFF);
    content.ack_low = ack_low;
    content.operations = flight.operations;
    const auto& context = membership.context;
    auto bytes =
        std::make_shared<const Bytes>(consensus::make_envelope(content, context.cluster_id, context.epoch, signer));
    auto envelope = consensus::parse_envelope(std::move(bytes));
    if (!envelope) {
        settle_all(flight, {Certainty::not_applied, {}, {}, "not applied: " + envelope.error().message, false});
        return false;
    }
    flight.envelope = std::move(*envelope);
    flight.sign_again = false;
    flight.refused_expired = 0;
    for (Slot& slot : flight.slots) {
        slot.expired = false;
    }
    return true;
}

void Session::State::send(Flight& flight, ReplicaId to) {
    if ((connected & bit_of(to)) == 0) {
        return;
    }
    flight.sent |= bit_of(to);
    ++flight.unanswered[to.value];
    outgoing.push_back({to, wire::Submit{flight.envelope}});
}

void Session::State::send_to_all(Flight& flight) {
    flight.to_all = true;
    for (std::uint16_t id = 0; id < quorum.n; ++id) {
        send(flight, ReplicaId(id));
    }
}

// T_retry, then twice as long each time. It follows the measured latency a little, so that load alone does not make
// every envelope go to everybody, but no further than four times: a slow primary must not train it.
void Session::State::schedule(Flight& flight, bool first) {
    const std::uint64_t base = std::clamp(3 * latency_ms, options.retry_ms, 4 * options.retry_ms);
    const unsigned doublings = first ? 0 : std::min(flight.resends, 10U);
    flight.next_resend_ms = now_ms + std::max<std::uint64_t>(base, std::min(base << doublings, resend_max_ms));
}

void Session::State::resend(Flight& flight) {
    if (flight.sign_again && now_ms - flight.first_sent_ms <= sign_again_within_ms && !sign(flight)) {
        return;
    }
    if (connected != 0) {
        ++resends;
    }
    ++flight.resends;
    send_to_all(flight);
    schedule(flight, false);
}

// ---- Answers

Flight* Session::State::find_flight(consensus::SessionId session, Seq seq, Stream** found) {
    for (Stream& stream : streams) {
        if (stream.id != session) {
            continue;
        }
        for (Flight& flight : stream.flights) {
            if (flight.contains(seq)) {
                *found = &stream;
                return &flight;
            }
        }
    }
    return nullptr;
}

void Session::State::on_reply(ReplicaId from, const wire::Reply& reply) {
    Stream* stream = nullptr;
    Flight* flight = nullptr;
    for (const wire::OutcomeReply& each : reply.outcomes) {
        if (flight == nullptr || !flight->contains(each.seq)) {
            flight = find_flight(reply.session, each.seq, &stream);
        }
        if (flight == nullptr) {
            continue;
        }
        Slot& slot = flight->slots[each.seq.value - flight->seq0.value];
        if (!slot.open) {
            continue;
        }
        slot.ballot.take(from, each);
        if (const auto agreed = slot.ballot.agreed(quorum.w)) {
            on_agreed(*stream, *flight, slot, *agreed);
        }
    }
    forget_finished();
}

void Session::State::on_agreed(Stream& stream, Flight& flight, Slot& slot, const Agreed& agreed) {
    const kvstore::Outcome& outcome = agreed.outcome;
    stream.last_used_ms = now_ms;
    switch (outcome.status) {
        case Status::ok:
        case Status::not_found:
        case Status::mismatch:
        case Status::compacted:
        case Status::future_revision:
        case Status::no_lease:
        case Status::fenced:
        case Status::no_lock:
        case Status::exhausted:
        case Status::no_client:
        case Status::exists:
        case Status::last_operator: {
            settle(flight, slot, {Certainty::done, outcome, members_of(agreed.replicas), "", false, flight.session});
            return;
        }
        case Status::invalid:
            settle(flight, slot,
                   {Certainty::not_applied, outcome, members_of(agreed.replicas),
                    "not applied: the replicas find the operation malformed", false});
            return;
        case Status::denied:
            settle(flight, slot,
                   {Certainty::not_applied, outcome, members_of(agreed.replicas),
                    "not applied: this client has no right to do that", true});
            return;
        case Status::too_large:
            // A query finds room in another block; anything else, alone in its envelope, may still be too large.
            if (slot.asked.is_query || (slot.asked.may_be_too_large && !slot.asked.alone)) {
                ask_again_alone(slot, flight);
            } else {
                settle(flight, slot, {Certainty::done, outcome, members_of(agreed.replicas), "", false});
            }
            return;
        case Status::expired:
        case Status::beyond_horizon:
        case Status::window:
        case Status::no_session: on_not_executed(stream, flight, slot, outcome); return;
    }
}

// w replicas agree that this block did not execute the operation. That of an older version says nothing of the newest.
void Session::State::on_not_executed(Stream& stream, Flight& flight, Slot& slot, const kvstore::Outcome& outcome) {
    slot.ballot.clear();
    switch (outcome.status) {
        case Status::expired:
            clock.at_least(outcome.hlc, now_ms);
            if (outcome.hlc <= flight.envelope.not_after) {
                return;
            }
            slot.expired = true;
            flight.next_resend_ms = now_ms;
            break;
        case Status::beyond_horizon: {
            const std::uint64_t limit_ms = outcome.hlc.wall_ms() + limits::session_horizon_ms;
            if (flight.envelope.not_after.wall_ms() < limit_ms) {
                return;
            }
            clock.restart(outcome.hlc, now_ms);
            break;
        }
        case Status::window: stream.stuck = true; break;
        default: flight.refusal = "too many sessions of this client are in use"; break;
    }
    flight.sign_again = true;
}

// It did not fit beside others. It changed nothing, so it may be asked again under a new number.
void Session::State::ask_again_alone(Slot& slot, Flight& flight) {
    Asked again = std::move(slot.asked);
    again.alone = true;
    slot.open = false;
    --flight.open;
    waiting.push_front(std::move(again));
}

// A refusal is one replica's word about one copy.
void Session::State::on_refusal(ReplicaId from, const wire::Refusal& refusal) {
    if (refusal.code == wire::RefusalCode::disk_full) {
        without_room |= bit_of(from);
    }
    Stream* stream = nullptr;
    Flight* flight = find_flight(refusal.session, Seq(refusal.nonce), &stream);
    const ReplicaSet bit = bit_of(from);
    if (flight == nullptr || (flight->sent & bit) == 0) {
        return;
    }
    if (flight->unanswered[from.value] > 0) {
        --flight->unanswered[from.value];
    }
    flight->refusal = std::string(wire::name_of(refusal.code)) + (refusal.why.empty() ? "" : ", " + refusal.why);
    switch (refusal.code) {
        case wire::RefusalCode::denied: flight->refused_denied |= bit; break;
        case wire::RefusalCode::invalid: flight->refused_invalid |= bit; break;
        case wire::RefusalCode::expired: flight->refused_expired |= bit; break;
        default: break;
    }
    if (count_of(flight->refused_denied) >= quorum.w) {
        settle_all(*flight, {Certainty::not_applied, {}, {}, "not applied: this client has no right to do that", true});
    } else if (count_of(flight->refused_invalid) >= quorum.w) {
        settle_all(*flight, {Certainty::not_applied, {}, {}, "not applied: refused as " + flight->refusal, false});
    } else if (count_of(flight->refused_expired) >= quorum.w) {
        // An honest replica has executed a block later than not_after without it. What is believed of the time is too
        // low, and the refusals do not say by how much.
        clock.at_least(flight->envelope.not_after, now_ms);
        flight->sign_again = true;
    } else if (quorum.fb == 0 && writes_refused() && flight->refused_by_all()) {
        settle_all(*flight, {Certainty::not_applied,
                             {},
                             {},
                             "not applied: every replica that was asked refused it (" + flight->refusal + ")",
                             false});
    }
    forget_finished();
}

void Session::State::settle(Flight& flight, Slot& slot, WriteResult result) {
    LOYAL_ASSERT(slot.open, "an operation is answered once");
    slot.open = false;
    --flight.open;
    if (result.certainty == Certainty::done && flight.resends == 0) {
        const std::uint64_t sample = now_ms - flight.first_sent_ms;
        latency_ms = (7 * latency_ms + sample + 4) / 8;
    }
    writes_done.emplace_back(std::move(slot.asked.done), std::move(result));
}

void Session::State::settle_all(Flight& flight, const WriteResult& result) {
    for (Slot& slot : flight.slots) {
        if (slot.open) {
            settle(flight, slot, result);
        }
    }
}

WriteResult Session::State::timed_out(const Flight& flight, const Slot& slot) const {
    WriteResult result;
    const bool crash_only = quorum.fb == 0;
    // The refusal of an envelope of several operations does not say which of them were not executed.
    const bool expired = slot.expired || (flight.slots.size() == 1 && count_of(flight.refused_expired) >= quorum.w);
    if (flight.sent == 0) {
        result.certainty = Certainty::not_applied;
        result.why = "not applied: it was handed to no replica (" + connection_text() + ")";
    } else if (expired) {
        result.certainty = Certainty::not_applied;
        result.why = "not applied: it expired before it could be executed";
    } else if (crash_only && flight.refused_by_all()) {
        result.certainty = Certainty::not_applied;
        result.why = "not applied: every replica that was asked refused it (" + flight.refusal + ")";
    } else {
        result.certainty = Certainty::maybe_applied;
        result.why = "no answer from " + std::to_string(quorum.w) + " replicas that agree within " +
                     std::to_string(options.timeout_ms) + " ms (" + connection_text() + ")" +
                     (flight.refusal.empty() ? "" : "; last refusal: " + flight.refusal) +
                     "; it may have been applied, or may be within the next minutes: read before you repeat it";
    }
    return result;
}

// ---- Time

void Session::State::tick_writes() {
    while (!waiting.empty() && waiting.front().deadline_ms <= now_ms) {
        writes_done.emplace_back(std::move(waiting.front().done),
                                 WriteResult{Certainty::not_applied,
                                             {},
                                             {},
                                             "not applied: it could not be handed to the replicas within " +
                                                 std::to_string(options.timeout_ms) + " ms (" + connection_text() + ")",
                                             false});
        waiting.pop_front();
    }
    for (Stream& stream : streams) {
        for (Flight& flight : stream.flights) {
            for (Slot& slot : flight.slots) {
                if (slot.open && slot.asked.deadline_ms <= now_ms) {
                    settle(flight, slot, timed_out(flight, slot));
                }
            }
            if (flight.open != 0 && flight.next_resend_ms <= now_ms) {
                resend(flight);
            }
        }
    }
    forget_finished();
}

// Flights whose operations are all settled, and streams that have run out.
void Session::State::forget_finished() {
    for (auto stream = streams.begin(); stream != streams.end();) {
        stream->flights.remove_if([](const Flight& flight) { return flight.open == 0; });
        const bool last = std::next(stream) == streams.end();
        stream = stream->flights.empty() && !last ? streams.erase(stream) : std::next(stream);
    }
}

}  // namespace loyal::client
