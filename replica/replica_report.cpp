#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <utility>

#include "kvstore/state_machine.h"
#include "replica/replica_state.h"

namespace loyal::replica {
namespace {

// Committed but not executed for so long: the executor or the disk is stuck.
constexpr std::chrono::seconds stuck_after{5};
constexpr std::int64_t clock_alarm_us = 1'000'000;
constexpr std::chrono::seconds compare_clocks_every{1};

}  // namespace

void Replica::State::set_alarm(const std::string& name, const std::string& text) {
    if (alarms.emplace(name, text).second) {
        spdlog::error("event=alarm name={} text=\"{}\"", name, text);
    }
}

void Replica::State::raise(const std::string& name, bool wrong, const std::string& text) {
    if (wrong) {
        set_alarm(name, text);
    } else {
        clear_alarm(name);
    }
}

void Replica::State::clear_alarm(const std::string& name) {
    if (alarms.erase(name) > 0) {
        spdlog::info("event=alarm_over name={}", name);
    }
}

void Replica::State::watch_progress() {
    const auto now = std::chrono::steady_clock::now();
    if (node.executed_height() != progress_height || node.status().committed.height <= node.executed_height()) {
        progress_height = node.executed_height();
        progress_at = now;
    }
    watch_clock();
}

void Replica::State::watch_clock() {
    const auto now = std::chrono::steady_clock::now();
    const std::int64_t behind_us = clock.behind_wall_us();
    const auto now_us = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    if (const auto step_us = clock_steps.observe(behind_us, static_cast<std::uint64_t>(now_us))) {
        spdlog::warn("event=clock_step by_ms={}", *step_us / 1'000);
    }
    if (behind_us > clock_alarm_us || behind_us < -clock_alarm_us) {
        set_alarm("clock_step", "the wall clock was stepped; this replica's clock moves toward it by 20 ms a second");
    } else {
        clear_alarm("clock_step");
    }
    if (now - clocks_compared_at < compare_clocks_every) {
        return;
    }
    clocks_compared_at = now;
    const ClockView view = node.clock_view();
    const std::string precision = std::to_string(options.cluster.timers.precision_ms) + " ms";
    // Half of it is what a correct clock may be off real time; at all of it, this replica's word is refused (rule H2).
    if (view.outside_by_us > static_cast<std::int64_t>(options.cluster.timers.precision_ms) * 1'000 / 2) {
        set_alarm("clock", "this replica's clock differs from the majority's by more than half of precision_ms (" +
                               precision + "): check its time service");
    } else {
        clear_alarm("clock");
    }
    if (view.verdict == ClockVerdict::scattered) {
        set_alarm("clocks", "the replicas' clocks differ by more than precision_ms (" + precision +
                                "): check their time services");
    } else {
        clear_alarm("clocks");
    }
}

Report Replica::State::report() const {
    Report r;
    r.id = options.id;
    r.core = node.status();
    r.node = node.counters();
    r.executed = node.executed_height().value;
    r.executed_digest = node.executed_digest().hex();
    for (const auto& [height, digest] : node.recent_states()) {
        r.recent_digests.emplace_back(height.value, digest.hex());
    }
    r.durable_executed = executor ? executor->durable_height() : 0;
    // One correct replica at least has committed so much: a liar alone must not make this replica look late.
    std::vector<consensus::Height> said = r.core.peer_committed;
    std::sort(said.begin(), said.end(), std::greater<>());
    r.peer_committed_max = said.size() >= membership.quorum().w ? said[membership.quorum().w - 1].value : 0;
    r.fault = faults_in_force();
    r.uptime_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
    r.replicas = membership.replicas.size();
    r.quorum = membership.quorum().q;

    r.peer_links = peers.links_up();
    r.client_links = clients.connections();
    r.peer_bytes_in = peers.stats().bytes_in;
    r.peer_bytes_out = peers.stats().bytes_out;
    r.peer_frames_in = peers.stats().frames_in;
    r.peer_frames_out = peers.stats().frames_out;
    r.peer_frames_dropped = peers.stats().frames_dropped;
    r.client_bytes_in = clients.stats().bytes_in;
    r.client_bytes_out = clients.stats().bytes_out;
    r.client_frames_in = clients.stats().frames_in;
    r.client_frames_out = clients.stats().frames_out;
    r.connections_refused = peers.refused() + clients.refused();
    r.links_expelled = peers.expelled() + clients.expelled();
    r.rejected = rejected;
    r.accusations = accusations;
    r.accusations_by = accusations_by;

    r.verify_queue = pool->waiting();
    r.log_queue = log_writer->waiting();
    r.executor_queue = executor ? executor->waiting() : 0;
    r.outbound_bytes = peers.outbound_bytes();
    r.waiting_sends = node.waiting_sends();
    r.waiting_reads = node.waiting_reads();
    r.watches = node.watches();
    r.watches_behind = node.watches_behind();
    r.overlay_bytes = executor ? executor->overlay_bytes() : 0;
    r.clients_paused = clients_paused;
    r.peers_paused = peers_paused;
    r.log_bytes = disk_use.log_bytes;
    r.db_bytes = disk_use.kv_bytes;
    r.disk_free_bytes = disk_use.free_bytes;
    r.log_transactions = log_writer->transactions();
    r.log_persists = log_writer->persists();
    r.log_durations = &log_writer->durations();
    r.execute_durations = executor ? &executor->execute_durations() : nullptr;
    r.state_durations = executor ? &executor->write_durations() : nullptr;
    r.clock_behind_wall_s = static_cast<double>(clock.behind_wall_us()) * 1e-6;
    r.clock_steps = clock_steps.count();
    r.clock = node.clock_view();
    r.verifications = signatures.count();
    r.executes = std::chrono::steady_clock::now() - progress_at < stuck_after;
    for (const auto& [name, text] : alarms) {
        r.alarms.push_back(text);
    }
    r.state = background->state();
    r.state_repairs = state_repairs;
    r.log_scrubbed = background->log_scrubbed();
    r.log_scrubs = background->log_scrubs();
    r.log_blocks_damaged = disk_use.log_damaged.size();
    r.log_blocks_repaired = disk_use.log_repairs.blocks;
    r.log_records_mended = disk_use.log_repairs.records;
    if (r.core.amnesiac) {
        r.alarms.emplace_back(
            "amnesiac: this replica may have forgotten votes and takes no part until it has recovered");
    }
    if (!r.core.state_lost.empty()) {
        r.alarms.push_back("the state is being recovered: " + r.core.state_lost + "; " + progress_text(r.state));
    }
    if (r.core.halted) {
        r.alarms.push_back("halted: " + r.core.halt_reason);
    }
    return r;
}

HttpAnswer Replica::State::http_answer(const std::string& path) const {
    if (path == "/metrics") {
        return {200, "text/plain; version=0.0.4", metrics_text(report())};
    }
    if (path == "/health") {
        const Report now = report();
        return {is_healthy(now) ? 200U : 503U, "application/json", health_json(now) + "\n"};
    }
    return {404, "text/plain", "only /metrics and /health are here\n"};
}

}  // namespace loyal::replica
