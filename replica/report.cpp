#include "replica/report.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "config/limits.h"

namespace loyal::replica {

std::uint64_t lag_of(const Report& report) {
    const std::uint64_t highest = std::max(report.peer_committed_max, report.core.committed.height.value);
    return highest > report.executed ? highest - report.executed : 0;
}

std::string role_of(const Report& report) {
    if (report.core.halted) {
        return "halted";
    }
    // More than two windows behind: it fetches blocks rather than taking part.
    if (lag_of(report) > 2 * limits::window_max) {
        return "recovering";
    }
    return report.core.is_leader ? "primary" : "backup";
}

bool is_healthy(const Report& report) {
    return report.peer_links + 1 >= report.quorum && report.executes && !report.core.halted &&
           role_of(report) != "recovering";
}

std::string status_json(const Report& report) {
    nlohmann::ordered_json json;
    json["id"] = report.id;
    json["reachable"] = true;
    json["role"] = role_of(report);
    json["view"] = report.core.entered.value;
    json["executed"] = report.executed;
    json["stable_checkpoint"] = nullptr;
    json["lag"] = lag_of(report);
    json["clock"] = {{"offset_ms", nullptr}, {"uncertainty_ms", nullptr}};
    json["suspicion"] = nlohmann::ordered_json::object();
    json["fault"] = report.fault;
    json["uptime_s"] = static_cast<std::uint64_t>(report.uptime_s);
    json["db_bytes"] = report.db_bytes;
    json["state_digest"] = report.executed_digest;
    json["alarms"] = report.alarms;
    return json.dump();
}

std::string health_json(const Report& report) {
    nlohmann::ordered_json json;
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
