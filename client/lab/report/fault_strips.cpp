#include "client/lab/report/fault_strips.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "client/lab/report/text.h"

namespace loyal::lab {

namespace {

constexpr double step_slack_s = 1.0;  // a step is done a little after its time

bool contains(const std::vector<std::uint16_t>& ids, std::uint16_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
}

// Ids are known; who a role was at that moment is told by the event that the runner recorded for the step.
bool is_about(const Record& record, const Target& target, const Step& step, std::uint16_t replica) {
    if (target.role == Target::Role::ids) {
        return contains(target.ids, replica);
    }
    return std::any_of(record.events.begin(), record.events.end(), [&](const Event& event) {
        return event.kind == Event::Kind::inject && event.replica == replica &&
               std::fabs(event.at_s - step.at_s) < step_slack_s;
    });
}

bool ends(const Step& later, const Step& step, const Record& record, std::uint16_t replica) {
    if (later.kind == Step::Kind::heal || (step.kind == Step::Kind::net && later.kind == Step::Kind::net_heal)) {
        return true;
    }
    if (later.kind != step.kind) {
        return false;
    }
    if (step.kind == Step::Kind::net) {  // what is said anew of the same links replaces what was
        return later.links.size() == step.links.size() && !step.links.empty() &&
               later.links.front().from.ids == step.links.front().from.ids &&
               later.links.front().to == step.links.front().to;
    }
    return is_about(record, later.target, later, replica);
}

std::optional<std::string> text_about(const Record& record, const Step& step, std::uint16_t replica) {
    switch (step.kind) {
        case Step::Kind::net:
            for (const Links& links : step.links) {
                if (is_about(record, links.from, step, replica)) {
                    std::vector<std::string> to;
                    for (const std::uint16_t id : links.to) {
                        to.push_back(std::to_string(id));
                    }
                    return step.line + " to " + (links.to_clients ? "clients" : to.empty() ? "all" : listed(to));
                }
            }
            return {};
        case Step::Kind::clock:
            return is_about(record, step.target, step, replica) ? std::optional<std::string>("clock " + step.line)
                                                                : std::nullopt;
        case Step::Kind::disk:
            return is_about(record, step.target, step, replica) ? std::optional<std::string>("disk " + step.line)
                                                                : std::nullopt;
        case Step::Kind::pause:
            return is_about(record, step.target, step, replica) ? std::optional<std::string>("paused") : std::nullopt;
        default: return {};
    }
}

// Faults of the surroundings, from the scenario.
void add_steps(const Record& record, const Scenario& scenario, std::uint16_t replica, double end_s,
               std::vector<FaultStrip>& strips) {
    for (std::size_t i = 0; i < scenario.steps.size(); ++i) {
        const Step& step = scenario.steps[i];
        const std::optional<std::string> text = text_about(record, step, replica);
        if (!text || step.line == "mend") {
            continue;
        }
        double to_s = end_s;
        if (step.kind == Step::Kind::pause) {
            to_s = step.at_s + static_cast<double>(step.pause_ms) * 1e-3;
        } else {
            for (std::size_t later = i + 1; later < scenario.steps.size(); ++later) {
                if (ends(scenario.steps[later], step, record, replica)) {
                    to_s = scenario.steps[later].at_s;
                    break;
                }
            }
        }
        strips.push_back({step.at_s, std::min(to_s, end_s), *text, false});
    }
}

// What the replica said was in force.
void add_samples(const Record& record, std::uint16_t replica, double end_s, std::vector<FaultStrip>& strips) {
    const std::vector<double> injections = times_of(record, Event::Kind::inject, replica);
    const std::vector<double> mends = times_of(record, Event::Kind::mend, replica);
    std::optional<FaultStrip> open;
    double before_s = 0;
    for (const Sample& sample : record.samples) {
        if (sample.replica != replica || !sample.up) {
            continue;
        }
        const std::string said = sample.fault == "none" ? "" : sample.fault;
        if (open && open->text != said) {
            open->to_s = changed_at(said.empty() ? mends : injections, before_s, sample.at_s);
            strips.push_back(*open);
            open.reset();
        }
        if (!open && !said.empty()) {
            const double from_s = changed_at(injections, before_s, sample.at_s);
            open = FaultStrip{from_s, end_s, said, contains(record.traitors, replica)};
        }
        before_s = sample.at_s;
    }
    if (open) {
        strips.push_back(*open);
    }
}

// The two neighbours with the least between them become one, until few enough are left.
void join_neighbours(std::vector<FaultStrip>& strips) {
    while (strips.size() > strips_max) {
        std::vector<FaultStrip> joined;
        for (std::size_t i = 0; i < strips.size(); i += 2) {
            joined.push_back(strips[i]);
            if (i + 1 < strips.size()) {
                FaultStrip& into = joined.back();
                into.to_s = std::max(into.to_s, strips[i + 1].to_s);
                into.lie = into.lie || strips[i + 1].lie;
                if (into.text != strips[i + 1].text && !into.text.ends_with(" and others")) {
                    into.text += " and others";
                }
            }
        }
        strips = std::move(joined);
    }
}

}  // namespace

std::vector<FaultStrip> fault_strips(const Record& record, const Scenario& scenario, std::uint16_t replica,
                                     double end_s) {
    std::vector<FaultStrip> strips;
    add_samples(record, replica, end_s, strips);
    add_steps(record, scenario, replica, end_s, strips);
    std::stable_sort(strips.begin(), strips.end(),
                     [](const FaultStrip& a, const FaultStrip& b) { return a.from_s < b.from_s; });
    join_neighbours(strips);
    return strips;
}

std::vector<double> times_of(const Record& record, Event::Kind kind, std::optional<std::uint16_t> replica) {
    std::vector<double> times;
    for (const Event& event : record.events) {
        if (event.kind == kind && (!event.replica || !replica || event.replica == replica)) {
            times.push_back(event.at_s);
        }
    }
    std::sort(times.begin(), times.end());
    return times;
}

double changed_at(const std::vector<double>& times, double before_s, double seen_s) {
    const auto next = std::upper_bound(times.begin(), times.end(), before_s);
    return next != times.end() && *next <= seen_s ? *next : seen_s;
}

double last_step_s(const Record& record, const Scenario& scenario) {
    double at_s = record.during_from_s;
    for (const Step& step : scenario.steps) {
        at_s = std::max(at_s, step.at_s);
    }
    return at_s;
}

}  // namespace loyal::lab
