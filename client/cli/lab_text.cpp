#include "client/cli/lab_text.h"

#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client/cli/progress.h"

namespace loyal::cli {

namespace {

constexpr std::size_t violations_shown_max = 6;

std::string held_text(const lab::Held& held) {
    return held ? (*held ? "held" : "BROKEN") : "undecided";
}

std::string live_text(const lab::Verdict& verdict) {
    const std::string recovery = verdict.recovery_s
                                     ? fmt::format("an answer {:.2f} s after the last step", *verdict.recovery_s)
                                     : std::string("no answer after the last step");
    return fmt::format("{}: {}; longest gap {:.2f} s", verdict.live.value_or(false) ? "yes" : "no", recovery,
                       verdict.longest_gap_s);
}

// One line a kind and culprit.
std::vector<std::string> evidence_lines(const std::vector<lab::EvidenceFound>& all) {
    std::map<std::pair<std::string, std::uint16_t>, std::set<std::uint16_t>> holders;
    std::set<std::pair<std::string, std::uint16_t>> unverified;
    for (const lab::EvidenceFound& found : all) {
        holders[{found.kind, found.culprit}].insert(found.by);
        if (!found.verified) {
            unverified.insert({found.kind, found.culprit});
        }
    }
    std::vector<std::string> lines;
    for (const auto& [what, by] : holders) {
        lines.push_back(fmt::format("{} against replica {}, held by {}{}", what.first, what.second, fmt::join(by, ", "),
                                    unverified.contains(what) ? "; NOT VERIFIED" : "; verified offline"));
    }
    return lines;
}

}  // namespace

std::string live_line(const lab::Progress& progress, std::size_t width) {
    std::string text =
        fmt::format("{}  {:<8} {:4.1f} s  {:6.0f} ops/s  {}", ProgressLine::bar(progress.at_s / progress.total_s),
                    progress.phase, progress.at_s, progress.ops_per_s, fmt::join(progress.broken, ", "));
    if (text.size() > width) {
        text.resize(width > 3 ? width - 3 : 0);
        text += "...";
    }
    return text;
}

std::string model_text(const lab::Scenario& scenario) {
    if (scenario.cluster.store == lab::Store::last_write_wins) {
        return "last-write-wins";
    }
    if (scenario.cluster.fault_model == consensus::FaultModel::byzantine) {
        return "byzantine";
    }
    return scenario.cluster.crash_mode == config::CrashMode::stop ? "crash-stop" : "crash";
}

std::string verdict_text(const lab::Run& run) {
    const lab::Verdict& verdict = run.verdict;
    std::string text = fmt::format("{}{}: {}  ({}, n = {}, {}, seed {})\n", verdict.scenario,
                                   verdict.variant.empty() ? "" : fmt::format(" [{}]", verdict.variant),
                                   name_of(verdict.outcome), verdict.simulated ? "virtual time" : "real processes",
                                   verdict.n, model_text(run.scenario), verdict.seed);
    const auto line = [&text](const char* name, const std::string& value) {
        text += fmt::format("  {:<14} {}\n", name, value);
    };
    line("expected", verdict.expected);
    line("agreement", held_text(verdict.agreement));
    line("linearizable", held_text(verdict.linearizable));
    line("durable", held_text(verdict.durable));
    line("executed once", held_text(verdict.once));
    line("live", live_text(verdict));
    line("operations",
         fmt::format("{} answered; {:.0f}/s before, {:.0f}/s during, {:.0f}/s after; p99 {:.1f}, {:.1f}, "
                     "{:.1f} ms",
                     verdict.ops, verdict.before.ops_per_s, verdict.during.ops_per_s, verdict.after.ops_per_s,
                     verdict.before.p99_ms, verdict.during.p99_ms, verdict.after.p99_ms));
    for (const std::string& each : evidence_lines(verdict.evidence)) {
        line("evidence", each);
    }
    for (std::size_t i = 0; i < verdict.violations.size() && i < violations_shown_max; ++i) {
        line("found", verdict.violations[i].text);
    }
    if (verdict.violations.size() > violations_shown_max) {
        line("", fmt::format("and {} more, see the report", verdict.violations.size() - violations_shown_max));
    }
    for (const std::string& reason : verdict.reasons) {
        line("but", reason);
    }
    if (!verdict.waits_for.empty()) {
        line("waits for", verdict.waits_for);
    }
    return text;
}

}  // namespace loyal::cli
