#include "replica/node.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "replica/read_queue.h"
#include "replica/replies.h"
#include "replica/return_routes.h"
#include "replica/send_gate.h"
#include "replica/signing_guard.h"

namespace loyal::replica {
namespace {

// Sessions whose return link is remembered. Whoever is forgotten is answered over all links of its client.
constexpr std::size_t routes_max = std::size_t{64} << 10U;
// Distinct reasons that are counted one by one; a peer cannot make the table grow.
constexpr std::size_t reasons_max = 128;
// The clock stands in for the last block's hlc when that is older than this (Welcome, Reply).
constexpr std::uint64_t stale_hlc_ms = 1'000;

bool is_off(const consensus::Options& options, std::string_view rule) {
    return std::find(options.rules_off.begin(), options.rules_off.end(), rule) != options.rules_off.end();
}

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

wire::RefusalCode refusal_of(kvstore::Admission verdict) {
    switch (verdict) {
        case kvstore::Admission::expired: return wire::RefusalCode::expired;
        case kvstore::Admission::window: return wire::RefusalCode::window;
        case kvstore::Admission::denied: return wire::RefusalCode::denied;
        default: return wire::RefusalCode::invalid;
    }
}

}  // namespace

struct Node::State final : ReadView {
    State(NodeOptions node_options, const consensus::MessageVerifier& message_verifier,
          const crypto::Signer& own_signer, const consensus::Recovered& recovered, NodePort& node_port)
        : options(std::move(node_options)),
          port(node_port),
          verifier(message_verifier),
          plain_signer(own_signer),
          membership(verifier.membership()),
          quorum(membership.quorum()),
          self(options.core.self),
          guard_off(is_off(options.core, "guard")),
          gate_off(is_off(options.core, "D1")),
          guard(own_signer, membership.context, membership.replicas.size(), self, recovered),
          reads(
              or_default(options.pending_reads_max, limits::pending_reads_max),
              ticks_of(options.read_wait_max_ms, options.core.tick_ms),
              [this](LinkId link, wire::Read request, consensus::Height lock) {
                  port.read(link, std::move(request), lock);
              },
              [this](LinkId link, const wire::Read& request) { refuse_read(link, request); }),
          routes(routes_max),
          clocks(clock_options(options, membership)) {
        for (std::size_t i = 0; i < membership.replicas.size(); ++i) {
            if (const consensus::ReplicaId id(static_cast<std::uint16_t>(i)); id != self) {
                others.push_back(id);
            }
        }
        core.emplace(options.core, verifier, signer(), recovered);
        begin(recovered);
    }

    // ---- ReadView
    [[nodiscard]] consensus::ReadTarget target() const override {
        return is_off(options.core, "R2") ? consensus::ReadTarget{} : core->read_target();
    }
    [[nodiscard]] bool contains(const consensus::BlockRef& block) const override {
        return is_off(options.core, "R2") || core->is_executed(block);
    }
    [[nodiscard]] consensus::Height executed() const override { return executed_height; }

    void begin(const consensus::Recovered& recovered);
    void step(const consensus::Input& input);
    void apply(consensus::Effects& effects);
    void on(consensus::Persist& effect) { port.persist(std::move(effect)); }
    void on(consensus::Send& effect);
    void on(consensus::Execute& effect) { port.execute(std::move(effect.block)); }
    void on(consensus::ServeCommitted& effect) { port.serve_committed(effect); }
    void on(consensus::Stable& effect) { port.stable(effect); }
    void on(consensus::FetchState& effect) { port.fetch_state(effect); }
    void on(consensus::Accuse& effect) { port.accuse(effect); }
    void on(consensus::Rejected& effect) { count(effect.why); }
    void on(consensus::ViewEntered& effect);
    void on(consensus::Trace& effect) { port.note(effect.text); }

    void leave(consensus::Send send);
    void to_client(LinkId link, const consensus::ClientId& client, const wire::ReplicaMessage& message);
    void welcome(LinkId link, const consensus::ClientId& client);
    void refuse(LinkId link, const consensus::Envelope& envelope, wire::RefusalCode code, std::string why);
    void refuse_read(LinkId link, const wire::Read& request);
    void reply(const kvstore::Replies& replies);
    void submit(crypto::Verified<consensus::Envelope> envelope);
    void misbehave();
    void compare_clocks();
    // True if it was one of those, and is done with.
    [[nodiscard]] bool on_clock_message(consensus::ReplicaId from, const consensus::PeerMessage& message);
    [[nodiscard]] bool on_state_message(consensus::ReplicaId from, const consensus::PeerMessage& message);
    void count(const std::string& why);
    [[nodiscard]] consensus::Hlc current_hlc() const;
    [[nodiscard]] ReplyContext reply_context() const { return {self, quorum, view, current_hlc()}; }

    [[nodiscard]] const crypto::Signer& signer() const {
        return guard_off ? plain_signer : static_cast<const crypto::Signer&>(guard);
    }

    NodeOptions options;
    NodePort& port;
    const consensus::MessageVerifier& verifier;
    const crypto::Signer& plain_signer;
    const consensus::Membership& membership;
    consensus::Quorum quorum;
    consensus::ReplicaId self;
    bool guard_off;
    bool gate_off;
    std::vector<consensus::ReplicaId> others;

    SigningGuard guard;
    std::optional<consensus::Core> core;  // never empty after construction
    SendGate gate;
    ReadQueue reads;
    ReturnRoutes routes;
    ClockSync clocks;
    std::unique_ptr<FaultModel> fault;
    std::optional<wire::RefusalCode> writes_refused;
    std::size_t relays_admitting = 0;                      // envelopes of backups that wait for admission
    std::map<consensus::ClientId, std::size_t> admitting;  // envelopes of a client that wait for admission

    consensus::View view;
    consensus::ReplicaId primary;
    consensus::Height executed_height;
    crypto::Digest executed_digest;
    consensus::Hlc executed_hlc;
    std::uint64_t wall_ms = 0;
    std::uint64_t monotonic_ms = 0;  // counted in ticks
    bool view_moved = false;
    mutable NodeCounters counters;
};

void Node::State::begin(const consensus::Recovered& recovered) {
    executed_height = recovered.executed;
    executed_digest = {};
    for (const auto& [height, digest] : recovered.executed_digests) {
        if (height == executed_height) {
            executed_digest = digest;
        }
    }
    const consensus::Status now = core->status();
    view = now.entered;
    primary = now.leader;
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

void Node::State::to_client(LinkId link, const consensus::ClientId& client, const wire::ReplicaMessage& message) {
    if (!fault) {
        port.to_client(link, message);
        return;
    }
    for (const wire::ReplicaMessage& out : fault->to_client(client, message)) {
        port.to_client(link, out);
    }
}

consensus::Hlc Node::State::current_hlc() const {
    return executed_hlc.wall_ms() + stale_hlc_ms >= wall_ms ? executed_hlc : consensus::Hlc(wall_ms, 0);
}

void Node::State::welcome(LinkId link, const consensus::ClientId& client) {
    to_client(link, client, wire::Welcome{self, view, primary, current_hlc()});
}

void Node::State::refuse(LinkId link, const consensus::Envelope& envelope, wire::RefusalCode code, std::string why) {
    ++counters.envelopes_refused;
    count(std::string("envelope ") + wire::name_of(code));
    to_client(link, envelope.client,
              wire::Refusal{self, code, false, envelope.session, envelope.seq0.value, std::move(why)});
}

void Node::State::refuse_read(LinkId link, const wire::Read& request) {
    ++counters.reads_busy;
    if (const auto client = routes.client_of(link)) {
        to_client(
            link, *client,
            wire::Refusal{self,
                          wire::RefusalCode::busy,
                          true,
                          {},
                          request.nonce,
                          "the replica did not catch up with its lock in time, or has too many reads; ask again"});
    }
}

void Node::State::submit(crypto::Verified<consensus::Envelope> envelope) {
    ++counters.envelopes_admitted;
    if (!fault) {
        step(consensus::Submitted{std::move(envelope)});
        return;
    }
    for (auto& each : fault->submit(std::move(envelope))) {
        step(consensus::Submitted{std::move(each)});
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

// Rule P1; in the crash model the leader alone replies (8e).
void Node::State::reply(const kvstore::Replies& replies) {
    const bool crash_model = membership.fault_model == consensus::FaultModel::crash;
    if (crash_model && primary != self) {
        return;
    }
    const std::vector<LinkId> links = routes.links(replies.client, replies.session);
    if (links.empty()) {
        return;
    }
    const wire::ReplicaMessage message = make_reply(reply_context(), replies, crash_model);
    for (const LinkId link : links) {
        to_client(link, replies.client, message);
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
    State& s = *state_;
    s.wall_ms = s.fault ? s.fault->wall_ms(wall_ms) : wall_ms;
    consensus::Effects effects;
    s.core->start(effects);
    s.core->check_invariants();
    s.apply(effects);
    s.step(consensus::ClockReading{s.wall_ms});
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
    if (s.primary != s.self || s.relays_admitting >= limits::client_outstanding_envelopes_max) {
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

void Node::client_envelope(LinkId link, crypto::Verified<consensus::Envelope> envelope) {
    State& s = *state_;
    const consensus::ClientId client = envelope->client;
    s.routes.used(link, client, envelope->session);
    std::size_t& waiting = s.admitting[client];
    if (waiting >= limits::client_outstanding_envelopes_max) {
        s.refuse(link, *envelope, wire::RefusalCode::busy, "too many envelopes of this client wait for admission");
        return;
    }
    ++waiting;
    s.port.admit(link, std::move(envelope));
}

void Node::admitted(LinkId link, crypto::Verified<consensus::Envelope> envelope, kvstore::AdmissionResult result) {
    State& s = *state_;
    if (link == no_link) {
        --s.relays_admitting;
        if (result.verdict == kvstore::Admission::admit && s.primary == s.self && !s.writes_refused) {
            s.submit(std::move(envelope));
        }
        return;
    }
    if (const auto found = s.admitting.find(envelope->client); found != s.admitting.end() && --found->second == 0) {
        s.admitting.erase(found);
    }
    switch (result.verdict) {
        case kvstore::Admission::admit: break;
        case kvstore::Admission::already_executed:
            ++s.counters.replies_cached;
            if (result.replies.outcomes.empty()) {
                return;  // the client acknowledged all of them: nobody waits
            }
            s.to_client(link, envelope->client, make_reply(s.reply_context(), result.replies, true));
            return;
        default: s.refuse(link, *envelope, refusal_of(result.verdict), "not admitted in the executed state"); return;
    }
    if (s.writes_refused) {
        s.refuse(link, *envelope, *s.writes_refused, "this replica takes no writes now");
        return;
    }
    if (s.core->status().pending_envelopes >= limits::envelope_pool_max) {
        s.refuse(link, *envelope, wire::RefusalCode::busy, "the envelope pool is full; try again later");
        return;
    }
    s.submit(std::move(envelope));
}

void Node::client_read(LinkId link, const consensus::ClientId& client, wire::Read request) {
    State& s = *state_;
    if (s.routes.client_of(link) != client || (s.fault && !s.fault->from_client(client, request))) {
        return;  // the link closed meanwhile, or a traitor does not listen
    }
    ++s.counters.reads;
    if (s.reads.submit(link, std::move(request), s)) {
        ++s.counters.reads_waited;
    }
}

void Node::read_done(LinkId link, const wire::Read& request, consensus::Height lock,
                     const Result<kvstore::ReadAnswer>& answer) {
    State& s = *state_;
    const auto client = s.routes.client_of(link);
    if (!client) {
        return;
    }
    if (!answer) {
        const bool denied = answer.error().code == Errc::permission;
        const bool invalid = answer.error().code == Errc::invalid_argument;
        const auto code = denied    ? wire::RefusalCode::denied
                          : invalid ? wire::RefusalCode::invalid
                                    : wire::RefusalCode::busy;
        s.count(std::string("read ") + wire::name_of(code));
        s.to_client(link, *client, wire::Refusal{s.self, code, true, {}, request.nonce, answer.error().message});
        return;
    }
    wire::ReadReply reply;
    reply.replica = s.self;
    reply.nonce = request.nonce;
    reply.digest = crypto::digest_of("read", answer->result);
    if (request.want_result) {
        reply.result = answer->result;
    }
    reply.revision = answer->revision;
    reply.executed = answer->executed;
    reply.lock = lock;
    reply.hlc = answer->hlc;
    s.to_client(link, *client, std::move(reply));
}

void Node::client_connected(LinkId link, const consensus::ClientId& client) {
    state_->routes.connected(link, client);
    state_->welcome(link, client);
}

void Node::client_disconnected(LinkId link) {
    state_->routes.disconnected(link);
    state_->reads.drop_link(link);
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
    s.executed_hlc = std::max(s.executed_hlc, block.hlc);
    ++s.counters.blocks_executed;
    for (const kvstore::Replies& replies : block.replies) {
        s.counters.operations_executed += replies.outcomes.size();
        s.reply(replies);
    }
    s.step(consensus::Executed{block.height, block.digest});
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

void Node::restart(const consensus::Recovered& recovered, const std::vector<consensus::Evidence>& evidence) {
    State& s = *state_;
    s.gate = SendGate();
    s.core.emplace(s.options.core, s.verifier, s.signer(), recovered);
    s.core->remember(evidence);
    s.begin(recovered);
    start(s.wall_ms);
}

void Node::tick() {
    State& s = *state_;
    s.monotonic_ms += s.options.core.tick_ms;
    s.step(consensus::Tick{});
    s.reads.tick();
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
    state_->writes_refused = code;
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

std::size_t Node::waiting_sends() const {
    return state_->gate.waiting();
}

std::size_t Node::waiting_reads() const {
    return state_->reads.size();
}

}  // namespace loyal::replica
