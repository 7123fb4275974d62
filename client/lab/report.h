// The report of a lab run: one self-contained page (report.html) that a person opens in a browser, without a network.
// It shows who did what when (a lane a replica), throughput and latency over the same time, the message exchange of the
// interesting moment, the evidence, the findings with the exact place of a violation, and says in plain words what was
// seen and why. Everything in it comes from the runs; the same runs give the same bytes. Pure; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "client/lab/record.h"
#include "client/lab/scenario.h"
#include "client/lab/verdict.h"

namespace loyal::lab {

// Keys, values, texts and digests may hold any bytes: all are escaped. Bounded whatever the length of the run: series
// are drawn from at most a few hundred points that keep the peaks, lists end with how many entries were left out.
[[nodiscard]] std::string render_report(const Record& record, const Scenario& scenario, const Verdict& verdict);
// One page for all variants of a scenario: a table that compares them, then each. Not empty.
[[nodiscard]] std::string render_report(const std::vector<Run>& runs);

}  // namespace loyal::lab
