#include "client/lab/report/sections.h"

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>

#include "client/lab/report/text.h"

namespace loyal::lab {

namespace {

struct Named {
    const char* mark;
    const char* css;
    const char* word;
};
Named named(Outcome outcome) {
    switch (outcome) {
        case Outcome::as_expected: return {"✓", "good", "as expected"};
        case Outcome::violated: return {"✗", "bad", "not as expected"};
        case Outcome::inconclusive: break;
    }
    return {"?", "open", "inconclusive"};
}
Named named(const Held& held) {
    if (!held) {
        return {"?", "open", "undecided"};
    }
    return *held ? Named{"✓", "good", "holds"} : Named{"✗", "bad", "broken"};
}

std::string mark_html(const Named& name) {
    return fmt::format("<span class=\"mark {}\" aria-hidden=\"true\">{}</span>", name.css, name.mark);
}

std::string figure(const std::string& value, const std::string& what) {
    return fmt::format("<div class=\"figure\"><b>{}</b><span>{}</span></div>\n", html(value), html(what));
}

std::string row(const std::string& name, const std::string& value) {
    return fmt::format("<tr><th scope=\"row\">{}</th><td>{}</td></tr>\n", html(name), html(value));
}

// The shape that the chart draws for a kind of event, as a character.
const char* sign_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::inject: return "▼";
        case Event::Kind::mend: return "△";
        case Event::Kind::crash: return "✕";
        case Event::Kind::restart: return "▶";
        case Event::Kind::view: return "◆";
        case Event::Kind::evidence: return "⚑";
        case Event::Kind::stall: return "▬";
        case Event::Kind::violation: return "■";
        case Event::Kind::phase:
        case Event::Kind::note: break;
    }
    return "●";
}

// ---- Evidence

std::string message_text(const Message& message) {
    return fmt::format("to {} {}: {} of view {}, height {}, {}", is_client(message.to) ? "client" : "replica",
                       is_client(message.to) ? message.to - 1000 : message.to, message.kind, message.view,
                       message.height, message.detail);
}

std::string sentence(std::string text) {
    if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
        text.front() = static_cast<char>(text.front() - 'a' + 'A');
    }
    return text.empty() || text.ends_with('.') ? text : text + ".";
}

// What the culprit said: as the evidence has it, or else as it was seen on the wire.
std::vector<std::string> statements_of(const EvidenceFound& found, const Record& record) {
    if (found.statements.size() >= 2) {
        return found.statements;
    }
    for (const Contradiction& contradiction : contradictions_of(record.messages)) {
        if (record.messages[contradiction.first].from == found.culprit) {
            return {message_text(record.messages[contradiction.first]),
                    message_text(record.messages[contradiction.second])};
        }
    }
    return found.statements;
}

std::string proof_html(const EvidenceFound& found, const std::set<std::uint16_t>& holders, const Record& record) {
    std::string text = fmt::format(
        "<article class=\"proof\">\n<h4>{} against replica {} <span class=\"{}\">{}</span></h4>\n"
        "<p>{} Held by {}, first seen at {}.</p>\n",
        html(found.kind), found.culprit, found.verified ? "good" : "bad",
        found.verified ? "✓ verified offline, with the public keys alone" : "✗ not verified",
        html(sentence(found.explanation)), html(replicas_text({holders.begin(), holders.end()})),
        html(seconds_text(found.at_s)));
    const std::vector<std::string> statements = statements_of(found, record);
    if (!statements.empty()) {
        text += "<div class=\"statements\">\n";
        for (std::size_t i = 0; i < std::min<std::size_t>(statements.size(), 2); ++i) {
            const std::string letter = statements.size() == 1 ? "" : fmt::format(" {}", static_cast<char>('A' + i));
            text += fmt::format("<blockquote><b>Statement{}</b><code>{}</code></blockquote>\n", letter,
                                html(statements[i]));
        }
        text += "</div>\n";
    }
    return text + fmt::format("<p class=\"id\">id <code>{}</code></p>\n</article>\n", html(found.id));
}

// ---- Findings

// The states of the replicas around the height where they part.
std::string digests_html(const Record& record, std::uint64_t height) {
    std::vector<std::uint64_t> heights;
    auto at = record.digests.lower_bound(height);
    for (int back = 0; back < 2 && at != record.digests.begin(); ++back) {
        --at;
    }
    for (; at != record.digests.end() && heights.size() < 4; ++at) {
        heights.push_back(at->first);
    }
    if (heights.empty()) {
        return "";
    }
    std::string text = "<div class=\"wide\"><table class=\"digests\"><thead><tr><th scope=\"col\">Height</th>";
    for (std::uint16_t id = 0; id < record.n; ++id) {
        const bool lies = std::find(record.traitors.begin(), record.traitors.end(), id) != record.traitors.end();
        text += fmt::format("<th scope=\"col\">Replica {}{}</th>", id, lies ? " (traitor)" : "");
    }
    text += "</tr></thead><tbody>\n";
    for (const std::uint64_t shown : heights) {
        text += fmt::format("<tr{}><th scope=\"row\">{}{}</th>", shown == height ? " class=\"here\"" : "",
                            count_text(shown), shown == height ? " ◀ here" : "");
        std::map<std::string, char> letters;  // equal states have equal letters
        for (std::uint16_t id = 0; id < record.n; ++id) {
            const auto& said = record.digests.at(shown);
            const auto found = said.find(id);
            if (found == said.end()) {
                text += "<td>–</td>";
                continue;
            }
            const char letter =
                letters.emplace(found->second, static_cast<char>('A' + letters.size() % 26)).first->second;
            text += fmt::format("<td class=\"state-{}\"><b>{}</b> <code>{}</code></td>", letter == 'A' ? "a" : "b",
                                letter, html(found->second, 12));
        }
        text += "</tr>\n";
    }
    return text + "</tbody></table></div>\n";
}

std::string violation_html(const Violation& violation, const Record& record, std::size_t run, std::size_t number) {
    std::string where;
    const auto add = [&where](const std::string& part) { where += (where.empty() ? "" : ", ") + part; };
    if (violation.height) {
        add("height " + count_text(*violation.height));
    }
    if (violation.key) {
        add("key <code>" + html(*violation.key, 80) + "</code>");
    }
    if (!violation.replicas.empty()) {
        add(html(replicas_text(violation.replicas)));
    }
    if (violation.at_s) {
        add("at " + html(seconds_text(*violation.at_s)));
    }
    std::string text = fmt::format("<div class=\"violation\"><p><b>{}</b></p>\n", html(violation.text));
    if (!where.empty()) {
        text += fmt::format("<p class=\"where\">Where: {}</p>\n", where);
    }
    if (violation.height && violation.property == Property::agreement) {
        text += digests_html(record, *violation.height);
    }
    if (!violation.operations.empty()) {
        text += fmt::format("<div class=\"chart history\" data-run=\"{}\" data-violation=\"{}\"></div>\n", run, number);
    }
    return text + "</div>\n";
}

std::string convicted_text(const Record& record) {
    std::set<std::uint16_t> convicted;
    for (const EvidenceFound& found : record.evidence) {
        convicted.insert(found.culprit);
    }
    return convicted.empty() ? "nobody" : replicas_text({convicted.begin(), convicted.end()});
}

struct Finding {
    Property property;
    const Held* held;
    const char* name;
    const char* meaning;
};

// ---- Environment

std::string workload_text(const Scenario& scenario) {
    const Workload& load = scenario.workload;
    return fmt::format(
        "{} on {}, {} % reads, {} % compare-and-set, {} % deletes, values of {} bytes, {}, time-out {} ms",
        counted(load.clients, "caller"), counted(load.keys, "key"), load.read_percent, load.cas_percent,
        load.delete_percent, load.value_bytes,
        load.rate_per_s > 0 ? fmt::format("{} operations a second offered", number_text(load.rate_per_s))
                            : fmt::format("each asks again {} ms after its answer", load.pause_ms),
        load.timeout_ms);
}

std::string costs_text(const Costs& costs, std::uint64_t operations) {
    const auto each = [operations](std::uint64_t count) {
        return operations == 0 ? count_text(count)
                               : fmt::format("{} ({} an operation)", count_text(count),
                                             number_text(static_cast<double>(count) / static_cast<double>(operations)));
    };
    return fmt::format("{} messages, {} bytes, {} signatures made, {} checked, {} syncs", each(costs.messages),
                       each(costs.bytes), each(costs.signatures), each(costs.verifications), each(costs.syncs));
}

}  // namespace

std::string badge_html(Outcome outcome) {
    const Named name = named(outcome);
    return fmt::format("<span class=\"badge {}\">{} {}</span>", name.css, name.mark, name.word);
}

std::string figures_html(const Run& run) {
    const Verdict& verdict = run.verdict;
    std::string text = "<div class=\"figures\">\n";
    text += figure(seconds_text(verdict.longest_gap_s), "longest time without an answer");
    text += figure(verdict.recovery_s ? seconds_text(*verdict.recovery_s) : "–", "to answer after the last step");
    text += figure(number_text(verdict.before.ops_per_s) + " / s", "operations before");
    text += figure(number_text(verdict.during.ops_per_s) + " / s", "while faults were in force");
    text += figure(number_text(verdict.after.ops_per_s) + " / s", "after");
    text += figure(convicted_text(run.record), "convicted by proof");
    return text + "</div>\n";
}

std::string events_html(const Marks& marks) {
    if (marks.shown.empty()) {
        return "<p>Nothing happened that had to be noted.</p>\n";
    }
    std::string text =
        "<table class=\"events\"><thead><tr><th scope=\"col\">No.</th><th scope=\"col\">Time</th>"
        "<th scope=\"col\">What</th><th scope=\"col\"></th></tr></thead><tbody>\n";
    std::size_t number = 0;
    for (const Mark& mark : marks.shown) {
        const std::string who = mark.replica ? fmt::format("replica {}", *mark.replica) : "";
        const bool named_in_text = who.empty() || mark.text.find(who) != std::string::npos;
        text += fmt::format(
            "<tr class=\"{}\"><td>{}</td><td>{}</td><td><span aria-hidden=\"true\">{}</span> "
            "{}</td><td>{}{}</td></tr>\n",
            name_of(mark.kind), ++number, html(fmt::format("{:.2f} s", mark.at_s)), sign_of(mark.kind),
            name_of(mark.kind), named_in_text ? "" : html(who + ": "), html(mark.text));
    }
    text += "</tbody></table>\n";
    if (marks.left_out > 0) {
        text += fmt::format("<p class=\"note\">{} of less weight left out.</p>\n",
                            html(counted(marks.left_out, "more event")));
    }
    return text;
}

std::string evidence_html(const Record& record, const Verdict& verdict) {
    const std::vector<EvidenceFound>& found = record.evidence.empty() ? verdict.evidence : record.evidence;
    if (found.empty()) {
        return record.traitors.empty()
                   ? "<p>None, as it has to be: nobody lied.</p>\n"
                   : "<p>None. Only two signed statements that contradict each other, or one that no honest replica "
                     "ever signs, are proof. Silence, slowness and wrong clocks prove nothing: nobody could tell "
                     "them from a bad network.</p>\n";
    }
    // The first proof of each kind against each culprit; others hold the same.
    std::vector<const EvidenceFound*> chosen;
    std::map<std::pair<std::uint16_t, std::string>, std::set<std::uint16_t>> holders;
    for (const EvidenceFound& candidate : found) {
        holders[{candidate.culprit, candidate.kind}].insert(candidate.by);
        const auto same = std::find_if(chosen.begin(), chosen.end(), [&](const EvidenceFound* other) {
            return other->culprit == candidate.culprit && other->kind == candidate.kind;
        });
        if (same == chosen.end()) {
            chosen.push_back(&candidate);
        } else if (candidate.at_s < (*same)->at_s) {
            *same = &candidate;
        }
    }
    std::string text;
    for (std::size_t i = 0; i < std::min(chosen.size(), evidence_max); ++i) {
        text += proof_html(*chosen[i], holders[{chosen[i]->culprit, chosen[i]->kind}], record);
    }
    const std::size_t left_out = found.size() - std::min(chosen.size(), evidence_max);
    if (left_out > 0) {
        text +=
            fmt::format("<p class=\"note\">{} of the same kinds against the same replicas, or held by others.</p>\n",
                        html(counted(left_out, "more piece of evidence", "more pieces of evidence")));
    }
    return text;
}

std::string findings_html(const Run& run, std::size_t number) {
    const Verdict& verdict = run.verdict;
    const Finding findings[] = {
        {Property::agreement, &verdict.agreement, "Agreement", "correct replicas have equal states at equal heights"},
        {Property::linearizable, &verdict.linearizable, "Linearizability",
         "there is one order of all operations in which every read sees the latest write"},
        {Property::durable, &verdict.durable, "Durability", "every acknowledged write can be read at the end"},
        {Property::once, &verdict.once, "Once", "no request was executed twice"},
        {Property::live, &verdict.live, "Liveness", "operations go on after the last step"},
    };
    std::string text = "<ul class=\"findings\">\n";
    for (const Finding& finding : findings) {
        const Named name = named(*finding.held);
        text += fmt::format("<li>{}<span><b>{}</b> {} ({})</span></li>\n", mark_html(name), finding.name, name.word,
                            finding.meaning);
    }
    text += "</ul>\n";
    const std::vector<const Violation*> shown = violations_shown(verdict);
    for (std::size_t i = 0; i < shown.size(); ++i) {
        text += violation_html(*shown[i], run.record, number, i);
    }
    if (verdict.violations.size() > shown.size()) {
        text += fmt::format("<p class=\"note\">{} of the same kinds left out.</p>\n",
                            html(counted(verdict.violations.size() - shown.size(), "more violation")));
    }
    return text;
}

std::string environment_html(const Run& run) {
    const Record& record = run.record;
    std::string text = "<table class=\"environment\"><tbody>\n";
    text += row("Scenario", run.scenario.name + (run.scenario.variant.empty() ? "" : ", " + run.scenario.variant));
    text += row("Fault model", record.fault_model);
    text += row("Replicas", fmt::format("n = {}, tolerates f = {}, quorum q = {}", record.n, record.f, record.q));
    text += row("Traitors", record.traitors.empty() ? "none" : replicas_text(record.traitors));
    text += row("Run", record.simulated ? "in the simulator, in virtual time" : "real processes on this machine");
    text += row("Seed", std::to_string(record.seed));
    text += row("Workload", workload_text(run.scenario));
    text += row("Correct replicas together", costs_text(record.costs, run.verdict.ops));
    return text + "</tbody></table>\n";
}

std::string comparison_html(const std::vector<Run>& runs) {
    std::string text = "<div class=\"wide\"><table class=\"comparison\"><thead><tr><th scope=\"col\"></th>";
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const Scenario& scenario = runs[i].scenario;
        text += fmt::format("<th scope=\"col\"><a href=\"#run-{}\">{}</a></th>", i,
                            html(scenario.variant.empty() ? scenario.name : scenario.variant));
    }
    text += "</tr></thead><tbody>\n";
    const auto add = [&](const char* name, const std::function<std::string(const Run&)>& cell) {
        text += fmt::format("<tr><th scope=\"row\">{}</th>", name);
        for (const Run& run : runs) {
            text += "<td>" + cell(run) + "</td>";
        }
        text += "</tr>\n";
    };
    const auto add_held = [&](const char* name, Held Verdict::*held) {
        add(name, [held](const Run& run) {
            const Named found = named(run.verdict.*held);
            return mark_html(found) + " " + found.word;
        });
    };
    add("Verdict", [](const Run& run) { return badge_html(run.verdict.outcome); });
    add("Replicas", [](const Run& run) { return fmt::format("{}, {}", run.record.n, html(run.record.fault_model)); });
    add_held("Agreement", &Verdict::agreement);
    add_held("Linearizability", &Verdict::linearizable);
    add_held("Durability", &Verdict::durable);
    add_held("Once", &Verdict::once);
    add_held("Liveness", &Verdict::live);
    add("Longest gap", [](const Run& run) { return html(seconds_text(run.verdict.longest_gap_s)); });
    add("Operations a second before", [](const Run& run) { return html(number_text(run.verdict.before.ops_per_s)); });
    add("while faults were in force", [](const Run& run) { return html(number_text(run.verdict.during.ops_per_s)); });
    add("after", [](const Run& run) { return html(number_text(run.verdict.after.ops_per_s)); });
    add("Convicted", [](const Run& run) { return html(convicted_text(run.record)); });
    return text + "</tbody></table></div>\n";
}

}  // namespace loyal::lab
