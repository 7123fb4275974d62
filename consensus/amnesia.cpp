// A replica that may have forgotten votes (PROTOCOL.md §14, A1 to A5; VR recovery: Liskov and Cowling, 2012, §4.3, with
// the estimation of views of PBFT's proactive recovery, TOCS'02).
//
//   votes lost, or a peer's echo of a vote that the voting state does not cover --> amnesiac (durable): signs nothing
//   RECOVER to all --n-q+fb+1 proofs of views--> M: nothing that was forgotten is of a view above M+2
//   the others rotate; the amnesiac follows, silent --lock of a view u > M+2, formed without it--> may go on
//   next promise or NEWVIEW, of a view above u --> amnesiac no more (same transaction), votes again
#include <algorithm>
#include <tuple>

#include "consensus/core_state.h"
#include "crypto/canonical.h"

namespace loyal::consensus {
namespace {

constexpr std::uint64_t ask_heartbeats = 4;      // A3: between RECOVERs
constexpr std::uint64_t answer_ms = 1'000;       // A3: a peer is answered once in so long
constexpr std::uint64_t asking_heartbeats = 12;  // A4: who is not heard for so long has gone on, or is gone

auto rank_of(const Vote& vote) {
    return std::tuple(vote.view, vote.prep.height, vote.com.height);
}

// Lexicographic, view first. One view has one chain, so another block at the same rank was forgotten as well.
bool beyond(std::pair<std::int64_t, std::uint64_t> said_rank, const BlockRef& said,
            std::pair<std::int64_t, std::uint64_t> own_rank, const BlockRef& own) {
    return said_rank > own_rank || (said_rank == own_rank && said.id != own.id);
}

std::pair<std::int64_t, std::uint64_t> rank_in(View view, const BlockRef& block) {
    return {LockView(view).value, block.height.value};
}

}  // namespace

// ---- A1

// Compared with what was decided, which is at least what is durable, which is at least what was ever sent: an echo
// never makes an amnesiac of a replica whose disk kept everything (pitfall 27).
bool Core::State::forgot(const Vote& vote) const {
    return vote.view > vs.entered ||
           beyond(rank_in(vote.view, vote.prep), vote.prep, rank_in(vs.prep.view, vs.prep.block), vs.prep.block) ||
           (vote.has_commit() && beyond(rank_in(vote.view, vote.com), vote.com, vs.lock.rank(), vs.lock.block));
}

bool Core::State::forgot(const ViewChange& change) const {
    return change.new_view > vs.promised || change.lock.rank() > vs.lock.rank() ||
           rank_in(change.last_prep.view, change.last_prep.block) > rank_in(vs.prep.view, vs.prep.block);
}

// The voting state of an amnesiac is where its silence starts from, and need not be more than that. What does not fit
// together is dropped.
void Core::State::recover_amnesia(const Recovered& recovered) {
    if (recovered.votes_lost.empty() && !vs.amnesiac) {
        return;
    }
    const bool genesis_lock = vs.lock.view.is_genesis() && vs.lock.block == genesis;
    const bool certified = lock_certificate && vs.lock.view.is(lock_certificate->view) &&
                           vs.lock.block.height == lock_certificate->target.height &&
                           vs.lock.block.id == header_id(context, lock_certificate->target);
    const bool view_known = vs.entered.value == 0 || (new_view && new_view->view == vs.entered);
    const bool prep_known = vs.prep.block.height.value != 0 || vs.prep.block == genesis;
    if (!view_known || !prep_known || !(genesis_lock || (crash_mode ? !vs.lock.view.is_genesis() : certified))) {
        base = {LockView(), genesis};
        vs = VotingState{};
        vs.prep = {View(0), genesis};
        vs.lock = base;
        base_ready = true;
        new_view.reset();
        lock_certificate.reset();
        own_view_change.reset();
        written = durable = vs;
    }
    // Not known to be on disk: the first Persist says it.
    written.amnesiac = durable.amnesiac = recovered.votes_lost.empty();
    vs.amnesiac = true;
}

// The signatures were checked, and bind the epoch; in the crash model the peer's word counts.
void Core::State::on_echo(ReplicaId from, const Echo& message) {
    if (vs.amnesiac || !rules.has("A1-echo")) {
        return;
    }
    const std::string who = "replica " + std::to_string(from.value);
    if (message.vote && is_self(message.vote->voter) && forgot(*message.vote)) {
        become_amnesiac(who + " holds a vote of this replica that its log does not know");
    } else if (message.view_change && is_self(message.view_change->voter) && forgot(*message.view_change)) {
        become_amnesiac(who + " holds a view change of this replica that its log does not know");
    }
}

void Core::State::become_amnesiac(const std::string& why) {
    vs.amnesiac = true;
    recovery = Recovery(quorum.n);
    after_write.clear();  // decided in this batch, by what is not known to be all (A2)
    pre_vote_for.reset();
    progress_deadline.reset();
    view_change_deadline.reset();
    emit(Trace{"amnesiac: " + why});
}

std::optional<Echo> Core::echo_for(ReplicaId peer) const {
    const State& state = *state_;
    Echo echo{state.votes.latest(peer), std::nullopt};
    if (state.lock_certificate) {  // durable here, and so known after a restart
        for (const Vote& vote : state.lock_certificate->votes) {
            if (vote.voter == peer && (!echo.vote || rank_of(vote) > rank_of(*echo.vote))) {
                echo.vote = vote;
            }
        }
    }
    echo.view_change = state.view_changes.at(peer.value);
    if (state.new_view) {
        for (const ViewChange& change : state.new_view->view_changes) {
            if (change.voter == peer && (!echo.view_change || change.new_view > echo.view_change->new_view)) {
                echo.view_change = change;
            }
        }
    }
    if (echo.view_change) {
        echo.view_change->certificate.reset();
    }
    return echo.vote || echo.view_change ? std::optional(std::move(echo)) : std::nullopt;
}

// ---- A2, A5: silence, and its end

bool Core::State::mute() const {
    return vs.amnesiac && rules.has("A2");
}

// The view u of A5: its PREP certificate is the own lock, formed without this replica, which was silent; in the crash
// model its base or a later block of it is accepted here, which is the same there (rule 8a). A base that is the genesis
// block says that nothing was committed before u, and there is nothing to certify.
std::optional<View> Core::State::silent_view() const {
    if (!recovery.highest || halted || !state_lost.empty()) {
        return std::nullopt;
    }
    const View forgotten = recovery.highest->plus(rules.has("A5-M2") ? 2 : 0);
    if (!vs.lock.view.before(forgotten.next())) {
        return View(static_cast<std::uint64_t>(vs.lock.view.value));
    }
    const bool empty_before = base.block == genesis && base_ready && vs.entered > forgotten;
    return empty_before ? std::optional(vs.entered) : std::nullopt;
}

// True if this replica may promise or enter `view` as one that speaks.
bool Core::State::may_speak_in(View view) const {
    if (!mute()) {
        return true;
    }
    const auto silent = silent_view();
    return silent && view > *silent;
}

// Part of the transaction that makes a promise or an entry of `view` durable; lock and last prepare head are those of
// u.
void Core::State::remember_enough(View view) {
    const auto silent = silent_view();
    if (mute() && silent && view > *silent) {
        emit(Trace{"no longer amnesiac: it holds the lock of view " + std::to_string(silent->value)});
        vs.amnesiac = false;
        recovery = Recovery(quorum.n);
    }
}

// ---- A3: the amnesiac's side

// The core has no random source. The link keeps old answers out already (every connection has keys of its own); the
// nonce parts the questions of one process from those of the one before it.
void Core::State::ask_to_recover() {
    if (!mute() ||
        (recovery.nonce != 0 && tick - recovery.asked_tick < ticks_of(ask_heartbeats * options.heartbeat_ms))) {
        return;
    }
    if (recovery.nonce == 0) {
        crypto::CanonicalWriter seed;
        seed.number(options.self.value);
        seed.number(wall_ms);
        seed.number(tick);
        const crypto::Digest digest = crypto::digest_of("recover", seed.view());
        recovery.nonce = crypto::CanonicalReader(digest.view()).number<std::uint64_t>() | 1U;
    }
    recovery.asked_tick = tick;
    send(std::nullopt, Recover{recovery.nonce});
}

// The verifier checked that an honest replica promised the proven view. The first answers count: those that come later
// know of the rotations that were made for this replica's sake.
void Core::State::on_recover_ack(ReplicaId from, const RecoverAck& message) {
    if (!vs.amnesiac || recovery.highest || recovery.nonce == 0 || message.nonce != recovery.nonce) {
        return;
    }
    auto& proven = recovery.proven[from.value];
    proven = proven.value_or(message.proven);
    View highest;
    std::size_t answers = 0;
    for (const auto& view : recovery.proven) {
        answers += view ? 1U : 0U;
        highest = std::max(highest, view.value_or(View()));
    }
    if (answers >= quorum.n - quorum.q + quorum.fb + 1) {
        recovery.highest = highest;
        emit(Trace{"amnesiac: may vote again after a view above " + std::to_string(highest.value + 2)});
    }
}

// ---- A3, A4: the others

void Core::State::on_recover(ReplicaId from, const Recover& message) {
    if (vs.amnesiac) {
        return;  // what it promised it does not know itself
    }
    RecoverQuestion& question = recover_questions[from.value];
    question.nonce = message.nonce;
    question.heard_tick = tick;
    question.open = true;
    answer_recover(from);
}

// A view that this replica can prove, and that is at most one below what it promised. It was one of the q whose
// VIEW-CHANGEs the asker may have followed, so the asker promised at most two views above (M+2). Nothing durable is
// told before it is.
std::optional<RecoverAck> Core::State::recover_proof(std::uint64_t nonce) const {
    if (!rules.has("A3-proof")) {
        return RecoverAck{nonce, View(0), std::nullopt, {}};
    }
    const View least = vs.promised.minus(1);
    if (vs.entered >= least && durable.entered == vs.entered && (vs.entered.value == 0 || new_view)) {
        return RecoverAck{nonce, vs.entered, vs.entered.value == 0 ? std::nullopt : new_view, {}};
    }
    RecoverAck ack{nonce, least, std::nullopt, {}};
    for (const auto& change : view_changes) {
        const bool durable_here = change && (!is_self(change->voter) || change->new_view <= durable.promised);
        if (durable_here && change->new_view >= least && ack.view_changes.size() < quorum.w) {
            ack.view_changes.push_back(*change);
            ack.view_changes.back().certificate.reset();
        }
    }
    return ack.view_changes.size() == quorum.w ? std::optional(std::move(ack)) : std::nullopt;
}

void Core::State::answer_recover(ReplicaId to) {
    RecoverQuestion& question = recover_questions[to.value];
    if (!question.open || (question.answered_tick && tick - *question.answered_tick < ticks_of(answer_ms))) {
        return;
    }
    if (auto proof = recover_proof(question.nonce)) {
        question.open = false;
        question.answered_tick = tick;
        send(to, std::move(*proof));
    }
}

// A4: every correct replica heard the same question and entered this view at about the same time, so all ask for the
// next view. Not more often than one view in so long, whoever asks and how often (pitfall: a flood of RECOVERs), unless
// it is the leader itself who says that it cannot lead.
void Core::State::rotate_for_recovery() {
    if (mute() || halted || !in_view()) {
        return;
    }
    const bool due = tick - entered_tick >= ticks_of(options.recovery_rotation_ms) || !rules.has("A4-rate");
    for (std::size_t i = 0; i < recover_questions.size(); ++i) {
        const ReplicaId asker(static_cast<std::uint16_t>(i));
        if (asks_to_recover(asker) && (due || asker == leader())) {
            start_view_change(vs.entered.next(), Leaving::recovering);
            return;
        }
    }
}

bool Core::State::asks_to_recover(ReplicaId peer) const {
    const auto& heard = recover_questions[peer.value].heard_tick;
    return heard && tick - *heard < ticks_of(asking_heartbeats * options.heartbeat_ms);
}

bool Core::State::somebody_recovers() const {
    for (std::size_t i = 0; i < recover_questions.size(); ++i) {
        if (asks_to_recover(ReplicaId(static_cast<std::uint16_t>(i)))) {
            return true;
        }
    }
    return false;
}

// Once a tick.
void Core::State::recover_amnesiacs() {
    ask_to_recover();
    for (std::size_t i = 0; i < recover_questions.size(); ++i) {
        answer_recover(ReplicaId(static_cast<std::uint16_t>(i)));
    }
    rotate_for_recovery();
}

}  // namespace loyal::consensus
