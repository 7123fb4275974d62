#include "replica/node.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/random.h"
#include "replica/node_state.h"

namespace loyal::replica {
namespace {

// Sessions whose return link is remembered. Whoever is forgotten is answered over all links of its client.
constexpr std::size_t routes_max = std::size_t{64} << 10U;
// Distinct reasons that are counted one by one; a peer cannot make the table grow.
constexpr std::size_t reasons_max = 128;

std::size_t or_default(std::size_t value, std::size_t otherwise) {
    return value == 0 ? otherwise : value;
}

std::uint64_t ticks_of(std::uint64_t ms, std::uint64_t tick_ms) {
    return std::max<std::uint64_t>(1, (ms + tick_ms - 1) / tick_ms);
}

// Correct clocks are within half of PRECISION of real time, so that any two are within it (rule H2).
ClockSyncOptions clock_options(const NodeOptions& options, const consensus::Membership& membership) {
    ClockSyncOptions result;
    result.self = options.core.self;
    result.replicas = membership.replicas.size();
    result.faults = membership.quorum().f;
    result.spread_max_us = static_cast<std::int64_t>(options.core.precision_ms) * 1'000 / 2;
    return result;
}

}  // namespace

Node::State::State(NodeOptions node_options, const consensus::MessageVerifier& message_verifier,
                   const crypto::Signer& own_signer, const consensus::Recovered& recovered, NodePort& node_port)
    : options(std::move(node_options)),
      port(node_port),
      verifier(message_verifier),
      plain_signer(own_signer),
      membership(verifier.membership()),
      quorum(membership.quorum()),
      self(options.core.self),
      guard_off(rule_off("guard")),
      gate_off(rule_off("D1")),
      guard(own_signer, membership.context, membership.replicas.size(), self, recovered),
      reads(
          or_default(options.pending_reads_max, limits::pending_reads_max),
          ticks_of(options.read_wait_max_ms, options.core.tick_ms),
          [this](LinkId link, wire::Read request, consensus::Height lock) {
              if (serving()) {
                  port.read(link, std::move(request), lock);
              } else {
                  refuse_read(link, request);
              }
          },
          [this](LinkId link, const wire::Read& request) { refuse_read(link, request); }),
      routes(routes_max),
      receipts(membership.context, self),
      watches(*this, crypto::random_u64()),
      clocks(clock_options(options, membership)) {
    for (std::size_t i = 0; i < membership.replicas.size(); ++i) {
        if (const consensus::ReplicaId id(static_cast<std::uint16_t>(i)); id != self) {
            others.push_back(id);
        }
    }
    core.emplace(options.core, verifier, signer(), recovered);
    begin(recovered);
}

bool Node::State::rule_off(std::string_view rule) const {
    const auto& off = options.core.rules_off;
    return std::find(off.begin(), off.end(), rule) != off.end();
}

void Node::State::begin(const consensus::Recovered& recovered) {
    executed_height = recovered.executed;
    executed_digest = {};
    receipts.clear();
    for (const auto& [height, digest] : recovered.executed_digests) {
        if (height == executed_height) {
            executed_digest = digest;
        }
    }
    const consensus::Status now = core->status();
    view = now.entered;
    primary = now.leader;
}

void Node::State::start() {
    consensus::Effects effects;
    core->start(effects);
    core->check_invariants();
    apply(effects);
    step(consensus::ClockReading{wall_ms});
}

void Node::State::step(const consensus::Input& input) {
    consensus::Effects effects;
    core->step(input, effects);
    core->check_invariants();
    apply(effects);
}

void Node::State::apply(consensus::Effects& effects) {
    for (consensus::Effect& effect : effects) {
        std::visit([this](auto& one) { on(one); }, effect);
    }
    if (std::exchange(view_moved, false)) {
        reads.view_entered(*this);
    }
}

void Node::State::on(consensus::Send& effect) {
    if (!guard_off) {
        if (const Result<void> allowed = guard.check(effect.message); !allowed) {
            port.note(std::string("signing guard held back ") + consensus::name_of(effect.message) + ": " +
                      allowed.error().message);
            return;
        }
    }
    if (gate_off) {
        leave(std::move(effect));
        return;
    }
    gate.submit(std::move(effect), [this](consensus::Send send) { leave(std::move(send)); });
}

void Node::State::leave(consensus::Send send) {
    LOYAL_ASSERT(!send.to || *send.to != self, "the core talks to others only");
    if (!guard_off && guard.holds_back(send.message)) {
        return;  // it waited for the disk when this replica learned that it may have forgotten votes
    }
    if (!fault) {
        if (send.to) {
            port.send(*send.to, send.message);
        } else {
            port.send_each(others, send.message);
        }
        return;
    }
    const std::vector<consensus::ReplicaId> to = send.to ? std::vector{*send.to} : others;
    for (const consensus::ReplicaId replica : to) {
        for (const PeerSend& out : fault->to_peer({replica, send.message})) {
            if (out.to != self && out.to.value < quorum.n) {
                port.send(out.to, out.message);
            }
        }
    }
}

void Node::State::on(consensus::ViewEntered& effect) {
    view = effect.view;
    primary = effect.leader;
    view_moved = true;
    port.note("entered view " + std::to_string(view.value) + ", primary " + std::to_string(primary.value));
    for (const LinkId link : routes.all_links()) {
        welcome(link, *routes.client_of(link));
    }
}

// What a traitor does when time passes.
void Node::State::misbehave() {
    Misdeeds deeds = fault->tick(monotonic_ms);
    for (const PeerSend& out : deeds.sends) {
        if (out.to != self && out.to.value < quorum.n) {
            port.send(out.to, out.message);
        }
    }
    for (auto& each : deeds.submissions) {
        step(consensus::Submitted{std::move(each)});
    }
}

void Node::State::compare_clocks() {
    for (const auto& [peer, probe] : clocks.tick(monotonic_ms, port.wall_us())) {
        leave(consensus::Send{peer, probe, {}});
    }
    for (const std::string& text : clocks.take_notes()) {
        port.note(text);
    }
}

// H4: what a peer says of its clock goes no further than to the estimates for operators.
bool Node::State::on_clock_message(consensus::ReplicaId from, const consensus::PeerMessage& message) {
    if (const auto* probe = std::get_if<consensus::ClockProbe>(&message)) {
        if (const auto answer = clocks.probed(from, *probe, port.wall_us())) {
            leave(consensus::Send{from, *answer, {}});
        } else {
            count("too many clock probes");
        }
        return true;
    }
    if (const auto* answer = std::get_if<consensus::ClockAnswer>(&message)) {
        clocks.answered(from, *answer, port.wall_us());
        return true;
    }
    return false;
}

// S6: parts of a checkpoint are read and written in the background.
bool Node::State::on_state_message(consensus::ReplicaId from, const consensus::PeerMessage& message) {
    if (const auto* request = std::get_if<consensus::StateRequest>(&message)) {
        port.serve_state(from, *request);
        return true;
    }
    if (const auto* chunk = std::get_if<consensus::StateChunk>(&message)) {
        port.state_chunk(from, *chunk);
        return true;
    }
    return false;
}

void Node::State::count(const std::string& why) {
    const auto found = counters.rejected.find(why);
    if (found != counters.rejected.end()) {
        ++found->second;
    } else {
        ++counters.rejected[counters.rejected.size() < reasons_max ? why : std::string("other")];
    }
}

Node::Node(NodeOptions options, const consensus::MessageVerifier& verifier, const crypto::Signer& signer,
           const consensus::Recovered& recovered, NodePort& port)
    : state_(std::make_unique<State>(std::move(options), verifier, signer, recovered, port)) {}

Node::~Node() = default;

void Node::remember(const std::vector<consensus::Evidence>& evidence) {
    state_->core->remember(evidence);
}

void Node::start(std::uint64_t wall_ms) {
    state_->wall_ms = state_->fault ? state_->fault->wall_ms(wall_ms) : wall_ms;
    state_->start();
}

void Node::peer_message(consensus::ReplicaId from, crypto::Verified<consensus::PeerMessage> message) {
    State& s = *state_;
    if (s.fault && !s.fault->from_peer(from, *message)) {
        return;
    }
    if (s.on_clock_message(from, *message) || s.on_state_message(from, *message)) {
        return;
    }
    auto relayed = consensus::MessageVerifier::relayed(message);
    if (!relayed) {
        s.step(consensus::Received{from, std::move(message)});
        return;
    }
    // C2, C4: what a backup hands over is admitted like a client's own, so that no peer can make the primary order
    // again what was executed long ago.
    if (s.primary != s.self || !s.serving() || s.relays_admitting >= limits::client_outstanding_envelopes_max) {
        s.count("relay not wanted");
        return;
    }
    ++s.relays_admitting;
    s.port.admit(no_link, std::move(*relayed));
}

void Node::refused_peer_message(const consensus::Evidence& evidence) {
    consensus::Effects effects;
    state_->core->accuse(evidence, effects);
    state_->apply(effects);
}

void Node::persisted(consensus::PersistId id) {
    State& s = *state_;
    s.gate.persisted(id, [&s](consensus::Send send) { s.leave(std::move(send)); });
    s.step(consensus::Persisted{id});
}

void Node::executed(const kvstore::ExecutedBlock& result) {
    State& s = *state_;
    std::optional<kvstore::ExecutedBlock> falsified;
    if (s.fault) {
        falsified = result;
        s.fault->executed(*falsified);
    }
    const kvstore::ExecutedBlock& block = falsified ? *falsified : result;
    s.executed_height = block.height;
    s.executed_digest = block.digest;
    s.receipts.add(block.results);
    s.recent_states.emplace_back(block.height, block.digest);
    if (s.recent_states.size() > recent_states_max) {
        s.recent_states.pop_front();
    }
    s.executed_hlc = std::max(s.executed_hlc, block.hlc);
    ++s.counters.blocks_executed;
    for (const kvstore::Replies& replies : block.replies) {
        s.counters.operations_executed += replies.outcomes.size();
        s.reply(replies);
    }
    s.step(consensus::Executed{block.height, block.digest, block.due});
    if (block.clients) {
        s.watches.recheck([&](LinkId link, const kvstore::ChangeQuery& watched) {
            const auto client = s.routes.client_of(link);
            const kvstore::ClientRecord* record = client ? block.clients->find(*client) : nullptr;
            return record != nullptr && kvstore::allows(*record, kvstore::Query(kvstore::range_of(watched)));
        });
    }
    s.watches.executed(block);
    s.reads.progress(s);
}

void Node::served(consensus::ReplicaId to, consensus::Blocks blocks) {
    state_->leave(consensus::Send{to, std::move(blocks), {}});
}

void Node::state_served(consensus::ReplicaId to, consensus::StateChunk chunk) {
    state_->leave(consensus::Send{to, std::move(chunk), {}});
}

void Node::peer_up(consensus::ReplicaId peer) {
    if (auto echo = state_->core->echo_for(peer)) {
        state_->leave(consensus::Send{peer, std::move(*echo), {}});
    }
}

void Node::checkpoint_ready(const consensus::StateRoot& root) {
    state_->step(consensus::CheckpointReady{root});
}

void Node::state_lost(const std::string& why) {
    state_->step(consensus::StateLost{why});
}

void Node::log_damaged(std::vector<consensus::BlockRef> blocks) {
    state_->step(consensus::LogDamaged{std::move(blocks)});
}

void Node::restart(const consensus::Recovered& recovered, const std::vector<consensus::Evidence>& evidence) {
    State& s = *state_;
    s.gate = SendGate();
    s.watches.restart();
    s.admitting.clear();
    s.relays_admitting = 0;
    s.core.emplace(s.options.core, s.verifier, s.signer(), recovered);
    s.core->remember(evidence);
    s.begin(recovered);
    s.start();
}

void Node::tick() {
    State& s = *state_;
    s.monotonic_ms += s.options.core.tick_ms;
    s.step(consensus::Tick{});
    s.reads.tick();
    s.watches.tick(s.monotonic_ms);
    s.compare_clocks();
    if (s.fault) {
        s.misbehave();
    }
}

void Node::clock(std::uint64_t wall_ms) {
    State& s = *state_;
    s.wall_ms = s.fault ? s.fault->wall_ms(wall_ms) : wall_ms;
    s.step(consensus::ClockReading{s.wall_ms});
}

void Node::end_of_batch() {
    state_->step(consensus::EndOfBatch{});
}

void Node::set_fault(std::unique_ptr<FaultModel> fault) {
    state_->fault = std::move(fault);
}

void Node::outgoing_frame(consensus::ReplicaId to, Bytes& frame) {
    if (state_->fault) {
        state_->fault->outgoing_frame(to, frame);
    }
}

std::string Node::fault() const {
    return state_->fault ? state_->fault->name() : std::string("none");
}

void Node::refuse_writes(std::optional<wire::RefusalCode> code) {
    State& s = *state_;
    if (std::exchange(s.writes_refused, code) == code) {
        return;
    }
    for (const LinkId link : s.routes.all_links()) {
        s.welcome(link, *s.routes.client_of(link));
    }
}

consensus::Status Node::status() const {
    return state_->core->status();
}

ClockView Node::clock_view() const {
    return state_->clocks.view(state_->port.wall_us());
}

const NodeCounters& Node::counters() const {
    state_->counters.signatures = state_->guard.signatures();
    state_->counters.guard_refusals = state_->guard.refusals();
    state_->counters.watches = state_->watches.counters();
    return state_->counters;
}

const consensus::Core& Node::core() const {
    return *state_->core;
}

consensus::Height Node::executed_height() const {
    return state_->executed_height;
}

consensus::Hlc Node::executed_hlc() const {
    return state_->executed_hlc;
}

const crypto::Digest& Node::executed_digest() const {
    return state_->executed_digest;
}

const std::deque<std::pair<consensus::Height, crypto::Digest>>& Node::recent_states() const {
    return state_->recent_states;
}

std::size_t Node::waiting_sends() const {
    return state_->gate.waiting();
}

std::size_t Node::waiting_reads() const {
    return state_->reads.size();
}

std::size_t Node::watches() const {
    return state_->watches.size();
}

std::size_t Node::watches_behind() const {
    return state_->watches.behind();
}

}  // namespace loyal::replica
