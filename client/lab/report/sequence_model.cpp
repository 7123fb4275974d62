// The message exchange of the interesting moment, and the operations around a violation.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/lab/report/model.h"
#include "client/lab/report/text.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::uint16_t columns_of_replicas_max = 10;  // beyond: only those that sent or received something
constexpr std::size_t columns_of_clients_max = 3;      // beyond: one column for all of them
constexpr std::size_t before_the_point = 30;           // messages shown before the first contradiction
constexpr double together_s = 0.005;                   // copies of one message to several leave within this

Json micros_json(double seconds) {
    return std::round(seconds * 1e7) / 1e7;
}

// The block that a message speaks of: the first word of its detail that looks like the beginning of an id.
std::string claim_of(const Message& message) {
    std::string word;
    const auto is_id = [](const std::string& text) {
        return text.size() >= 8 && std::all_of(text.begin(), text.end(), [](char c) {
                   return std::isxdigit(static_cast<unsigned char>(c)) != 0;
               });
    };
    for (const char c : message.detail + " ") {
        if (std::isalnum(static_cast<unsigned char>(c)) != 0) {
            word.push_back(c);
            continue;
        }
        if (is_id(word)) {
            return word;
        }
        word.clear();
    }
    return "";
}

using Subject = std::tuple<std::uint16_t, std::string, std::uint64_t, std::uint64_t>;
Subject subject_of(const Message& message) {
    return {message.from, message.kind, message.view, message.height};
}

// For each message that contradicts another of its sender: which of the sender's versions it is (0 = A).
std::map<std::size_t, std::size_t> versions_of(const std::vector<Message>& messages) {
    std::map<Subject, std::vector<std::string>> claims;
    for (const Message& message : messages) {
        const std::string claim = claim_of(message);
        if (claim.empty() || is_client(message.from)) {
            continue;
        }
        std::vector<std::string>& known = claims[subject_of(message)];
        if (std::find(known.begin(), known.end(), claim) == known.end()) {
            known.push_back(claim);
        }
    }
    std::map<std::size_t, std::size_t> versions;
    for (std::size_t i = 0; i < messages.size(); ++i) {
        const auto found = claims.find(subject_of(messages[i]));
        if (found != claims.end() && found->second.size() > 1) {
            const auto place = std::find(found->second.begin(), found->second.end(), claim_of(messages[i]));
            if (place != found->second.end()) {
                versions[i] = static_cast<std::size_t>(place - found->second.begin());
            }
        }
    }
    return versions;
}

struct Chosen {
    std::vector<Message> messages;
    std::size_t heartbeats = 0, earlier = 0, later = 0;  // left out; the clocks' messages count as heartbeats
};

// In order of sending, without heartbeats and the comparison of clocks, at most messages_max around the first
// contradiction.
Chosen choose(const Record& record) {
    Chosen chosen;
    for (const Message& message : record.messages) {
        if (message.kind == "HEARTBEAT" || message.kind.starts_with("CLOCK-")) {
            ++chosen.heartbeats;
        } else {
            chosen.messages.push_back(message);
        }
    }
    std::stable_sort(chosen.messages.begin(), chosen.messages.end(),
                     [](const Message& a, const Message& b) { return a.sent_s < b.sent_s; });
    const std::size_t count = chosen.messages.size();
    if (count > messages_max) {
        const auto versions = versions_of(chosen.messages);
        const std::size_t point = versions.empty() ? 0 : versions.begin()->first;
        chosen.earlier = std::min(point > before_the_point ? point - before_the_point : 0, count - messages_max);
        chosen.later = count - messages_max - chosen.earlier;
        const auto begin = chosen.messages.begin() + static_cast<std::ptrdiff_t>(chosen.earlier);
        chosen.messages = std::vector<Message>(begin, begin + static_cast<std::ptrdiff_t>(messages_max));
    }
    return chosen;
}

struct Columns {
    Json list = Json::array();
    std::map<std::uint16_t, std::size_t> of;
};

Columns columns_of(const Record& record, const std::vector<Message>& messages) {
    std::set<std::uint16_t> seen;
    for (const Message& message : messages) {
        seen.insert({message.from, message.to});
    }
    Columns columns;
    const auto add = [&](const std::string& name, bool client, bool traitor) {
        columns.list.push_back({{"name", name}, {"client", client}, {"traitor", traitor}});
    };
    for (std::uint16_t id = 0; id < record.n; ++id) {
        if (record.n > columns_of_replicas_max && !seen.contains(id)) {
            continue;
        }
        columns.of[id] = columns.list.size();
        add(fmt::format("Replica {}", id), false,
            std::find(record.traitors.begin(), record.traitors.end(), id) != record.traitors.end());
    }
    std::vector<std::uint16_t> others;  // clients; a replica of an unknown id cannot be, and would stand with them
    std::copy_if(seen.begin(), seen.end(), std::back_inserter(others),
                 [&](std::uint16_t id) { return !columns.of.contains(id); });
    const bool together = others.size() > columns_of_clients_max;
    for (const std::uint16_t id : others) {
        columns.of[id] = columns.list.size();
        if (!together) {
            add(is_client(id) ? fmt::format("Client {}", id - 1000) : fmt::format("Replica {}", id), is_client(id),
                false);
        }
    }
    if (together) {
        add("Clients", true, false);
    }
    return columns;
}

// Copies of one message to several receivers are labelled once.
std::vector<std::size_t> groups_of(const std::vector<Message>& messages) {
    std::vector<std::size_t> groups;
    std::map<std::tuple<Subject, std::string>, std::pair<std::size_t, double>> last;
    std::size_t next = 0;
    for (const Message& message : messages) {
        const auto key = std::tuple(subject_of(message), message.detail);
        const auto found = last.find(key);
        if (found != last.end() && message.sent_s - found->second.second <= together_s) {
            groups.push_back(found->second.first);
        } else {
            last[key] = {next, message.sent_s};
            groups.push_back(next++);
        }
    }
    return groups;
}

}  // namespace

std::vector<Contradiction> contradictions_of(const std::vector<Message>& messages) {
    std::map<Subject, std::size_t> first;
    std::set<std::uint16_t> done;
    std::vector<Contradiction> found;
    for (std::size_t i = 0; i < messages.size(); ++i) {
        if (is_client(messages[i].from) || claim_of(messages[i]).empty() || done.contains(messages[i].from)) {
            continue;
        }
        const auto [place, is_new] = first.emplace(subject_of(messages[i]), i);
        if (!is_new && claim_of(messages[place->second]) != claim_of(messages[i])) {
            found.push_back({place->second, i});
            done.insert(messages[i].from);
        }
    }
    return found;
}

Json sequence_model(const Record& record) {
    const Chosen chosen = choose(record);
    if (chosen.messages.empty()) {
        return {};
    }
    const Columns columns = columns_of(record, chosen.messages);
    const std::map<std::size_t, std::size_t> versions = versions_of(chosen.messages);
    const std::vector<std::size_t> groups = groups_of(chosen.messages);
    Json messages = Json::array();
    for (std::size_t i = 0; i < chosen.messages.size(); ++i) {
        const Message& message = chosen.messages[i];
        const auto version = versions.find(i);
        const std::string letter =
            version == versions.end() ? "" : std::string(1, static_cast<char>('A' + version->second % 26));
        messages.push_back({{"sent", micros_json(message.sent_s)},
                            {"received", message.received_s ? micros_json(*message.received_s) : Json()},
                            {"from", columns.of.at(message.from)},
                            {"to", columns.of.at(message.to)},
                            {"kind", readable(message.kind, 24)},
                            {"view", message.view},
                            {"height", message.height},
                            {"detail", readable(message.detail, 80)},
                            {"claim", readable(claim_of(message), 16)},
                            {"group", groups[i]},
                            {"version", letter}});
    }
    return {{"columns", columns.list},
            {"messages", messages},
            {"heartbeats", chosen.heartbeats},
            {"earlier", chosen.earlier},
            {"later", chosen.later}};
}

std::vector<const Violation*> violations_shown(const Verdict& verdict) {
    std::map<Property, std::size_t> counts;
    std::vector<const Violation*> shown;
    for (const Violation& violation : verdict.violations) {
        if (counts[violation.property]++ < violations_max) {
            shown.push_back(&violation);
        }
    }
    return shown;
}

Json histories_model(const Record& record, const Verdict& verdict) {
    Json pictures = Json::array();
    for (const Violation* shown : violations_shown(verdict)) {
        const Violation& violation = *shown;
        Json rows = Json::array();
        for (const std::size_t index : violation.operations) {
            if (index >= record.operations.size() || rows.size() >= operations_max) {
                continue;
            }
            const Operation& operation = record.operations[index];
            const auto text = [](const std::optional<std::string>& bytes) {
                return bytes ? Json(readable(*bytes, 40)) : Json();
            };
            rows.push_back({{"client", operation.client},
                            {"op", readable(operation.op, 8)},
                            {"key", readable(operation.key, 40)},
                            {"value", text(operation.value)},
                            {"expect", text(operation.expect)},
                            {"out", text(operation.out)},
                            {"applied", operation.applied ? Json(*operation.applied) : Json()},
                            {"status", operation.status == Operation::Status::ok     ? "ok"
                                       : operation.status == Operation::Status::fail ? "fail"
                                                                                     : "unknown"},
                            {"call", micros_json(seconds_of(record, operation.call_ns))},
                            {"ret", operation.status == Operation::Status::unknown || operation.ret_ns == 0
                                        ? Json()
                                        : micros_json(seconds_of(record, operation.ret_ns))}});
        }
        if (!rows.empty()) {
            pictures.push_back({{"operations", rows}, {"left_out", violation.operations.size() - rows.size()}});
        } else {
            pictures.push_back(Json());
        }
    }
    return pictures;
}

}  // namespace loyal::lab
