#include "client/lab/record_json.h"

#include <nlohmann/json.hpp>

#include "config/bytes.h"
#include "crypto/identity.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

// ---- Bytes, and what may be absent

Json bytes_json(const std::string& bytes) {
    try {
        Json text = bytes;
        (void)text.dump();  // throws type_error 316 for what is no UTF-8
        return text;
    } catch (const Json::exception&) {
        return {{"base64", crypto::to_base64(view_of(bytes))}};
    }
}

// The readers below throw Json::exception for what is missing or of another type; record_from_json turns it into an
// error.
std::string bytes_of_json(const Json& json) {
    if (json.is_string()) {
        return json.get<std::string>();
    }
    const Result<Bytes> decoded = crypto::from_base64(json.at("base64").get<std::string>());
    return decoded ? string_of(*decoded) : throw Json::other_error::create(501, "not base64", &json);
}

template <class T>
Json optional_json(const std::optional<T>& value) {
    if constexpr (std::is_same_v<T, std::string>) {
        return value ? bytes_json(*value) : Json();
    } else {
        return value ? Json(*value) : Json();
    }
}

template <class T>
std::optional<T> optional_of(const Json& json) {
    if (json.is_null()) {
        return std::nullopt;
    }
    if constexpr (std::is_same_v<T, std::string>) {
        return bytes_of_json(json);
    } else {
        return json.get<T>();
    }
}

template <class T>
Json list_json(const std::vector<T>& values, Json (*write)(const T&)) {
    Json list = Json::array();
    for (const T& value : values) {
        list.push_back(write(value));
    }
    return list;
}

template <class T>
std::vector<T> list_of(const Json& json, T (*read)(const Json&)) {
    std::vector<T> values;
    for (const Json& entry : json) {
        values.push_back(read(entry));
    }
    return values;
}

// ---- The parts

constexpr const char* event_kinds[] = {"phase", "inject",   "mend",  "crash",     "restart",
                                       "view",  "evidence", "stall", "violation", "note"};
constexpr const char* statuses[] = {"ok", "fail", "unknown"};

template <class Enum, std::size_t N>
Enum enum_of(const Json& json, const char* const (&names)[N]) {
    const auto name = json.get<std::string>();
    for (std::size_t i = 0; i < N; ++i) {
        if (name == names[i]) {
            return static_cast<Enum>(i);
        }
    }
    throw Json::other_error::create(501, "\"" + name + "\" is not known here", &json);
}

Json json_of(const Sample& sample) {
    Json suspicion = Json::object();
    for (const auto& [peer, phi] : sample.suspicion) {
        suspicion[std::to_string(peer)] = phi;
    }
    return {{"at", sample.at_s},
            {"replica", sample.replica},
            {"up", sample.up},
            {"role", bytes_json(sample.role)},
            {"view", sample.view},
            {"executed", sample.executed},
            {"digest", bytes_json(sample.digest)},
            {"fault", bytes_json(sample.fault)},
            {"suspicion", suspicion},
            {"time_out", bytes_json(sample.time_out)}};
}

// The keys of objects are ids or heights.
std::uint64_t number_of(const std::string& text) {
    const Json number = Json::parse(text, nullptr, false);
    return number.is_number_unsigned() ? number.get<std::uint64_t>()
                                       : throw Json::other_error::create(501, "\"" + text + "\" is no number", &number);
}

Sample sample_of(const Json& json) {
    Sample sample;
    sample.at_s = json.at("at").get<double>();
    sample.replica = json.at("replica").get<std::uint16_t>();
    sample.up = json.at("up").get<bool>();
    sample.role = bytes_of_json(json.at("role"));
    sample.view = json.at("view").get<std::uint64_t>();
    sample.executed = json.at("executed").get<std::uint64_t>();
    sample.digest = bytes_of_json(json.at("digest"));
    sample.fault = bytes_of_json(json.at("fault"));
    sample.time_out = bytes_of_json(json.at("time_out"));
    for (const auto& [peer, phi] : json.at("suspicion").items()) {
        sample.suspicion[static_cast<std::uint16_t>(number_of(peer))] = phi.get<double>();
    }
    return sample;
}

Json json_of(const Event& event) {
    return {{"at", event.at_s},
            {"kind", event_kinds[static_cast<std::size_t>(event.kind)]},
            {"replica", optional_json(event.replica)},
            {"text", bytes_json(event.text)}};
}

Event event_of(const Json& json) {
    return {json.at("at").get<double>(), enum_of<Event::Kind>(json.at("kind"), event_kinds),
            optional_of<std::uint16_t>(json.at("replica")), bytes_of_json(json.at("text"))};
}

Json json_of(const Message& message) {
    return {{"sent", message.sent_s},
            {"received", optional_json(message.received_s)},
            {"from", message.from},
            {"to", message.to},
            {"kind", bytes_json(message.kind)},
            {"view", message.view},
            {"height", message.height},
            {"detail", bytes_json(message.detail)}};
}

Message message_of(const Json& json) {
    return {json.at("sent").get<double>(),          optional_of<double>(json.at("received")),
            json.at("from").get<std::uint16_t>(),   json.at("to").get<std::uint16_t>(),
            bytes_of_json(json.at("kind")),         json.at("view").get<std::uint64_t>(),
            json.at("height").get<std::uint64_t>(), bytes_of_json(json.at("detail"))};
}

Json json_of(const Operation& operation) {
    return {{"client", operation.client},
            {"op", bytes_json(operation.op)},
            {"key", bytes_json(operation.key)},
            {"value", optional_json(operation.value)},
            {"expect", optional_json(operation.expect)},
            {"out", optional_json(operation.out)},
            {"applied", optional_json(operation.applied)},
            {"status", statuses[static_cast<std::size_t>(operation.status)]},
            {"call", operation.call_ns},
            {"ret", operation.ret_ns}};
}

Operation operation_of(const Json& json) {
    Operation operation;
    operation.client = json.at("client").get<std::uint64_t>();
    operation.op = bytes_of_json(json.at("op"));
    operation.key = bytes_of_json(json.at("key"));
    operation.value = optional_of<std::string>(json.at("value"));
    operation.expect = optional_of<std::string>(json.at("expect"));
    operation.out = optional_of<std::string>(json.at("out"));
    operation.applied = optional_of<bool>(json.at("applied"));
    operation.status = enum_of<Operation::Status>(json.at("status"), statuses);
    operation.call_ns = json.at("call").get<std::uint64_t>();
    operation.ret_ns = json.at("ret").get<std::uint64_t>();
    return operation;
}

Json json_of(const EvidenceFound& found) {
    return {{"at", found.at_s},
            {"by", found.by},
            {"culprit", found.culprit},
            {"kind", bytes_json(found.kind)},
            {"id", bytes_json(found.id)},
            {"explanation", bytes_json(found.explanation)},
            {"statements", list_json(found.statements, bytes_json)},
            {"verified", found.verified}};
}

EvidenceFound evidence_of(const Json& json) {
    EvidenceFound found;
    found.at_s = json.at("at").get<double>();
    found.by = json.at("by").get<std::uint16_t>();
    found.culprit = json.at("culprit").get<std::uint16_t>();
    found.kind = bytes_of_json(json.at("kind"));
    found.id = bytes_of_json(json.at("id"));
    found.explanation = bytes_of_json(json.at("explanation"));
    found.statements = list_of(json.at("statements"), bytes_of_json);
    found.verified = json.at("verified").get<bool>();
    return found;
}

Json json_of(const Costs& costs) {
    return {{"messages", costs.messages},
            {"bytes", costs.bytes},
            {"signatures", costs.signatures},
            {"verifications", costs.verifications},
            {"syncs", costs.syncs}};
}

Costs costs_of(const Json& json) {
    return {json.at("messages").get<std::uint64_t>(), json.at("bytes").get<std::uint64_t>(),
            json.at("signatures").get<std::uint64_t>(), json.at("verifications").get<std::uint64_t>(),
            json.at("syncs").get<std::uint64_t>()};
}

Json digests_json(const Record& record) {
    Json digests = Json::object();
    for (const auto& [height, said] : record.digests) {
        Json& at = digests[std::to_string(height)] = Json::object();
        for (const auto& [replica, digest] : said) {
            at[std::to_string(replica)] = bytes_json(digest);
        }
    }
    return digests;
}

Json read_back_json(const Record& record) {
    Json pairs = Json::array();  // a key that is no UTF-8 cannot be a member's name
    for (const auto& [key, value] : record.read_back) {
        const auto version = record.versions.find(key);
        pairs.push_back({{"key", bytes_json(key)},
                         {"value", optional_json(value)},
                         {"version", version == record.versions.end() ? Json() : Json(version->second)}});
    }
    return pairs;
}

Record read(const Json& json) {
    Record record;
    record.scenario = bytes_of_json(json.at("scenario"));
    record.seed = json.at("seed").get<std::uint64_t>();
    record.simulated = json.at("simulated").get<bool>();
    record.fault_model = bytes_of_json(json.at("fault_model"));
    record.n = json.at("n").get<std::uint16_t>();
    record.f = json.at("f").get<std::uint16_t>();
    record.q = json.at("q").get<std::uint16_t>();
    record.traitors = json.at("traitors").get<std::vector<std::uint16_t>>();
    record.start_ns = json.at("start_ns").get<std::uint64_t>();
    record.during_from_s = json.at("during_from").get<double>();
    record.during_to_s = json.at("during_to").get<double>();
    record.end_s = json.at("end").get<double>();
    record.samples = list_of(json.at("samples"), sample_of);
    record.events = list_of(json.at("events"), event_of);
    record.messages = list_of(json.at("messages"), message_of);
    record.operations = list_of(json.at("operations"), operation_of);
    for (const auto& [height, said] : json.at("digests").items()) {
        for (const auto& [replica, digest] : said.items()) {
            record.digests[number_of(height)][static_cast<std::uint16_t>(number_of(replica))] = bytes_of_json(digest);
        }
    }
    for (const Json& pair : json.at("read_back")) {
        const std::string key = bytes_of_json(pair.at("key"));
        record.read_back[key] = optional_of<std::string>(pair.at("value"));
        if (const auto version = optional_of<std::uint64_t>(pair.at("version"))) {
            record.versions[key] = *version;
        }
    }
    record.evidence = list_of(json.at("evidence"), evidence_of);
    record.costs = costs_of(json.at("costs"));
    record.failures = list_of(json.at("failures"), bytes_of_json);
    return record;
}

}  // namespace

std::string record_to_json(const Record& record) {
    const Json json = {{"scenario", bytes_json(record.scenario)},
                       {"seed", record.seed},
                       {"simulated", record.simulated},
                       {"fault_model", bytes_json(record.fault_model)},
                       {"n", record.n},
                       {"f", record.f},
                       {"q", record.q},
                       {"traitors", record.traitors},
                       {"start_ns", record.start_ns},
                       {"during_from", record.during_from_s},
                       {"during_to", record.during_to_s},
                       {"end", record.end_s},
                       {"samples", list_json(record.samples, json_of)},
                       {"events", list_json(record.events, json_of)},
                       {"messages", list_json(record.messages, json_of)},
                       {"operations", list_json(record.operations, json_of)},
                       {"digests", digests_json(record)},
                       {"read_back", read_back_json(record)},
                       {"evidence", list_json(record.evidence, json_of)},
                       {"costs", json_of(record.costs)},
                       {"failures", list_json(record.failures, bytes_json)}};
    return json.dump();
}

Result<Record> record_from_json(std::string_view text) {
    try {
        return read(Json::parse(text));
    } catch (const Json::exception& error) {
        return fail(Errc::invalid_argument, std::string("this is no record of a lab run: ") + error.what());
    }
}

}  // namespace loyal::lab
