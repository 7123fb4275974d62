// Who ended a primary's time, and what came before it.
#include <algorithm>
#include <map>

#include "client/lab/report/model.h"
#include "client/lab/report/story.h"
#include "consensus/quorum.h"

namespace loyal::lab {

namespace {

constexpr double quiet_enough_s = 0.25;
constexpr double shortly_s = 1.5;

bool is_correct(const Record& record, std::uint16_t id) {
    return std::find(record.traitors.begin(), record.traitors.end(), id) == record.traitors.end();
}

std::uint16_t primary_of(const Record& record, std::uint64_t view) {
    return consensus::leader_of(consensus::View(view), record.n).value;
}

bool was_down(const Record& record, std::uint16_t id, double at_s) {
    bool down = false;
    double known_s = -1;
    const auto learn = [&](double when_s, bool is_down) {
        if (when_s <= at_s && when_s >= known_s) {
            known_s = when_s;
            down = is_down;
        }
    };
    for (const Sample& sample : record.samples) {
        if (sample.replica == id) {
            learn(sample.at_s, !sample.up);
        }
    }
    for (const Event& event : record.events) {
        if (event.replica == id && (event.kind == Event::Kind::crash || event.kind == Event::Kind::restart)) {
            learn(event.at_s, event.kind == Event::Kind::crash);
        }
    }
    return down;
}

std::optional<double> phi_before(const Record& record, std::uint16_t id, double at_s) {
    std::optional<double> highest;
    for (const Sample& sample : record.samples) {
        if (!sample.up || !is_correct(record, sample.replica) || sample.at_s > at_s || sample.at_s < at_s - shortly_s) {
            continue;
        }
        const auto found = sample.suspicion.find(id);
        if (found != sample.suspicion.end()) {
            highest = std::max(highest.value_or(0), found->second);
        }
    }
    return highest;
}

double quiet_before(const Record& record, double at_s) {
    double last_s = 0;
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::ok) {
            const double answered_s = seconds_of(record, operation.ret_ns);
            last_s = answered_s <= at_s ? std::max(last_s, answered_s) : last_s;
        }
    }
    return at_s - last_s;
}

// The time-out that a correct replica named after the change and had not named before it. Replicas that only followed
// the others name none.
std::string time_out_at(const Record& record, double at_s) {
    std::map<std::uint16_t, std::string> before;
    for (const Sample& sample : record.samples) {
        if (!sample.up || !is_correct(record, sample.replica)) {
            continue;
        }
        std::string& known = before[sample.replica];
        if (sample.at_s >= at_s - shortly_s && !sample.time_out.empty() && sample.time_out != known) {
            return sample.time_out;
        }
        known = sample.time_out;
        if (sample.at_s > at_s + shortly_s) {
            break;
        }
    }
    return "";
}

Deposition::Cause cause_of(const Record& record, const Deposition& deposition, double phi_threshold) {
    if (was_down(record, deposition.old_primary, deposition.at_s)) {
        return Deposition::Cause::death;
    }
    // Proof is noticed by asking, so a little later than the replicas had it; a time-out that they name comes first
    // then.
    const double known_s = deposition.at_s + (deposition.time_out.empty() ? shortly_s : 0.0);
    if (std::any_of(record.evidence.begin(), record.evidence.end(), [&](const EvidenceFound& found) {
            return found.culprit == deposition.old_primary && found.at_s <= known_s;
        })) {
        return Deposition::Cause::proof;
    }
    if (!deposition.time_out.empty()) {
        return Deposition::Cause::time_out;
    }
    if (deposition.phi && *deposition.phi >= phi_threshold) {
        return Deposition::Cause::silence;
    }
    return deposition.quiet_s >= quiet_enough_s ? Deposition::Cause::progress : Deposition::Cause::planned;
}

}  // namespace

std::optional<Deposition> first_deposition(const Record& record, double from_s, double phi_threshold) {
    if (record.n == 0) {
        return {};
    }
    std::optional<std::uint64_t> view;
    for (const Sample& sample : record.samples) {
        if (!sample.up || !is_correct(record, sample.replica)) {
            continue;
        }
        const std::uint64_t before = view.value_or(sample.view);
        view = std::max(before, sample.view);
        if (*view == before || sample.at_s < from_s) {
            continue;
        }
        Deposition found;
        found.at_s = sample.at_s;
        for (const Event& event : record.events) {  // noticed between two samples, maybe
            if (event.kind == Event::Kind::view && event.at_s >= from_s && event.at_s < found.at_s) {
                found.at_s = event.at_s;
                break;
            }
        }
        found.from_view = before;
        found.to_view = *view;
        found.old_primary = primary_of(record, before);
        found.new_primary = primary_of(record, *view);
        found.quiet_s = quiet_before(record, found.at_s);
        found.time_out = time_out_at(record, found.at_s);
        found.phi = phi_before(record, found.old_primary, found.at_s);
        found.cause = cause_of(record, found, phi_threshold);  // PROTOCOL.md, T1 to T4
        return found;
    }
    return {};
}

}  // namespace loyal::lab
