// Report: what a replica says about itself, as plain values, and its three forms: Prometheus text, the `replicas[]`
// element of `status -w json` (contract, "JSON"), and the answer of GET /health. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "replica/durations.h"
#include "replica/node.h"
#include "replica/state_transfer/keeper.h"

namespace loyal::replica {

struct Report {
    std::uint16_t id = 0;
    consensus::Status core;
    NodeCounters node;
    std::uint64_t executed = 0;
    std::string executed_digest;
    std::vector<std::pair<std::uint64_t, std::string>> recent_digests;  // of the states after the last heights
    std::uint64_t durable_executed = 0;
    std::uint64_t peer_committed_max = 0;
    std::string fault = "none";
    double uptime_s = 0;
    std::size_t replicas = 0, quorum = 0;

    std::size_t peer_links = 0, client_links = 0;
    std::uint64_t peer_bytes_in = 0, peer_bytes_out = 0, peer_frames_in = 0, peer_frames_out = 0,
                  peer_frames_dropped = 0;
    std::uint64_t client_bytes_in = 0, client_bytes_out = 0, client_frames_in = 0, client_frames_out = 0;
    std::uint64_t connections_refused = 0, links_expelled = 0;
    std::map<std::string, std::uint64_t> rejected;  // frames that did not decode or verify, by author and reason
    std::uint64_t accusations = 0;
    // Proofs held, those of earlier runs included, by culprit and kind ("E1").
    std::map<std::pair<std::uint16_t, std::string>, std::uint64_t> accusations_by;

    std::size_t verify_queue = 0, log_queue = 0, executor_queue = 0, outbound_bytes = 0;
    std::size_t watches = 0, watches_behind = 0;
    std::size_t waiting_sends = 0, waiting_reads = 0, overlay_bytes = 0;
    bool clients_paused = false, peers_paused = false;
    std::uint64_t log_bytes = 0, db_bytes = 0, disk_free_bytes = 0;
    std::uint64_t log_transactions = 0, log_persists = 0;
    const Durations* log_durations = nullptr;
    const Durations* execute_durations = nullptr;
    const Durations* state_durations = nullptr;
    double clock_behind_wall_s = 0;
    std::uint64_t clock_steps = 0;  // of the wall clock
    ClockView clock;
    std::uint64_t verifications = 0;  // of signatures
    KeeperStatus state;
    std::uint64_t state_repairs = 0;  // states that were installed
    std::uint64_t log_scrubbed = 0, log_scrubs = 0, log_blocks_damaged = 0, log_blocks_repaired = 0,
                  log_records_mended = 0;
    bool executes = true;  // what is committed gets executed
    std::vector<std::string> alarms;
};

[[nodiscard]] std::string role_of(const Report& report);
// Heights by which the peers' highest commit is ahead of what is executed here.
[[nodiscard]] std::uint64_t lag_of(const Report& report);
[[nodiscard]] bool is_healthy(const Report& report);
// "fetching the state of height 640, 31 %".
[[nodiscard]] std::string progress_text(const KeeperStatus& state);

[[nodiscard]] std::string metrics_text(const Report& report);
[[nodiscard]] std::string status_json(const Report& report);
[[nodiscard]] std::string health_json(const Report& report);

}  // namespace loyal::replica
