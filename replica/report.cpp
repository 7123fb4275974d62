#include "replica/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "config/limits.h"

namespace loyal::replica {
namespace {

using Json = nlohmann::ordered_json;

Json ms_of(std::int64_t us) {
    return static_cast<double>(us) / 1'000;
}

// Three digits are plenty of an estimate, and infinity is no JSON.
Json rounded(double value) {
    return std::isfinite(value) ? Json(std::round(value * 1'000) / 1'000) : Json();
}

bool has_majority(const ClockView& clock) {
    return clock.verdict == ClockVerdict::inside || clock.verdict == ClockVerdict::outside;
}

// Offsets of the peers are against this replica's clock, its own against the majority's.
Json clock_json(const Report& report) {
    const ClockView& clock = report.clock;
    Json json;
    json["offset_ms"] = has_majority(clock) ? ms_of(clock.offset_us) : Json();
    json["uncertainty_ms"] = has_majority(clock) ? ms_of(clock.uncertainty_us) : Json();
    json["verdict"] = name_of(clock.verdict);
    json["outside_by_ms"] = has_majority(clock) ? ms_of(clock.outside_by_us) : Json();
    json["jumps"] = clock.own_jumps;
    json["wall_clock_steps"] = report.clock_steps;
    json["peers"] = Json::object();
    for (std::size_t i = 0; i < clock.peers.size(); ++i) {
        if (const auto& peer = clock.peers[i]) {
            json["peers"][std::to_string(i)] = {{"offset_ms", ms_of(peer->offset_us)},
                                                {"uncertainty_ms", ms_of(peer->uncertainty_us)},
                                                {"round_trip_ms", ms_of(peer->round_trip_us)},
                                                {"age_ms", peer->age_ms},
                                                {"jumps", clock.peer_jumps.at(i)}};
        }
    }
    return json;
}

Json suspicion_json(const Report& report) {
    Json json = Json::object();
    for (std::size_t i = 0; i < report.core.suspicion.size(); ++i) {
        if (i != report.id) {
            json[std::to_string(i)] = rounded(report.core.suspicion[i].phi);
        }
    }
    return json;
}

// What the suspicion is made of.
Json detector_json(const Report& report) {
    Json json;
    json["progress_timeout_ms"] = report.core.progress_timeout_ms;
    json["last_time_out"] = report.core.last_time_out.empty() ? Json() : Json(report.core.last_time_out);
    json["view_changes"] = report.core.view_changes;
    json["peers"] = Json::object();
    for (std::size_t i = 0; i < report.core.suspicion.size(); ++i) {
        const consensus::PeerSuspicion& peer = report.core.suspicion[i];
        if (i != report.id) {
            json["peers"][std::to_string(i)] = {
                {"heartbeat_interval_ms", rounded(peer.interval_ms)},
                {"order_latency_ms", peer.order_latency_ms ? rounded(*peer.order_latency_ms) : Json()},
                {"deposed", peer.deposed}};
        }
    }
    return json;
}

// Of the state transfer under way; null when there is none.
Json transfer_json(const Report& report) {
    if (report.core.state_lost.empty() || !report.state.transferring) {
        return {};
    }
    const FetchProgress& progress = report.state.progress;
    return {{"checkpoint", report.state.target.value},
            {"phase", report.state.phase},
            {"buckets", progress.buckets_done},
            {"of", progress.buckets_total},
            {"records_fetched", progress.records_fetched},
            {"records_local", progress.records_local},
            {"bytes", progress.bytes},
            {"peers_dropped", progress.peers_dropped}};
}

// Of the states after the last heights: two replicas are seldom asked at the same one.
Json recent_digests_json(const Report& report) {
    Json digests = Json::object();
    for (const auto& [height, digest] : report.recent_digests) {
        digests[std::to_string(height)] = digest;
    }
    return digests;
}

// Since start: what this replica sent to others, signed, checked, synced and executed.
Json costs_json(const Report& report) {
    return {{"messages", report.peer_frames_out},   {"bytes", report.peer_bytes_out},
            {"signatures", report.node.signatures}, {"verifications", report.verifications},
            {"syncs", report.log_transactions},     {"operations", report.node.operations_executed}};
}

}  // namespace

std::uint64_t lag_of(const Report& report) {
    const std::uint64_t highest = std::max(report.peer_committed_max, report.core.committed.height.value);
    return highest > report.executed ? highest - report.executed : 0;
}

std::string role_of(const Report& report) {
    if (report.core.halted) {
        return "halted";
    }
    if (!report.core.state_lost.empty()) {
        return report.core.state_lost.starts_with("diverged") ? "diverged" : "recovering";
    }
    if (report.core.amnesiac) {
        return "recovering";
    }
    // More than two windows behind: it fetches blocks rather than taking part.
    if (lag_of(report) > 2 * limits::window_max) {
        return "recovering";
    }
    return report.core.is_leader ? "primary" : "backup";
}

bool is_healthy(const Report& report) {
    const std::string role = role_of(report);
    return report.peer_links + 1 >= report.quorum && report.executes && !report.core.halted && role != "recovering" &&
           role != "diverged";
}

std::string progress_text(const KeeperStatus& state) {
    if (!state.transferring) {
        return "waiting for a checkpoint that a quorum certified";
    }
    const std::size_t percent =
        100 * state.progress.buckets_done / std::max<std::size_t>(1, state.progress.buckets_total);
    const std::string share = state.phase == "fetching" ? ", " + std::to_string(percent) + " %" : std::string();
    return state.phase + " the state of height " + std::to_string(state.target.value) + share;
}

std::string status_json(const Report& report) {
    Json json;
    json["id"] = report.id;
    json["reachable"] = true;
    json["role"] = role_of(report);
    json["view"] = report.core.entered.value;
    json["executed"] = report.executed;
    json["stable_checkpoint"] = report.core.stable_checkpoint.value;
    json["lag"] = lag_of(report);
    json["clock"] = clock_json(report);
    json["suspicion"] = suspicion_json(report);
    json["fault"] = report.fault;
    json["uptime_s"] = static_cast<std::uint64_t>(report.uptime_s);
    json["db_bytes"] = report.db_bytes;
    json["state_digest"] = report.executed_digest;
    json["alarms"] = report.alarms;
    json["recent_digests"] = recent_digests_json(report);
    json["detector"] = detector_json(report);
    json["costs"] = costs_json(report);
    json["accusations"] = report.accusations;
    json["watches"] = report.watches;
    json["transfer"] = transfer_json(report);
    return json.dump();
}

std::string health_json(const Report& report) {
    Json json;
    json["status"] = is_healthy(report) ? "ok" : "unhealthy";
    json["id"] = report.id;
    json["role"] = role_of(report);
    json["view"] = report.core.entered.value;
    json["executed"] = report.executed;
    json["lag"] = lag_of(report);
    json["links"] = report.peer_links;
    json["quorum"] = report.quorum;
    std::vector<std::string> alarms = report.alarms;
    if (report.peer_links + 1 < report.quorum) {
        alarms.emplace_back("no links to a quorum of replicas");
    }
    if (!report.executes) {
        alarms.emplace_back("committed blocks are not executed");
    }
    json["alarms"] = alarms;
    return json.dump();
}

}  // namespace loyal::replica
