// The parts of a report's page that are words and tables, as HTML. Everything that comes from a run is escaped. Pure.
#pragma once

#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/report/model.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

inline constexpr std::size_t evidence_max = 12;

[[nodiscard]] std::string badge_html(Outcome outcome);
[[nodiscard]] std::string figures_html(const Run& run);
[[nodiscard]] std::string events_html(const Marks& marks);
[[nodiscard]] std::string evidence_html(const Record& record, const Verdict& verdict);
// `number` of the run on the page: the pictures of violations find their places by it.
[[nodiscard]] std::string findings_html(const Run& run, std::size_t number);
[[nodiscard]] std::string environment_html(const Run& run);
// Variants side by side.
[[nodiscard]] std::string comparison_html(const std::vector<Run>& runs);

}  // namespace loyal::lab
