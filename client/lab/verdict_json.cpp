#include "client/lab/verdict_json.h"

#include <algorithm>
#include <cmath>

#include <nlohmann/json.hpp>

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

Json held_json(const Held& held) {
    return held ? Json(*held) : Json();
}

double rounded(double value) {
    return std::round(value * 1000.0) / 1000.0;
}

Json phase_json(const PhaseNumbers& phase) {
    return Json{{"ok", phase.ok},
                {"failed", phase.failed},
                {"unknown", phase.unknown},
                {"p50_ms", rounded(phase.p50_ms)},
                {"p99_ms", rounded(phase.p99_ms)},
                {"max_ms", rounded(phase.max_ms)}};
}

Json evidence_json(const std::vector<EvidenceFound>& all) {
    Json list = Json::array();
    for (const EvidenceFound& found : all) {
        list.push_back({{"kind", found.kind},
                        {"culprit", found.culprit},
                        {"by", found.by},
                        {"at_s", rounded(found.at_s)},
                        {"id", found.id},
                        {"verified", found.verified},
                        {"explanation", found.explanation}});
    }
    return list;
}

Json violations_json(const std::vector<Violation>& all) {
    Json list = Json::array();
    for (const Violation& violation : all) {
        list.push_back({{"property", name_of(violation.property)},
                        {"text", violation.text},
                        {"height", violation.height ? Json(*violation.height) : Json()},
                        {"key", violation.key ? Json(*violation.key) : Json()},
                        {"replicas", violation.replicas},
                        {"at_s", violation.at_s ? Json(rounded(*violation.at_s)) : Json()}});
    }
    return list;
}

Json json_of(const Verdict& verdict) {
    return Json{{"scenario", verdict.scenario},
                {"fault_model", verdict.fault_model},
                {"n", verdict.n},
                {"seed", verdict.seed},
                {"expected", verdict.expected},
                {"verdict", name_of(verdict.outcome)},
                {"agreement", held_json(verdict.agreement)},
                {"linearizable", held_json(verdict.linearizable)},
                {"durable", held_json(verdict.durable)},
                {"live", held_json(verdict.live)},
                {"recovery_s", verdict.recovery_s ? Json(rounded(*verdict.recovery_s)) : Json()},
                {"ops", verdict.ops},
                {"ops_per_s",
                 {{"before", rounded(verdict.before.ops_per_s)},
                  {"during", rounded(verdict.during.ops_per_s)},
                  {"after", rounded(verdict.after.ops_per_s)}}},
                {"evidence", evidence_json(verdict.evidence)},
                {"once", held_json(verdict.once)},
                {"longest_gap_s", rounded(verdict.longest_gap_s)},
                {"simulated", verdict.simulated},
                {"variant", verdict.variant.empty() ? Json() : Json(verdict.variant)},
                {"waits_for", verdict.waits_for.empty() ? Json() : Json(verdict.waits_for)},
                {"reasons", verdict.reasons},
                {"violations", violations_json(verdict.violations)},
                {"phases",
                 {{"before", phase_json(verdict.before)},
                  {"during", phase_json(verdict.during)},
                  {"after", phase_json(verdict.after)}}}};
}

const char* name_of(Operation::Status status) {
    switch (status) {
        case Operation::Status::ok: return "ok";
        case Operation::Status::fail: return "fail";
        case Operation::Status::unknown: break;
    }
    return "unknown";
}

std::string dump(const Json& json, int indent) {
    return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string verdict_json(const std::vector<Run>& runs) {
    if (runs.empty()) {
        return "{}\n";
    }
    // The variant that decides stands for the whole: the first that is not as expected, else the first.
    const Outcome outcome = outcome_of(runs);
    const auto worst =
        std::find_if(runs.begin(), runs.end(), [&](const Run& run) { return run.verdict.outcome == outcome; });
    Json json = json_of((worst == runs.end() ? runs.front() : *worst).verdict);
    json["verdict"] = name_of(outcome);
    if (runs.size() > 1) {
        Json variants = Json::array();
        for (const Run& run : runs) {
            variants.push_back(json_of(run.verdict));
        }
        json["variants"] = std::move(variants);
    }
    return dump(json, 2) + "\n";
}

std::string history_jsonl(const std::vector<Operation>& operations) {
    std::vector<const Operation*> order;
    for (const Operation& operation : operations) {
        order.push_back(&operation);
    }
    std::stable_sort(order.begin(), order.end(),
                     [](const Operation* a, const Operation* b) { return a->call_ns < b->call_ns; });
    std::string text;
    for (const Operation* operation : order) {
        Json line = {{"client", operation->client}, {"op", operation->op}, {"key", operation->key}};
        if (operation->expect) {
            line["expect"] = *operation->expect;
        }
        if (operation->value) {
            line["value"] = *operation->value;
        }
        if (operation->out) {
            line["out"] = *operation->out;
        }
        if (operation->applied) {
            line["applied"] = *operation->applied;
        }
        line["status"] = name_of(operation->status);
        line["call"] = operation->call_ns;
        line["ret"] = operation->status == Operation::Status::unknown ? 0 : operation->ret_ns;
        text += dump(line, -1) + "\n";
    }
    return text;
}

}  // namespace loyal::lab
