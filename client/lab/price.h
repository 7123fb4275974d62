// The price of tolerance: what the same workload costs healthy replicas that survive crashes (n = 3) and healthy ones
// that survive a liar (n = 4), side by side. The arithmetic and the table; who measures is
// client/cli/price_command.cpp. Pure; thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/lab/record.h"
#include "config/result.h"

namespace loyal::lab {

// What one replica said of its costs since its start: the `costs` object of its status. Errc::invalid_argument when
// there is none.
[[nodiscard]] Result<Costs> costs_of_status(std::string_view json);
// Sum over the replicas of what was added. Errc::conflict when a counter went back: that replica was started again
// meanwhile; both lists are in order of id.
[[nodiscard]] Result<Costs> costs_between(const std::vector<Costs>& before, const std::vector<Costs>& after);

// One cluster's measurement.
struct PriceSide {
    std::string fault_model;  // crash, byzantine
    std::uint16_t n = 0, f = 0;
    double seconds = 0;  // the workload ran
    std::uint64_t operations = 0, errors = 0;
    double p50_ms = 0, p99_ms = 0;
    Costs busy;  // of all replicas, while it ran
    double idle_seconds = 0;
    Costs idle;  // while nobody asked for anything
};
struct Price {
    std::size_t clients = 0;
    std::size_t value_bytes = 0;
    PriceSide crash, byzantine;
};

struct PriceRow {
    std::string name;   // "messages", as in JSON
    std::string what;   // "messages between replicas", for people
    bool idle = false;  // a second of idleness; otherwise of an operation
    double crash = 0, byzantine = 0;
    std::optional<double> ratio;  // byzantine / crash; absent when nothing is spent in the crash model
};
[[nodiscard]] std::vector<PriceRow> price_rows(const Price& price);

[[nodiscard]] nlohmann::ordered_json price_document(const Price& price);
// Three digits that matter.
[[nodiscard]] std::string figure_text(double value);
// What tolerance of a liar costs, in a sentence made from the figures.
[[nodiscard]] std::string price_sentence(const Price& price);

}  // namespace loyal::lab
