#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/assert.h"

namespace loyal::sim {

using consensus::ReplicaId;

namespace {

enum WorldStream : std::uint64_t {
    world_stream = 11,
    network_stream = 12,
    adversary_stream = 13,
    replica_stream = 100,
    client_stream = 200
};

constexpr TimeUs poll_us = 10 * ms;
constexpr TimeUs adversary_tick_us = 5 * ms;
constexpr consensus::View beyond_views{~std::uint64_t{0}};

// Not an address: simulated keys come from small numbers.
constexpr std::uint64_t replica_key_base = 1'000, client_key_base = 2'000;

consensus::Membership make_membership(const Scenario& scenario, const std::vector<SimSigner>& replicas) {
    consensus::Membership membership;
    membership.context.cluster_id = crypto::digest_of("sim-cluster", view_of("cluster"));
    membership.fault_model = scenario.fault_model;
    membership.window = scenario.window;
    membership.checkpoint_interval = scenario.checkpoint_interval;
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

}  // namespace

World::World(Scenario scenario, const RunOptions& options)
    : scenario_(std::move(scenario)),
      options_(options),
      trace_(scheduler_, options.trace),
      random_(scenario_.seed, world_stream),
      network_(scheduler_, Random(scenario_.seed, network_stream), scenario_.n + scenario_.workload.clients),
      adversary_(scenario_.scheming, scenario_.n, scheduler_, Random(scenario_.seed, adversary_stream),
                 [this](ReplicaId replica) { return views_[replica.value]; }),
      replica_keys_(make_keys(replica_key_base, scenario_.n)),
      client_keys_(make_keys(client_key_base, scenario_.workload.clients)),
      chain_(consensus::genesis_block(make_membership(scenario_, replica_keys_).context)),
      traitors_(scenario_.traitors.begin(), scenario_.traitors.end()),
      verifications_(scenario_.n),
      views_(scenario_.n, {beyond_views, beyond_views}) {
    make_members();
    const ReplicaContext replica_context{scenario_, membership_, *verifier_,     state_options_, scheduler_,
                                         trace_,    *this,       traitors_keys_, client_names_};
    for (std::size_t i = 0; i < scenario_.n; ++i) {
        const ReplicaId id(static_cast<std::uint16_t>(i));
        ledgers_.emplace_back(membership_, id, *tree_);
        replicas_.push_back(std::make_unique<SimReplica>(id, replica_context, replica_keys_[i],
                                                         Random(scenario_.seed, replica_stream + i)));
    }
    const ClientContext client_context{scenario_, membership_, scheduler_, trace_, *this};
    const bool is_signed = scenario_.fault_model == consensus::FaultModel::byzantine;
    for (std::size_t i = 0; i < scenario_.workload.clients; ++i) {
        clients_.push_back(std::make_unique<SimClient>(i, client_context, client_keys_[i].public_key(),
                                                       is_signed ? &client_keys_[i] : nullptr,
                                                       Random(scenario_.seed, client_stream + i)));
    }
    links_.assign(clients_.size(), std::vector<ClientLink>(scenario_.n));
    break_peer_links();
}

World::~World() = default;

void World::make_members() {
    if (scenario_.workload.shared_key && client_keys_.size() > 1) {
        client_keys_[1] = client_keys_[0];
    }
    if (scenario_.workload.one_key) {
        std::fill(client_keys_.begin(), client_keys_.end(), client_keys_.front());
    }
    membership_ = make_membership(scenario_, replica_keys_);
    for (const SimSigner& signer : replica_keys_) {
        signatures_.learn(signer);
    }
    for (const std::uint16_t traitor : traitors_) {  // the keys outlive everybody: no ownership
        traitors_keys_.emplace(ReplicaId(traitor), std::shared_ptr<const crypto::Signer>(std::shared_ptr<void>(),
                                                                                         &replica_keys_.at(traitor)));
    }
    for (const SimSigner& signer : client_keys_) {
        signatures_.learn(signer);
        const consensus::ClientId id = consensus::client_id_of(signer.public_key());
        client_names_.emplace(fmt::format("c{}", client_ids_.size()), id);
        client_ids_.push_back(id);
        membership_.clients.emplace(id, signer.public_key());
        state_options_.clients[id] =
            kvstore::client_with(fmt::format("c{}", client_ids_.size() - 1), signer.public_key(),
                                 kvstore::right_read | kvstore::right_write);
    }
    for (const auto& [name, client] : scenario_.client_names) {
        client_names_.emplace(name, client_ids_.at(client));
    }
    state_options_.rules_off = scenario_.state_rules_off;
    state_options_.checkpoint_interval = scenario_.checkpoint_interval;
    state_options_.salt = kvstore::salt_of(membership_.context.cluster_id);
    verifier_ = std::make_unique<consensus::MessageVerifier>(membership_, signatures_, scenario_.core.rules_off);
    tree_ = std::make_unique<HeaderTree>(consensus::genesis_block(membership_.context));
}

// ---- The run

void World::violation(const std::string& what) {
    observe(Observer::Happening::violation, {}, what);
    disagreed_ = disagreed_ || what.starts_with("AGREEMENT") || what.starts_with("DIVERGENCE");
    if (!failure_) {
        failure_ = fmt::format("at {:.3f} ms: {}", static_cast<double>(scheduler_.now()) / 1'000.0, what);
        trace_.text([&] { return "VIOLATION " + what; });
    }
}

void World::observe(Observer::Happening what, std::optional<ReplicaId> replica, const std::string& text) {
    if (options_.observer != nullptr) {
        options_.observer->happened(scheduler_.now(), what, replica, text);
    }
}

RunResult World::run() {
    start();
    while (!finished_ && (!failure_ || options_.go_on) && scheduler_.step()) {
    }
    RunResult result;
    if (!failure_ || options_.go_on) {
        check_histories(result.numbers);
    }
    result.passed = !failure_;
    result.failure = failure_.value_or("");
    count(result.numbers);
    if (options_.observer != nullptr) {
        options_.observer->ended(scheduler_.now(), costs());
    }
    return result;
}

void World::count(RunNumbers& numbers) const {
    numbers.trace_hash = trace_.hash();
    numbers.virtual_us = scheduler_.now();
    numbers.recovery_us = scheduler_.now() - std::min(scheduler_.now(), scenario_.faults_end_us);
    numbers.events = scheduler_.events();
    numbers.messages = network_.counters().sent;
    numbers.delay_max_us = network_.counters().slowest_us;
    numbers.lost = network_.counters().lost + network_.counters().blocked;
    numbers.blocks = chain_.height().value;
    numbers.operations = chain_.operations();
    numbers.crashes = crashes_;
    numbers.checkpoint = roots_.empty() ? 0 : roots_.rbegin()->first.value;
    numbers.installs = installs_;
    numbers.amnesias = amnesias_;
    numbers.accusations = accusations_;
    numbers.view = numbers.view_changes = highest_view_;
    numbers.completed = completed_ && !failure_ ? 1 : 0;
    numbers.disagreed = disagreed_ ? 1 : 0;
    numbers.unsafe = failure_ && !only_slow_ ? 1 : 0;
    for (const auto& client : clients_) {
        const ClientCounters& seen = client->counters();
        numbers.done += seen.done;
        numbers.unknown += seen.unknown;
        numbers.reads_fast += seen.reads_fast;
        numbers.reads_ordered += seen.reads_ordered;
        numbers.reads_failed += seen.reads_failed;
        numbers.changes_told += client->changes_told();
        numbers.slowest_us = std::max(numbers.slowest_us, seen.slowest_us);
    }
}

CostsSeen World::costs() const {
    CostsSeen costs;
    costs.messages = messages_sent_;
    costs.bytes = bytes_sent_;
    for (const auto& replica : replicas_) {
        if (is_correct(replica->id())) {
            costs.signatures += replica->signatures();
            costs.syncs += replica->syncs();
            costs.verifications += verifications_[replica->id().value];
        }
    }
    return costs;
}

void World::start() {
    network_.set_quality(scenario_.quality);
    for (const auto& replica : replicas_) {
        scheduler_.at(random_.below(5 * ms), [this, &replica] { start_replica(*replica); });
    }
    for (std::size_t i = 0; i < clients_.size(); ++i) {
        scheduler_.at(random_.below(client_tick_us), [this, i] { client_tick(i); });
    }
    for (std::size_t i = 0; i < scenario_.plan.size(); ++i) {
        scheduler_.at(scenario_.plan[i].at, [this, i] { apply(i); });
    }
    scheduler_.after(0, [this] { peer_links_tick(); });
    scheduler_.at(scenario_.faults_end_us, [this] { end_faults(); });
    if (scenario_.scheming != Scheming::none) {
        scheduler_.after(adversary_tick_us, [this] { adversary_tick(); });
    }
    if (options_.observer != nullptr) {
        scheduler_.after(0, [this] { sample(); });
    }
}

void World::adversary_tick() {
    adversary_.tick();
    scheduler_.after(adversary_tick_us, [this] { adversary_tick(); });
}

void World::sample() {
    if (!options_.observer->moment(scheduler_.now())) {
        return finish();
    }
    for (const auto& replica : replicas_) {
        ReplicaSample seen;
        seen.replica = replica->id();
        seen.up = replica->up();
        seen.fault = replica->told().empty() ? "none" : replica->told();
        if (seen.up) {
            seen.status = replica->node().status();
            seen.executed = replica->executed();
            seen.digest = replica->digest();
        }
        options_.observer->sampled(scheduler_.now(), seen);
    }
    scheduler_.after(options_.sample_us, [this] { sample(); });
}

void World::end_faults() {
    trace_.event("faults-end", 0);
    switch (scenario_.ending) {
        case Ending::recover: return recover();
        case Ending::stop: return finish();
        case Ending::read_back: return read_back();
    }
}

// From here on the network is good, nobody fails any more, and everything that was asked must complete.
void World::recover() {
    adversary_.leave();
    heal_all();
    network_.set_quality(scenario_.calm);
    for (const auto& replica : replicas_) {
        replica->disarm();
        start_replica(*replica);
    }
    for (const auto& client : clients_) {
        client->faults_ended();
    }
    scheduler_.after(poll_us, [this] { poll(); });
}

// Nothing is in the way of reading any more, but the dead who may not return and whoever cannot be read past.
void World::read_back() {
    adversary_.leave();
    heal_all();
    for (const auto& replica : replicas_) {
        replica->disarm();
        if (!is_correct(replica->id())) {
            replica->behave("none");
        }
        start_replica(*replica);
    }
    for (const auto& client : clients_) {  // all stop asking
        client->read_back({});
    }
    scheduler_.after(poll_us, [this] { read_back_when_idle(); });
}

// After everything else has ended: what is read is then what the last write left.
void World::read_back_when_idle() {
    const bool idle =
        std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->finished(); });
    if (!idle && scheduler_.now() <= scenario_.faults_end_us + scenario_.recovery_max_us) {
        scheduler_.after(poll_us, [this] { read_back_when_idle(); });
        return;
    }
    if (idle) {
        std::vector<std::string> keys;
        for (std::size_t i = 0; i < scenario_.workload.keys; ++i) {
            keys.push_back(scenario_.workload.key(i));
        }
        clients_.front()->read_back(std::move(keys));
    }
    poll();
}

void World::finish() {
    completed_ = std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->completed(); });
    for (const auto& client : clients_) {
        client->abandon();
    }
    finished_ = true;
}

void World::poll() {
    const bool clients_done =
        std::all_of(clients_.begin(), clients_.end(), [](const auto& client) { return client->finished(); });
    const bool must_recover = scenario_.ending == Ending::recover;
    if (clients_done && (!must_recover || converged())) {
        return finish();
    }
    if (scheduler_.now() > scenario_.faults_end_us + scenario_.recovery_max_us) {
        if (!must_recover) {
            return finish();
        }
        std::string why = "LIVENESS: " + lagging();
        for (const auto& client : clients_) {
            if (!client->finished()) {
                why += "; " + client->waiting_for();
            }
        }
        only_slow_ = !failure_;
        return violation(why);
    }
    if (clients_done && is_deceived()) {
        clients_.front()->one_more();
    }
    scheduler_.after(poll_us, [this] { poll(); });
}

// A state that changed behind its replica's back shows at the checkpoint after it, and that only goes as far as there
// is something to do.
bool World::is_deceived() const {
    return std::any_of(replicas_.begin(), replicas_.end(), [this](const auto& replica) {
        return is_correct(replica->id()) && replica->up() && replica->executed() == chain_.height() &&
               replica->node().status().state_lost.empty() && !replica->holds(chain_.model());
    });
}

// Every correct replica that is not gone for good has executed all that any of them has; equal digests follow from the
// chain checker.
bool World::converged() const {
    return std::all_of(replicas_.begin(), replicas_.end(), [this](const auto& replica) {
        return !is_correct(replica->id()) || is_stopped(replica->id()) || has_converged(*replica);
    });
}

// It votes and answers again, its log is whole, and what it would answer is what an independent model of the store
// holds.
bool World::has_converged(const SimReplica& replica) const {
    if (!replica.up() || replica.executed() != chain_.height()) {
        return false;
    }
    const consensus::Status status = replica.node().status();
    return !status.amnesiac && status.state_lost.empty() && replica.log_is_whole() && replica.holds(chain_.model());
}

std::string World::lagging() const {
    std::string text = fmt::format("height {};", chain_.height().value);
    for (const auto& replica : replicas_) {
        if (!replica->up()) {
            text += fmt::format(" replica {} down", replica->id().value);
            continue;
        }
        text += replica->log_is_whole() ? "" : fmt::format(" {};", replica->log_trouble());
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

// ---- What replicas report

void World::on_durable(ReplicaId replica, const std::vector<consensus::Persist>& group) {
    for (const consensus::Persist& persist : group) {
        ledgers_[replica.value].durable(persist.records);
    }
    if (ledgers_[replica.value].is_amnesiac()) {
        unaware_.erase(replica.value);
    }
}

void World::on_recovered(ReplicaId replica, const consensus::Recovered& recovered) {
    if (recovered.voting.amnesiac) {
        put_back_.erase(replica.value);
        unaware_.erase(replica.value);
    }
    if (auto finding = ledgers_[replica.value].recovered(recovered)) {
        violation(fmt::format("replica {} recovered: {}", replica.value, *finding));
    }
}

void World::on_executed(ReplicaId replica, const consensus::Block& block, const kvstore::ExecutedBlock& result) {
    if (!is_correct(replica) || is_deceived(replica)) {
        return;
    }
    if (options_.observer != nullptr) {
        options_.observer->executed(replica, block.header.height, result.digest);
    }
    const consensus::Height known = chain_.height();
    if (auto finding = chain_.executed(replica, block, result)) {
        violation(*finding);
    } else if (chain_.height() > known) {
        if (finding = changes_.committed(result, chain_.model()); finding) {
            violation(*finding);
        }
    }
}

void World::on_crashed(ReplicaId replica) {
    ++crashes_;
    if (unaware_.contains(replica.value)) {
        put_back_.insert(replica.value);  // what the echo told it is forgotten
    }
    for (std::size_t other = 0; other < scenario_.n; ++other) {
        peer_links_[std::min<std::size_t>(other, replica.value)][std::max<std::size_t>(other, replica.value)] = false;
    }
    views_[replica.value] = {beyond_views, beyond_views};  // what it misses now, no schedule can take from it
    observe(Observer::Happening::crash, replica, "crashed");
    for (std::size_t client = 0; client < clients_.size(); ++client) {
        drop_link(client, replica.value);
    }
}

// I16: equal roots at equal checkpoints.
void World::on_root(ReplicaId replica, const consensus::StateRoot& root) {
    if (!is_correct(replica) || is_deceived(replica)) {
        return;
    }
    // Where the tables that only say something about the state rotted, its root shows that: the core compares it.
    if (ledgers_[replica.value].disk_lies()) {
        return;
    }
    const auto [known, first] = roots_.try_emplace(root.height, root.root);
    if (!first && known->second != root.root) {
        violation(fmt::format("DIVERGENCE: replica {} has another root of the state at height {}", replica.value,
                              root.height.value));
    }
}

void World::on_installed(ReplicaId replica, const consensus::Recovered& recovered) {
    ++installs_;
    diverged_.erase(replica.value);
    observe(Observer::Happening::note, replica,
            fmt::format("installed the state of height {}", recovered.executed.value));
    if (auto finding = ledgers_[replica.value].recovered(recovered)) {
        violation(fmt::format("replica {} begins anew: {}", replica.value, *finding));
    }
}

void World::on_dropped(ReplicaId by, ReplicaId peer, const std::string& why) {
    if (is_correct(by) && is_correct(peer) && !ever_deceived_.contains(peer.value)) {
        violation(
            fmt::format("replica {} asks correct replica {} for the state no more: {}", by.value, peer.value, why));
    }
}

// Somebody starts it again, and again: its disk may still be bad.
void World::on_ended_itself(ReplicaId replica) {
    scheduler_.after(random_.between(5, 300) * ms, [this, replica] {
        if (!finished_) {
            start_replica(*replicas_[replica.value]);
        }
    });
}

void World::on_step(ReplicaId replica, const consensus::Status& status) {
    if (status.amnesiac && replicas_[replica.value]->node().waiting_sends() == 0) {
        put_back_.erase(replica.value);  // what it had signed before it knew has left
    }
    if (!status.amnesiac) {
        amnesiac_.erase(replica.value);
    } else if (amnesiac_.insert(replica.value).second) {
        ++amnesias_;
        if (is_correct(replica) && !ledgers_[replica.value].disk_lies()) {
            violation(
                fmt::format("replica {} believes that it forgot votes, but its disk was always right", replica.value));
        }
        observe(Observer::Happening::note, replica, "may have forgotten votes");
    }
    views_[replica.value] = {status.promised, status.entered};
    if (status.entered.value > highest_view_) {
        highest_view_ = status.entered.value;
        observe(Observer::Happening::view, status.leader,
                fmt::format("view {}, primary {}", highest_view_, status.leader.value));
    }
}

void World::on_accused(ReplicaId by, const consensus::Accuse& evidence) {
    trace_.event("accuse", by.value, evidence.evidence.culprit.value);
    ++accusations_;
    const Result<void> proven = consensus::check_evidence(*verifier_, evidence.evidence);
    if (options_.observer != nullptr) {
        options_.observer->convicted(scheduler_.now(), by, evidence.evidence, proven.has_value());
    }
    if (is_correct(by) && !proven) {
        violation(fmt::format("the proof of replica {} against replica {} ({}) does not convince: {}", by.value,
                              evidence.evidence.culprit.value, consensus::name_of(evidence.evidence.kind),
                              proven.error().message));
    }
    const bool is_excused = ever_deceived_.contains(evidence.evidence.culprit.value);
    if (is_correct(evidence.evidence.culprit) && is_correct(by) && !is_excused) {
        violation(fmt::format("replica {} convicts correct replica {} of {}", by.value, evidence.evidence.culprit.value,
                              consensus::name_of(evidence.evidence.kind)));
    }
}

RunResult run_scenario(const Scenario& scenario, const RunOptions& options) {
    return World(scenario, options).run();
}

}  // namespace loyal::sim
