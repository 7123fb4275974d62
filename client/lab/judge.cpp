#include "client/lab/judge.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "client/lab/checks.h"

namespace loyal::lab {

namespace {

constexpr std::uint64_t operations_min = 10;  // with fewer before the faults, nothing was measured

constexpr double silence_min_s = 0.5;

double seconds_of(const Record& record, std::uint64_t ns) {
    return (static_cast<double>(ns) - static_cast<double>(record.start_ns)) * 1e-9;
}

// The latest moment at which the lab did something to the cluster, pauses included.
double last_step_s(const Scenario& scenario) {
    double last = 0;
    for (const Step& step : scenario.steps) {
        last = std::max(last, step.at_s + static_cast<double>(step.pause_ms) / 1000.0);
    }
    return last;
}

PhaseNumbers numbers_of(const Record& record, double from_s, double to_s) {
    PhaseNumbers numbers;
    std::vector<double> latencies_ms;
    for (const Operation& operation : record.operations) {
        const bool answered = operation.status != Operation::Status::unknown;
        const double at_s = seconds_of(record, answered ? operation.ret_ns : operation.call_ns);
        if (at_s < from_s || at_s >= to_s) {
            continue;
        }
        switch (operation.status) {
            case Operation::Status::ok:
                ++numbers.ok;
                latencies_ms.push_back(static_cast<double>(operation.ret_ns - operation.call_ns) * 1e-6);
                break;
            case Operation::Status::fail: ++numbers.failed; break;
            case Operation::Status::unknown: ++numbers.unknown; break;
        }
    }
    numbers.ops_per_s = to_s > from_s ? static_cast<double>(numbers.ok) / (to_s - from_s) : 0;
    if (!latencies_ms.empty()) {
        std::sort(latencies_ms.begin(), latencies_ms.end());
        const auto at = [&](double part) {
            return latencies_ms[static_cast<std::size_t>(part * static_cast<double>(latencies_ms.size() - 1))];
        };
        numbers.p50_ms = at(0.5);
        numbers.p99_ms = at(0.99);
        numbers.max_ms = latencies_ms.back();
    }
    return numbers;
}

// The longest time in [from, to] in which no operation was answered.
struct Gap {
    double from_s = 0, length_s = 0;
};
Gap longest_gap(const Record& record, double from_s, double to_s) {
    std::vector<double> ends = {from_s, to_s};
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::ok) {
            const double at_s = seconds_of(record, operation.ret_ns);
            if (at_s > from_s && at_s < to_s) {
                ends.push_back(at_s);
            }
        }
    }
    std::sort(ends.begin(), ends.end());
    Gap gap{from_s, 0};
    for (std::size_t i = 1; i < ends.size(); ++i) {
        if (ends[i] - ends[i - 1] > gap.length_s) {
            gap = {ends[i - 1], ends[i] - ends[i - 1]};
        }
    }
    return gap;
}

double silence_at_end(const Record& record, double total) {
    double last = 0;
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::ok) {
            last = std::max(last, std::min(seconds_of(record, operation.ret_ns), total));
        }
    }
    return total - last;
}

std::optional<double> recovery_of(const Record& record, double last_s) {
    std::optional<double> first;
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::ok && seconds_of(record, operation.call_ns) >= last_s) {
            const double took = seconds_of(record, operation.ret_ns) - last_s;
            first = first ? std::min(*first, took) : took;
        }
    }
    return first;
}

void judge_liveness(const Scenario& scenario, const Record& record, Verdict& verdict) {
    const double total = std::max(scenario.times.total(), record.load_until_s);
    const Gap gap = longest_gap(record, 0, total);
    verdict.longest_gap_s = gap.length_s;
    verdict.gap_from_s = gap.from_s;
    const double last = last_step_s(scenario);
    verdict.recovery_s = recovery_of(record, last);
    const double limit = scenario.expect.recovery_max_s;
    // After the last step the cluster is what it will be; before it only a stall that is not expected counts.
    const Gap late = longest_gap(record, std::min(last, total), total);
    // Answers that were under way at the last step are no sign of life: the run's end must not be silent.
    const double silence = silence_at_end(record, total);
    const bool alive_at_end = silence <= std::max(silence_min_s, (total - last) / 2);
    const bool goes_on = verdict.recovery_s && *verdict.recovery_s <= limit && late.length_s <= limit && alive_at_end;
    verdict.live = goes_on && (scenario.expect.stalls || gap.length_s <= limit);
    if (!*verdict.live && verdict.recovery_s && gap.length_s > limit && scenario.expect.live) {
        Violation violation;
        violation.property = Property::live;
        violation.at_s = gap.from_s;
        violation.text = fmt::format("no operation was answered for {:.2f} s from {:.2f} s on; {:.2f} s were allowed",
                                     gap.length_s, gap.from_s, limit);
        verdict.violations.push_back(std::move(violation));
    } else if (!*verdict.live && !alive_at_end && scenario.expect.live) {
        Violation violation;
        violation.property = Property::live;
        violation.at_s = total - silence;
        violation.text = fmt::format("no operation was answered in the last {:.2f} s of the run", silence);
        verdict.violations.push_back(std::move(violation));
    } else if (!*verdict.live && !verdict.recovery_s && scenario.expect.live) {
        Violation violation;
        violation.property = Property::live;
        violation.at_s = last;
        violation.text = fmt::format("nothing that was asked after the last step, at {:.2f} s, was answered", last);
        verdict.violations.push_back(std::move(violation));
    }
}

// ---- What was expected

void expect_safety(const Scenario& scenario, Verdict& verdict) {
    struct Named {
        Property property;
        const Held& held;
    };
    const Named all[] = {{Property::agreement, verdict.agreement},
                         {Property::linearizable, verdict.linearizable},
                         {Property::durable, verdict.durable},
                         {Property::once, verdict.once},
                         {Property::live, verdict.live}};
    const auto& violated = scenario.expect.violated;
    bool found = false;
    for (const Named& each : all) {
        const bool may = std::find(violated.begin(), violated.end(), each.property) != violated.end();
        const bool broken = each.held.has_value() && !*each.held;
        found = found || (may && broken);
        if (broken && !may && each.property != Property::live) {  // that one is expect_liveness's
            verdict.reasons.push_back(fmt::format("{} is broken, and was expected to hold", name_of(each.property)));
        }
    }
    if (!violated.empty() && !found) {
        std::vector<std::string> names;
        for (const Property property : violated) {
            names.emplace_back(name_of(property));
        }
        verdict.reasons.push_back(
            fmt::format("{} was expected to break, and nothing was found", fmt::join(names, " or ")));
    }
}

void expect_liveness(const Scenario& scenario, const Record& record, Verdict& verdict) {
    const Expectation& expect = scenario.expect;
    if (!expect.violated.empty()) {
        return;  // what a cluster without agreement still answers is anybody's guess
    }
    if (expect.live && !verdict.live.value_or(false)) {
        verdict.reasons.push_back(
            verdict.recovery_s
                ? fmt::format("operations did not go on as expected: recovery took {:.2f} s, the longest gap was "
                              "{:.2f} s, and {} s were allowed",
                              *verdict.recovery_s, verdict.longest_gap_s, expect.recovery_max_s)
                : std::string("nothing that was asked after the last step was answered"));
    }
    if (!expect.live && verdict.live.value_or(false)) {
        verdict.reasons.emplace_back("operations went on, and were expected not to");
    }
    const double during = record.during_to_s - record.during_from_s;
    if (expect.stalls && longest_gap(record, record.during_from_s, record.during_to_s).length_s < during / 2) {
        verdict.reasons.emplace_back("operations were expected to stall while the fault lasts, and did not");
    }
}

void expect_evidence(const Scenario& scenario, const Record& record, Verdict& verdict) {
    for (const EvidenceFound& found : record.evidence) {
        const bool traitor =
            std::find(record.traitors.begin(), record.traitors.end(), found.culprit) != record.traitors.end();
        const bool liar = std::find(record.traitors.begin(), record.traitors.end(), found.by) != record.traitors.end();
        if (!traitor &&
            (found.verified || !liar)) {  // a liar may make up anything; proof that checks is another matter
            verdict.reasons.push_back(fmt::format("replica {} is correct, and replica {} holds {} against it",
                                                  found.culprit, found.by, found.kind));
        }
    }
    const std::vector<std::string>& kinds = scenario.expect.evidence;
    const std::vector<std::uint16_t>& against = scenario.expect.against;
    const bool convicted = std::any_of(record.evidence.begin(), record.evidence.end(), [&](const EvidenceFound& each) {
        return each.verified && std::find(kinds.begin(), kinds.end(), each.kind) != kinds.end() &&
               (against.empty() || std::find(against.begin(), against.end(), each.culprit) != against.end());
    });
    if (!kinds.empty() && !convicted) {
        verdict.reasons.push_back(
            fmt::format("evidence {} was expected, and nobody holds any", fmt::join(kinds, " or ")));
    }
}

bool is_undecided(const Scenario& scenario, const Verdict& verdict) {
    // A property that is expected to hold, and that nobody could look at. Without progress there may be nothing to
    // read.
    const bool asks_all = scenario.expect.violated.empty() && scenario.expect.live;
    return asks_all && (!verdict.agreement || !verdict.linearizable || !verdict.durable);
}

std::string undecided_text(const Verdict& verdict) {
    std::vector<std::string> open;
    if (!verdict.agreement) {
        open.emplace_back("agreement (no two correct replicas were seen at one height)");
    }
    if (!verdict.linearizable) {
        open.emplace_back("linearizability (nothing to check, or the search was cut)");
    }
    if (!verdict.durable) {
        open.emplace_back("durability (not every key could be read at the end)");
    }
    return fmt::format("undecided: {}", fmt::join(open, ", "));
}

}  // namespace

Verdict judge(const Scenario& scenario, const Record& record) {
    Verdict verdict;
    verdict.scenario = record.scenario;
    verdict.variant = scenario.variant;
    verdict.fault_model = record.fault_model;
    verdict.n = record.n;
    verdict.seed = record.seed;
    verdict.simulated = record.simulated;
    verdict.expected = scenario.expect.text;
    verdict.waits_for = scenario.waits_for;
    verdict.evidence = record.evidence;

    const auto take = [&verdict](Finding finding, Held& held) {
        held = finding.held;
        std::move(finding.violations.begin(), finding.violations.end(), std::back_inserter(verdict.violations));
    };
    take(check_agreement(record), verdict.agreement);
    take(check_linearizability(record), verdict.linearizable);
    take(check_durability(record), verdict.durable);
    take(check_once(record), verdict.once);
    judge_liveness(scenario, record, verdict);
    verdict.before = numbers_of(record, 0, record.during_from_s);
    verdict.during = numbers_of(record, record.during_from_s, record.during_to_s);
    verdict.after = numbers_of(record, record.during_to_s, scenario.times.total());
    verdict.ops = static_cast<std::uint64_t>(
        std::count_if(record.operations.begin(), record.operations.end(),
                      [](const Operation& each) { return each.status == Operation::Status::ok; }));

    expect_safety(scenario, verdict);
    expect_liveness(scenario, record, verdict);
    expect_evidence(scenario, record, verdict);
    verdict.outcome = verdict.reasons.empty() ? Outcome::as_expected : Outcome::violated;
    if (!record.failures.empty() || verdict.before.ok < operations_min ||
        (verdict.reasons.empty() && is_undecided(scenario, verdict))) {
        verdict.outcome = Outcome::inconclusive;
        for (const std::string& failure : record.failures) {
            verdict.reasons.push_back("the run went wrong: " + failure);
        }
        if (verdict.before.ok < operations_min) {
            verdict.reasons.push_back(
                fmt::format("only {} operations were answered before the faults", verdict.before.ok));
        } else if (is_undecided(scenario, verdict)) {
            verdict.reasons.push_back(undecided_text(verdict));
        }
    }
    return verdict;
}

std::vector<Event> violation_events(const Verdict& verdict) {
    std::vector<Event> events;
    for (const Violation& violation : verdict.violations) {
        const auto kind = violation.property == Property::live ? Event::Kind::stall : Event::Kind::violation;
        events.push_back({violation.at_s.value_or(0), kind, std::nullopt, violation.text});
    }
    return events;
}

}  // namespace loyal::lab
