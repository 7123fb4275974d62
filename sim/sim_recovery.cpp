// Checkpoints, state transfer and repair of a simulated replica, as loyald's background thread and executor do them.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "replica/state_transfer/old_state.h"
#include "replica/state_transfer/serve_state.h"
#include "sim/sim_replica.h"

namespace loyal::sim {

namespace {

constexpr TimeUs background_us = 500;  // between two steps of low-priority work
constexpr std::size_t records_a_step = 256;
constexpr int fetch_steps_a_turn = 64;

}  // namespace

kvstore::CheckpointOptions SimReplica::checkpoint_options() const {
    return {kvstore::salt_of(context_.membership.context.cluster_id), context_.membership.checkpoint_interval};
}

// ---- Checkpoints

Result<void> SimReplica::open_checkpoints() {
    checkpoints_.reset();
    roots_told_ = {};
    if (context_.membership.checkpoint_interval == 0) {
        return {};
    }
    return kvstore::Checkpoints::open(*kv_store_, checkpoint_options()).map([this](auto&& opened) {
        checkpoints_ = std::forward<decltype(opened)>(opened);
        roots_told_ = checkpoints_->roots();  // the core has them in Recovered
    });
}

void SimReplica::background_soon() {
    if (!background_scheduled_) {
        background_scheduled_ = true;
        after(background_us, [this] { background(); });
    }
}

void SimReplica::background() {
    background_scheduled_ = false;
    if (paused()) {
        background_scheduled_ = true;
        return after(paused_until_ - context_.scheduler.now(), [this] { background(); });
    }
    bool more = false;
    if (checkpoints_ && state_lost_.empty()) {
        const auto worked = checkpoints_->work(records_a_step);
        if (!worked && worked.error().code == Errc::disk_full && disk_may_fail()) {
            after(context_.scenario.disk.write_back_us, [this] { background_soon(); });
        } else if (!worked) {
            return state_failed("checkpoint", worked.error());
        } else {
            more = *worked;
            tell_roots();
        }
    }
    if (fetch_) {
        more = step_fetch() || more;
    }
    if (more) {
        background_soon();
    }
}

void SimReplica::tell_roots() {
    const std::vector<kvstore::StateRoot> roots = checkpoints_->roots();
    for (const kvstore::StateRoot& root : roots) {
        if (std::find(roots_told_.begin(), roots_told_.end(), root) == roots_told_.end()) {
            context_.trace.event("root", id_.value, root.height.value, brief(root.root));
            context_.world.on_root(id_, root);
            post([this, root] { node_->checkpoint_ready(root); });
        }
    }
    roots_told_ = roots;
}

// Everything once per turn: what diverged or rotted where nobody reads is found as well.
void SimReplica::scrub() {
    after(scrub_us, [this] { scrub(); });
    if (disk_touched_ && !paused()) {
        scrub_log();
    }
    if (checkpoints_ && state_lost_.empty() && !paused()) {
        for (bool wrapped = false; !wrapped;) {
            const auto step = checkpoints_->scrub(records_a_step);
            if (!step) {
                return state_failed("scrub", step.error());
            }
            if (step->damage) {
                return state_failed("scrub", Error{Errc::corrupted, *step->damage});
            }
            wrapped = step->wrapped;
        }
    }
}

void SimReplica::scrub_log() {
    std::uint64_t at = 0;
    do {
        const auto step = log_->scrub(at, records_a_step);
        if (!step) {
            return disk_failed("log scrub", step.error());
        }
        at = step->next;
    } while (at != 0);
    const std::vector<consensus::BlockRef> damaged = log_->damaged_blocks();
    if (!damaged.empty() || log_damage_told_) {
        log_damage_told_ = !damaged.empty();
        context_.trace.event("log-damaged", id_.value, damaged.size(),
                             damaged.empty() ? 0 : damaged.front().height.value);
        post([this, damaged] { node_->log_damaged(damaged); });
    }
}

void SimReplica::stable(const consensus::Stable& stable) {
    if (!alive_for_call()) {
        return;
    }
    context_.trace.event("stable", id_.value, stable.checkpoint.height.value);
    if (checkpoints_ && state_lost_.empty()) {
        checkpoints_->release_below(stable.checkpoint.height);
        background_soon();
    }
    log_release_.stable(stable.checkpoint.height);
    release_log();
}

// D4: the log may forget what lies below a stable checkpoint once the state is durably complete for it.
std::string SimReplica::log_trouble() const {
    std::string heights;
    for (const consensus::BlockRef& block : log_->damaged_blocks()) {
        heights += fmt::format(" {}", block.height.value);
    }
    return fmt::format("the log of replica {}, which begins at height {}, is damaged: {}{}", id_.value,
                       log_->first_height().value, heights.empty() ? "holes" : "blocks", heights);
}

void SimReplica::release_log() {
    if (machine_) {
        log_->release_below(log_release_.below(machine_->durable_height(), true, context_.scheduler.now_ms()));
    }
}

// ---- Serving

void SimReplica::serve_state(consensus::ReplicaId to, consensus::StateRequest request) {
    if (!alive_for_call()) {
        return;
    }
    log_release_.asked(to, request.checkpoint, context_.scheduler.now_ms());
    after(context_.scenario.execute_us, [this, to, request = std::move(request)] {
        if (!checkpoints_ || diverged_) {
            return post([this, to, request] { node_->state_served(to, replica::no_such_checkpoint(request)); });
        }
        replica::ServedPart part = replica::serve_state_part(*checkpoints_, request);
        if (part.error) {
            return state_failed("checkpoint", *part.error);
        }
        post([this, to, chunk = std::move(part.chunk)] { node_->state_served(to, chunk); });
    });
}

// ---- Fetching

void SimReplica::fetch_state(const consensus::FetchState& target) {
    if (!alive_for_call()) {
        return;
    }
    context_.trace.event("fetch-state", id_.value, target.checkpoint.height.value);
    if (fetch_ && target.checkpoint != target_->checkpoint) {
        newer_ = target;
        fetch_->want(target.checkpoint);
        return background_soon();
    }
    if (!fetch_ && next_store_ && target_ && is_of_target(*next_store_).value_or(false)) {
        return;  // about to be put in force; the core that comes with it asks again
    }
    target_ = target;
    after(context_.scenario.execute_us, [this] { begin_fetch(); });
}

void SimReplica::begin_fetch() {
    if (!target_ || fetch_) {
        return;
    }
    if (newer_) {
        target_ = std::exchange(newer_, std::nullopt);
    }
    if (target_->checkpoint.height.value == 0) {  // nothing was certified yet: all of it is executed again
        next_store_ = new_state_store();
        return install();
    }
    if (!next_store_) {
        next_store_ = new_state_store();
    } else if (is_of_target(*next_store_).value_or(false)) {
        return install();
    }
    auto builder = kvstore::StateBuilder::begin(*next_store_, checkpoint_options(), target_->checkpoint);
    if (!builder) {
        return fetch_failed(builder.error());
    }
    builder_ = std::move(*builder);
    replica::FetchOptions options;
    options.self = id_;
    options.replicas = context_.membership.replicas.size();
    options.salt = checkpoint_options().salt;
    options.peers.timeout_min_ms = 100;
    options.peers.timeout_first_ms = 200;
    options.peers.timeout_max_ms = 1'000;
    options.peers.ask_again_ms = 200;
    local_ = std::make_unique<replica::OldState>(checkpoints_.get());
    fetch_ = std::make_unique<replica::StateFetch>(options, target_->checkpoint, *builder_, *local_);
    fetch_tick();
    background_soon();
}

void SimReplica::fetch_tick() {
    if (fetch_) {
        fetch_->tick(context_.scheduler.now_ms());
        background_soon();
        after(10 * ms, [this] { fetch_tick(); });
    }
}

void SimReplica::state_chunk(consensus::ReplicaId from, consensus::StateChunk chunk) {
    if (fetch_) {
        fetch_->on_chunk(from, chunk);
        background_soon();
    }
}

bool SimReplica::step_fetch() {
    bool more = true;
    for (int i = 0; i < fetch_steps_a_turn && more; ++i) {
        more = fetch_->work();
    }
    if (newer_ && fetch_->target() == newer_->checkpoint) {
        target_ = std::exchange(newer_, std::nullopt);
    }
    for (auto& [to, request] : fetch_->take_requests()) {
        sent(request, to.value);
        context_.world.peer_send(id_, {to}, request);
    }
    for (const replica::DroppedPeer& dropped : fetch_->take_dropped()) {
        context_.trace.event("drop-peer", id_.value, dropped.peer.value);
        context_.world.on_dropped(id_, dropped.peer, dropped.why);
    }
    if (fetch_->failed()) {
        fetch_failed(*fetch_->failed());
        return false;
    }
    if (fetch_->done()) {
        fetch_.reset();
        builder_.reset();
        local_.reset();
        const Result<bool> right = is_of_target(*next_store_);
        if (!right) {
            fetch_failed(right.error());
        } else if (*right) {
            install();
        }
        return false;
    }
    return more;
}

// The state under the root holds the id of its block: a header of another block is a lie, and another one is waited
// for. A state that cannot be opened says nothing of the header.
Result<bool> SimReplica::is_of_target(SimStore& state) {
    return kvstore::StateMachine::open(state, context_.state_options).map([this](const auto& machine) {
        return machine->executed_block().height == target_->checkpoint.height &&
               machine->executed_block().id == consensus::header_id(context_.membership.context, target_->block);
    });
}

// What was built is not the target: from the beginning. Anything else is the disk's.
void SimReplica::fetch_failed(Error error) {
    context_.trace.text([&] { return fmt::format("  replica {}: state transfer: {}", id_.value, error.message); });
    fetch_.reset();
    builder_.reset();
    local_.reset();
    const bool of_the_store = error.code == Errc::io || error.code == Errc::disk_full;
    if (error.code == Errc::conflict || (disk_touched_ && !of_the_store)) {  // as StateKeeper does
        next_store_.reset();
        return after(background_us, [this] { begin_fetch(); });
    }
    if (error.code == Errc::disk_full && disk_may_fail()) {
        return after(50 * ms, [this] { begin_fetch(); });
    }
    disk_failed("state transfer", error);
}

// ---- Switching

// Within a step, when nothing is under way between node, log and executor.
void SimReplica::install() {
    post([this] {
        const bool idle = unanswered_persists_ == 0 && undelivered_ == 0 && (!state_lost_.empty() || jobs_.empty());
        if (!next_store_ || fetch_) {
            return;  // another target came
        }
        if (!idle) {
            return after(background_us, [this] { install(); });
        }
        switch_state();
    });
}

void SimReplica::switch_state() {
    const consensus::FetchState target = *std::exchange(target_, {});
    const consensus::Height height = target.checkpoint.height;
    context_.trace.event("install", id_.value, height.value);
    jobs_.clear();
    frozen_.reset();
    ++generation_;
    machine_.reset();
    checkpoints_.reset();
    diverged_ = false;
    const auto logged = log_->committed_block(height);
    const bool installed = height.value > 0 && !(logged && *logged);
    if (installed) {
        consensus::Persist record;
        record.records.emplace_back(consensus::InstalledRecord{target.block});
        if (const auto done = log_->append({record}); !done) {
            return disk_failed("log", done.error());
        }
        context_.world.on_durable(id_, {record});
    }
    kv_store_ = std::move(next_store_);
    state_mark_.clear();
    if (!open_state()) {
        return;
    }
    auto recovered = recover_data();
    auto evidence = log_->evidence();
    if (!recovered || !evidence) {
        return disk_failed("cannot recover", recovered ? evidence.error() : recovered.error());
    }
    if (installed) {
        recovered->installed = target.block;
    }
    context_.world.on_installed(id_, *recovered);
    node_->restart(*recovered, *evidence);
}

// What the core found out by itself: that its state is not the certified one, or that it fell behind.
void SimReplica::watch_state(const consensus::Status& status) {
    if (!status.state_lost.empty() && state_lost_.empty()) {
        lose_state(status.state_lost);
    }
    if (log_->wants_append() && to_sync_.empty() && syncing_.empty() && !append_scheduled_) {
        append_scheduled_ = true;
        after(context_.scenario.disk.write_back_us, [this] { append_nothing(); });
    }
}

void SimReplica::append_nothing() {
    append_scheduled_ = false;
    if (!syncing_.empty() || !to_sync_.empty()) {
        return;  // goes along with what is written anyway
    }
    const auto done = log_->append({});
    if (!done && !(done.error().code == Errc::disk_full && disk_may_fail())) {
        disk_failed("log", done.error());
    }
}

}  // namespace loyal::sim
