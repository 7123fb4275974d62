#include "client/cli/status_report.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/output.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* fields[] = {"id",    "reachable", "role",  "view",     "executed", "stable_checkpoint", "lag",
                                  "clock", "suspicion", "fault", "uptime_s", "db_bytes", "state_digest",      "alarms"};

// The contract's fields in the contract's order; a replica's further fields after them. What a replica says of itself
// is only its word: a document that is no object counts as no answer.
Json row_of(const client::ReplicaStatus& answer) {
    const Json said = answer.reachable ? Json::parse(answer.json, nullptr, false) : Json::object();
    const bool usable = said.is_object();
    Json row = Json::object();
    for (const char* field : fields) {
        row[field] = usable && said.contains(field) ? said[field] : Json();
    }
    row["id"] = answer.replica.value;
    row["reachable"] = answer.reachable && usable;
    if (row["alarms"].is_null()) {
        row["alarms"] = Json::array();
    }
    if (!usable) {
        row["why"] = "its answer is no JSON object";
    } else if (!answer.reachable) {
        row["why"] = answer.why;
    }
    if (usable) {
        for (const auto& [name, value] : said.items()) {
            if (!row.contains(name)) {
                row[name] = value;
            }
        }
    }
    return row;
}

bool is_healthy(const Json& row) {
    return row["reachable"] == true && (row["role"] == "primary" || row["role"] == "backup");
}

std::string cell(const Json& value) {
    if (value.is_null()) {
        return "-";
    }
    if (value.is_string()) {
        return printable(view_of(value.get_ref<const std::string&>()), TextForm::plain);
    }
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string clock_cell(const Json& clock) {
    if (!clock.is_object() || !clock.contains("offset_ms") || clock["offset_ms"].is_null()) {
        return "-";
    }
    const bool interval = clock.contains("uncertainty_ms") && clock["uncertainty_ms"].is_number();
    return cell(clock["offset_ms"]) + (interval ? " ±" + cell(clock["uncertainty_ms"]) : "") + " ms";
}

std::string suspicion_cell(const Json& suspicion) {
    if (!suspicion.is_object() || suspicion.empty()) {
        return "-";
    }
    std::string text;
    for (const auto& [peer, phi] : suspicion.items()) {
        text += (text.empty() ? "" : " ") + peer + ":" +
                (phi.is_number() ? fmt::format("{:.1f}", phi.get<double>()) : cell(phi));
    }
    return text;
}

std::string size_cell(const Json& bytes) {
    return bytes.is_number() ? fmt::format("{:.1f} MiB", bytes.get<double>() / 1048576.0) : "-";
}

std::string uptime_cell(const Json& seconds) {
    return seconds.is_number() ? fmt::format("{:.0f} s", seconds.get<double>()) : "-";
}

}  // namespace

Json status_document(const config::Cluster& cluster, const std::vector<client::ReplicaStatus>& answers) {
    const consensus::Quorum quorum = consensus::Quorum::of(cluster.fault_model, cluster.replicas.size());
    Json rows = Json::array();
    for (const client::ReplicaStatus& answer : answers) {
        rows.push_back(row_of(answer));
    }
    const auto healthy = static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), is_healthy));
    return Json{{"healthy", healthy >= quorum.q},
                {"quorum", quorum.q},
                {"fault_model", cluster.fault_model == consensus::FaultModel::byzantine ? "byzantine" : "crash"},
                {"n", quorum.n},
                {"f", quorum.f},
                {"replicas", rows}};
}

std::string status_table(const Json& document) {
    std::vector<std::vector<std::string>> rows = {{"ID", "ROLE", "VIEW", "EXECUTED", "CHECKPOINT", "LAG", "CLOCK",
                                                   "SUSPICION", "FAULT", "UPTIME", "DB", "ALARMS"}};
    for (const Json& row : document["replicas"]) {
        if (row["reachable"] != true) {
            rows.push_back(
                {cell(row["id"]), "unreachable", "-", "-", "-", "-", "-", "-", "-", "-", "-", cell(row["why"])});
            continue;
        }
        std::string alarms;
        for (const Json& alarm : row["alarms"]) {
            alarms += (alarms.empty() ? "" : ", ") + cell(alarm);
        }
        rows.push_back({cell(row["id"]), cell(row["role"]), cell(row["view"]), cell(row["executed"]),
                        cell(row["stable_checkpoint"]), cell(row["lag"]), clock_cell(row["clock"]),
                        suspicion_cell(row["suspicion"]), cell(row["fault"]), uptime_cell(row["uptime_s"]),
                        size_cell(row["db_bytes"]), alarms.empty() ? "-" : alarms});
    }
    return table(rows);
}

}  // namespace loyal::cli
