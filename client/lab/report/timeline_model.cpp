// Lanes, series and marks over one time axis.
#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "client/lab/report/fault_strips.h"
#include "client/lab/report/model.h"
#include "client/lab/report/text.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::uint16_t first_client = 1000;

Json seconds_json(double seconds) {
    return std::round(seconds * 1e4) / 1e4;
}

Json value_json(double value) {
    return std::round(value * 1e3) / 1e3;
}

// ---- Lanes: what a replica was, from one moment to the next.

struct Segment {
    double from_s = 0, to_s = 0;
    std::string state;  // down, or the role
    std::uint64_t view = 0;
    std::uint64_t executed = 0;  // at the end
};

bool same_state(const Segment& a, const Segment& b) {
    return a.state == b.state && (a.state == "down" || a.view == b.view);
}

// Which state a slot shows that held several: the one that must not be overlooked.
int weight_of(const std::string& state) {
    static const std::map<std::string, int> weights = {{"backup", 0}, {"primary", 1}, {"recovering", 3},
                                                       {"down", 4},   {"halted", 5},  {"diverged", 6}};
    const auto found = weights.find(state);
    return found == weights.end() ? 2 : found->second;
}

std::vector<Segment> merged(const std::vector<Segment>& segments) {
    std::vector<Segment> result;
    for (const Segment& segment : segments) {
        if (!result.empty() && same_state(result.back(), segment)) {
            result.back().to_s = segment.to_s;
            result.back().executed = segment.executed;
        } else {
            result.push_back(segment);
        }
    }
    return result;
}

// No more than segments_max: equal slots of time, each with its weightiest state.
std::vector<Segment> bounded(const std::vector<Segment>& segments, double end_s) {
    if (segments.size() <= segments_max) {
        return segments;
    }
    std::vector<Segment> slots;
    const double width_s = end_s / static_cast<double>(segments_max);
    std::size_t next = 0;
    for (std::size_t slot = 0; slot < segments_max; ++slot) {
        const double from_s = static_cast<double>(slot) * width_s;
        const double to_s = from_s + width_s;
        while (next + 1 < segments.size() && segments[next].to_s <= from_s) {
            ++next;
        }
        Segment chosen = segments[next];
        for (std::size_t i = next; i < segments.size() && segments[i].from_s < to_s; ++i) {
            if (weight_of(segments[i].state) > weight_of(chosen.state)) {
                chosen = segments[i];
            }
        }
        chosen.from_s = from_s;
        chosen.to_s = to_s;
        slots.push_back(chosen);
    }
    return merged(slots);
}

std::vector<Segment> segments_of(const Record& record, std::uint16_t replica, double end_s) {
    const std::vector<double> views = times_of(record, Event::Kind::view, std::nullopt);
    std::vector<Segment> points;  // from_s alone
    double before_s = 0;
    for (const Sample& sample : record.samples) {
        if (sample.replica == replica) {
            const bool moved = sample.up && !points.empty() && points.back().view < sample.view;
            const double at_s = moved ? changed_at(views, before_s, sample.at_s) : sample.at_s;
            points.push_back({at_s, 0, sample.up ? sample.role : "down", sample.view, sample.executed});
            before_s = sample.at_s;
        }
    }
    // Ends and starts of the process are known more exactly than samples tell.
    for (const Event& event : record.events) {
        if (event.replica == replica && event.kind == Event::Kind::crash) {
            points.push_back({event.at_s, 0, "down", 0, 0});
        } else if (event.replica == replica && event.kind == Event::Kind::restart) {
            points.push_back({event.at_s, 0, "starting", 0, 0});
        }
    }
    std::stable_sort(points.begin(), points.end(),
                     [](const Segment& a, const Segment& b) { return a.from_s < b.from_s; });
    for (std::size_t i = 0; i < points.size(); ++i) {
        points[i].from_s = i == 0 ? 0.0 : points[i].from_s;
        points[i].to_s = i + 1 < points.size() ? points[i + 1].from_s : end_s;
        if (points[i].state.empty()) {
            points[i].state = "unknown";
        }
    }
    return bounded(merged(points), end_s);
}

Json lane_json(const Record& record, const Scenario& scenario, std::uint16_t replica, double end_s) {
    Json segments = Json::array();
    for (const Segment& segment : segments_of(record, replica, end_s)) {
        segments.push_back({{"from", seconds_json(segment.from_s)},
                            {"to", seconds_json(segment.to_s)},
                            {"state", readable(segment.state)},
                            {"view", segment.view},
                            {"executed", segment.executed}});
    }
    Json strips = Json::array();
    for (const FaultStrip& strip : fault_strips(record, scenario, replica, end_s)) {
        strips.push_back({{"from", seconds_json(strip.from_s)},
                          {"to", seconds_json(strip.to_s)},
                          {"text", readable(strip.text, 120)},
                          {"lie", strip.lie}});
    }
    const bool traitor = std::find(record.traitors.begin(), record.traitors.end(), replica) != record.traitors.end();
    return {{"id", replica}, {"traitor", traitor}, {"segments", segments}, {"faults", strips}};
}

// ---- Series: buckets of equal width.

struct Bucket {
    std::uint64_t ok = 0, failed = 0, unknown = 0;
    std::vector<double> latencies_ms;
};

// 1, 2 or 5 times a power of ten, so that no more than buckets_max of them are in `end_s`.
double bucket_width(double end_s) {
    const double least = std::max(end_s, 1e-6) / static_cast<double>(buckets_max);
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
        if (factor * power >= least * (1 - 1e-9)) {
            return factor * power;
        }
    }
    return 10.0 * power;
}

std::size_t index_of(double at_s, double width_s, std::size_t count) {
    return static_cast<std::size_t>(std::clamp(at_s / width_s, 0.0, static_cast<double>(count - 1)));
}

// The smallest that at least this share of all do not exceed.
double percentile(std::vector<double>& values, double share) {
    const auto rank = static_cast<std::size_t>(std::ceil(static_cast<double>(values.size()) * share));
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
    std::nth_element(values.begin(), place, values.end());
    return *place;
}

std::vector<Bucket> buckets_of(const Record& record, double width_s, std::size_t count) {
    std::vector<Bucket> buckets(count);
    for (const Operation& operation : record.operations) {
        // An answer counts when it came; a question that got none when it was asked.
        const bool ok = operation.status == Operation::Status::ok;
        const std::uint64_t when = operation.ret_ns == 0 ? operation.call_ns : operation.ret_ns;
        Bucket& bucket = buckets[index_of(seconds_of(record, when), width_s, count)];
        if (ok) {
            ++bucket.ok;
            const std::uint64_t took = operation.ret_ns > operation.call_ns ? operation.ret_ns - operation.call_ns : 0;
            bucket.latencies_ms.push_back(static_cast<double>(took) * 1e-6);
        } else {
            ++(operation.status == Operation::Status::fail ? bucket.failed : bucket.unknown);
        }
    }
    return buckets;
}

Json series_json(const Record& record, double end_s) {
    const double width_s = bucket_width(end_s);
    const auto count = static_cast<std::size_t>(std::max(1.0, std::ceil(end_s / width_s - 1e-9)));
    Json rate = Json::array(), failed = Json::array(), unknown = Json::array();
    Json p50 = Json::array(), p99 = Json::array(), max = Json::array();
    std::size_t number = 0;
    for (Bucket& bucket : buckets_of(record, width_s, count)) {
        // The last bucket may be cut short by the end of the run.
        const double seconds = std::min(width_s, end_s - static_cast<double>(number++) * width_s);
        rate.push_back(value_json(static_cast<double>(bucket.ok) / std::max(seconds, width_s / 10)));
        failed.push_back(bucket.failed);
        unknown.push_back(bucket.unknown);
        const bool any = !bucket.latencies_ms.empty();
        p50.push_back(any ? value_json(percentile(bucket.latencies_ms, 0.5)) : Json());
        p99.push_back(any ? value_json(percentile(bucket.latencies_ms, 0.99)) : Json());
        max.push_back(any ? value_json(*std::max_element(bucket.latencies_ms.begin(), bucket.latencies_ms.end()))
                          : Json());
    }
    return {{"bucket", width_s}, {"rate", rate}, {"failed", failed}, {"unknown", unknown},
            {"p50", p50},        {"p99", p99},   {"max", max}};
}

// The highest suspicion that any other replica had of each, in every bucket; null when nobody suspected anybody much.
Json suspicion_json(const Record& record, double threshold, double end_s) {
    const double worth_showing = threshold / 2;
    const double width_s = std::max(bucket_width(end_s), end_s / 80);  // samples are rarer than operations
    const auto count = static_cast<std::size_t>(std::max(1.0, std::ceil(end_s / width_s - 1e-9)));
    std::map<std::uint16_t, std::vector<Json>> by_replica;
    double highest = 0;
    for (const Sample& sample : record.samples) {
        for (const auto& [peer, phi] : sample.suspicion) {
            if (!sample.up || peer >= record.n || !std::isfinite(phi)) {
                continue;
            }
            std::vector<Json>& values = by_replica.try_emplace(peer, std::vector<Json>(count)).first->second;
            Json& value = values[index_of(sample.at_s, width_s, count)];
            value = value.is_null() ? value_json(phi) : std::max(value, value_json(phi));
            highest = std::max(highest, phi);
        }
    }
    if (highest < worth_showing) {
        return {};
    }
    Json peers = Json::array();
    for (const auto& [peer, values] : by_replica) {
        peers.push_back({{"id", peer}, {"phi", values}});
    }
    return {{"bucket", width_s}, {"threshold", threshold}, {"peers", peers}};
}

Json phase_json(const char* name, double from_s, double to_s, const PhaseNumbers& numbers) {
    return {{"name", name},
            {"from", seconds_json(from_s)},
            {"to", seconds_json(to_s)},
            {"rate", value_json(numbers.ops_per_s)},
            {"p50", value_json(numbers.p50_ms)},
            {"ok", numbers.ok}};
}

Json phases_json(const Record& record, const Verdict& verdict, double end_s) {
    const double from_s = std::clamp(record.during_from_s, 0.0, end_s);
    const double to_s = std::clamp(record.during_to_s, from_s, end_s);
    Json phases = Json::array();
    if (from_s > 0) {
        phases.push_back(phase_json("before", 0, from_s, verdict.before));
    }
    if (to_s > from_s) {
        phases.push_back(phase_json("during", from_s, to_s, verdict.during));
    }
    if (end_s > to_s) {
        phases.push_back(phase_json(to_s > 0 ? "after" : "run", to_s, end_s, verdict.after));
    }
    return phases;
}

Json marks_json(const Marks& marks) {
    Json list = Json::array();
    for (const Mark& mark : marks.shown) {
        list.push_back({{"at", seconds_json(mark.at_s)},
                        {"kind", name_of(mark.kind)},
                        {"replica", mark.replica ? Json(*mark.replica) : Json()},
                        {"text", readable(mark.text)}});
    }
    return list;
}

// Which marks stay when there are too many of them.
int importance_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::violation: return 0;
        case Event::Kind::stall: return 1;
        case Event::Kind::evidence: return 2;
        case Event::Kind::inject: return 3;
        case Event::Kind::mend: return 4;
        case Event::Kind::crash: return 5;
        case Event::Kind::restart: return 6;
        case Event::Kind::view: return 7;
        case Event::Kind::phase:
        case Event::Kind::note: break;
    }
    return 8;
}

}  // namespace

const char* name_of(Event::Kind kind) {
    switch (kind) {
        case Event::Kind::phase: return "phase";
        case Event::Kind::inject: return "inject";
        case Event::Kind::mend: return "mend";
        case Event::Kind::crash: return "crash";
        case Event::Kind::restart: return "restart";
        case Event::Kind::view: return "view";
        case Event::Kind::evidence: return "evidence";
        case Event::Kind::stall: return "stall";
        case Event::Kind::violation: return "violation";
        case Event::Kind::note: break;
    }
    return "note";
}

bool is_client(std::uint16_t id) {
    return id >= first_client;
}

double seconds_of(const Record& record, std::uint64_t ns) {
    return ns > record.start_ns ? static_cast<double>(ns - record.start_ns) * 1e-9 : 0.0;
}

double end_of(const Record& record) {
    double end_s = record.end_s;
    if (end_s > 0 && std::isfinite(end_s)) {
        return end_s;  // what is read back afterwards is not part of the picture
    }
    if (!record.samples.empty()) {
        end_s = std::max(end_s, record.samples.back().at_s);
    }
    if (!record.events.empty()) {
        end_s = std::max(end_s, record.events.back().at_s);
    }
    return end_s > 0 && std::isfinite(end_s) ? end_s : 1.0;
}

Marks marks_of(const Record& record) {
    Marks marks;
    const bool told = std::any_of(record.events.begin(), record.events.end(),
                                  [](const Event& event) { return event.kind == Event::Kind::evidence; });
    for (const Event& event : record.events) {
        if (event.kind != Event::Kind::phase) {
            marks.shown.push_back({event.at_s, event.kind, event.replica, event.text});
        }
    }
    for (const EvidenceFound& found : record.evidence) {
        if (!told) {
            marks.shown.push_back(
                {found.at_s, Event::Kind::evidence, found.culprit,
                 fmt::format("replica {} holds proof {} against replica {}", found.by, found.kind, found.culprit)});
        }
    }
    const auto by_time = [](const Mark& a, const Mark& b) { return a.at_s < b.at_s; };
    if (marks.shown.size() > marks_max) {
        std::stable_sort(marks.shown.begin(), marks.shown.end(), [](const Mark& a, const Mark& b) {
            return std::tuple(importance_of(a.kind), a.at_s) < std::tuple(importance_of(b.kind), b.at_s);
        });
        marks.left_out = marks.shown.size() - marks_max;
        marks.shown.resize(marks_max);
    }
    std::stable_sort(marks.shown.begin(), marks.shown.end(), by_time);
    return marks;
}

Json timeline_model(const Record& record, const Scenario& scenario, const Verdict& verdict) {
    const double end_s = end_of(record);
    Json lanes = Json::array();
    for (std::uint16_t id = 0; id < record.n; ++id) {
        lanes.push_back(lane_json(record, scenario, id, end_s));
    }
    Json gap, recovery;
    if (verdict.longest_gap_s > 0) {
        gap = {{"from", seconds_json(verdict.gap_from_s)},
               {"to", seconds_json(verdict.gap_from_s + verdict.longest_gap_s)},
               {"text", seconds_text(verdict.longest_gap_s)}};
    }
    if (verdict.recovery_s) {
        const double from_s = last_step_s(record, scenario);
        recovery = {{"from", seconds_json(from_s)},
                    {"to", seconds_json(from_s + *verdict.recovery_s)},
                    {"text", seconds_text(*verdict.recovery_s)}};
    }
    return {{"end", seconds_json(end_s)},
            {"virtual", record.simulated},
            {"phases", phases_json(record, verdict, end_s)},
            {"lanes", lanes},
            {"marks", marks_json(marks_of(record))},
            {"series", series_json(record, end_s)},
            {"suspicion", suspicion_json(record, scenario.cluster.timers.phi_threshold, end_s)},
            {"gap", gap},
            {"recovery", recovery}};
}

}  // namespace loyal::lab
