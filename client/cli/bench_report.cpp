#include "client/cli/bench_report.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/cli/output.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

// ms with three decimals.
double ms_of(std::uint64_t ns) {
    return std::round(static_cast<double>(ns) / 1e3) / 1e3;
}

void add_latencies(Json& document, const Histogram& latency) {
    document["p50_ms"] = ms_of(latency.percentile(50));
    document["p90_ms"] = ms_of(latency.percentile(90));
    document["p99_ms"] = ms_of(latency.percentile(99));
    document["p999_ms"] = ms_of(latency.percentile(99.9));
    document["max_ms"] = ms_of(latency.max());
}

double rate_of(std::uint64_t operations, double seconds) {
    return seconds > 0.0 ? std::round(static_cast<double>(operations) / seconds * 10.0) / 10.0 : 0.0;
}

BenchTally total_of(const BenchReport& report) {
    BenchTally total;
    for (const BenchTally& tally : report.by_op) {
        total.latency_ns.merge(tally.latency_ns);
        total.failed += tally.failed;
        total.unknown += tally.unknown;
        total.mismatched += tally.mismatched;
    }
    return total;
}

bool was_used(const BenchTally& tally) {
    return tally.latency_ns.count() + tally.failed + tally.unknown > 0;
}

}  // namespace

Json bench_document(const BenchPlan& plan, const BenchReport& report) {
    const BenchTally total = total_of(report);
    Json by_op = Json::object();
    for (std::size_t i = 0; i < report.by_op.size(); ++i) {
        const BenchTally& tally = report.by_op[i];
        if (!was_used(tally)) {
            continue;
        }
        Json entry = {{"ops", tally.latency_ns.count()},
                      {"errors", tally.failed + tally.unknown},
                      {"ops_per_s", rate_of(tally.latency_ns.count(), report.seconds)}};
        add_latencies(entry, tally.latency_ns);
        if (static_cast<BenchOp>(i) == BenchOp::cas) {
            entry["mismatched"] = tally.mismatched;
        }
        by_op[name_of(static_cast<BenchOp>(i))] = entry;
    }
    Json document = {{"clients", plan.callers},
                     {"seconds", std::round(report.seconds * 1e3) / 1e3},
                     {"ops", total.latency_ns.count()},
                     {"errors", total.failed + total.unknown},
                     {"ops_per_s", rate_of(total.latency_ns.count(), report.seconds)}};
    add_latencies(document, total.latency_ns);
    document["by_op"] = by_op;
    document["unknown"] = total.unknown;
    document["rate_per_s"] = plan.rate_per_s > 0.0 ? Json(plan.rate_per_s) : Json();
    document["prefix"] = plan.shape.prefix;
    document["last_error"] = report.last_error.empty() ? Json() : Json(report.last_error);
    return document;
}

std::string bench_text(const BenchPlan& plan, const BenchReport& report) {
    const BenchTally total = total_of(report);
    std::string text = fmt::format("{} operations in {:.2f} s by {} callers: {:.0f} per second, {} errors\n",
                                   total.latency_ns.count(), report.seconds, plan.callers,
                                   rate_of(total.latency_ns.count(), report.seconds), total.failed + total.unknown);
    if (!report.last_error.empty()) {
        text += fmt::format("  {} of the errors may have been applied; the last one: {}\n", total.unknown,
                            report.last_error);
    }
    std::vector<std::vector<std::string>> rows = {
        {"OP", "OPS", "OPS/S", "P50 MS", "P90 MS", "P99 MS", "P99.9 MS", "MAX MS", "ERRORS"}};
    const auto add = [&](const std::string& name, const BenchTally& tally) {
        const Histogram& latency = tally.latency_ns;
        rows.push_back(
            {name, std::to_string(latency.count()), fmt::format("{:.0f}", rate_of(latency.count(), report.seconds)),
             fmt::format("{:.3f}", ms_of(latency.percentile(50))), fmt::format("{:.3f}", ms_of(latency.percentile(90))),
             fmt::format("{:.3f}", ms_of(latency.percentile(99))),
             fmt::format("{:.3f}", ms_of(latency.percentile(99.9))), fmt::format("{:.3f}", ms_of(latency.max())),
             std::to_string(tally.failed + tally.unknown)});
    };
    std::size_t kinds = 0;
    for (std::size_t i = 0; i < report.by_op.size(); ++i) {
        if (was_used(report.by_op[i])) {
            add(name_of(static_cast<BenchOp>(i)), report.by_op[i]);
            ++kinds;
        }
    }
    if (kinds > 1) {
        add("all", total);
    }
    text += table(rows);
    return text + fmt::format("the keys begin with {}; remove them with: loyal del --prefix {}\n", plan.shape.prefix,
                              plan.shape.prefix);
}

}  // namespace loyal::cli
