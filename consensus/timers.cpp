// Timers, counted in ticks (PROTOCOL.md §11): T1 progress, T4 silence, T5 fairness, T6 the view change's own;
// heartbeats, re-sending, and handing clients' envelopes to the leader (C2). Time never decides what is true, only when
// to try something else (FLP; Dwork, Lynch, Stockmeyer 1988).
#include <algorithm>

#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

constexpr std::uint64_t silence_heartbeats = 10;  // T4
constexpr std::uint64_t resend_heartbeats = 4;    // N10, V7
constexpr std::uint64_t fairness_progress = 4;    // T5, in Tp
constexpr std::uint64_t order_latencies = 8;      // T1

}  // namespace

// Tp = clamp(8*L0, Tmin, Tmax) * 2^k, capped again at Tmax.
std::uint64_t Core::State::progress_ticks() const {
    const std::uint64_t first =
        std::clamp(order_latencies * options.order_latency_ms, options.progress_min_ms, options.progress_max_ms);
    const std::uint64_t doubled = backoff < 16 ? first << backoff : options.progress_max_ms;
    return std::max<std::uint64_t>(1, ticks_of(std::min(doubled, options.progress_max_ms)));
}

void Core::State::on_tick() {
    ++tick;
    if (halted) {
        return;
    }
    relay_envelopes();
    check_progress_timer();
    check_view_change_timer();
    resend();
    heartbeat();
    fetch_what_is_missing();
    // Commit certificates wait for the next write, but not for ever: peers that catch up need them.
    flush_lazily = !to_write_lazily.empty() && tick - last_commit >= ticks_of(options.heartbeat_ms);
    // T6: a second of commits takes one doubling back.
    const std::uint64_t second = ticks_of(1'000);
    if (backoff > 0 && tick - last_backoff_decay >= second && tick - last_commit < second) {
        --backoff;
        last_backoff_decay = tick;
    }
}

// C2: a backup hands over what a client sent to it, unless the leader proposes it within L0. From then on the leader
// has to order it, and T1 and T5 run (pitfall 23).
void Core::State::relay_envelopes() {
    if (!in_view() || leads(vs.entered)) {
        return;
    }
    const std::uint64_t patience = ticks_of(options.order_latency_ms);
    for (EnvelopePool::Entry& entry : pool.entries()) {
        if (entry.at_leader_tick || entry.in_chain || tick - entry.arrived_tick < patience) {
            continue;
        }
        entry.at_leader_tick = tick;
        send(leader(), Relay{entry.envelope});
    }
}

bool Core::State::has_work() const {
    if (vs.prep.block.height > committed.height || !held.empty() || !base_ready) {
        return true;
    }
    return std::any_of(pool.entries().begin(), pool.entries().end(),
                       [](const EnvelopePool::Entry& entry) { return entry.at_leader_tick.has_value(); });
}

void Core::State::check_progress_timer() {
    if (!in_view()) {
        return;
    }
    const bool retry_due = !pre_vote_for || tick - pre_vote_sent >= ticks_of(resend_heartbeats * options.heartbeat_ms);
    if (!leads(vs.entered) && tick - last_leader_sign >= ticks_of(silence_heartbeats * options.heartbeat_ms)) {
        if (retry_due) {
            time_out("the primary is silent");
        }
        return;
    }
    if (!has_work()) {
        progress_deadline.reset();
        return;
    }
    if (!progress_deadline) {
        progress_deadline = tick + progress_ticks();
        return;
    }
    const bool unfair = std::any_of(pool.entries().begin(), pool.entries().end(), [&](const auto& entry) {
        return entry.at_leader_tick && !entry.in_chain &&
               tick - *entry.at_leader_tick >= fairness_progress * progress_ticks();
    });
    if (tick >= *progress_deadline) {
        if (retry_due) {
            time_out("no progress");
        }
    } else if (unfair && !leads(vs.entered) && retry_due) {
        time_out("the primary leaves an envelope out");
    }
}

// T6: runs from the moment when a quorum wants this view or a later one.
void Core::State::check_view_change_timer() {
    if (in_view() || view_changes_from(vs.promised) < quorum.q) {
        return;
    }
    if (!view_change_deadline) {
        view_change_deadline = tick + progress_ticks();
        return;
    }
    if (tick >= *view_change_deadline) {
        emit(Trace{"time-out: no new view"});
        start_view_change(vs.promised.next());
    }
}

void Core::State::resend() {
    const std::uint64_t interval = ticks_of(resend_heartbeats * options.heartbeat_ms);
    if (!in_view() && own_view_change && tick - last_view_change_sent >= interval) {
        last_view_change_sent = tick;
        // Byte-identical, and only once it is durable (pitfalls 2 and 14).
        if (durable.promised == own_view_change->new_view) {
            send(std::nullopt, *own_view_change);
        }
    }
    const bool uncommitted = vs.prep.block.height > committed.height;
    if (in_view() && uncommitted && last_vote && last_vote->view == vs.entered && tick - last_vote_sent >= interval) {
        last_vote_sent = tick;
        if (!crash_mode) {
            send(std::nullopt, *last_vote);
        } else if (!is_self(leader())) {
            send(leader(), *last_vote);
        }
    }
}

void Core::State::heartbeat() {
    const bool leading = leads(vs.entered) && may_propose();
    const std::uint64_t interval = ticks_of((leading ? 1 : resend_heartbeats) * options.heartbeat_ms);
    // In crash mode backups learn of commits only from the leader: it tells them soon.
    const bool news = crash_mode && leading && committed.height > announced;
    if (tick - last_heartbeat_sent < interval && !news) {
        return;
    }
    last_heartbeat_sent = tick;
    announced = committed.height;
    send(std::nullopt, Heartbeat{vs.entered, vs.promised, committed.height, vs.prep.block.height});
}

void Core::State::note_leader_sign(View view) {
    if (view == vs.entered) {
        last_leader_sign = tick;
        pre_vote_for.reset();
    }
}

void Core::State::note_progress() {
    last_commit = tick;
    committed_in_view = true;
    progress_deadline.reset();
    pre_vote_for.reset();
}

void Core::State::reset_view_timers() {
    last_leader_sign = tick;
    progress_deadline.reset();
    view_change_deadline.reset();
    pre_vote_for.reset();
    committed_in_view = false;
}

}  // namespace loyal::consensus
