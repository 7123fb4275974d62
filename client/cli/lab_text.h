// What `loyal lab` tells a person: lists, the line of a run under way, a verdict. Pure.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "client/lab/run.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::cli {

// "[####....]  40 %  during   180 ops/s  replica 0: byzantine equivocate", at most `width` characters.
[[nodiscard]] std::string live_line(const lab::Progress& progress, std::size_t width);
[[nodiscard]] std::string verdict_text(const lab::Run& run);
[[nodiscard]] std::string model_text(const lab::Scenario& scenario);  // "byzantine", "crash-stop", ...

}  // namespace loyal::cli
