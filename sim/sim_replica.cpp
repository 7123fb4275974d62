#include "sim/sim_replica.h"

#include <fmt/format.h>

#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "replica/refused_frames.h"
#include "replica/serve_committed.h"

namespace loyal::sim {

using consensus::PeerMessage;
using consensus::ReplicaId;
using replica::LinkId;

SimReplica::SimReplica(ReplicaId id, const ReplicaContext& context, const SimSigner& signer, Random random)
    : id_(id),
      context_(context),
      signer_(signer),
      random_(random),
      clock_(context.scenario.clocks.at(id.value).offset_ms, context.scenario.clocks.at(id.value).drift_ppm),
      log_store_(kvstore::ConsensusLog::log_tables().size(), Random(random.next(), 1)),
      kv_store_(std::make_unique<SimStore>(kvstore::StateMachine::state_tables().size(), Random(random.next(), 2))) {}

SimReplica::~SimReplica() = default;

// ---- Life

void SimReplica::start() {
    LOYAL_ASSERT(!up(), "a process starts once");
    disk_fails_ = false;  // who starts it has mended the disk
    log_store_.fail_commits({});
    kv_store_->fail_commits({});
    if (!open_data()) {
        return;
    }
    auto recovered = recover_data();
    if (!recovered) {
        return disk_failed("cannot recover", recovered.error());
    }
    context_.trace.event("start", id_.value, executed().value, recovered->voting.promised.value);
    context_.world.on_recovered(id_, *recovered);
    std::unique_ptr<replica::FaultModel> fault = make_fault();
    if (fault) {
        fault->recovered(*recovered);
    }
    replica::NodeOptions options;
    options.core = context_.scenario.core;
    options.core.self = id_;
    options.read_wait_max_ms = 300;
    replica::NodePort& port = *this;
    node_ = std::make_unique<replica::Node>(options, context_.verifier, signer_, *recovered, port);
    node_->set_fault(std::move(fault));
    refuse_writes(writes_refused_);
    auto evidence = log_->evidence();
    if (!evidence) {
        return disk_failed("cannot read its evidence", evidence.error());
    }
    node_->remember(*evidence);
    // start() is a step like any other: a process may die in it.
    post([this] { node_->start(clock_.wall_ms(context_.scheduler.now())); });
    after(random_.below(context_.scenario.core.tick_ms * ms), [this] { tick(); });
    after(context_.scenario.disk.write_back_us, [this] { write_back(); });
    after(scrub_us, [this] { scrub(); });
    background_soon();
}

void SimReplica::crash() {
    if (!up()) {
        return;
    }
    LOYAL_ASSERT(!handling_, "a process dies between calls");
    // A sync that was under way may have reached the disk, as a whole or not at all.
    if (!syncing_.empty() && random_.one_in(2)) {
        const DiskFaults faults = log_store_.faults();
        log_store_.set_faults({});
        if (const auto done = log_->append(syncing_); done) {
            context_.world.on_durable(id_, syncing_);
        } else if (!disk_may_fail()) {
            context_.world.violation(fmt::format("replica {}: log: {}", id_.value, done.error().message));
        }
        log_store_.set_faults(faults);
    }
    ++incarnation_;
    signatures_before_ = signatures();
    node_.reset();
    fetch_.reset();
    builder_.reset();
    local_.reset();
    target_.reset();
    newer_.reset();
    log_release_ = {};
    frozen_.reset();
    state_lost_.clear();
    checkpoints_.reset();
    machine_.reset();
    log_.reset();
    unanswered_persists_ = undelivered_ = 0;
    background_scheduled_ = append_scheduled_ = log_damage_told_ = diverged_ = false;
    inbox_.clear();
    jobs_.clear();
    to_sync_.clear();
    syncing_.clear();
    links_.clear();
    wake_scheduled_ = executor_scheduled_ = tick_posted_ = dying_ = crash_in_sync_ = full_ = false;
    calls_left_.reset();
    paused_until_ = 0;
    const bool maybe_durable = log_store_.unsynced_commits() > 0;
    if (log_store_.crash(random_) && maybe_durable) {
        context_.world.on_durable(id_, failed_sync_);
    }
    failed_sync_.clear();
    kv_store_->crash(random_);
    context_.trace.event("crash", id_.value);
    context_.world.on_crashed(id_);
    if (std::exchange(ended_itself_, false)) {
        context_.world.on_ended_itself(id_);
    }
}

void SimReplica::pause_until(TimeUs time) {
    if (up()) {
        paused_until_ = std::max(paused_until_, time);
        after(paused_until_ - context_.scheduler.now(), [this] { schedule_wake(); });
    }
}

void SimReplica::behave(const std::string& fault) {
    fault_ = fault;
    if (up()) {
        node_->set_fault(make_fault());
    }
}

std::unique_ptr<replica::FaultModel> SimReplica::make_fault() const {
    replica::FaultContext context{context_.membership,
                                  id_,
                                  signer_,
                                  context_.scenario.seed ^ id_.value,
                                  context_.traitors_keys,
                                  context_.scenario.core.progress_min_ms,
                                  context_.scenario.core.heartbeat_ms,
                                  context_.client_names};
    context.accomplices.erase(id_);
    auto made = replica::parse_fault(fault_.empty() ? "none" : fault_).and_then([&](const replica::FaultSpec& spec) {
        return replica::make_fault(spec, context);
    });
    LOYAL_ASSERT(made.has_value(), "scenarios name faults that make sense");
    return std::move(*made);
}

void SimReplica::fail_next_sync(bool of_state) {
    disk_fails_ = true;
    (of_state ? *kv_store_ : log_store_).fail_commits(Error{Errc::io, "the simulated disk failed"});
}

void SimReplica::disarm() {
    calls_left_.reset();
    crash_in_sync_ = false;
    disk_fails_ = false;
    log_store_.fail_commits({});
    kv_store_->fail_commits({});
    ++armed_;
}

void SimReplica::refuse_writes(bool refuse) {
    writes_refused_ = refuse;
    if (up()) {
        node_->refuse_writes(refuse || full_ ? std::optional(wire::RefusalCode::disk_full) : std::nullopt);
    }
}

std::uint64_t SimReplica::signatures() const {
    return signatures_before_ + (up() ? node_->counters().signatures : 0);
}

crypto::Digest SimReplica::digest() const {
    const auto digests = machine_ ? machine_->recent_digests() : decltype(machine_->recent_digests())();
    return digests.empty() ? crypto::Digest() : digests.back().second;
}

// Asked at every poll, so what was found is kept until something changed.
bool SimReplica::holds(const ReferenceModel& model) const {
    if (!machine_ || machine_->revision() != model.revision()) {
        return false;
    }
    const Looked now{machine_->revision().value, machine_->executed().value, kv_store_->changes(), generation_};
    if (looked_ != now) {
        looked_ = now;
        held_ = holds_all(model);
    }
    return held_;
}

bool SimReplica::holds_all(const ReferenceModel& model) const {
    kvstore::Range everything;
    everything.end = Bytes();
    const auto answer = machine_->read(everything);
    return answer && answer->result == kvstore::encode_query_answer(
                                           {kvstore::Status::ok,
                                            kvstore::encode_range_result(model.read(everything, model.revision()))});
}

consensus::Height SimReplica::executed() const {
    return machine_ ? machine_->executed() : consensus::Height();
}

// ---- The event loop

void SimReplica::after(TimeUs delay, Job job) {
    context_.scheduler.after(delay, [this, incarnation = incarnation_, job = std::move(job)] {
        if (incarnation == incarnation_ && up()) {
            job();
        }
    });
}

void SimReplica::post(Job input) {
    inbox_.push_back(std::move(input));
    schedule_wake();
}

void SimReplica::schedule_wake() {
    if (!wake_scheduled_ && !inbox_.empty() && !paused()) {
        wake_scheduled_ = true;
        after(random_.below(context_.scenario.batch_us + 1), [this] { wake(); });
    }
}

void SimReplica::wake() {
    wake_scheduled_ = false;
    if (paused()) {
        return;  // the end of the pause wakes it
    }
    handling_ = true;
    node_->clock(clock_.wall_ms(context_.scheduler.now()));
    std::deque<Job> inputs = std::exchange(inbox_, {});
    for (const Job& input : inputs) {
        input();
        if (dying_) {
            break;
        }
    }
    if (!dying_) {
        node_->end_of_batch();
    }
    handling_ = false;
    if (dying_) {
        return crash();
    }
    const consensus::Status status = node_->status();
    context_.world.on_step(id_, status);
    watch_state(status);
    if (status.halted && fault_.empty()) {
        context_.world.violation(fmt::format("replica {} halted: {}", id_.value, status.halt_reason));
    }
}

void SimReplica::tick() {
    if (!tick_posted_ && !paused()) {
        tick_posted_ = true;
        post([this] {
            tick_posted_ = false;
            node_->tick();
        });
    }
    after(context_.scenario.core.tick_ms * ms, [this] { tick(); });
}

bool SimReplica::alive_for_call() {
    if (calls_left_ && !dying_) {
        if (*calls_left_ == 0) {
            dying_ = true;
        } else {
            --*calls_left_;
        }
    }
    return !dying_;
}

// ---- Inputs

void SimReplica::receive(ReplicaId from, crypto::Verified<PeerMessage> message) {
    post([this, from, message = std::move(message)] { node_->peer_message(from, message); });
}

void SimReplica::refused(ByteView frame) {
    if (const auto proof = replica::proof_in_refused(context_.verifier, frame)) {
        post([this, proof = *proof] { node_->refused_peer_message(proof); });
    }
}

void SimReplica::receive_proof(consensus::Evidence proof) {
    post([this, proof = std::move(proof)] { node_->refused_peer_message(proof); });
}

void SimReplica::peer_up(ReplicaId peer) {
    post([this, peer] { node_->peer_up(peer); });
}

void SimReplica::receive(LinkId link, const consensus::ClientId& client, wire::ClientMessage message) {
    if (!links_.contains(link)) {
        return;
    }
    if (auto* submit = std::get_if<wire::Submit>(&message)) {
        auto verified = context_.verifier.verify_envelope(std::move(submit->envelope), client);
        if (!verified) {
            return context_.world.violation("a correct client's envelope was refused: " + verified.error().message);
        }
        post([this, link, envelope = std::move(*verified)] { node_->client_envelope(link, envelope); });
    } else if (auto* request = std::get_if<wire::Read>(&message)) {
        post([this, link, client, read = std::move(*request)] { node_->client_read(link, client, read); });
    } else if (auto* watch = std::get_if<wire::Watch>(&message)) {
        post([this, link, client, asked = std::move(*watch)] { node_->client_watch(link, client, asked); });
    } else if (const auto* unwatch = std::get_if<wire::Unwatch>(&message)) {
        post([this, link, told = *unwatch] { node_->client_unwatch(link, told); });
    }
}

void SimReplica::link_up(LinkId link, const consensus::ClientId& client) {
    links_.emplace(link, client);
    post([this, link, client] { node_->client_connected(link, client); });
}

void SimReplica::link_down(LinkId link) {
    if (up() && links_.erase(link) > 0) {
        post([this, link] { node_->client_disconnected(link); });
    }
}

// ---- NodePort: messages

void SimReplica::sent(const PeerMessage& message, std::uint64_t to) {
    std::uint64_t detail = 0;
    if (const auto* vote = std::get_if<consensus::Vote>(&message)) {
        detail = vote->view.value << 40U | vote->prep.height.value << 20U | vote->com.height.value;
    } else if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        detail = brief(propose->block->id);
    } else if (const auto* change = std::get_if<consensus::ViewChange>(&message)) {
        detail = change->new_view.value;
    } else if (const auto* view = std::get_if<consensus::NewView>(&message)) {
        detail = view->view.value;
    }
    context_.trace.event(consensus::name_of(message), id_.value, to, detail);
}

void SimReplica::send(ReplicaId to, const PeerMessage& message) {
    if (alive_for_call()) {
        sent(message, to.value);
        context_.world.peer_send(id_, {to}, message);
    }
}

void SimReplica::send_each(const std::vector<ReplicaId>& to, const PeerMessage& message) {
    // One call a receiver: a crash may come after some of them.
    std::vector<ReplicaId> reached;
    for (const ReplicaId replica : to) {
        if (alive_for_call()) {
            reached.push_back(replica);
        }
    }
    if (!reached.empty()) {
        sent(message, 100 + reached.size());
        context_.world.peer_send(id_, reached, message);
    }
}

void SimReplica::to_client(LinkId link, const wire::ReplicaMessage& message) {
    if (alive_for_call()) {
        context_.world.client_send(id_, link, message);
    }
}

// ---- NodePort: the log

void SimReplica::persist(consensus::Persist persist) {
    if (!alive_for_call()) {
        return;
    }
    ++unanswered_persists_;
    to_sync_.push_back(std::move(persist));
    start_sync();
}

void SimReplica::start_sync() {
    if (!syncing_.empty() || to_sync_.empty()) {
        return;
    }
    syncing_ = std::exchange(to_sync_, {});
    const DiskShape& disk = context_.scenario.disk;
    const TimeUs time = (disk.sync_min_us + random_.below(disk.sync_spread_us + 1)) * slow_factor_ + disk_delay_us_;
    if (std::exchange(crash_in_sync_, false)) {
        after(random_.below(time + 1), [this, armed = armed_] {
            if (armed == armed_) {
                crash();
            }
        });
    }
    after(time, [this] { finish_sync(); });
}

void SimReplica::finish_sync() {
    const auto done = log_->append(syncing_);
    if (!done && done.error().code == Errc::disk_full && disk_may_fail()) {
        set_full(true);
        return after(context_.scenario.disk.write_back_us, [this] { finish_sync(); });
    }
    if (!done) {
        failed_sync_ = std::exchange(syncing_, {});
        return disk_failed("log", done.error());
    }
    set_full(false);
    ++syncs_;
    context_.world.on_durable(id_, syncing_);
    context_.trace.event("durable", id_.value, syncing_.back().id.value, syncing_.size());
    post([this, id = syncing_.back().id, count = syncing_.size()] {
        unanswered_persists_ -= count;
        node_->persisted(id);
    });
    syncing_.clear();
    start_sync();
}

void SimReplica::serve_committed(const consensus::ServeCommitted& request) {
    if (!alive_for_call()) {
        return;
    }
    auto answer = replica::read_committed(*log_, request);
    if (!answer) {
        return log_unreadable(answer.error());
    }
    consensus::Blocks blocks = std::move(*answer);
    if (!blocks.headers.empty() || !blocks.blocks.empty() || blocks.checkpoint) {
        after(context_.scenario.execute_us, [this, to = request.to, blocks = std::move(blocks)] {
            post([this, to, blocks] { node_->served(to, blocks); });
        });
    }
}

// ---- NodePort: the executor

void SimReplica::submit(Job job) {
    jobs_.push_back(std::move(job));
    if (!executor_scheduled_) {
        executor_scheduled_ = true;
        after(context_.scenario.execute_us, [this] { run_executor(); });
    }
}

void SimReplica::run_executor() {
    if (paused()) {
        return after(paused_until_ - context_.scheduler.now(), [this] { run_executor(); });
    }
    executor_scheduled_ = false;
    const std::uint64_t life = incarnation_;
    while (!jobs_.empty()) {
        if (!freeze_if_due()) {  // waits for the disk; nothing else does
            if (life == incarnation_ && !executor_scheduled_) {
                executor_scheduled_ = true;
                after(context_.scenario.disk.write_back_us, [this] { run_executor(); });
            }
            return;
        }
        const Job job = std::move(jobs_.front());
        jobs_.pop_front();
        job();
        if (life != incarnation_) {
            return;  // it ended of its disk
        }
    }
}

// A result of the executor, to the node.
void SimReplica::deliver(Job result) {
    ++undelivered_;
    post([this, result = std::move(result)] {
        --undelivered_;
        result();
    });
}

void SimReplica::execute(consensus::BlockPtr block) {
    if (!alive_for_call()) {
        return;
    }
    submit([this, block = std::move(block)] {
        if (!machine_) {
            return;
        }
        auto result = machine_->execute(*block);
        if (!result) {
            return state_failed("execute", result.error());
        }
        context_.trace.event("executed", id_.value, block->header.height.value, brief(result->digest));
        context_.world.on_executed(id_, *block, *result);
        deliver([this, done = std::move(*result)] { node_->executed(done); });
    });
}

void SimReplica::admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) {
    if (!alive_for_call()) {
        return;
    }
    submit([this, link, envelope = std::move(envelope)] {
        if (!machine_) {
            return;
        }
        auto result = machine_->admit(*envelope);
        if (!result) {
            return state_failed("admit", result.error());
        }
        deliver([this, link, envelope, done = std::move(*result)] { node_->admitted(link, envelope, done); });
    });
}

void SimReplica::read(LinkId link, wire::Read request, consensus::Height lock) {
    if (!alive_for_call()) {
        return;
    }
    submit([this, link, request = std::move(request), lock] {
        if (!machine_) {
            return;
        }
        const auto client = links_.find(link);
        const bool allowed = client != links_.end() && machine_->may_ask(client->second, request.query);
        Result<kvstore::ReadAnswer> answer =
            allowed ? machine_->read(request.query) : fail(Errc::permission, "no right to read");
        if (!answer && answer.error().code != Errc::permission && answer.error().code != Errc::invalid_argument) {
            return state_failed("read", answer.error());
        }
        deliver(
            [this, link, request, lock, answer = std::move(answer)] { node_->read_done(link, request, lock, answer); });
    });
}

void SimReplica::read_changes(LinkId link, std::uint64_t ticket, kvstore::ChangeQuery query) {
    if (!alive_for_call()) {
        return;
    }
    submit([this, link, ticket, query = std::move(query)] {
        if (!machine_) {
            return;
        }
        const auto client = links_.find(link);
        const bool allowed = client != links_.end() && machine_->may_ask(client->second, kvstore::range_of(query));
        Result<kvstore::ChangePage> page =
            allowed ? machine_->changes(query) : fail(Errc::permission, "no right to read");
        if (!page && page.error().code != Errc::permission) {
            return state_failed("changes", page.error());
        }
        deliver([this, ticket, page = std::move(page), revision = machine_->revision()] {
            node_->changes_read(ticket, page, revision);
        });
    });
}

// Now and then a link takes nothing: the watches on it fall back to the history.
std::size_t SimReplica::client_backlog(LinkId /*link*/) {
    return random_.one_in(64) ? 2 * limits::watch_backlog_bytes_max : 0;
}

// ---- NodePort: the rest

void SimReplica::accuse(const consensus::Accuse& evidence) {
    if (alive_for_call()) {
        context_.world.on_accused(id_, evidence);
    }
}

void SimReplica::note(const std::string& text) {
    context_.trace.text([&] { return fmt::format("  replica {}: {}", id_.value, text); });
}

}  // namespace loyal::sim
