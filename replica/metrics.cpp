#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <limits>
#include <optional>
#include <sstream>

#include "replica/report.h"

namespace loyal::replica {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

class Page {
 public:
    void gauge(const char* name, const char* help, double value) { family(name, help, MetricType::Gauge, value); }
    template <class T>
    void gauge(const char* name, const char* help, T value) {
        gauge(name, help, static_cast<double>(value));
    }
    void counter(const char* name, const char* help, std::uint64_t value) {
        family(name, help, MetricType::Counter, static_cast<double>(value));
    }
    void by_label(const char* name, const char* help, const char* label,
                  const std::map<std::string, std::uint64_t>& values) {
        MetricFamily family{name, help, MetricType::Counter, {}};
        for (const auto& [reason, count] : values) {
            ClientMetric metric;
            metric.label.push_back({label, reason});
            metric.counter.value = static_cast<double>(count);
            family.metric.push_back(std::move(metric));
        }
        families_.push_back(std::move(family));
    }
    // A gauge or counter with one value a peer; peers without one are left out.
    template <class Value>
    void by_peer(const char* name, const char* help, MetricType type, std::size_t peers, const Value& value) {
        MetricFamily family{name, help, type, {}};
        for (std::size_t i = 0; i < peers; ++i) {
            if (const std::optional<double> known = value(i)) {
                ClientMetric metric;
                metric.label.push_back({"peer", std::to_string(i)});
                (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = *known;
                family.metric.push_back(std::move(metric));
            }
        }
        families_.push_back(std::move(family));
    }
    void evidence(const std::map<std::pair<std::uint16_t, std::string>, std::uint64_t>& proofs) {
        MetricFamily family{
            "loyal_evidence_held", "Proofs of a peer's misbehaviour in the log.", MetricType::Gauge, {}};
        for (const auto& [offence, count] : proofs) {
            ClientMetric metric;
            metric.label.push_back({"culprit", std::to_string(offence.first)});
            metric.label.push_back({"kind", offence.second});
            metric.gauge.value = static_cast<double>(count);
            family.metric.push_back(std::move(metric));
        }
        families_.push_back(std::move(family));
    }
    // 1 for what holds now.
    void state(const char* name, const char* help, const char* label, const std::string& value) {
        MetricFamily family{name, help, MetricType::Gauge, {}};
        ClientMetric metric;
        metric.label.push_back({label, value});
        metric.gauge.value = 1;
        family.metric.push_back(std::move(metric));
        families_.push_back(std::move(family));
    }
    void seconds(const char* name, const char* help, const Durations* durations) {
        if (durations == nullptr) {
            return;
        }
        ClientMetric metric;
        std::uint64_t total = 0;
        for (std::size_t i = 0; i < Durations::bounds_us.size(); ++i) {
            total += durations->count(i);
            metric.histogram.bucket.push_back({total, static_cast<double>(Durations::bounds_us[i]) / 1e6});
        }
        total += durations->count(Durations::bounds_us.size());
        metric.histogram.bucket.push_back({total, std::numeric_limits<double>::infinity()});
        metric.histogram.sample_count = total;
        metric.histogram.sample_sum = static_cast<double>(durations->sum_us()) * 1e-6;
        families_.push_back({name, help, MetricType::Histogram, {std::move(metric)}});
    }
    [[nodiscard]] std::string text() const { return prometheus::TextSerializer().Serialize(families_); }

 private:
    void family(const char* name, const char* help, MetricType type, double value) {
        ClientMetric metric;
        if (type == MetricType::Counter) {
            metric.counter.value = value;
        } else {
            metric.gauge.value = value;
        }
        families_.push_back({name, help, type, {std::move(metric)}});
    }

    std::vector<MetricFamily> families_;
};

void add_protocol(Page& page, const Report& report) {
    page.gauge("loyal_view", "View that this replica has entered.", report.core.entered.value);
    page.gauge("loyal_promised_view", "Highest view that this replica has promised.", report.core.promised.value);
    page.gauge("loyal_is_primary", "1 while this replica may propose.", report.core.is_leader ? 1 : 0);
    page.gauge("loyal_committed_height", "Height of the highest block known to be committed.",
               report.core.committed.height.value);
    page.gauge("loyal_prepared_height", "Height of the head of the prepared chain.", report.core.prep.height.value);
    page.gauge("loyal_executed_height", "Height of the last executed block.", report.executed);
    page.gauge("loyal_durable_executed_height", "Height that the state store is complete for.",
               report.durable_executed);
    page.gauge("loyal_lag_blocks", "Blocks by which the peers are ahead.", lag_of(report));
    page.gauge("loyal_pending_envelopes", "Client envelopes that wait for their order.", report.core.pending_envelopes);
    page.counter("loyal_view_changes_total", "View changes since start.", report.core.view_changes);
    page.counter("loyal_commits_total", "Blocks committed since start.", report.core.blocks_committed);
    page.counter("loyal_blocks_executed_total", "Blocks executed since start.", report.node.blocks_executed);
    page.counter("loyal_operations_executed_total", "Operations executed since start.",
                 report.node.operations_executed);
    page.counter("loyal_signatures_total", "Protocol messages signed.", report.node.signatures);
    page.counter("loyal_verifications_total", "Signatures checked.", report.verifications);
    page.counter("loyal_guard_refusals_total", "Signatures refused because they would contradict earlier ones.",
                 report.node.guard_refusals);
    page.counter("loyal_accusations_total", "Proofs of a peer's misbehaviour.", report.accusations);
    page.evidence(report.accusations_by);
}

void add_state(Page& page, const Report& report) {
    const KeeperStatus& state = report.state;
    page.gauge("loyal_stable_checkpoint_height", "Height of the newest stable checkpoint.",
               report.core.stable_checkpoint.value);
    page.gauge("loyal_checkpoint_height", "Height of the newest checkpoint whose root is known here.",
               state.checkpoint.value);
    page.gauge("loyal_recovering", "1 while this replica recovers its state or its votes.",
               report.core.amnesiac || !report.core.state_lost.empty() ? 1 : 0);
    page.counter("loyal_state_damaged_total", "Times that the state was found damaged.", state.damaged);
    page.counter("loyal_state_repairs_total", "States that were installed by transfer or repair.",
                 report.state_repairs);
    page.counter("loyal_scrubbed_records_total", "Records of the state that the scrub has read.",
                 state.records_scrubbed);
    page.counter("loyal_scrub_rounds_total", "Times that the scrub came to the end of the state.", state.scrubs);
    page.counter("loyal_scrubbed_log_records_total", "Records of the log that the scrub has read.",
                 report.log_scrubbed);
    page.counter("loyal_log_scrub_rounds_total", "Times that the scrub came to the end of the log.", report.log_scrubs);
    page.gauge("loyal_log_damaged_blocks", "Committed blocks of the own log that cannot be read.",
               report.log_blocks_damaged);
    page.counter("loyal_log_blocks_repaired_total", "Blocks of the own log that were stored again.",
                 report.log_blocks_repaired);
    page.counter("loyal_log_records_mended_total", "Other damaged records of the own log that were put right.",
                 report.log_records_mended);
    page.counter("loyal_transfers_total", "State transfers begun.", state.transfers);
    page.gauge("loyal_transfer_buckets_done", "Buckets that the transfer has complete.",
               state.transferring ? state.progress.buckets_done : 0);
    page.gauge("loyal_transfer_records_fetched", "Records that the last transfer got from peers.",
               state.progress.records_fetched);
    page.gauge("loyal_transfer_records_local", "Records that the last transfer took from the own old state.",
               state.progress.records_local);
    page.gauge("loyal_transfer_bytes", "Bytes that the last transfer got from peers.", state.progress.bytes);
    page.counter("loyal_transfer_peers_dropped_total", "Peers that answered a transfer wrongly.", state.peers_dropped);
    page.counter("loyal_state_parts_served_total", "Parts of checkpoints that were sent to others.",
                 state.parts_served);
}

void add_detector(Page& page, const Report& report) {
    const std::vector<consensus::PeerSuspicion>& peers = report.core.suspicion;
    const auto of_peer = [&](auto value) {
        return [&peers, &report, value](std::size_t i) -> std::optional<double> {
            return i == report.id ? std::nullopt : std::optional<double>(value(peers[i]));
        };
    };
    page.by_peer("loyal_suspicion_phi", "Suspicion of a peer by its heartbeats (phi accrual).", MetricType::Gauge,
                 peers.size(), of_peer([](const consensus::PeerSuspicion& peer) { return peer.phi; }));
    page.by_peer("loyal_heartbeat_interval_seconds", "Usual time between a peer's heartbeats.", MetricType::Gauge,
                 peers.size(), of_peer([](const consensus::PeerSuspicion& peer) { return peer.interval_ms / 1'000; }));
    page.by_peer("loyal_order_latency_seconds", "Order latency (p90) of a peer's last tenure as primary.",
                 MetricType::Gauge, peers.size(), [&](std::size_t i) -> std::optional<double> {
                     return i != report.id && peers[i].order_latency_ms
                                ? std::optional<double>(*peers[i].order_latency_ms / 1'000)
                                : std::nullopt;
                 });
    page.by_peer("loyal_deposed_total", "Times that a peer was deposed by a time-out as primary.", MetricType::Counter,
                 peers.size(),
                 of_peer([](const consensus::PeerSuspicion& peer) { return static_cast<double>(peer.deposed); }));
    page.gauge("loyal_progress_timeout_seconds", "Time without progress after which the primary is deposed.",
               static_cast<double>(report.core.progress_timeout_ms) / 1'000);
    page.state("loyal_fault", "1 for the injected fault in force.", "fault", report.fault);
}

void add_clock(Page& page, const Report& report) {
    const ClockView& clock = report.clock;
    const auto seconds_of = [](std::int64_t us) { return static_cast<double>(us) / 1e6; };
    page.state("loyal_clock_state",
               "1 for where this replica's clock is: inside or outside of the majority's interval.", "state",
               name_of(clock.verdict));
    page.gauge("loyal_clock_offset_seconds", "This replica's clock against the middle of the majority's interval.",
               seconds_of(clock.offset_us));
    page.gauge("loyal_clock_uncertainty_seconds", "Half of the majority's interval.", seconds_of(clock.uncertainty_us));
    page.gauge("loyal_clock_outside_seconds", "How far outside of the majority's interval this replica's clock is.",
               seconds_of(clock.outside_by_us));
    const auto of_peer = [&](auto value) {
        return [&clock, value](std::size_t i) -> std::optional<double> {
            return clock.peers[i] ? std::optional<double>(value(*clock.peers[i])) : std::nullopt;
        };
    };
    page.by_peer("loyal_peer_clock_offset_seconds", "A peer's clock against this replica's.", MetricType::Gauge,
                 clock.peers.size(), of_peer([&](const PeerClock& peer) { return seconds_of(peer.offset_us); }));
    page.by_peer("loyal_peer_clock_uncertainty_seconds", "How far that offset may be wrong.", MetricType::Gauge,
                 clock.peers.size(), of_peer([&](const PeerClock& peer) { return seconds_of(peer.uncertainty_us); }));
    page.by_peer("loyal_peer_round_trip_seconds", "Round trip of the exchange that tells a peer's offset.",
                 MetricType::Gauge, clock.peers.size(),
                 of_peer([&](const PeerClock& peer) { return seconds_of(peer.round_trip_us); }));
    page.by_peer("loyal_peer_clock_jumps_total", "Jumps of a peer's clock.", MetricType::Counter,
                 clock.peer_jumps.size(), [&](std::size_t i) -> std::optional<double> {
                     return i == report.id ? std::nullopt
                                           : std::optional<double>(static_cast<double>(clock.peer_jumps[i]));
                 });
    page.counter("loyal_clock_jumps_total", "Jumps of this replica's clock.", clock.own_jumps);
    page.counter("loyal_clock_steps_total", "Steps of the wall clock, which this replica's clock follows slowly.",
                 report.clock_steps);
    page.counter("loyal_clock_probes_total", "Times that a peer was asked for its clock.", clock.probes);
    page.by_label("loyal_clock_answers_total", "Answers to that, by what became of them.", "result",
                  {{"used", clock.answers}, {"unasked", clock.unasked}, {"impossible", clock.impossible}});
    page.gauge("loyal_clock_behind_wall_seconds", "How far the wall clock is ahead of the replica's slewed clock.",
               report.clock_behind_wall_s);
}

void add_clients(Page& page, const Report& report) {
    page.counter("loyal_envelopes_admitted_total", "Client envelopes admitted.", report.node.envelopes_admitted);
    page.counter("loyal_envelopes_refused_total", "Client envelopes refused.", report.node.envelopes_refused);
    page.counter("loyal_replies_cached_total", "Retries answered from the session table.", report.node.replies_cached);
    page.counter("loyal_reads_total", "Reads received.", report.node.reads);
    page.counter("loyal_watch_events_total", "Changes that watches were told.", report.node.watches.events);
    page.counter("loyal_watch_fell_back_total",
                 "Times that a watch did not keep up and was fed from the history again.",
                 report.node.watches.fell_back);
    page.counter("loyal_reads_waited_total", "Reads that waited for the lock to be executed.",
                 report.node.reads_waited);
    page.counter("loyal_reads_busy_total", "Reads answered with BUSY.", report.node.reads_busy);
    std::map<std::string, std::uint64_t> rejected = report.node.rejected;
    for (const auto& [reason, count] : report.rejected) {
        rejected[reason] += count;
    }
    page.by_label("loyal_rejected_total", "Messages rejected, by reason.", "reason", rejected);
}

void add_links(Page& page, const Report& report) {
    page.gauge("loyal_links_up", "Links to other replicas.", report.peer_links);
    page.gauge("loyal_client_links_up", "Links of clients.", report.client_links);
    page.counter("loyal_peer_bytes_in_total", "Bytes received from replicas.", report.peer_bytes_in);
    page.counter("loyal_peer_bytes_out_total", "Bytes sent to replicas.", report.peer_bytes_out);
    page.counter("loyal_peer_frames_in_total", "Frames received from replicas.", report.peer_frames_in);
    page.counter("loyal_peer_frames_out_total", "Frames sent to replicas.", report.peer_frames_out);
    page.counter("loyal_peer_frames_dropped_total", "Frames that found no link or a full queue.",
                 report.peer_frames_dropped);
    page.counter("loyal_client_bytes_in_total", "Bytes received from clients.", report.client_bytes_in);
    page.counter("loyal_client_bytes_out_total", "Bytes sent to clients.", report.client_bytes_out);
    page.counter("loyal_client_frames_in_total", "Frames received from clients.", report.client_frames_in);
    page.counter("loyal_client_frames_out_total", "Frames sent to clients.", report.client_frames_out);
    page.counter("loyal_connections_refused_total", "Connections that never became links.", report.connections_refused);
    page.counter("loyal_links_expelled_total", "Links closed for what came over them.", report.links_expelled);
}

void add_resources(Page& page, const Report& report) {
    page.gauge("loyal_verify_queue", "Frames that wait for decoding and signature checks.", report.verify_queue);
    page.gauge("loyal_log_queue", "Records that wait for the log thread.", report.log_queue);
    page.gauge("loyal_executor_queue", "Blocks, admissions and reads that wait for the executor.",
               report.executor_queue);
    page.gauge("loyal_outbound_bytes", "Bytes that wait to be sent to replicas.", report.outbound_bytes);
    page.gauge("loyal_waiting_sends", "Messages that wait for their record to be durable.", report.waiting_sends);
    page.gauge("loyal_watches", "Watches of clients.", report.watches);
    page.gauge("loyal_watches_behind", "Watches that are fed from the history.", report.watches_behind);
    page.gauge("loyal_waiting_reads", "Reads that wait for their target.", report.waiting_reads);
    page.gauge("loyal_clients_paused", "1 while client sockets are not read, for overload.",
               report.clients_paused ? 1 : 0);
    page.gauge("loyal_peers_paused", "1 while peer sockets are not read, for overload.", report.peers_paused ? 1 : 0);
    page.gauge("loyal_overlay_bytes", "State changes not yet handed to the state store.", report.overlay_bytes);
    page.gauge("loyal_log_bytes", "Size of the consensus log.", report.log_bytes);
    page.gauge("loyal_db_bytes", "Size of the state store.", report.db_bytes);
    page.gauge("loyal_disk_free_bytes", "Free bytes of the data folder's file system.", report.disk_free_bytes);
    page.counter("loyal_log_transactions_total", "Synced transactions of the consensus log.", report.log_transactions);
    page.counter("loyal_log_persists_total", "Persists written in them (group commit).", report.log_persists);
    page.seconds("loyal_log_sync_seconds", "Duration of a log transaction, sync included.", report.log_durations);
    page.seconds("loyal_execute_seconds", "Duration of the execution of a block.", report.execute_durations);
    page.seconds("loyal_state_write_seconds", "Duration of a background write of the state.", report.state_durations);
    page.gauge("loyal_alarms", "Alarms in force.", report.alarms.size());
    page.gauge("loyal_healthy", "1 while GET /health answers 200.", is_healthy(report) ? 1 : 0);
    page.gauge("loyal_uptime_seconds", "Seconds since start.", report.uptime_s);
}

}  // namespace

std::string metrics_text(const Report& report) {
    Page page;
    add_protocol(page, report);
    add_state(page, report);
    add_detector(page, report);
    add_clock(page, report);
    add_clients(page, report);
    add_links(page, report);
    add_resources(page, report);
    return page.text();
}

}  // namespace loyal::replica
