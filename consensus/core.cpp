// Start, dispatch and the end of a batch. Each concern of the protocol has a file of its own beside this one.
#include "consensus/core.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "consensus/core_state.h"

namespace loyal::consensus {
namespace {

template <class... Handlers>
struct Overloaded : Handlers... {
    using Handlers::operator()...;
};
template <class... Handlers>
Overloaded(Handlers...) -> Overloaded<Handlers...>;

}  // namespace

Core::State::State(const Options& core_options, const MessageVerifier& message_verifier,
                   const crypto::Signer& core_signer, const Recovered& recovered)
    : options(core_options),
      verifier(message_verifier),
      signer(core_signer),
      quorum(message_verifier.membership().quorum()),
      crash_mode(message_verifier.membership().fault_model == FaultModel::crash),
      window(message_verifier.membership().window),
      checkpoint_interval(message_verifier.membership().checkpoint_interval),
      rules(core_options.rules_off),
      context(message_verifier.membership().context),
      genesis(genesis_block(message_verifier.membership().context)),
      tree(genesis),
      offers(quorum.n),
      votes(quorum.n),
      view_changes(quorum.n),
      peers(quorum.n),
      pre_vote_grants(quorum.n, false),
      heartbeats(quorum.n),
      leaders({quorum.n, quorum.f, options.order_latency_ms, options.progress_max_ms, !rules.has("T2-others")}),
      suspects(quorum.n, quorum.f),
      last_new_view_served(quorum.n, 0),
      recovery(quorum.n),
      recover_questions(quorum.n) {
    LOYAL_ASSERT(quorum.is_sound(), "two quorums must meet in a correct replica");
    LOYAL_ASSERT(window >= 1 && window <= limits::window_max, "the window is within its limits");
    base = {LockView(), genesis};
    if (recovered.fresh) {
        vs.prep = {View(0), genesis};
        vs.lock = base;
        committed = genesis;
    } else {
        restarted = true;
        vs = recovered.voting;
        lock_certificate = recovered.lock_certificate;
        new_view = recovered.new_view;
        own_view_change = recovered.view_change;
        if (new_view && rules.has("base-durable")) {
            base = new_view->base;
        }
        for (const BlockPtr& block : recovered.blocks) {
            tree.add_block(block).written = true;
        }
        const BlockRef executed_block{recovered.executed,
                                      recovered.executed.value == 0 ? genesis.id : recovered.executed_id};
        committed = recovered.committed.height > executed_block.height ? recovered.committed : executed_block;
        if (recovered.installed) {
            const BlockRef installed{recovered.installed->height, header_id(context, *recovered.installed)};
            tree.add_header(installed.id, *recovered.installed);
            committed = std::max(committed, installed);
        }
        base_ready = vs.prep.view == vs.entered;
    }
    if (committed.height.value == 0) {
        committed = genesis;
    }
    written = durable = vs;
    recover_amnesia(recovered);
    executed = execute_asked = recovered.executed;
    next_due = recovered.due;
    serves_from = recovered.known_committed;
    executed_digests.insert(recovered.executed_digests.begin(), recovered.executed_digests.end());
    executed_digests[Height(0)] = crypto::Digest{};
    for (BlockRef at = committed;;) {
        committed_ids[at.height] = at.id;
        const BlockTree::Node* node = tree.find(at.id);
        if (node == nullptr) {
            break;
        }
        at = {at.height.minus(1), node->header.parent};
    }
    last_proposed = vs.prep.block;
    prep_damaged = tree.first_missing(vs.prep.block, committed).has_value();
    recover_checkpoints(recovered);
}

// What the log and the state store know of checkpoints; start() draws the conclusions.
void Core::State::recover_checkpoints(const Recovered& recovered) {
    lost_at_start = recovered.state_lost;
    if (checkpoint_interval == 0) {
        return;
    }
    if (recovered.stable && !recovered.stable->headers.empty()) {
        stable = recovered.stable->root();
        checkpoint_headers.emplace(stable.height, recovered.stable->block);
        certified_roots.emplace(stable.height, stable.root);
    }
    if (recovered.installed && recovered.installed->height.value % checkpoint_interval == 0) {
        checkpoint_headers.emplace(recovered.installed->height, *recovered.installed);
    }
    for (const auto& [height, id] : committed_ids) {
        if (const BlockTree::Node* node = tree.find(id); node != nullptr && node->header.height == height) {
            note_committed(node->header);
        }
    }
    for (const StateRoot& root : recovered.roots) {
        roots.emplace(root.height, root.root);
    }
    forget_old_roots();
}

// Rules D2 and D3.
void Core::State::start() {
    for (HeartbeatWindow& peer : heartbeats) {
        peer.restart(now_ms(), options.heartbeat_ms);
    }
    begin_tenure(leader());
    start_checkpoints();
    execute_committed();
    if (mute()) {
        end_batch();  // A1: durable before anything else
        return;
    }
    if (!restarted) {
        if (leads(View(0))) {
            vs.leading = 0;
            leading_persist = next_persist();
        }
        write_batch();
        return;
    }
    if (own_view_change && vs.promised > vs.entered) {
        if (!rules.has("V2-frozen")) {
            make_view_change();  // mutant: says what it knows now, not what it said (pitfall 14, third variant)
        }
        view_changes[options.self.value] = *own_view_change;
        send(std::nullopt, *own_view_change);
    } else if (in_view() && vs.leading >= static_cast<std::int64_t>(vs.entered.value) && rules.has("D3")) {
        start_view_change(vs.entered.next(), Leaving::restarted);
    } else {
        maybe_vote();
    }
    if (crash_mode) {
        advance_prep_by_commit();
    }
    end_batch();
}

void Core::State::step(const Input& input) {
    std::visit(Overloaded{
                   [&](const Received& received) { on_received(received.from, *received.message); },
                   [&](const Submitted& submitted) { on_submitted(*submitted.envelope, false); },
                   [&](const Tick&) { on_tick(); },
                   [&](const ClockReading& reading) { wall_ms = std::max(wall_ms, reading.wall_ms); },
                   [&](const Persisted& persisted) { on_persisted(persisted.id); },
                   [&](const Executed& result) { on_executed(result); },
                   [&](const CheckpointReady& ready) { on_checkpoint_ready(ready.root); },
                   [&](const StateLost& lost) { on_state_lost(lost.why); },
                   [&](const LogDamaged& message) { on_log_damaged(message.blocks); },
                   [&](const EndOfBatch&) { end_batch(); },
               },
               input);
}

void Core::State::on_received(ReplicaId from, const PeerMessage& message) {
    if (from.value >= quorum.n || is_self(from)) {
        reject(from, "not a peer");
        return;
    }
    std::visit(Overloaded{
                   [&](const Propose& propose_message) { on_propose(from, propose_message); },
                   [&](const Vote& vote) { on_vote(from, vote); },
                   [&](const ViewChange& change) { on_view_change(from, change); },
                   [&](const NewView& new_view_message) { on_new_view(from, new_view_message); },
                   [&](const Relay& relay) { on_submitted(relay.envelope, true); },
                   [&](const Heartbeat& beat) { on_heartbeat(from, beat); },
                   [&](const Fetch& fetch) { on_fetch(from, fetch); },
                   [&](const Blocks& blocks) { on_blocks(from, blocks); },
                   [&](const PreVote& pre_vote) { on_pre_vote(from, pre_vote); },
                   [&](const PreVoteGrant& grant) { on_pre_vote_grant(from, grant); },
                   [&](const ClockProbe&) { reject(from, "a clock probe is the node's to answer"); },
                   [&](const ClockAnswer&) { reject(from, "a clock answer is the node's to read"); },
                   [&](const Echo& echo) { on_echo(from, echo); },
                   [&](const Recover& recover) { on_recover(from, recover); },
                   [&](const RecoverAck& ack) { on_recover_ack(from, ack); },
                   [&](const StateRequest&) { reject(from, "a state request is the node's to answer"); },
                   [&](const StateChunk&) { reject(from, "a state chunk is the node's to read"); },
               },
               message);
}

// Rule N8: one pass over everything that the batch brought, one Persist, and what depends on it.
void Core::State::end_batch() {
    if (halted) {
        write_evidence();
        return;
    }
    finish_base();
    mend_prepared();
    accept_held();
    learn_lock();
    learn_commit();
    advance_prep_by_commit();
    hand_over_lead();
    try_new_view();
    accept_held();
    propose();
    write_batch();
    execute_committed();
    maybe_vote();
}

void Core::State::write_batch() {
    if (to_write.empty() && vs == written && !flush_lazily) {
        for (Send& waiting : after_write) {
            emit(std::move(waiting));
        }
        after_write.clear();
        return;
    }
    last_persist = next_persist();
    Persist persist{last_persist, std::move(to_write)};
    to_write.clear();
    persist.records.insert(persist.records.end(), std::make_move_iterator(to_write_lazily.begin()),
                           std::make_move_iterator(to_write_lazily.end()));
    to_write_lazily.clear();
    flush_lazily = false;
    if (vs != written) {
        persist.records.emplace_back(vs);
    }
    written = vs;
    in_flight.emplace(last_persist, vs);
    syncing.emplace_back(last_persist, tick);
    emit(std::move(persist));
    for (Send& waiting : after_write) {
        emit(std::move(waiting));
    }
    after_write.clear();
}

void Core::State::on_persisted(PersistId id) {
    const auto end = in_flight.upper_bound(id);
    if (end == in_flight.begin()) {
        return;
    }
    durable = std::prev(end)->second;
    durable_persist = std::prev(end)->first;
    in_flight.erase(in_flight.begin(), end);
    note_synced(id);
    maybe_vote();
    execute_committed();
}

void Core::State::send(std::optional<ReplicaId> to, PeerMessage message, PersistId after) {
    emit(Send{to, std::move(message), after});
}

void Core::State::reject(ReplicaId from, std::string why) {
    emit(Rejected{from, std::move(why)});
}

// What a quorum certified contradicts what was committed here: more than f replicas lie, or this one's log does. It
// says so and does nothing any more. A state that differs is fetched anew instead (S1).
void Core::State::halt(std::string why) {
    if (!halted) {
        halted = true;
        halt_reason = why;
        emit(Trace{"halted: " + why});
    }
}

Core::Core(const Options& options, const MessageVerifier& verifier, const crypto::Signer& signer,
           const Recovered& recovered)
    : state_(std::make_unique<State>(options, verifier, signer, recovered)) {}
Core::~Core() = default;
Core::Core(Core&&) noexcept = default;
Core& Core::operator=(Core&&) noexcept = default;

void Core::start(Effects& out) {
    state_->out = &out;
    state_->start();
    state_->out = nullptr;
}

void Core::step(const Input& input, Effects& out) {
    state_->out = &out;
    state_->step(input);
    state_->out = nullptr;
}

void Core::remember(const std::vector<Evidence>& evidence) {
    for (const Evidence& known : evidence) {
        if (const auto subject = subject_of(known)) {
            state_->accused.add(known.culprit, known.kind, subject->view);
        }
    }
}

void Core::accuse(const Evidence& evidence, Effects& out) {
    state_->out = &out;
    state_->accuse(evidence);
    state_->out = nullptr;
}

void Core::check_invariants() const {
    state_->check_invariants();
}

Status Core::status() const {
    const State& state = *state_;
    Status status;
    status.entered = state.vs.entered;
    status.promised = state.vs.promised;
    status.prep = state.vs.prep.block;
    status.committed = state.committed;
    status.executed = state.executed;
    status.lock = state.vs.lock;
    status.leader = state.leader();
    status.is_leader = state.may_propose();
    status.in_view_change = !state.in_view();
    status.pending_envelopes = state.pool.size();
    status.view_changes = state.view_change_count;
    status.blocks_committed = state.blocks_committed;
    status.halted = state.halted;
    status.halt_reason = state.halt_reason;
    status.amnesiac = state.vs.amnesiac;
    status.state_lost = state.state_lost;
    status.stable_checkpoint = state.stable.height;
    for (const Heartbeat& beat : state.peers) {
        status.peer_committed.push_back(beat.committed);
    }
    state.fill(status);
    return status;
}

// Rule R2. The lock, and the base that stands in for it, are never lower than any block that was committed when this
// replica last voted, so a quorum of answers that waited for them holds every finished write (pitfall 9).
ReadTarget Core::read_target() const {
    const State& state = *state_;
    if (!state.rules.has("R2")) {
        const auto id = state.committed_ids.find(state.executed);
        return {{state.executed, id == state.committed_ids.end() ? state.committed.id : id->second}, state.vs.entered};
    }
    const Lock& target = state.vs.lock.view.is(state.vs.entered) ? state.vs.lock : state.base;
    return {target.block, state.vs.entered};
}

bool Core::is_executed(const BlockRef& block) const {
    const State& state = *state_;
    if (block.height > state.executed || !state.state_lost.empty()) {
        return false;
    }
    const auto id = state.committed_ids.find(block.height);
    return id == state.committed_ids.end() || id->second == block.id;
}

}  // namespace loyal::consensus
