// Checkpoints, state transfer and repair of the running replica: the node's effects on the one side, the background
// thread's results on the other. The process, its links and its clients stay; what is made anew is the core, from the
// log, as after a restart (Node::restart).
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "config/log_quota.h"
#include "replica/fatal_of.h"
#include "replica/replica_state.h"

namespace loyal::replica {

KeeperOptions Replica::State::keeper_options() const {
    KeeperOptions result;
    result.setup = state_setup(options.cluster, data.path, data.disk_faults);
    result.self = self;
    result.replicas = membership.replicas.size();
    result.context = membership.context;
    result.quorum = membership.quorum();
    result.genesis_state = options.cluster.genesis_state;
    return result;
}

// ---- Effects of the node

void Replica::State::stable(const consensus::Stable& checkpoint) {
    log_release.stable(checkpoint.checkpoint.height);
    background->submit(ReleaseBelow{checkpoint.checkpoint.height});
}

void Replica::State::fetch_state(const consensus::FetchState& target) {
    background->submit(target);
}

void Replica::State::serve_state(consensus::ReplicaId to, consensus::StateRequest request) {
    log_release.asked(to, request.checkpoint, monotonic_us() / 1'000);
    background->submit(ServeState{to, std::move(request)});
}

void Replica::State::state_chunk(consensus::ReplicaId from, consensus::StateChunk chunk) {
    background->submit(TakeChunk{from, std::move(chunk)});
}

// ---- Results of the background thread

void Replica::State::on_keeper_event(KeeperEvent event) {
    if (const auto* taken = std::get_if<CheckpointTaken>(&event)) {
        spdlog::info("event=checkpoint height={} root={}", taken->root.height.value, taken->root.root.short_hex());
        node.checkpoint_ready(taken->root);
    } else if (const auto* damaged = std::get_if<StateDamaged>(&event)) {
        lose_state(damaged->why);
    } else if (auto* ask = std::get_if<AskPeer>(&event)) {
        send(ask->to, std::move(ask->request));
    } else if (auto* answer = std::get_if<AnswerPeer>(&event)) {
        node.state_served(answer->to, std::move(answer->chunk));
    } else if (auto* to_client = std::get_if<AnswerClient>(&event)) {
        on_client_answer(std::move(*to_client));
    } else if (auto* whole = std::get_if<StateRebuilt>(&event)) {
        rebuilt = std::move(*whole);
        watch_state();
    }
}

void Replica::State::lose_state(const std::string& why) {
    if (!node.status().state_lost.empty()) {
        return;
    }
    spdlog::error("event=state_lost why=\"{}\"", why);
    begin_input();
    node.state_lost(why);
    watch_state();
}

void Replica::State::watch_state() {
    const consensus::Status now = node.status();
    if (!now.state_lost.empty() && !std::exchange(loss_told, true)) {
        spdlog::warn("event=recovering why=\"{}\"", now.state_lost);
        background->submit(LoseState{now.state_lost.starts_with("diverged")});
    }
    if (!now.state_lost.empty() && !loss_marked) {
        mark_loss(now.state_lost);
    }
    // S5, D4: nothing goes from the log that the state on disk may still need.
    if (executor) {
        release_log();
    }
    if (data.log->wants_append() && log_writer->waiting() == 0) {
        log_writer->write({});
    }
    if (rebuilt && !log_writer->waits_for_room()) {
        install(*std::exchange(rebuilt, std::nullopt));
    }
}

void Replica::State::release_log() {
    const bool roomy = !disk_watch.refuses_writes() && disk_use.log_bytes < config::log_quota_of(options.cluster) / 2;
    const consensus::Height below =
        log_release.below(consensus::Height(executor->durable_height()), roomy, monotonic_us() / 1'000);
    if (below > log_released) {
        log_released = below;
        data.log->release_below(below);
    }
}

// A process that starts again before the transfer is through must not use the state either. One that is only too old is
// not wrong.
void Replica::State::mark_loss(const std::string& why) {
    if (why.starts_with("fell behind")) {
        loss_marked = true;
        return;
    }
    const Result<void> marked = mark_lost(data.path, data.state.generation, why);
    if (!marked && marked.error().code != Errc::disk_full) {
        fatal(fatal_code_of(marked.error().code),
              "it cannot be noted that the state must not be used: " + marked.error().message);
    }
    loss_marked = marked.has_value();
}

// Once a second: what of the log is damaged, and what was repaired.
void Replica::State::watch_log(const DiskUse& use) {
    if (!use.log_damaged.empty() || log_damage_told) {
        begin_input();
        node.log_damaged(use.log_damaged);
        log_damage_told = !use.log_damaged.empty();
    }
    raise("log_damage", !use.log_damaged.empty(),
          "blocks of the consensus log are damaged: they are fetched again from the other replicas");
    const kvstore::LogRepairs before = std::exchange(log_repairs, use.log_repairs);
    if (before.blocks != log_repairs.blocks || before.records != log_repairs.records) {
        spdlog::info("event=log_repaired blocks={} records={} blocks_left={}", log_repairs.blocks - before.blocks,
                     log_repairs.records - before.records, use.log_damaged.size());
    }
}

// Everything that was handed to the log is on disk, and the node knows.
void Replica::State::drain_log() {
    while (true) {
        log_writer->flush();
        const auto ids = durable.take();
        if (ids.empty()) {
            return;
        }
        node.persisted(ids.back());
    }
}

// Order: the log learns that the blocks below are not needed before the state that makes them so is in force; a crash
// in between finds the old state and the new one beside it, and fetches again.
void Replica::State::install(StateRebuilt whole) {
    const auto must = [](const auto& result, const char* what) {
        if (!result) {
            fatal(fatal_code_of(result.error().code), std::string(what) + ": " + result.error().message);
        }
    };
    begin_input();
    drain_log();
    if (executor) {
        executor->abandon();
        executor.reset();
    }
    (void)executor_results.take();  // of the state that is given up
    data.state = OpenState{};
    const consensus::Header& block = whole.from.block;
    const auto logged = data.log->committed_block(whole.from.checkpoint.height);
    const bool installed = whole.from.checkpoint.height.value > 0 && !(logged && *logged);
    if (installed) {
        consensus::Persist record;
        record.records.emplace_back(consensus::InstalledRecord{block});
        must(data.log->append({record}), "the consensus log cannot be written");
    }
    must(replica::put_in_force(data.path, whole.state.generation), "the state cannot be put in force");
    forget_lost_mark(data.path);
    remove_other_generations(data.path, whole.state.generation);
    data.state = std::move(whole.state);
    // What was committed since the background thread looked.
    const auto again = execute_again(*data.state.machine, *data.log);
    must(again, "the blocks of the consensus log cannot be executed");
    auto recovered = recover_with(data.state, *data.log);
    must(recovered, "the consensus log cannot be read");
    if (installed) {
        recovered->installed = block;
    }
    if (auto found = data.log->evidence()) {
        evidence = std::move(*found);
    }
    clients.set_clients(data.state.machine->clients());
    executor.emplace(*data.state.machine, *data.state.store, executor_results, room, ExecutorOptions{});
    background->submit(KeepState{data.state.generation, std::move(data.state.checkpoints)});
    loss_told = loss_marked = false;
    ++state_repairs;
    clear_alarm("state");
    spdlog::info("event=state_installed checkpoint={} generation={} executed={} committed={}",
                 whole.from.checkpoint.height.value, data.state.generation,
                 data.state.machine == nullptr ? 0 : recovered->executed.value, recovered->committed.height.value);
    node.restart(*recovered, evidence);
}

}  // namespace loyal::replica
