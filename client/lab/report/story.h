// What was seen and why, in plain words: sentences made from the record and the verdict, nothing canned. Plain text
// (not HTML). Pure.
#pragma once

#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

struct Story {
    std::string seen;     // who, what was done to them, gaps, views, numbers
    std::string because;  // safety, evidence, recovery, and why it came so
};
[[nodiscard]] Story story_of(const Record& record, const Scenario& scenario, const Verdict& verdict);

// What a view change that ended a primary was preceded by, as far as the record tells.
struct Deposition {
    double at_s = 0;
    std::uint64_t from_view = 0, to_view = 0;
    std::uint16_t old_primary = 0, new_primary = 0;
    enum class Cause : std::uint8_t {
        death,     // its process had ended
        time_out,  // the replicas named the one that fired
        silence,   // suspicion by heartbeats had risen past the threshold
        proof,     // somebody held evidence against it
        progress,  // nothing was committed for long enough before
        planned,   // none of these: its tenure ended, or somebody else's time-out fired
    };
    Cause cause = Cause::planned;
    std::string time_out;       // that the replicas named; empty: none
    double quiet_s = 0;         // without an answered operation before it
    std::optional<double> phi;  // the highest that a correct replica had of the old primary in the second before
};
// The first time that a correct replica, seen in a view before, was seen in a later one; after `from_s`.
[[nodiscard]] std::optional<Deposition> first_deposition(const Record& record, double from_s, double phi_threshold);

}  // namespace loyal::lab
