// View change: promise, report the lock, start from the highest one (rules V1 to V7; PBFT, OSDI'99 §4.4, with one lock
// per replica instead of per-slot sets, as in Jolteon, FC'22).
//
//   in view v --time-out, equivocation, END, w others ahead--> promised v' --leader: q VCs--> NEWVIEW(v')
//       --everybody--> entered v', prep = base --durable--> VOTE(v', base): the base is prepared again, and with it
//       everything that may have been committed.
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "consensus/core_state.h"
#include "consensus/view_change_safety.h"

namespace loyal::consensus {

// V2. The promise, the lock and the message's bytes are durable before it leaves; the lock is frozen from here on.
void Core::State::start_view_change(View view, Leaving why) {
    if (view <= vs.promised || view.value >= limits::view_max || !may_speak_in(view)) {
        return;
    }
    if (!rules.has("V2-after-commit") && last_vote && last_vote->view == vs.entered && last_vote->has_commit()) {
        return;  // mutant: a commit vote forbids the VIEW-CHANGE (pitfall 14, second variant)
    }
    note_leaving(why);
    remember_enough(view);
    vs.promised = view;
    committed_in_view = false;
    waiting_new_view.reset();
    const ViewChange& message = make_view_change();
    view_changes[options.self.value] = message;
    to_write.emplace_back(ViewChangeRecord{message});
    after_write.push_back({std::nullopt, message, rules.has("V2") ? next_persist() : PersistId()});
    last_view_change_sent = tick;
    view_change_deadline.reset();
    progress_deadline.reset();
    pre_vote_for.reset();
    held.clear();
    ++view_change_count;
    emit(Trace{"view change to " + std::to_string(view.value)});
    join_view_change();
}

const ViewChange& Core::State::make_view_change() {
    ViewChange message;
    message.new_view = vs.promised;
    message.lock = rules.has("N5-lock") ? vs.lock : Lock{LockView(), genesis};  // mutant: a lock that does not last
    message.last_prep = vs.prep;
    message.voter = options.self;
    if (!crash_mode) {
        message.signature = signer.sign(signed_bytes(context, SignDomain::view_change, view_change_content(message)));
        if (!message.lock.view.is_genesis()) {
            message.certificate = lock_certificate;
        }
    }
    own_view_change = std::move(message);
    return *own_view_change;
}

void Core::State::on_view_change(ReplicaId from, const ViewChange& message) {
    examine(message);
    auto& known = view_changes[from.value];
    if (known && known->new_view >= message.new_view) {
        return;
    }
    known = message;
    join_view_change();
}

std::size_t Core::State::view_changes_from(View view) const {
    return static_cast<std::size_t>(std::count_if(view_changes.begin(), view_changes.end(), [&](const auto& change) {
        return change && change->new_view >= view;
    }));
}

// V1: w distinct others promised more than this replica; one of them is correct, so the w-th largest is a view that a
// correct replica reached (Bracha's amplification). View numbers move by nothing else that a peer says (pitfall 28).
void Core::State::join_view_change() {
    std::vector<View> ahead;
    for (std::size_t i = 0; i < view_changes.size(); ++i) {
        const auto& change = view_changes[i];
        if (change && i != options.self.value && change->new_view > vs.promised) {
            ahead.push_back(change->new_view);
        }
    }
    if (ahead.size() < quorum.w) {
        return;
    }
    std::sort(ahead.begin(), ahead.end(), std::greater<>());
    start_view_change(ahead[quorum.w - 1], Leaving::joined);
}

// V4. One NEWVIEW a view, ever: `leading` is durable before it leaves and survives a restart (pitfall 25).
void Core::State::try_new_view() {
    const View view = vs.promised;
    const bool led_before = vs.leading >= static_cast<std::int64_t>(view.value) && rules.has("D3");
    if (halted || mute() || !leads(view) || view <= vs.entered || led_before) {
        return;
    }
    std::vector<ViewChange> chosen;
    for (const auto& change : view_changes) {
        if (change && change->new_view == view && chosen.size() < quorum.q) {
            chosen.push_back(*change);
        }
    }
    if (chosen.size() < quorum.q) {
        return;
    }
    if (!rules.has("V4-body") && std::any_of(chosen.begin(), chosen.end(), [&](const ViewChange& change) {
            return !tree.has_body(change.lock.block.id);
        })) {
        return;  // mutant: waits for the bodies of every lock (pitfall 21)
    }
    const auto selected = select_base(chosen, rules);
    if (!selected) {
        return;
    }
    NewView message;
    message.view = view;
    message.base = *selected;
    message.leader = options.self;
    for (ViewChange& change : chosen) {
        if (change.lock == *selected && change.certificate) {
            message.certificate = change.certificate;
        }
        change.certificate.reset();
    }
    message.view_changes = std::move(chosen);
    // Crash mode: a base that only its NEWVIEW's receivers locked, and nobody holds, could never be fetched again.
    if (crash_mode && tree.first_missing(message.base.block, committed)) {
        waiting_new_view = message;
        return;
    }
    if (!crash_mode) {
        message.signature = signer.sign(signed_bytes(context, SignDomain::new_view, new_view_content(message)));
    }
    vs.leading = static_cast<std::int64_t>(view.value);
    leading_persist = next_persist();
    after_write.push_back({std::nullopt, message, rules.has("D3") ? next_persist() : PersistId()});
    enter_view(message);
}

// V5. The set, the signatures and the certificate were checked by the verifier.
void Core::State::on_new_view(ReplicaId from, const NewView& message) {
    examine(message);
    if (message.view < vs.promised || message.view <= vs.entered || is_self(message.leader) || halted) {
        return;
    }
    if (!rules.has("V5-lower-base") && message.base.rank() < vs.lock.rank()) {
        return;  // mutant: a locked replica refuses to move (pitfall 14)
    }
    // A base below the committed head is no reason to refuse: this replica may have learned of the view's blocks first.
    for (const ViewChange& change : message.view_changes) {
        if (is_self(change.voter) && forgot(change) && !vs.amnesiac && rules.has("A1-echo")) {
            become_amnesiac("a new view holds a view change of this replica that its log does not know");
        }
    }
    if (contradicts_committed(message.base.block)) {
        reject(from, "new view that contradicts what is committed here");
        return;
    }
    if (crash_mode && tree.first_missing(message.base.block, committed)) {
        if (!waiting_new_view || waiting_new_view->view < message.view) {
            waiting_new_view = message;
        }
        return;
    }
    enter_view(message);
}

bool Core::State::contradicts_committed(const BlockRef& block) const {
    if (block.height > committed.height) {
        return tree.contains(block, committed) == Relation::no;
    }
    const auto id = committed_ids.find(block.height);
    return id != committed_ids.end() && id->second != block.id;
}

void Core::State::enter_view(const NewView& message) {
    note_entering(message);
    const ReplicaId former = leader();
    remember_enough(message.view);
    vs.promised = vs.entered = message.view;
    entered_tick = tick;
    base = message.base;
    new_view = message;
    waiting_new_view.reset();
    to_write.emplace_back(NewViewRecord{message});
    if (message.certificate) {
        tree.add_header(base.block.id, message.certificate->target);
    }
    base_ready = false;
    end_proposed = false;
    held.clear();
    wanted.clear();
    if (crash_mode && rules.has("8a")) {
        vs.lock = {LockView(message.view), base.block};  // rule 8a: the base is a lock, too (pitfall 17)
    }
    last_proposed = base.block;
    reset_view_timers();
    begin_tenure(former);
    pool.clear_in_chain();
    pool.restart_timers(tick, leads(vs.entered));
    emit(ViewEntered{vs.entered, leader()});
    finish_base();
}

// V5: the base is voted for again, which commits it in the new view without any new block (pitfall 11). Until its
// bodies are here and on their way to the disk, prep keeps its old value.
void Core::State::finish_base() {
    if (waiting_new_view && !tree.first_missing(waiting_new_view->base.block, committed)) {
        const NewView message = *waiting_new_view;
        waiting_new_view.reset();
        if (message.view >= vs.promised && message.view > vs.entered && !is_self(message.leader)) {
            enter_view(message);
        }
    }
    if (base_ready || !in_view() || tree.first_missing(base.block, committed)) {
        return;
    }
    // A leader may have started this view twice, and the others went on from the other base. Then, and when it is not
    // known whether the base is on the committed chain, this replica has no vote here until a committed block of the
    // view tells (advance_prep_by_commit): its votes of one view are on one chain.
    const auto known = committed_ids.find(base.block.height);
    const bool below = base.block == genesis || (known != committed_ids.end() && known->second == base.block.id);
    if (!below && tree.contains(base.block, committed) != Relation::yes) {
        return;
    }
    for (const Header& header : tree.path(committed, base.block)) {
        BlockTree::Node* node = tree.find(header_id(context, header));
        write_block(*node);
        pool.mark_in_chain(*node->block, true);
    }
    base_ready = true;
    if (rules.has("V5-revote")) {
        vs.prep = {vs.entered, base.block};
    }
}

// E1. Acts only in the view whose leader it is about, while this replica is in it (pitfall 28).
void Core::State::on_equivocation(const BlockPtr& first, const BlockPtr& second) {
    if (crash_mode) {
        return;
    }
    const View view = first->header.view;
    accuse(evidence_of_proposals(leader_of(view, quorum.n), *first, *second));
    if (in_view() && (view == vs.entered || !rules.has("V1"))) {
        start_view_change(rules.has("V1") ? vs.entered.next() : view.next(), Leaving::equivocation);
    }
}

// A timer ran out. In the byzantine model that is reason enough; in crash mode, where one VIEW-CHANGE moves everybody,
// a quorum has to agree that the leader is gone (pre-vote, Raft thesis §9.6).
void Core::State::time_out(const char* why) {
    const View target = vs.promised.next();
    if (!may_speak_in(target)) {
        return;
    }
    last_time_out = why;
    emit(Trace{std::string("time-out: ") + why});
    if (!crash_mode) {
        start_view_change(target, Leaving::timed_out);
        return;
    }
    pre_vote_for = target;
    pre_vote_sent = tick;
    std::fill(pre_vote_grants.begin(), pre_vote_grants.end(), false);
    pre_vote_grants[options.self.value] = true;
    send(std::nullopt, PreVote{target});
}

// Granted by whoever misses the leader as well, or is already on its way to a new view; by a leader itself when nothing
// that it proposes is committed (it may be the leader of a view that the others left).
void Core::State::on_pre_vote(ReplicaId from, const PreVote& message) {
    const std::uint64_t silence = tick - last_leader_sign;
    const bool no_leader = !in_view() || silence >= ticks_of(5 * options.heartbeat_ms);
    const bool stuck = progress_deadline && *progress_deadline < tick + progress_ticks() / 2;
    const bool leading = leads(vs.entered) && in_view();
    if (crash_mode && !mute() && message.new_view > vs.promised && (leading ? stuck : no_leader || stuck)) {
        send(from, PreVoteGrant{message.new_view});
    }
}

void Core::State::on_pre_vote_grant(ReplicaId from, const PreVoteGrant& message) {
    if (!pre_vote_for || message.new_view != *pre_vote_for || message.new_view <= vs.promised) {
        return;
    }
    pre_vote_grants[from.value] = true;
    const auto granted = std::count(pre_vote_grants.begin(), pre_vote_grants.end(), true);
    if (static_cast<std::size_t>(granted) >= quorum.q) {
        start_view_change(*pre_vote_for, Leaving::timed_out);
    }
}

}  // namespace loyal::consensus
