// Verdict: what the judge found in a Record, measured against what the Scenario expected. Plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/scenario.h"

namespace loyal::lab {

enum class Outcome : std::uint8_t { as_expected, violated, inconclusive };
[[nodiscard]] const char* name_of(Outcome outcome);  // "as-expected", ...

// Absent: could not be decided (nothing to compare, a search beyond its bound); null in JSON.
using Held = std::optional<bool>;

// One broken property and where.
struct Violation {
    Property property = Property::agreement;
    std::string text;  // one or two sentences: who, what, where
    std::optional<std::uint64_t> height;
    std::optional<std::string> key;
    std::vector<std::uint16_t> replicas;
    std::vector<std::size_t> operations;  // indices in Record::operations
    std::optional<double> at_s;
};

struct PhaseNumbers {
    double ops_per_s = 0;
    double p50_ms = 0, p99_ms = 0, max_ms = 0;  // of operations that returned in this phase, ok
    std::uint64_t ok = 0, failed = 0, unknown = 0;
};

struct Verdict {
    std::string scenario, variant, fault_model;
    std::uint16_t n = 0;
    std::uint64_t seed = 0;
    bool simulated = false;
    std::string expected;  // in words
    Outcome outcome = Outcome::inconclusive;
    std::vector<std::string> reasons;  // why not as expected; empty when it is
    Held agreement, linearizable, durable, once, live;
    std::optional<double> recovery_s;  // from the last step to the first answer to a question asked after it
    double longest_gap_s = 0;          // without a completed operation
    double gap_from_s = 0;             // when it began
    std::uint64_t ops = 0;             // answered, ok
    PhaseNumbers before, during, after;
    std::vector<EvidenceFound> evidence;
    std::vector<Violation> violations;  // bounded: the first of each kind and key
    std::string waits_for;              // of the scenario
};

// One run of one variant: all that a report needs.
struct Run {
    Scenario scenario;
    Record record;
    Verdict verdict;
};
// The worst outcome of all runs.
[[nodiscard]] Outcome outcome_of(const std::vector<Run>& runs);

}  // namespace loyal::lab
