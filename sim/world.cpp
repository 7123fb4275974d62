#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "wire/codec.h"

namespace loyal::sim {

using consensus::ReplicaId;

namespace {

enum Stream : std::uint64_t { world_stream = 11, network_stream = 12, replica_stream = 100, client_stream = 200 };

constexpr TimeUs poll_us = 10 * ms;
constexpr TimeUs client_tick_us = 10 * ms;
constexpr TimeUs reconnect_us = 40 * ms;

// Not an address: simulated keys come from small numbers.
constexpr std::uint64_t replica_key_base = 1'000, client_key_base = 2'000;

consensus::Membership make_membership(const Scenario& scenario, const std::vector<SimSigner>& replicas) {
    consensus::Membership membership;
    membership.context.cluster_id = crypto::digest_of("sim-cluster", view_of("cluster"));
    membership.fault_model = scenario.fault_model;
    membership.window = scenario.window;
    for (const SimSigner& signer : replicas) {
        membership.replicas.push_back(signer.public_key());
    }
    return membership;
}

std::vector<SimSigner> make_keys(std::uint64_t base, std::size_t count) {
    std::vector<SimSigner> keys;
    for (std::size_t i = 0; i < count; ++i) {
        keys.emplace_back(base + i);
    }
    return keys;
}

consensus::ClientId client_id_of(const crypto::PublicKey& key) {
    const crypto::Digest digest = crypto::digest_of("client", key.bytes);
    consensus::ClientId id;
    std::copy_n(digest.bytes.begin(), id.bytes.size(), id.bytes.begin());
    return id;
}

// Changes 1 to 4 bytes.
void corrupt(Bytes& frame, std::uint64_t entropy) {
    Random random(entropy);
    for (std::uint64_t i = random.between(1, 4); i > 0 && !frame.empty(); --i) {
        frame[random.below(frame.size())] ^= static_cast<std::uint8_t>(random.between(1, 255));
    }
    if (random.one_in(4)) {
        frame.resize(random.below(frame.size() + 1));
    }
}

}  // namespace

struct World::Parcel {
    explicit Parcel(consensus::PeerMessage content) : message(std::move(content)) {}
    [[nodiscard]] const Bytes& frame() {
        if (encoded.empty()) {
            encoded = wire::encode(message);
        }
        return encoded;
    }
    consensus::PeerMessage message;
    Bytes encoded;
};

World::World(Scenario scenario, const RunOptions& options)
    : scenario_(std::move(scenario)),
      trace_(scheduler_, options.trace),
      random_(scenario_.seed, world_stream),
      network_(scheduler_, Random(scenario_.seed, network_stream), scenario_.n + scenario_.workload.clients),
      replica_keys_(make_keys(replica_key_base, scenario_.n)),
      client_keys_(make_keys(client_key_base, scenario_.workload.clients)),
      chain_(consensus::genesis_block(make_membership(scenario_, replica_keys_).context)),
      traitors_(scenario_.traitors.begin(), scenario_.traitors.end()) {
    make_members();
    const ReplicaContext replica_context{scenario_, membership_, *verifier_, state_options_, scheduler_, trace_, *this};
    for (std::size_t i = 0; i < scenario_.n; ++i) {
        const ReplicaId id(static_cast<std::uint16_t>(i));
        ledgers_.emplace_back(membership_, id, *tree_);
        replicas_.push_back(std::make_unique<SimReplica>(id, replica_context, replica_keys_[i],
                                                         Random(scenario_.seed, replica_stream + i)));
    }
    const ClientContext client_context{scenario_, membership_, scheduler_, trace_, *this};
    const bool is_signed = scenario_.fault_model == consensus::FaultModel::byzantine;
    for (std::size_t i = 0; i < scenario_.workload.clients; ++i) {
        clients_.push_back(std::make_unique<SimClient>(i, client_context, client_ids_[i],
                                                       is_signed ? &client_keys_[i] : nullptr,
                                                       Random(scenario_.seed, client_stream + i)));
    }
    links_.assign(clients_.size(), std::vector<ClientLink>(scenario_.n));
}

World::~World() = default;

void World::make_members() {
    if (scenario_.workload.shared_key && client_keys_.size() > 1) {
        client_keys_[1] = client_keys_[0];
    }
    membership_ = make_membership(scenario_, replica_keys_);
    for (const SimSigner& signer : replica_keys_) {
        signatures_.learn(signer);
    }
    for (const SimSigner& signer : client_keys_) {
        signatures_.learn(signer);
        const consensus::ClientId id = client_id_of(signer.public_key());
        client_ids_.push_back(id);
        membership_.clients.emplace(id, signer.public_key());
        state_options_.rights[id] = kvstore::right_read | kvstore::right_write;
    }
    state_options_.rules_off = scenario_.state_rules_off;
    verifier_ = std::make_unique<consensus::MessageVerifier>(membership_, signatures_, scenario_.core.rules_off);
    tree_ = std::make_unique<HeaderTree>(consensus::genesis_block(membership_.context));
}

// ---- The run

void World::violation(const std::string& what) {
    if (!failure_) {
        failure_ = fmt::format("at {:.3f} ms: {}", static_cast<double>(scheduler_.now()) / 1'000.0, what);
        trace_.text([&] { return "VIOLATION " + what; });
    }
}

RunResult World::run() {
    start();
    while (!finished_ && !failure_ && scheduler_.step()) {
    }
    RunResult result;
    if (!failure_) {
        check_histories(result.numbers);
    }
    result.passed = !failure_;
    result.failure = failure_.value_or("");
    count(result.numbers);
    return result;
}

void World::count(RunNumbers& numbers) const {
    numbers.trace_hash = trace_.hash();
    numbers.virtual_us = scheduler_.now();
    numbers.recovery_us = scheduler_.now() - std::min(scheduler_.now(), scenario_.faults_end_us);
    numbers.events = scheduler_.events();
    numbers.messages = network_.counters().sent;
    numbers.blocks = chain_.height().value;
    numbers.operations = chain_.operations();
    numbers.crashes = crashes_;
    numbers.accusations = accusations_;
    for (const auto& client : clients_) {
        const ClientCounters& seen = client->counters();
        numbers.done += seen.done;
        numbers.unknown += seen.unknown;
        numbers.reads_fast += seen.reads_fast;
        numbers.reads_ordered += seen.reads_ordered;
        numbers.reads_failed += seen.reads_failed;
        numbers.slowest_us = std::max(numbers.slowest_us, seen.slowest_us);
    }
    for (const auto& replica : replicas_) {
        if (replica->up()) {
            numbers.view = std::max(numbers.view, replica->node().status().entered.value);
        }
    }
}

void World::start() {
    network_.set_quality(scenario_.quality);
    for (const auto& replica : replicas_) {
        scheduler_.at(random_.below(5 * ms), [&replica] {
            if (!replica->up()) {
                replica->start();
            }
        });
    }
    for (std::size_t i = 0; i < clients_.size(); ++i) {
        scheduler_.at(random_.below(client_tick_us), [this, i] { client_tick(i); });
    }
    for (const FaultEvent& event : scenario_.plan) {
        scheduler_.at(event.at, [this, &event] { apply(event); });
    }
    scheduler_.at(scenario_.faults_end_us, [this] { end_faults(); });
}

void World::end_faults() {
    trace_.event("faults-end", 0);
    network_.heal();
    network_.set_quality(scenario_.calm);
    for (const auto& replica : replicas_) {
        replica->clock().mend();
        replica->slow_disk(1);
        replica->disarm();
        if (!replica->up()) {
            replica->start();
        }
    }
    for (const auto& client : clients_) {
        client->faults_ended();
    }
    scheduler_.after(poll_us, [this] { poll(); });
}

void World::poll() {
    const bool clients_done =
        std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->finished(); });
    if (clients_done && converged()) {
        finished_ = true;
        return;
    }
    if (scheduler_.now() > scenario_.faults_end_us + scenario_.recovery_max_us) {
        std::string why = "LIVENESS: " + lagging();
        for (const auto& client : clients_) {
            if (!client->finished()) {
                why += "; " + client->waiting_for();
            }
        }
        return violation(why);
    }
    scheduler_.after(poll_us, [this] { poll(); });
}

// Every correct replica has executed all that any of them has; equal digests follow from the chain checker.
bool World::converged() const {
    return std::all_of(replicas_.begin(), replicas_.end(), [this](const auto& replica) {
        return !is_correct(replica->id()) || (replica->up() && replica->executed() == chain_.height());
    });
}

std::string World::lagging() const {
    std::string text = fmt::format("height {};", chain_.height().value);
    for (const auto& replica : replicas_) {
        if (!replica->up()) {
            text += fmt::format(" replica {} down", replica->id().value);
            continue;
        }
        const consensus::Status status = replica->node().status();
        text += fmt::format(" replica {}: executed {} view {}/{} prep {} committed {} pending {}", replica->id().value,
                            replica->executed().value, status.entered.value, status.promised.value,
                            status.prep.height.value, status.committed.height.value, status.pending_envelopes);
    }
    return text;
}

void World::check_histories(RunNumbers& numbers) {
    std::map<std::string, std::vector<RegisterOp>> by_key;
    for (const auto& client : clients_) {
        for (const auto& [key, ops] : client->history()) {
            by_key[key].insert(by_key[key].end(), ops.begin(), ops.end());
        }
    }
    for (const auto& [key, ops] : by_key) {
        const LinearizabilityResult checked = check_register(ops);
        if (checked.verdict == Linearizable::no) {
            violation(fmt::format("LINEARIZABILITY of key {}: {}", key, checked.why));
        }
        numbers.undecided += checked.verdict == Linearizable::unknown ? 1 : 0;
    }
}

// ---- Faults

void World::separate(std::uint32_t mask, bool both_ways) {
    for (std::size_t a = 0; a < scenario_.n; ++a) {
        for (std::size_t b = 0; b < scenario_.n; ++b) {
            if ((mask >> a & 1U) == 1 && (mask >> b & 1U) == 0) {
                network_.block(a, b);
                if (both_ways) {
                    network_.block(b, a);
                }
            }
        }
    }
}

void World::cut_client(const FaultEvent& event) {
    const std::size_t client = event.a;
    for (std::size_t replica = 0; replica < scenario_.n && client < clients_.size(); ++replica) {
        if (event.arg != 0 ? (event.mask >> replica & 1U) == 1 : replica == event.b) {
            network_.block(client_process(client), replica);
            network_.block(replica, client_process(client));
            drop_link(client, replica);
        }
    }
}

void World::apply(const FaultEvent& event) {
    trace_.event(name_of(event.kind), event.a, event.b, static_cast<std::uint64_t>(event.arg));
    SimReplica& victim = *replicas_.at(event.a < scenario_.n ? event.a : 0);
    switch (event.kind) {
        case FaultKind::partition: return separate(event.mask, true);
        case FaultKind::one_way: return separate(event.mask, false);
        case FaultKind::cut_links: network_.block(event.a, event.b); return network_.block(event.b, event.a);
        case FaultKind::heal_network:
            for (std::size_t a = 0; a < scenario_.n; ++a) {
                for (std::size_t b = 0; b < scenario_.n; ++b) {
                    network_.unblock(a, b);
                }
            }
            return;
        case FaultKind::storm: return network_.set_quality(event.arg != 0 ? scenario_.storm : scenario_.quality);
        case FaultKind::crash: return victim.crash();
        case FaultKind::crash_midway: return victim.crash_after_calls(static_cast<std::uint64_t>(event.arg));
        case FaultKind::crash_in_sync: return victim.crash_in_next_sync();
        case FaultKind::power_cut:
            for (const auto& replica : replicas_) {
                replica->crash();
            }
            return;
        case FaultKind::restart:
            if (!victim.up()) {
                victim.start();
            }
            return;
        case FaultKind::restart_all:
            for (const auto& replica : replicas_) {
                if (!replica->up()) {
                    replica->start();
                }
            }
            return;
        case FaultKind::pause: return victim.pause_until(scheduler_.now() + static_cast<TimeUs>(event.arg));
        case FaultKind::clock_jump: return victim.clock().jump(event.arg);
        case FaultKind::clock_mend: return victim.clock().mend();
        case FaultKind::slow_disk: return victim.slow_disk(static_cast<std::uint64_t>(event.arg));
        case FaultKind::behave:
            LOYAL_ASSERT(traitors_.contains(event.a), "only traitors misbehave");
            return victim.behave(event.text);
        case FaultKind::cut_client: return cut_client(event);
        case FaultKind::heal_clients:
            for (std::size_t client = 0; client < clients_.size(); ++client) {
                for (std::size_t replica = 0; replica < scenario_.n; ++replica) {
                    network_.unblock(client_process(client), replica);
                    network_.unblock(replica, client_process(client));
                }
            }
            return;
    }
}

// ---- Messages between replicas

void World::peer_send(ReplicaId from, const std::vector<ReplicaId>& to, const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        tree_->add(*propose->block);
    }
    if (is_correct(from)) {
        if (auto finding = ledgers_[from.value].sent(message)) {
            violation(*finding);
        }
    }
    const auto parcel = std::make_shared<Parcel>(message);
    for (const ReplicaId receiver : to) {
        network_.send(from.value, receiver.value, [this, from, receiver, parcel](const Arrival& arrival) {
            deliver_to_peer(from, receiver, *parcel, arrival);
        });
    }
}

void World::deliver_to_peer(ReplicaId from, ReplicaId to, Parcel& parcel, const Arrival& arrival) {
    SimReplica& receiver = *replicas_[to.value];
    if (!receiver.up()) {
        return;
    }
    if (arrival.corrupted) {
        // The link's cipher would refuse this frame. It is decoded and verified all the same, to see that nothing
        // breaks; only a traitor's own garbage goes further.
        Bytes frame = parcel.frame();
        corrupt(frame, arrival.entropy);
        auto decoded = wire::decode_peer(membership_.context, frame);
        if (decoded) {
            auto verified = verifier_->verify(std::move(*decoded), from);
            if (verified && !is_correct(from)) {
                receiver.receive(from, std::move(*verified));
            }
        }
        return;
    }
    if (is_correct(from) && arrival.entropy % 1'000'000 >= scenario_.codec_ppm) {
        return receiver.receive(from, verifier_->own(parcel.message));
    }
    auto decoded = wire::decode_peer(membership_.context, parcel.frame());
    if (!decoded) {
        return violation(fmt::format("a {} of replica {} does not decode: {}", consensus::name_of(parcel.message),
                                     from.value, decoded.error().message));
    }
    auto verified = verifier_->verify(std::move(*decoded), from);
    if (verified) {
        return receiver.receive(from, std::move(*verified));
    }
    if (is_correct(from)) {
        violation(fmt::format("a {} of correct replica {} was refused: {}", consensus::name_of(parcel.message),
                              from.value, verified.error().message));
    }
}

// ---- Clients

void World::client_tick(std::size_t client) {
    for (std::size_t replica = 0; replica < scenario_.n; ++replica) {
        if (!links_[client][replica].up() && scheduler_.now() >= links_[client][replica].next_attempt) {
            connect(client, replica);
        }
    }
    clients_[client]->tick();
    scheduler_.after(client_tick_us, [this, client] { client_tick(client); });
}

void World::connect(std::size_t client, std::size_t replica) {
    ClientLink& link = links_[client][replica];
    if (!replicas_[replica]->up() || replicas_[replica]->paused() ||
        network_.blocked(client_process(client), replica) || network_.blocked(replica, client_process(client))) {
        link.next_attempt = scheduler_.now() + reconnect_us;
        return;
    }
    link.id = next_link_++;
    link_ends_[link.id] = {client, replica};
    trace_.event("link", client, replica, link.id);
    replicas_[replica]->link_up(link.id, client_ids_[client]);
    clients_[client]->connected(ReplicaId(static_cast<std::uint16_t>(replica)));
}

void World::drop_link(std::size_t client, std::size_t replica) {
    ClientLink& link = links_[client][replica];
    if (!link.up()) {
        return;
    }
    trace_.event("unlink", client, replica, link.id);
    link_ends_.erase(link.id);
    replicas_[replica]->link_down(link.id);
    link.id = 0;
    link.next_attempt = scheduler_.now() + reconnect_us;
    // Not from within a step of either end.
    scheduler_.after(
        0, [this, client, replica] { clients_[client]->disconnected(ReplicaId(static_cast<std::uint16_t>(replica))); });
}

void World::client_request(std::size_t client, ReplicaId to, const wire::ClientMessage& message) {
    const replica::LinkId link = links_[client][to.value].id;
    if (link == 0) {
        return;
    }
    auto frame = std::make_shared<Bytes>(wire::encode(message));
    const bool leaves =
        network_.send(client_process(client), to.value, [this, client, to, link, frame](const Arrival& arrival) {
            if (links_[client][to.value].id != link) {
                return;
            }
            if (arrival.corrupted) {  // the link's cipher notices and closes the link
                corrupt(*frame, arrival.entropy);
                (void)wire::decode_client(*frame);
                return drop_link(client, to.value);
            }
            auto decoded = wire::decode_client(*frame);
            if (!decoded) {
                return violation("a client's message does not decode: " + decoded.error().message);
            }
            replicas_[to.value]->receive(link, client_ids_[client], std::move(*decoded));
        });
    if (!leaves) {
        drop_link(client, to.value);  // a stream loses nothing without breaking
    }
}

void World::client_send(ReplicaId from, replica::LinkId link, const wire::ReplicaMessage& message) {
    const auto ends = link_ends_.find(link);
    if (ends == link_ends_.end()) {
        return;
    }
    const std::size_t client = ends->second.first;
    auto frame = std::make_shared<Bytes>(wire::encode(message));
    const bool leaves =
        network_.send(from.value, client_process(client), [this, from, client, link, frame](const Arrival& arrival) {
            if (links_[client][from.value].id != link) {
                return;
            }
            if (arrival.corrupted) {
                corrupt(*frame, arrival.entropy);
                (void)wire::decode_replica(*frame);
                return drop_link(client, from.value);
            }
            const auto decoded = wire::decode_replica(*frame);
            if (!decoded) {
                return violation("an answer does not decode: " + decoded.error().message);
            }
            clients_[client]->receive(from, *decoded);
        });
    if (!leaves) {
        scheduler_.after(0, [this, client, from, link] {
            if (links_[client][from.value].id == link) {
                drop_link(client, from.value);
            }
        });
    }
}

// ---- What replicas report

void World::on_durable(ReplicaId replica, const std::vector<consensus::Persist>& group) {
    for (const consensus::Persist& persist : group) {
        ledgers_[replica.value].durable(persist.records);
    }
}

void World::on_recovered(ReplicaId replica, const consensus::Recovered& recovered) {
    if (auto finding = ledgers_[replica.value].recovered(recovered)) {
        violation(fmt::format("replica {} recovered: {}", replica.value, *finding));
    }
}

void World::on_executed(ReplicaId replica, const consensus::Block& block, const kvstore::ExecutedBlock& result) {
    if (!is_correct(replica)) {
        return;
    }
    if (auto finding = chain_.executed(replica, block, result)) {
        violation(*finding);
    }
}

void World::on_crashed(ReplicaId replica) {
    ++crashes_;
    for (std::size_t client = 0; client < clients_.size(); ++client) {
        drop_link(client, replica.value);
    }
}

void World::on_accused(ReplicaId by, const consensus::Accuse& evidence) {
    trace_.event("accuse", by.value, evidence.evidence.culprit.value);
    ++accusations_;
    if (is_correct(evidence.evidence.culprit) && is_correct(by)) {
        violation(fmt::format("replica {} convicts correct replica {} of {}", by.value, evidence.evidence.culprit.value,
                              consensus::name_of(evidence.evidence.kind)));
    }
}

RunResult run_scenario(const Scenario& scenario, const RunOptions& options) {
    return World(scenario, options).run();
}

}  // namespace loyal::sim
