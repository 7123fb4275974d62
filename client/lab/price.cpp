#include "client/lab/price.h"

#include <cmath>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

struct Field {
    const char* name;
    const char* what;
    std::uint64_t Costs::*count;
};
constexpr Field price_fields[] = {
    {"messages", "messages between replicas", &Costs::messages},
    {"bytes", "bytes between replicas", &Costs::bytes},
    {"signatures", "signatures made", &Costs::signatures},
    {"verifications", "signatures checked", &Costs::verifications},
    {"syncs", "syncs of a log", &Costs::syncs},
};

double over(double value, double divisor) {
    return divisor > 0 ? value / divisor : 0;
}

PriceRow row(const std::string& name, const std::string& what, bool idle, double crash, double byzantine) {
    PriceRow made{name, what, idle, crash, byzantine, std::nullopt};
    if (crash > 0) {
        made.ratio = byzantine / crash;
    }
    return made;
}

double rate_of(const PriceSide& side) {
    return over(static_cast<double>(side.operations), side.seconds);
}

// Three digits that matter.
double price_rounded(double value) {
    if (value == 0 || !std::isfinite(value)) {
        return 0;
    }
    const double scale = std::pow(10.0, 2 - std::floor(std::log10(std::fabs(value))));
    return std::round(value * scale) / scale;
}

Json side_json(const Price& price, const PriceSide& side, double PriceRow::*value) {
    Json each = Json::object(), idle = Json::object();
    for (const PriceRow& made : price_rows(price)) {
        (made.idle ? idle : each)[made.name] = price_rounded(made.*value);
    }
    const double rate = rate_of(side);
    each.erase("ops_per_s");
    each.erase("p50_ms");
    each.erase("p99_ms");
    return {{"fault_model", side.fault_model},
            {"n", side.n},
            {"f", side.f},
            {"seconds", price_rounded(side.seconds)},
            {"ops", side.operations},
            {"errors", side.errors},
            {"ops_per_s", std::round(rate * 10) / 10},
            {"p50_ms", price_rounded(side.p50_ms)},
            {"p99_ms", price_rounded(side.p99_ms)},
            {"per_operation", each},
            {"idle_per_second", idle}};
}

// "2.8 times the messages"; nothing where there is no ratio.
std::string times(const PriceRow& made, const char* what) {
    return made.ratio ? fmt::format("{:.1f} times the {}", *made.ratio, what) : "";
}

const PriceRow* find(const std::vector<PriceRow>& rows, std::string_view name) {
    for (const PriceRow& made : rows) {
        if (!made.idle && made.name == name) {
            return &made;
        }
    }
    return nullptr;
}

}  // namespace

Result<Costs> costs_of_status(std::string_view json) {
    const Json status = Json::parse(json, nullptr, false);
    if (!status.is_object() || !status.contains("costs") || !status["costs"].is_object()) {
        return fail(Errc::invalid_argument,
                    "the replica's status says nothing of costs; is loyald of the same version?");
    }
    Costs costs;
    for (const Field& field : price_fields) {
        const auto found = status["costs"].find(field.name);
        if (found == status["costs"].end() || !found->is_number_unsigned()) {
            return fail(Errc::invalid_argument, fmt::format("the replica's status has no costs.{}", field.name));
        }
        costs.*field.count = found->get<std::uint64_t>();
    }
    return costs;
}

Result<Costs> costs_between(const std::vector<Costs>& before, const std::vector<Costs>& after) {
    if (before.size() != after.size()) {
        return fail(Errc::conflict, "not every replica told its costs");
    }
    Costs sum;
    for (std::size_t id = 0; id < before.size(); ++id) {
        for (const Field& field : price_fields) {
            if (after[id].*field.count < before[id].*field.count) {
                return fail(Errc::conflict,
                            fmt::format("replica {} was started again while it was being measured", id));
            }
            sum.*field.count += after[id].*field.count - before[id].*field.count;
        }
    }
    return sum;
}

std::vector<PriceRow> price_rows(const Price& price) {
    const PriceSide& crash = price.crash;
    const PriceSide& byzantine = price.byzantine;
    std::vector<PriceRow> rows;
    const auto add = [&](const Field& field, bool idle) {
        const auto of = [&](const PriceSide& side) {
            return idle ? over(static_cast<double>(side.idle.*field.count), side.idle_seconds)
                        : over(static_cast<double>(side.busy.*field.count), static_cast<double>(side.operations));
        };
        rows.push_back(row(field.name, field.what, idle, of(crash), of(byzantine)));
    };
    for (const Field& field : price_fields) {
        add(field, false);
    }
    rows.push_back(row("p50_ms", "latency, median, ms", false, crash.p50_ms, byzantine.p50_ms));
    rows.push_back(row("p99_ms", "latency, 99th percentile, ms", false, crash.p99_ms, byzantine.p99_ms));
    rows.push_back(row("ops_per_s", "operations per second", false, rate_of(crash), rate_of(byzantine)));
    for (const Field& field : price_fields) {
        add(field, true);
    }
    return rows;
}

std::string figure_text(double value) {
    return value == 0     ? "0"
           : value >= 100 ? fmt::format("{:.0f}", value)
           : value >= 10  ? fmt::format("{:.1f}", value)
                          : fmt::format("{:.2f}", value);
}

Json price_document(const Price& price) {
    Json ratio = Json::object(), idle_ratio = Json::object();
    for (const PriceRow& made : price_rows(price)) {
        (made.idle ? idle_ratio : ratio)[made.name] = made.ratio ? Json(price_rounded(*made.ratio)) : Json();
    }
    return {{"clients", price.clients},
            {"value_bytes", price.value_bytes},
            {"crash", side_json(price, price.crash, &PriceRow::crash)},
            {"byzantine", side_json(price, price.byzantine, &PriceRow::byzantine)},
            {"ratio", ratio},
            {"idle_ratio", idle_ratio},
            {"summary", price_sentence(price)}};
}

std::string price_sentence(const Price& price) {
    const std::vector<PriceRow> rows = price_rows(price);
    std::vector<std::string> parts;
    for (const auto& [name, what] : {std::pair("messages", "messages"), std::pair("bytes", "bytes"),
                                     std::pair("syncs", "syncs"), std::pair("p50_ms", "median latency")}) {
        const PriceRow* found = find(rows, name);
        if (found != nullptr && found->ratio) {
            parts.push_back(times(*found, what));
        }
    }
    const PriceRow* made = find(rows, "signatures");
    const PriceRow* checked = find(rows, "verifications");
    parts.push_back(fmt::format("{} signatures made and {} checked instead of {} and {}", figure_text(made->byzantine),
                                figure_text(checked->byzantine), figure_text(made->crash),
                                figure_text(checked->crash)));
    std::string list;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        list += (i == 0 ? "" : i + 1 == parts.size() ? " and " : ", ") + parts[i];
    }
    const PriceRow* rate = find(rows, "ops_per_s");
    return fmt::format(
        "To survive {} that {} instead of {} that {} takes {} replicas instead of {}; an operation costs "
        "{}, and the throughput is {:.0f} % of the other's.",
        price.byzantine.f == 1 ? "one replica" : fmt::format("{} replicas", price.byzantine.f),
        price.byzantine.f == 1 ? "lies" : "lie", price.crash.f == 1 ? "one" : fmt::format("{}", price.crash.f),
        price.crash.f == 1 ? "crashes" : "crash", price.byzantine.n, price.crash.n, list,
        100 * rate->ratio.value_or(0));
}

}  // namespace loyal::lab
