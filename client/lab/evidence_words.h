// What a proof's statements say, a line each, for reports. Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "consensus/evidence.h"

namespace loyal::lab {

// One or two; a statement that does not decode is left out. They are what the culprit signed, whether or not they prove
// anything: that is check_evidence's business.
[[nodiscard]] std::vector<std::string> words_of(const consensus::Evidence& evidence);

}  // namespace loyal::lab
