// The judge's checks of safety, one function a property. Each gives its verdict and where it is broken. Pure. Private
// to client/lab.
#pragma once

#include <vector>

#include "client/lab/record.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

struct Finding {
    Held held;
    std::vector<Violation> violations;
};

// Correct replicas that were seen at one height have one digest there. Nothing to compare: undecided.
[[nodiscard]] Finding check_agreement(const Record& record);
[[nodiscard]] Finding check_linearizability(const Record& record);
// The value read at the end is one that the last acknowledged change, or a later or concurrent one, may have left.
[[nodiscard]] Finding check_durability(const Record& record);
// Between acknowledged and acknowledged + unknown changes, of keys that were never deleted.
[[nodiscard]] Finding check_once(const Record& record);

}  // namespace loyal::lab
