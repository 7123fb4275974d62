// What `bench` prints at the end.
#pragma once

#include <string>

#include <nlohmann/json_fwd.hpp>

#include "client/cli/bench/engine.h"

namespace loyal::cli {

// The contract's fields, then those of this version.
[[nodiscard]] nlohmann::ordered_json bench_document(const BenchPlan& plan, const BenchReport& report);
[[nodiscard]] std::string bench_text(const BenchPlan& plan, const BenchReport& report);

}  // namespace loyal::cli
