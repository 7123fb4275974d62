// Timers, counted in ticks (PROTOCOL.md §11): T1 progress, T4 silence, T5 fairness, T6 the view change's own;
// heartbeats, re-sending, and handing clients' envelopes to the leader (C2). tenure.cpp has what is learned about
// leaders. Time never decides what is true, only when to try something else (FLP; Dwork, Lynch, Stockmeyer 1988).
#include <algorithm>

#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

constexpr std::uint64_t silence_heartbeats = 10;     // T4: at the latest
constexpr std::uint64_t silence_heartbeats_min = 5;  // T4: at the earliest, whatever phi is
constexpr std::uint64_t resend_heartbeats = 4;       // N10, V7
constexpr std::uint64_t fairness_progress = 4;       // T5, in Tp
constexpr std::uint64_t order_latencies = 8;         // T1
constexpr std::uint64_t relays_per_tick_max = 32;    // C2: a peer takes few at once
constexpr std::uint64_t former_leader_ms = 1'000;    // C2: clients go on sending to the last leader for so long
constexpr std::uint64_t tenure_grace_percent = 10;   // L1
constexpr std::uint64_t backoff_shift_max = 16;

}  // namespace

// Tp = clamp(8*Lhat, Tmin, Tmax) * 2^k, capped again at Tmax (T1, T2, T6).
std::uint64_t Core::State::progress_ms(View view) const {
    const std::uint64_t latency = options.adaptive && rules.has("T2")
                                      ? leaders.expected_latency_ms(leader_of(view, quorum.n))
                                      : options.order_latency_ms;
    const std::uint64_t first = std::clamp(order_latencies * latency, options.progress_min_ms, options.progress_max_ms);
    const std::uint64_t doubled = first << std::min(backoff, backoff_shift_max);
    return rules.has("T6") ? std::min(doubled, options.progress_max_ms) : doubled;
}

// H3: a tenth more for every doubling of the time-outs, so that a setting that is too small for the network heals (PBTS
// with adaptive SynchronyParams). Bounded like the doublings.
std::uint64_t Core::State::message_delay_ms() const {
    std::uint64_t delay_ms = options.message_delay_ms;
    for (std::uint64_t i = 0; i < std::min(backoff, backoff_shift_max) && rules.has("H3"); ++i) {
        delay_ms += delay_ms / 10;
    }
    return delay_ms;
}

std::uint64_t Core::State::progress_ticks() const {
    return std::max<std::uint64_t>(1, ticks_of(progress_ms(vs.entered)));
}

// L2: until its view commits something, a leader that was deposed lately gets what a healthy one needs, no more.
// Bounded from below, and doubled like every other time-out, so that a healthy one in a slow network gets its turn.
std::uint64_t Core::State::first_progress_ticks(View view) const {
    const std::uint64_t normal_ms = progress_ms(view);
    if (!options.adaptive || !rules.has("L2") || !suspects.suspected(leader_of(view, quorum.n))) {
        return std::max<std::uint64_t>(1, ticks_of(normal_ms));
    }
    const std::uint64_t shortest_ms = std::max(options.progress_min_ms / 4, 2 * options.heartbeat_ms);
    const std::uint64_t needed_ms = std::clamp(suspects.first_timeout_ms(options.order_latency_ms), shortest_ms,
                                               std::max(shortest_ms, options.progress_max_ms));
    return std::max<std::uint64_t>(1, ticks_of(std::min(needed_ms << std::min(backoff, backoff_shift_max), normal_ms)));
}

void Core::State::on_tick() {
    ++tick;
    if (halted) {
        return;
    }
    relay_envelopes();
    check_leader();
    check_view_change_timer();
    recover_amnesiacs();
    resend();
    heartbeat();
    fetch_what_is_missing();
    fetch_damaged();
    check_transfer();
    // Commit certificates wait for the next write, but not for ever: peers that catch up need them.
    flush_lazily = !to_write_lazily.empty() && tick - last_commit >= ticks_of(options.heartbeat_ms);
    decay_backoff();
}

// T6: a second of commits takes one doubling back, so that no attack on the network outlives itself (pitfall 15).
void Core::State::decay_backoff() {
    const std::uint64_t second = ticks_of(1'000);
    if (backoff > 0 && tick - last_backoff_decay >= second && tick - last_commit < second && rules.has("T6")) {
        --backoff;
        last_backoff_decay = tick;
    }
}

// C2: a backup hands over what a client sent to it, unless the leader proposes it within L0. From then on the leader
// has to order it, and T1 and T5 run (pitfall 23). Links break, so what is still missing later is handed over again, a
// few at a time. Who led until just now does not wait: clients sent to it because it was the leader.
void Core::State::relay_envelopes() {
    if (!in_view() || leads(vs.entered)) {
        return;
    }
    const bool former = led_until && tick - *led_until < ticks_of(former_leader_ms);
    const std::uint64_t patience = former ? 0 : ticks_of(options.order_latency_ms);
    const std::uint64_t again = std::max(progress_ticks() / 4, ticks_of(resend_heartbeats * options.heartbeat_ms));
    std::uint64_t sent = 0;
    for (EnvelopePool::Entry& entry : pool.entries()) {
        if (!rules.has("C2")) {
            entry.at_leader_tick = entry.arrived_tick;  // mutant: blames the leader for what it may never have got
            continue;
        }
        const std::uint64_t since = entry.at_leader_tick ? entry.relayed_tick : entry.arrived_tick;
        if (entry.in_chain || tick - since < (entry.at_leader_tick ? again : patience)) {
            continue;
        }
        if (++sent > relays_per_tick_max) {
            break;
        }
        entry.at_leader_tick = entry.at_leader_tick.value_or(tick);
        entry.relayed_tick = tick;
        send(leader(), Relay{entry.envelope});
    }
}

bool Core::State::has_work() const {
    if (vs.prep.block.height > committed.height || !held.empty() || !base_ready || time_is_due()) {
        return true;
    }
    return std::any_of(pool.entries().begin(), pool.entries().end(),
                       [](const EnvelopePool::Entry& entry) { return entry.at_leader_tick.has_value(); });
}

// T4. Between five and ten missing heartbeats phi decides, once enough intervals of this view are known. Doubles with
// every other time-out: heartbeats queue behind blocks on a narrow link, and views that end before their first block
// passed would follow one another for ever.
bool Core::State::silent_leader() const {
    const std::uint64_t silence_ms = (tick - last_leader_sign) * options.tick_ms;
    const auto limit_ms = [&](std::uint64_t missing) {
        const std::uint64_t shift = rules.has("T4-backoff") ? std::min(backoff, backoff_shift_max) : 0;
        return std::min((missing * options.heartbeat_ms) << shift,
                        std::max(options.progress_max_ms, missing * options.heartbeat_ms));
    };
    if (leads(vs.entered) || silence_ms < limit_ms(silence_heartbeats_min)) {
        return false;
    }
    const HeartbeatWindow& heard = heartbeats.at(leader().value);
    const bool suspicious =
        options.adaptive && rules.has("T4-phi") && heard.trained() && heard.phi(now_ms()) >= options.phi_threshold;
    return suspicious || silence_ms >= limit_ms(silence_heartbeats);
}

// T1, T5 and T3 are suspended while w peers, one of them correct, have committed more than W beyond what was executed
// here: the leader serves others, and this replica has to catch up first.
bool Core::State::lags_behind() const {
    const auto ahead = std::count_if(peers.begin(), peers.end(),
                                     [&](const Heartbeat& beat) { return beat.committed > executed.plus(window); });
    return static_cast<std::size_t>(ahead) >= quorum.w && rules.has("T1-behind");
}

// Whether the leader of the entered view should go, and why. In crash mode a question to the others comes first, and
// is repeated.
void Core::State::check_leader() {
    if (!in_view()) {
        return;
    }
    // The END was committed before the view was entered here.
    if (end_in_chain() && committed == vs.prep.block) {
        start_view_change(vs.entered.next(), Leaving::tenure_ended);
        return;
    }
    if (!tenure_began && vs.prep.view == vs.entered && vs.prep.block.height > base.block.height) {
        tenure_began = tick;
    }
    const char* slow = slow_leader();
    const bool retry_due = !pre_vote_for || tick - pre_vote_sent >= ticks_of(resend_heartbeats * options.heartbeat_ms);
    if (silent_leader()) {
        if (retry_due) {
            time_out("the primary is silent");
        }
        return;
    }
    if (lags_behind() || awaits_own_root()) {
        progress_deadline.reset();
        return;
    }
    if (!leads(vs.entered) && !end_in_chain() && tenure_over(tenure_grace_percent)) {
        time_out("the primary stays beyond its tenure");
        return;
    }
    if (slow != nullptr) {
        time_out(slow);
        return;
    }
    check_progress_timer(retry_due);
}

void Core::State::check_progress_timer(bool retry_due) {
    if (!has_work()) {
        progress_deadline.reset();
        return;
    }
    if (!progress_deadline) {
        progress_deadline = tick + (committed_in_view ? progress_ticks() : first_progress_ticks(vs.entered));
        return;
    }
    if (tick >= *progress_deadline && rules.has("T1")) {
        if (retry_due) {
            time_out("no progress");
        }
        return;
    }
    const bool unfair = std::any_of(pool.entries().begin(), pool.entries().end(), [&](const auto& entry) {
        return entry.at_leader_tick && !entry.in_chain &&
               tick - *entry.at_leader_tick >= fairness_progress * progress_ticks();
    });
    if (unfair && !leads(vs.entered) && retry_due && rules.has("T5")) {
        time_out("the primary leaves an envelope out");
    }
}

// T6: runs from the moment when a quorum wants this view or a later one.
void Core::State::check_view_change_timer() {
    if (in_view() || view_changes_from(vs.promised) < quorum.q || !may_speak_in(vs.promised.next())) {
        return;
    }
    if (!view_change_deadline) {
        view_change_deadline = tick + first_progress_ticks(vs.promised);
        return;
    }
    if (tick >= *view_change_deadline) {
        last_time_out = "no new view";
        emit(Trace{"time-out: no new view"});
        start_view_change(vs.promised.next(), Leaving::no_new_view);
    }
}

void Core::State::resend() {
    if (mute()) {
        return;
    }
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
    send(std::nullopt, Heartbeat{vs.entered, vs.promised, committed_to_tell(), vs.prep.block.height});
}

void Core::State::note_leader_sign(View view) {
    if (view == vs.entered) {
        last_leader_sign = tick;
        pre_vote_for.reset();
        heartbeats.at(leader().value).arrived(now_ms());
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
