#include "client/cli/status_report.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/output.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* fields[] = {"id",    "reachable", "role",  "view",     "executed", "stable_checkpoint", "lag",
                                  "clock", "suspicion", "fault", "uptime_s", "db_bytes", "state_digest",      "alarms"};

// Of a fault line in the table.
constexpr std::size_t fault_bytes_max = 20;
// What one replica may fill a terminal with.
constexpr std::size_t alarms_shown_max = 8, alarm_bytes_max = 300;

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

std::optional<double> number_in(const Json& object, const char* field) {
    const bool known = object.is_object() && object.contains(field) && object[field].is_number();
    return known ? std::optional<double>(object[field].get<double>()) : std::nullopt;
}

// "+0.1±0.3 ms": ahead of the majority's clocks by so much. Without a majority there is nothing to compare with.
std::string clock_cell(const Json& clock) {
    const auto offset_ms = number_in(clock, "offset_ms");
    const auto uncertainty_ms = number_in(clock, "uncertainty_ms");
    if (!offset_ms) {
        const bool scattered = clock.is_object() && clock.contains("verdict") && clock["verdict"] == "scattered";
        return scattered ? "scattered" : "-";
    }
    const int digits = std::fabs(*offset_ms) < 100 ? 1 : 0;
    const double shown_ms = std::round(*offset_ms * 10) / 10 + 0.0;  // no minus before a zero
    return fmt::format("{:+.{}f}{} ms", shown_ms, digits,
                       uncertainty_ms ? fmt::format("±{:.1f}", *uncertainty_ms) : std::string());
}

// Each peer's phi as "PEER:PHI", the highest first; of many peers the highest three.
std::string suspicion_cell(const Json& suspicion) {
    constexpr std::size_t shown_max = 3;
    if (!suspicion.is_object() || suspicion.empty()) {
        return "-";
    }
    std::vector<std::pair<double, std::string>> peers;
    for (const auto& [peer, phi] : suspicion.items()) {
        peers.emplace_back(phi.is_number() ? -phi.get<double>() : 0.0, peer);
    }
    std::stable_sort(peers.begin(), peers.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::string text;
    for (std::size_t i = 0; i < std::min(shown_max, peers.size()); ++i) {
        const double phi = std::fabs(peers[i].first);
        text += (i == 0 ? "" : " ") + cell(Json(peers[i].second)) + ":" + fmt::format("{:.{}f}", phi, phi < 10 ? 1 : 0);
    }
    return text + (peers.size() > shown_max ? " …" : "");
}

// Never cut within a UTF-8 character.
std::string shortened(const std::string& text, std::size_t bytes_max) {
    if (text.size() <= bytes_max) {
        return text;
    }
    std::size_t end = bytes_max;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) {
        --end;
    }
    return text.substr(0, end) + "…";
}

std::string size_cell(const Json& bytes) {
    if (!bytes.is_number()) {
        return "-";
    }
    const double kib = bytes.get<double>() / 1'024;
    return kib < 1'024 ? fmt::format("{:.0f} KiB", kib) : fmt::format("{:.1f} MiB", kib / 1'024);
}

// The behaviours of a traitor say by themselves that it is one.
std::string fault_cell(const std::string& fault) {
    constexpr std::string_view kind = "byzantine ";
    return shortened(fault.starts_with(kind) ? fault.substr(kind.size()) : fault, fault_bytes_max);
}

// How far a replica is that gets its state from the others.
std::string transfer_line(const std::string& name, const Json& row) {
    if (!row.contains("transfer") || !row["transfer"].is_object()) {
        return "";
    }
    const Json& transfer = row["transfer"];
    const double done = number_in(transfer, "buckets").value_or(0), of = number_in(transfer, "of").value_or(0);
    return fmt::format(
        "{}gets the state at height {} from the others: {:.0f} %, {:.0f} records fetched, {:.0f} its own\n", name,
        cell(transfer.value("checkpoint", Json())), of > 0 ? 100 * done / of : 0,
        number_in(transfer, "records_fetched").value_or(0), number_in(transfer, "records_local").value_or(0));
}

std::string uptime_cell(const Json& seconds) {
    if (!seconds.is_number()) {
        return "-";
    }
    const double s = seconds.get<double>();
    return s < 10'000    ? fmt::format("{:.0f} s", s)
           : s < 172'800 ? fmt::format("{:.0f} h", s / 3'600)
                         : fmt::format("{:.0f} d", s / 86'400);
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
    std::vector<std::vector<std::string>> rows = {
        {"ID", "ROLE", "VIEW", "EXECUTED", "STABLE", "LAG", "CLOCK", "SUSPICION", "FAULT", "UPTIME", "DB", "ALARMS"}};
    std::string below;  // what would make a row too long for a terminal
    for (const Json& row : document["replicas"]) {
        const std::string name = "replica " + cell(row["id"]) + ": ";
        if (row["reachable"] != true) {
            rows.push_back({cell(row["id"]), "unreachable", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"});
            below += name + cell(row["why"]) + "\n";
            continue;
        }
        const std::string fault = cell(row["fault"]);
        if (fault_cell(fault).ends_with("…")) {
            below += name;
            below.append("fault ").append(fault).append("\n");
        }
        below += transfer_line(name, row);
        const std::size_t alarms = row["alarms"].size();
        std::size_t shown = 0;
        for (const Json& alarm : row["alarms"]) {
            if (++shown > alarms_shown_max) {
                break;
            }
            below += name + "alarm: " + shortened(cell(alarm), alarm_bytes_max) + "\n";
        }
        rows.push_back({cell(row["id"]), cell(row["role"]), cell(row["view"]), cell(row["executed"]),
                        cell(row["stable_checkpoint"]), cell(row["lag"]), clock_cell(row["clock"]),
                        suspicion_cell(row["suspicion"]), fault_cell(fault), uptime_cell(row["uptime_s"]),
                        size_cell(row["db_bytes"]), alarms == 0 ? "-" : std::to_string(alarms)});
    }
    return table(rows) + below;
}

}  // namespace loyal::cli
