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
void Core::State::start_view_change(View view) {
    if (view <= vs.promised || view.value >= limits::view_max) {
        return;
    }
    vs.promised = view;
    if (!committed_in_view) {
        backoff = std::min<std::uint64_t>(backoff + 1, 16);  // T6: doubles with every view that commits nothing
    }
    committed_in_view = false;
    waiting_new_view.reset();
    ViewChange message;
    message.new_view = view;
    message.lock = vs.lock;
    message.last_prep = vs.prep;
    message.voter = options.self;
    if (!crash_mode) {
        message.signature = signer.sign(signed_bytes(context, SignDomain::view_change, view_change_content(message)));
        message.certificate = lock_certificate;
    }
    own_view_change = message;
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

void Core::State::on_view_change(ReplicaId from, const ViewChange& message) {
    auto& known = view_changes[from.value];
    if (known && known->new_view > message.new_view) {
        return;
    }
    if (known && known->new_view == message.new_view) {
        if (!crash_mode && view_change_content(*known) != view_change_content(message)) {
            emit(Accuse{from, "E7", encode_view_change(*known), encode_view_change(message)});
        }
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
    start_view_change(ahead[quorum.w - 1]);
}

// V4. One NEWVIEW a view, ever: `leading` is durable before it leaves and survives a restart (pitfall 25).
void Core::State::try_new_view() {
    const View view = vs.promised;
    const bool led_before = vs.leading >= static_cast<std::int64_t>(view.value) && rules.has("D3");
    if (halted || !leads(view) || view <= vs.entered || led_before) {
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
    after_write.push_back({std::nullopt, message, next_persist()});
    enter_view(message);
}

// V5. The set, the signatures and the certificate were checked by the verifier.
void Core::State::on_new_view(ReplicaId from, const NewView& message) {
    if (message.view < vs.promised || message.view <= vs.entered || is_self(message.leader) || halted) {
        return;
    }
    if (!rules.has("V5-lower-base") && message.base.rank() < vs.lock.rank()) {
        return;  // mutant: a locked replica refuses to move (pitfall 14)
    }
    if (message.base.block.height < committed.height || tree.contains(message.base.block, committed) == Relation::no) {
        reject(from, "new view below what is committed here");
        return;
    }
    if (crash_mode && tree.first_missing(message.base.block, committed)) {
        waiting_new_view = message;
        return;
    }
    enter_view(message);
}

void Core::State::enter_view(const NewView& message) {
    vs.promised = vs.entered = message.view;
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
    // A chain that reaches the committed height elsewhere contradicts the certificates of both.
    if (tree.contains(base.block, committed) != Relation::yes) {
        if (base.block.height >= committed.height) {
            halt("the base of a new view contradicts what was committed here");
        }
        return;
    }
    for (const Header& header : tree.path(committed, base.block)) {
        BlockTree::Node* node = tree.find(header_id(context, header));
        if (!node->written) {
            node->written = true;
            node->persist = next_persist();
            to_write.emplace_back(BlockRecord{node->block});
        }
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
    emit(Accuse{leader_of(view, quorum.n), "E1", encode_block(*first), encode_block(*second)});
    if (in_view() && (view == vs.entered || !rules.has("V1"))) {
        start_view_change(rules.has("V1") ? vs.entered.next() : view.next());
    }
}

// A timer ran out. In the byzantine model that is reason enough; in crash mode, where one VIEW-CHANGE moves everybody,
// a quorum has to agree that the leader is gone (pre-vote, Raft thesis §9.6).
void Core::State::time_out(const char* why) {
    const View target = vs.promised.next();
    emit(Trace{std::string("time-out: ") + why});
    if (!crash_mode) {
        start_view_change(target);
        return;
    }
    pre_vote_for = target;
    pre_vote_sent = tick;
    std::fill(pre_vote_grants.begin(), pre_vote_grants.end(), false);
    pre_vote_grants[options.self.value] = true;
    send(std::nullopt, PreVote{target});
}

// Granted by whoever misses the leader as well, or is already on its way to a new view.
void Core::State::on_pre_vote(ReplicaId from, const PreVote& message) {
    const std::uint64_t silence = tick - last_leader_sign;
    const bool no_leader = !in_view() || silence >= ticks_of(5 * options.heartbeat_ms);
    const bool stuck = progress_deadline && *progress_deadline < tick + progress_ticks() / 2;
    if (crash_mode && message.new_view > vs.promised && !leads(vs.entered) && (no_leader || stuck)) {
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
        start_view_change(*pre_vote_for);
    }
}

}  // namespace loyal::consensus
