// verdict.json and history.jsonl (contract). Pure.
#pragma once

#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

// One object for the experiment; with several variants its fields are the worst of all, and `variants` has each.
[[nodiscard]] std::string verdict_json(const std::vector<Run>& runs);
// One JSON object an operation and line, in order of calls.
[[nodiscard]] std::string history_jsonl(const std::vector<Operation>& operations);

}  // namespace loyal::lab
