#include "client/session.h"

#include <algorithm>
#include <functional>

#include "client/session_state.h"
#include "config/assert.h"
#include "config/limits.h"

namespace loyal::client {

Session::State::State(const consensus::Membership& cluster, const crypto::Signer* key, SessionOptions chosen)
    : membership(cluster),
      signer(key),
      options(chosen),
      quorum(cluster.quorum()),
      clock(quorum.n, quorum.w),
      views(quorum.n),
      reads_of_all(options.reads_before_sparing),
      watches(quorum, {limits::watch_ahead_bytes_max, options.retry_ms}) {
    LOYAL_ASSERT(quorum.n >= 1 && quorum.n <= limits::replicas_max, "a cluster has a bounded number of replicas");
    LOYAL_ASSERT(signer != nullptr || membership.fault_model == consensus::FaultModel::crash,
                 "envelopes are signed in the byzantine fault model");
    Stream first;
    first.id = options.session;
    streams.push_back(std::move(first));
}

// A replica's view and time are hints. Neither is believed from fewer than w of them.
void Session::State::report(consensus::ReplicaId from, consensus::View reported, consensus::Hlc hlc) {
    clock.report(from, hlc, now_ms);
    views[from.value] = reported;
    guess_primary();
}

// The w-th highest view: some honest replica is at least there. With fewer reports the highest is as good a guess as
// any; a wrong one costs T_retry.
void Session::State::guess_primary() {
    std::vector<consensus::View> known;
    for (const auto& each : views) {
        if (each) {
            known.push_back(*each);
        }
    }
    if (known.empty()) {
        return;
    }
    std::sort(known.begin(), known.end(), std::greater<>());
    view = known[known.size() >= quorum.w ? quorum.w - 1 : 0];
    primary = consensus::leader_of(view, quorum.n);
}

std::string Session::State::connection_text() const {
    return std::to_string(count_of(connected)) + " of " + std::to_string(quorum.n) + " replicas connected, " +
           std::to_string(quorum.q) + " are needed";
}

// Completions may ask for more, which fills the lists again.
void Session::State::run_completions() {
    while (!writes_done.empty() || !reads_done.empty() || watches.has_news()) {
        auto writes = std::exchange(writes_done, {});
        auto answers = std::exchange(reads_done, {});
        for (auto& [done, result] : writes) {
            done(result);
        }
        for (auto& [done, result] : answers) {
            done(result);
        }
        watches.tell_news();
    }
}

Session::Session(const consensus::Membership& membership, const crypto::Signer* signer, SessionOptions options)
    : state_(std::make_unique<State>(membership, signer, options)) {}
Session::~Session() = default;

void Session::write(kvstore::Operation operation, std::uint64_t now_ms, OnWrite done) {
    State& s = *state_;
    s.now_ms = now_ms;
    s.write(std::move(operation), now_ms + s.options.timeout_ms, std::move(done));
}

void Session::read(kvstore::Query query, std::uint64_t now_ms, OnRead done,
                   std::optional<consensus::ReplicaId> stale_from) {
    State& s = *state_;
    s.now_ms = now_ms;
    s.read(std::move(query), std::move(done), stale_from);
}

void Session::read_in_order(kvstore::Query query, std::uint64_t now_ms, OnRead done) {
    State& s = *state_;
    s.now_ms = now_ms;
    s.read(std::move(query), std::move(done), std::nullopt, true);
}

void Session::connected(consensus::ReplicaId replica, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    if (replica.value >= s.quorum.n) {
        return;
    }
    s.connected |= bit_of(replica);
    s.watches.connected(replica, now_ms);
    for (Stream& stream : s.streams) {
        for (Flight& flight : stream.flights) {
            if (flight.to_all) {
                s.send(flight, replica);
            }
        }
    }
    for (auto& [nonce, read] : s.reads) {
        const bool wanted = !read.stale_from || *read.stale_from == replica;
        if ((read.round == 1 || read.round == 2) && wanted && (read.asked & bit_of(replica)) == 0) {
            s.ask(nonce, read, replica);
        }
    }
}

void Session::disconnected(consensus::ReplicaId replica, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    if (replica.value >= s.quorum.n || (s.connected & bit_of(replica)) == 0) {
        return;
    }
    s.connected &= ~bit_of(replica);
    s.watches.disconnected(replica);
    s.without_room &= ~bit_of(replica);
    s.views[replica.value].reset();
    s.guess_primary();
    for (Stream& stream : s.streams) {
        for (Flight& flight : stream.flights) {
            // What only this one was asked to do goes to the others at the next tick.
            if ((flight.sent & bit_of(replica)) != 0 && !flight.to_all) {
                flight.next_resend_ms = now_ms;
            }
        }
    }
    std::vector<std::uint64_t> touched;
    for (auto& [nonce, read] : s.reads) {
        const ReplicaSet bit = bit_of(replica);
        if ((read.asked & bit) != 0 && !read.replies[replica.value]) {
            // Asked again when it comes back, for the link took the question with it.
            read.asked &= ~bit;
            read.asked_in_full &= ~bit;
            touched.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : touched) {
        s.judge(nonce);
    }
    s.run_completions();
}

void Session::receive(consensus::ReplicaId from, const wire::ReplicaMessage& message, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    if (from.value >= s.quorum.n || s.closed) {
        return;
    }
    // Who speaks is known from the link, never from the message.
    if (const auto* reply = std::get_if<wire::Reply>(&message)) {
        s.report(from, reply->view, reply->hlc);
        s.on_reply(from, *reply);
    } else if (const auto* answer = std::get_if<wire::ReadReply>(&message)) {
        s.clock.report(from, answer->hlc, now_ms);
        s.on_read_reply(from, *answer);
    } else if (const auto* welcome = std::get_if<wire::Welcome>(&message)) {
        s.without_room &= ~bit_of(from);
        s.report(from, welcome->view, welcome->hlc);
    } else if (const auto* refusal = std::get_if<wire::Refusal>(&message)) {
        if (refusal->is_read) {
            s.on_read_refusal(from, *refusal);
        } else {
            s.on_refusal(from, *refusal);
        }
    } else if (const auto* events = std::get_if<wire::WatchEvents>(&message)) {
        s.watches.receive(from, *events, now_ms);
    } else if (const auto* progress = std::get_if<wire::WatchProgress>(&message)) {
        s.watches.receive(from, *progress, now_ms);
    } else if (const auto* end = std::get_if<wire::WatchEnd>(&message)) {
        s.watches.receive(from, *end, now_ms);
    }
    s.run_completions();
}

void Session::tick(std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    if (!s.closed) {
        s.tick_writes();
        s.tick_reads();
        s.watches.tick(now_ms);
    }
    s.run_completions();
}

void Session::unreachable(std::uint64_t asked_by_ms, const std::string& why, bool denied, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    if (count_of(s.connected) >= s.quorum.w) {
        return;
    }
    std::deque<Asked> later;
    for (Asked& asked : s.waiting) {
        if (asked.asked_ms > asked_by_ms) {
            later.push_back(std::move(asked));
            continue;
        }
        s.writes_done.emplace_back(std::move(asked.done),
                                   WriteResult{Certainty::not_applied, {}, {}, "not applied: " + why, denied});
    }
    s.waiting = std::move(later);
    for (Stream& stream : s.streams) {
        for (Flight& flight : stream.flights) {
            for (Slot& slot : flight.slots) {
                if (slot.open && flight.sent == 0 && slot.asked.asked_ms <= asked_by_ms) {
                    s.settle(flight, slot, {Certainty::not_applied, {}, {}, "not applied: " + why, denied});
                }
            }
        }
    }
    s.forget_finished();
    std::vector<std::uint64_t> failed;
    for (const auto& [nonce, read] : s.reads) {
        if (read.asked_ms <= asked_by_ms && (!read.stale_from || (s.connected & bit_of(*read.stale_from)) == 0)) {
            failed.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : failed) {
        ReadResult result;
        result.why = why;
        result.denied = denied;
        s.finish_read(nonce, std::move(result));
    }
    s.watches.fail_unheard(asked_by_ms, why, denied);
    s.run_completions();
}

void Session::not_reached(consensus::ReplicaId replica, const std::string& why, bool denied, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    std::vector<std::uint64_t> failed;
    for (const auto& [nonce, read] : s.reads) {
        if (read.stale_from == replica && read.asked_ms < now_ms) {
            failed.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : failed) {
        ReadResult result;
        result.why = why;
        result.denied = denied;
        s.finish_read(nonce, std::move(result));
    }
    s.run_completions();
}

std::vector<Outgoing> Session::take_outgoing() {
    State& s = *state_;
    if (!s.closed) {
        s.start_watches();
        s.launch_what_waits();
        s.start_reads();
    }
    for (Outgoing& out : s.watches.take_outgoing()) {
        s.outgoing.push_back(std::move(out));
    }
    return std::exchange(s.outgoing, {});
}

SessionStatus Session::status() const {
    const State& s = *state_;
    SessionStatus status{s.primary, s.view, 0, s.waiting.size(), s.resends};
    for (const Stream& stream : s.streams) {
        for (const Flight& flight : stream.flights) {
            status.in_flight += flight.open;
        }
    }
    return status;
}

bool Session::busy() const {
    const State& s = *state_;
    const bool flying =
        std::any_of(s.streams.begin(), s.streams.end(), [](const Stream& stream) { return !stream.flights.empty(); });
    return flying || !s.waiting.empty() || !s.reads.empty() || !s.writes_done.empty() || !s.reads_done.empty() ||
           s.watches.size() > 0;
}

void Session::close(const std::string& why) {
    State& s = *state_;
    s.closed = true;
    for (Asked& asked : std::exchange(s.waiting, {})) {
        s.writes_done.emplace_back(std::move(asked.done),
                                   WriteResult{Certainty::not_applied, {}, {}, "not applied: " + why, false});
    }
    for (Stream& stream : s.streams) {
        for (Flight& flight : stream.flights) {
            for (Slot& slot : flight.slots) {
                if (slot.open) {
                    WriteResult result = s.timed_out(flight, slot);
                    result.why = why + "; " + result.why;
                    s.settle(flight, slot, std::move(result));
                }
            }
        }
        stream.flights.clear();
    }
    std::vector<std::uint64_t> nonces;
    for (const auto& [nonce, read] : s.reads) {
        nonces.push_back(nonce);
    }
    for (const std::uint64_t nonce : nonces) {
        ReadResult result;
        result.why = why;
        s.finish_read(nonce, std::move(result));
    }
    s.end_watches(WatchNews::Ending::closed, why);
    s.outgoing.clear();
    s.run_completions();
}

}  // namespace loyal::client
