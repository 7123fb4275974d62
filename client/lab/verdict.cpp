#include "client/lab/verdict.h"

#include <algorithm>

namespace loyal::lab {

const char* name_of(Outcome outcome) {
    switch (outcome) {
        case Outcome::as_expected: return "as-expected";
        case Outcome::violated: return "violated";
        case Outcome::inconclusive: break;
    }
    return "inconclusive";
}

Outcome outcome_of(const std::vector<Run>& runs) {
    const auto any = [&](Outcome outcome) {
        return std::any_of(runs.begin(), runs.end(), [&](const Run& run) { return run.verdict.outcome == outcome; });
    };
    return any(Outcome::violated)                       ? Outcome::violated
           : any(Outcome::inconclusive) || runs.empty() ? Outcome::inconclusive
                                                        : Outcome::as_expected;
}

}  // namespace loyal::lab
