// A leader's tenure: what it achieves (T2, T3), when it ends by plan (L1), and what is remembered of leaders that were
// deposed (L2). Everything here only decides when to try another leader; none of it is ever a reason to believe
// anything (PROTOCOL.md §11).
//
//   first block of view v --tenure--> END block --committed--> VIEW-CHANGE(v+1) everywhere, no time-out, no suspicion
//                                   \--no END within the grace--> time-out of the leader
#include <algorithm>

#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

constexpr std::uint64_t backup_heartbeats = 4;  // a backup sends one where a leader sends four
constexpr std::uint64_t backoff_max = 16;

}  // namespace

void Core::State::begin_tenure(ReplicaId former) {
    leaders.begin_tenure(leader(), now_ms());
    heartbeats.at(former.value).restart(now_ms(), backup_heartbeats * options.heartbeat_ms);
    heartbeats.at(leader().value).restart(now_ms(), options.heartbeat_ms);
    tenure_began.reset();
}

// ---- Leaving and entering views

// T6: the time-out doubles with every view that commits nothing, but not with one that ended by plan. A leader is
// remembered as deposed once the next view is entered.
void Core::State::note_leaving(Leaving why) {
    const bool leaves_view = in_view();
    const bool joins_planned = why == Leaving::joined && (end_in_chain() || somebody_recovers());
    const bool planned = leaves_view && (why == Leaving::tenure_ended || why == Leaving::recovering || joins_planned);
    const ReplicaId failed = leader_of(leaves_view ? vs.entered : vs.promised, quorum.n);
    const bool at_cap = progress_ms(vs.promised) >= options.progress_max_ms && rules.has("T6");
    if (!planned && !committed_in_view && !at_cap) {
        backoff = std::min(backoff + 1, backoff_max);
        backoff_raised = backoff_raised || leaves_view;
    }
    const bool by_time_out = why == Leaving::timed_out || why == Leaving::no_new_view || why == Leaving::joined;
    if (by_time_out && !planned && !is_self(failed) && left_by_time_out.size() < quorum.n) {
        left_by_time_out.push_back(failed);
    }
}

// A replica that others took along learns here, from the base, that the view it left ended by plan.
void Core::State::note_entering(const NewView& message) {
    std::optional<ReplicaId> retired;
    if (message.certificate && (message.certificate->target.flags & flag_end) != 0) {
        retired = leader_of(message.certificate->target.view, quorum.n);
        if (backoff_raised && backoff > 0 && message.certificate->target.view == vs.entered) {
            --backoff;
        }
    }
    for (const ReplicaId leader : left_by_time_out) {
        if (leader != retired) {
            suspects.deposed(leader);
        }
    }
    left_by_time_out.clear();
    backoff_raised = false;
    led_until = leads(vs.entered) ? std::optional(tick) : std::nullopt;
}

// ---- What is observed

void Core::State::note_heartbeat(ReplicaId from) {
    if (from != leader()) {  // the leader's count in its view only: note_leader_sign
        heartbeats.at(from.value).arrived(now_ms());
    }
}

// T2: from the moment when the leader had to have it (C2) to commit; execution is not the leader's fault.
void Core::State::note_ordered(const BlockTree::Node& node) {
    if (node.block == nullptr) {
        return;
    }
    const bool of_view = node.header.view == vs.entered;
    std::uint64_t done = 0;
    for (const Envelope& envelope : node.block->envelopes) {
        done += work.work_of(envelope.client, envelope.session, envelope.seq0, envelope.count, envelope.bytes.size());
        const EnvelopePool::Entry* entry = of_view ? pool.find(envelope.digest) : nullptr;
        if (entry != nullptr) {
            leaders.ordered((tick - entry->at_leader_tick.value_or(entry->arrived_tick)) * options.tick_ms);
        }
    }
    if (of_view) {
        leaders.committed(done);
        suspects.cleared(leader());
        if (crash_mode) {
            note_prepared(node);
        }
    }
}

void Core::State::note_prepared(const BlockTree::Node& node) {
    if (node.appended_tick != 0) {
        suspects.prepared((tick - node.appended_tick) * options.tick_ms);
    }
}

void Core::State::note_synced(PersistId id) {
    while (!syncing.empty() && syncing.front().first <= id) {
        suspects.synced((tick - syncing.front().second) * options.tick_ms);
        syncing.pop_front();
    }
}

// T3, once a tick. A backlog is an envelope that the leader was handed (C2) and has not proposed.
const char* Core::State::slow_leader() {
    leaders.waiting(std::any_of(pool.entries().begin(), pool.entries().end(), [](const EnvelopePool::Entry& entry) {
        return entry.at_leader_tick.has_value() && !entry.in_chain;
    }));
    const LeaderBook::Slow slow = leaders.check(now_ms());
    // In the crash model a slow leader is no traitor, and a quorum would not agree to depose it (§8 (f)).
    if (!options.adaptive || crash_mode || !rules.has("T3") || leads(vs.entered)) {
        return nullptr;
    }
    switch (slow) {
        case LeaderBook::Slow::late: return rules.has("T3-latency") ? "the primary orders late" : nullptr;
        case LeaderBook::Slow::few: return rules.has("T3-rate") ? "the primary orders too little" : nullptr;
        case LeaderBook::Slow::no: break;
    }
    return nullptr;
}

// ---- L1

bool Core::State::tenure_limited() const {
    return !crash_mode && options.tenure_ms != 0 && rules.has("L1");
}

// A tenure's time runs from the view's first block: an idle leader does no harm, and its cluster writes no END blocks.
bool Core::State::tenure_over(std::uint64_t grace_percent) const {
    if (!tenure_limited() || !tenure_began) {
        return false;
    }
    const std::uint64_t blocks = vs.prep.block.height.value - std::min(vs.prep.block.height, base.block.height).value;
    // An END that is on its way is no reason to depose: short tenures get a grace that fits a time-out.
    const std::uint64_t grace_ms =
        grace_percent == 0 ? 0 : std::max(options.tenure_ms * grace_percent / 100, 2 * options.progress_min_ms);
    const bool too_many = options.tenure_blocks != 0 && blocks * 100 >= options.tenure_blocks * (100 + grace_percent);
    return too_many || (tick - *tenure_began) * options.tick_ms >= options.tenure_ms + grace_ms;
}

bool Core::State::end_in_chain() const {
    const BlockTree::Node* head = vs.prep.view == vs.entered ? tree.find(vs.prep.block.id) : nullptr;
    return head != nullptr && head->header.view == vs.entered && (head->header.flags & flag_end) != 0;
}

// ---- Status

void Core::State::fill(Status& status) const {
    for (std::size_t i = 0; i < quorum.n; ++i) {
        const ReplicaId replica(static_cast<std::uint16_t>(i));
        PeerSuspicion suspicion;
        if (!is_self(replica)) {
            suspicion.phi = heartbeats[i].phi(now_ms());
            suspicion.interval_ms = heartbeats[i].interval_ms();
            suspicion.deposed = suspects.times_deposed(replica);
        }
        suspicion.order_latency_ms = leaders.latency_ms(replica);
        status.suspicion.push_back(suspicion);
    }
    status.progress_timeout_ms = progress_ms(vs.entered);
    status.last_time_out = last_time_out;
}

}  // namespace loyal::consensus
