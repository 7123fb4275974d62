#include "client/lab/report/story.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "client/lab/report/fault_strips.h"
#include "client/lab/report/model.h"
#include "client/lab/report/text.h"

namespace loyal::lab {

namespace {

constexpr std::size_t injections_told = 4;

void say(std::string& paragraph, const std::string& sentence) {
    if (!sentence.empty()) {
        paragraph += (paragraph.empty() ? "" : " ") + sentence;
    }
}

std::string capitalised(std::string text) {
    if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
        text.front() = static_cast<char>(text.front() - 'a' + 'A');
    }
    return text;
}

bool lied(const Record& record, std::uint16_t id) {
    return std::find(record.traitors.begin(), record.traitors.end(), id) != record.traitors.end();
}

// A sentence as part of another one.
std::string clause(std::string sentence) {
    while (sentence.ends_with('.')) {
        sentence.pop_back();
    }
    if (sentence.size() > 1 && sentence[0] >= 'A' && sentence[0] <= 'Z' && sentence[1] >= 'a') {
        sentence.front() = static_cast<char>(sentence.front() - 'A' + 'a');
    }
    return sentence;
}

// As a sentence begins: "Four replicas".
std::string counted_first(std::uint64_t count, std::string_view singular) {
    constexpr std::array words = {"No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten"};
    const std::string text = counted(count, singular);
    return count < words.size() ? words[count] + text.substr(text.find(' ')) : text;
}

double length_of(const Record& record) {
    return record.end_s > 0 ? record.end_s : end_of(record);
}

// ---- What was seen

std::string who(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    if (scenario.cluster.store == Store::last_write_wins) {
        return fmt::format("{} that order writes by their own wall clocks served {}; {} were answered in {}.",
                           counted_first(record.n, "replica"), counted(scenario.workload.clients, "client"),
                           counted(verdict.ops, "operation"), seconds_text(length_of(record)));
    }
    return fmt::format(
        "{} under the {} fault model, which tolerates {} (a quorum is {}), served {}; {} were answered "
        "in {}{}.",
        counted_first(record.n, "replica"), readable(record.fault_model),
        record.fault_model == "crash" ? counted(record.f, "crashed one", "crashed ones") : counted(record.f, "traitor"),
        record.q, counted(scenario.workload.clients, "client"), counted(verdict.ops, "operation"),
        seconds_text(length_of(record)), record.simulated ? " of the simulator's virtual time" : "");
}

std::string traitors(const Record& record) {
    if (record.traitors.empty()) {
        return "";
    }
    const bool one = record.traitors.size() == 1;
    const std::size_t tolerated = record.fault_model == "crash" ? 0 : record.f;
    std::string more;
    if (record.traitors.size() > tolerated) {
        more = tolerated == 0 ? ", where the model expects nobody to lie"
                              : fmt::format(", {} more than the model tolerates", record.traitors.size() - tolerated);
    }
    return fmt::format("{} {} told to lie{}.", capitalised(replicas_text(record.traitors)), one ? "was" : "were", more);
}

std::string injections(const Record& record) {
    std::vector<const Event*> events;
    for (const Event& event : record.events) {
        if (event.kind == Event::Kind::inject) {
            events.push_back(&event);
        }
    }
    if (events.empty()) {
        return "Nothing was broken on purpose.";
    }
    std::vector<std::string> told;
    for (std::size_t i = 0; i < std::min(events.size(), injections_told); ++i) {
        told.push_back(fmt::format("at {} \"{}\"", seconds_text(events[i]->at_s), readable(events[i]->text, 120)));
    }
    if (events.size() > injections_told) {
        return fmt::format("{} were put in force between {} and {}, the first of them {}.",
                           counted_first(events.size(), "fault"), seconds_text(events.front()->at_s),
                           seconds_text(events.back()->at_s), listed(told));
    }
    return fmt::format("What was put in force: {}.", listed(told));
}

std::string crashes(const Record& record) {
    std::map<std::uint16_t, std::uint64_t> ends, starts;
    for (const Event& event : record.events) {
        if (event.replica && event.kind == Event::Kind::crash) {
            ++ends[*event.replica];
        } else if (event.replica && event.kind == Event::Kind::restart) {
            ++starts[*event.replica];
        }
    }
    std::vector<std::string> told;
    for (const auto& [id, count] : ends) {
        const std::uint64_t back = starts[id];
        told.push_back(fmt::format("replica {} died {} and came back {}", id,
                                   count == 1 ? "once" : fmt::format("{} times", count),
                                   back == 0       ? "never"
                                   : back >= count ? (count == 1 ? "" : "each time")
                                                   : counted(back, "time")));
        if (told.back().ends_with(' ')) {
            told.back().pop_back();
        }
    }
    return told.empty() ? "" : capitalised(listed(told)) + ".";
}

std::string gap(const Record& record, const Verdict& verdict) {
    if (verdict.ops == 0) {
        return "Not one operation was answered.";
    }
    const double to_s = verdict.gap_from_s + verdict.longest_gap_s;
    const bool in_force = verdict.gap_from_s < record.during_to_s && to_s > record.during_from_s;
    return fmt::format("The longest time without an answer was {}, from {} to {}, {}.",
                       seconds_text(verdict.longest_gap_s), seconds_text(verdict.gap_from_s), seconds_text(to_s),
                       in_force                                   ? "while the faults were in force"
                       : verdict.gap_from_s >= record.during_to_s ? "after they were taken away"
                                                                  : "before anything was broken");
}

std::string cause_text(const Deposition& deposition) {
    const std::string quiet = deposition.quiet_s >= 0.05 ? fmt::format("; no operation had been answered for {}",
                                                                       seconds_text(deposition.quiet_s))
                                                         : "";
    switch (deposition.cause) {
        case Deposition::Cause::death:
            return fmt::format("its process was dead and its heartbeats had stopped{}", quiet);
        case Deposition::Cause::time_out:
            return fmt::format("a time-out fired at a replica, \"{}\"{}{}", readable(deposition.time_out, 80),
                               deposition.phi && *deposition.phi >= 1
                                   ? fmt::format("; suspicion of it had reached phi {:.1f}", *deposition.phi)
                                   : "",
                               quiet);
        case Deposition::Cause::silence:
            return fmt::format("the time-out for silence fired, suspicion of it had reached phi {:.1f}{}",
                               deposition.phi.value_or(0), quiet);
        case Deposition::Cause::proof: return "there was proof of its guilt" + quiet;
        case Deposition::Cause::progress:
            return fmt::format("it still sent heartbeats, so it was the time-out for progress that fired{}", quiet);
        case Deposition::Cause::planned: break;
    }
    return "its clients did not notice, as when a term of office ends or a slow primary is voted out";
}

std::string views(const Record& record, const Scenario& scenario) {
    const std::optional<Deposition> first =
        first_deposition(record, record.during_from_s, scenario.cluster.timers.phi_threshold);
    if (!first) {
        return record.samples.empty() ? "" : "The primary stayed who it was.";
    }
    std::set<std::uint64_t> entered;
    for (const Sample& sample : record.samples) {
        if (sample.up && !lied(record, sample.replica) && sample.at_s >= record.during_from_s &&
            sample.view > first->from_view) {
            entered.insert(sample.view);
        }
    }
    const std::uint64_t last = entered.empty() ? first->to_view : *entered.rbegin();
    std::string text =
        fmt::format("At {} the replicas left view {} and its primary, replica {}, for view {} under replica {}: {}.",
                    seconds_text(first->at_s), first->from_view, first->old_primary, first->to_view, first->new_primary,
                    cause_text(*first));
    if (last > first->to_view) {
        text += fmt::format(" There were further view changes, up to view {}.", last);
    }
    return text;
}

std::string numbers(const Verdict& verdict) {
    if (verdict.before.ok == 0 || (verdict.during.ok == 0 && verdict.after.ok == 0)) {
        return verdict.ops == 0
                   ? ""
                   : fmt::format("Operations a second: {} before, {} during and {} after the faults.",
                                 number_text(verdict.before.ops_per_s), number_text(verdict.during.ops_per_s),
                                 number_text(verdict.after.ops_per_s));
    }
    const auto latency = [](const PhaseNumbers& phase) {
        return phase.ok == 0 ? std::string("none") : ms_text(phase.p50_ms);
    };
    return fmt::format(
        "Operations a second: {} before, {} during ({:.0f} % of before) and {} after the faults; the median latency "
        "was {}, {} and {}.",
        number_text(verdict.before.ops_per_s), number_text(verdict.during.ops_per_s),
        100.0 * verdict.during.ops_per_s / std::max(verdict.before.ops_per_s, 1e-9),
        number_text(verdict.after.ops_per_s), latency(verdict.before), latency(verdict.during), latency(verdict.after));
}

std::string unanswered(const Verdict& verdict) {
    const std::uint64_t unknown = verdict.before.unknown + verdict.during.unknown + verdict.after.unknown;
    const std::uint64_t failed = verdict.before.failed + verdict.during.failed + verdict.after.failed;
    std::vector<std::string> parts;
    if (unknown > 0) {
        parts.push_back(counted(unknown, "operation") + " got no answer in time and may or may not have been applied");
    }
    if (failed > 0) {
        parts.push_back(counted(failed, "operation") + (failed == 1 ? " was" : " were") +
                        " refused and surely not applied");
    }
    return parts.empty() ? "" : listed(parts) + ".";
}

// ---- Why

// All proofs against one replica.
struct Conviction {
    std::set<std::uint16_t> holders;
    std::set<std::string> kinds;
    double first_s = 0;
    std::string explanation;  // of the first kind
    bool verified = true;
};

std::map<std::uint16_t, Conviction> convictions(const std::vector<EvidenceFound>& evidence) {
    std::map<std::uint16_t, Conviction> all;
    for (const EvidenceFound& found : evidence) {
        const auto [place, is_new] = all.try_emplace(found.culprit);
        Conviction& conviction = place->second;
        conviction.first_s = is_new ? found.at_s : std::min(conviction.first_s, found.at_s);
        if (conviction.kinds.empty() || found.kind < *conviction.kinds.begin()) {
            conviction.explanation = found.explanation;
        }
        conviction.kinds.insert(found.kind);
        conviction.holders.insert(found.by);
        conviction.verified = conviction.verified && found.verified;
    }
    return all;
}

std::string evidence(const Record& record, const Verdict& verdict) {
    const auto first = convictions(verdict.evidence.empty() ? record.evidence : verdict.evidence);
    std::string text;
    for (const auto& [culprit, conviction] : first) {
        std::vector<std::string> kinds;
        for (const std::string& kind : conviction.kinds) {
            kinds.push_back(readable(kind, 16));
        }
        say(text,
            fmt::format("Replica {} was convicted{}: {} {} proof {} against it, first seen at {}{}, and {}.", culprit,
                        lied(record, culprit) ? "" : ", ALTHOUGH NOBODY HAD TOLD IT TO LIE",
                        replicas_text({conviction.holders.begin(), conviction.holders.end()}),
                        conviction.holders.size() == 1 ? "holds" : "hold", listed(kinds),
                        seconds_text(conviction.first_s),
                        conviction.explanation.empty() ? "" : " (" + clause(readable(conviction.explanation)) + ")",
                        conviction.verified ? "it verifies offline with the cluster's public keys alone"
                                            : "not all of it was verified"));
    }
    std::vector<std::uint16_t> unproven;
    std::copy_if(record.traitors.begin(), record.traitors.end(), std::back_inserter(unproven),
                 [&](std::uint16_t id) { return !first.contains(id); });
    if (!unproven.empty()) {
        say(text, fmt::format("Nobody holds proof against {}: {}.", replicas_text(unproven),
                              record.fault_model == "crash"
                                  ? "replicas of the crash model sign no votes, so a lie leaves no trace"
                                  : "no correct replica received signed statements of it that contradict each other"));
    }
    return text;
}

std::uint64_t compared_heights(const Record& record) {
    return static_cast<std::uint64_t>(
        std::count_if(record.digests.begin(), record.digests.end(), [&](const auto& entry) {
            return std::count_if(entry.second.begin(), entry.second.end(),
                                 [&](const auto& said) { return !lied(record, said.first); }) >= 2;
        }));
}

std::string safety(const Record& record, const Verdict& verdict) {
    std::vector<std::string> held;
    if (verdict.agreement == true) {
        const std::uint64_t heights = compared_heights(record);
        held.push_back(heights == 0
                           ? std::string("the correct replicas did not contradict each other")
                           : fmt::format("the correct replicas had the same state at {} at which two or more of them "
                                         "were seen",
                                         heights == 1 ? "the one height"
                                                      : fmt::format("each of the {} heights", count_text(heights))));
    }
    if (verdict.linearizable == true) {
        held.push_back(fmt::format("the history of {} fits one order in which every read sees the latest write",
                                   counted(record.operations.size(), "operation")));
    }
    if (verdict.durable == true) {
        held.emplace_back("every acknowledged write could be read back");
    }
    if (verdict.once == true) {
        held.emplace_back("no request was executed twice");
    }
    std::string text = held.empty() ? "" : capitalised(listed(held)) + ".";
    std::map<Property, std::uint64_t> counts;
    for (const Violation& violation : verdict.violations) {
        ++counts[violation.property];
    }
    for (const Violation& violation : verdict.violations) {
        const std::uint64_t count = std::exchange(counts[violation.property], 0);
        if (count > 0) {  // the first of its property stands for the others
            say(text,
                fmt::format("BROKEN: {}{}{}", readable(violation.text), violation.text.ends_with('.') ? "" : ".",
                            count > 1 ? fmt::format(" And {} of this kind.", counted(count - 1, "more finding")) : ""));
        }
    }
    return text;
}

std::string arithmetic(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    if (record.traitors.empty() || scenario.cluster.store != Store::loyal) {
        return "";
    }
    const std::size_t traitor_count = record.traitors.size();
    const std::size_t overlap = 2 * static_cast<std::size_t>(record.q) > record.n ? 2U * record.q - record.n : 0;
    const bool broken = verdict.agreement == false || verdict.linearizable == false || verdict.durable == false;
    if (overlap > traitor_count) {
        return broken ? ""
                      : fmt::format(
                            "Two quorums of {} among {} share at least {}, so one of them is honest: no two "
                            "contradicting decisions can both gather a quorum.",
                            record.q, record.n, counted(overlap, "replica"));
    }
    if (verdict.agreement != false) {
        const std::size_t believed = scenario.cluster.quorum().w;
        return broken && traitor_count >= believed
                   ? fmt::format(
                         "A client of this model believes {}, and {} lied: that is enough to make it believe "
                         "anything.",
                         believed == 1 ? "a single answer" : fmt::format("{} equal answers", believed), traitor_count)
                   : "";
    }
    return fmt::format(
        "Two quorums of {} among {} need to share no more than {}, and {} lied: both can then be made "
        "up of liars in that share, so two contradicting decisions can each gather a quorum.",
        record.q, record.n, counted(overlap, "replica"), traitor_count);
}

std::string recovery(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    if (scenario.steps.empty()) {
        return "";
    }
    if (verdict.recovery_s) {
        return fmt::format("The first question asked after the last step, at {}, was answered {} after it.",
                           seconds_text(last_step_s(record, scenario)), seconds_text(*verdict.recovery_s));
    }
    return verdict.live == false || verdict.ops == 0 ? "After the last step nothing was answered any more." : "";
}

std::string conclusion(const Verdict& verdict) {
    std::string text = verdict.expected.empty() ? "" : fmt::format("Expected: {}", readable(verdict.expected));
    if (!text.empty() && !text.ends_with('.')) {
        text += ".";
    }
    switch (verdict.outcome) {
        case Outcome::as_expected: say(text, "That is what was seen."); break;
        case Outcome::violated: say(text, "That is NOT what was seen."); break;
        case Outcome::inconclusive:
            say(text, text.empty() ? "What was seen could not be judged." : "Whether that holds could not be decided.");
            break;
    }
    for (const std::string& reason : verdict.reasons) {
        say(text, capitalised(readable(reason)) + (reason.ends_with('.') ? "" : "."));
    }
    if (!verdict.waits_for.empty()) {
        say(text, fmt::format("The scenario waits for {}.", readable(verdict.waits_for)));
    }
    return text;
}

std::string failures(const Record& record) {
    std::string text;
    for (const std::string& failure : record.failures) {
        say(text, fmt::format("The run itself had a failure: {}.", readable(failure)));
    }
    return text;
}

}  // namespace

Story story_of(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    Story story;
    say(story.seen, who(record, scenario, verdict));
    say(story.seen, traitors(record));
    say(story.seen, injections(record));
    say(story.seen, crashes(record));
    say(story.seen, gap(record, verdict));
    if (scenario.cluster.store == Store::loyal) {
        say(story.seen, views(record, scenario));
    }
    say(story.seen, numbers(verdict));
    say(story.seen, unanswered(verdict));
    say(story.because, safety(record, verdict));
    say(story.because, arithmetic(record, scenario, verdict));
    say(story.because, evidence(record, verdict));
    say(story.because, recovery(record, scenario, verdict));
    say(story.because, conclusion(verdict));
    say(story.because, failures(record));
    return story;
}

}  // namespace loyal::lab
