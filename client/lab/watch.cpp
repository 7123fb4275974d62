#include "client/lab/watch.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "client/lab/answers.h"
#include "client/lab/price.h"
#include "config/bytes.h"
#include "consensus/evidence.h"

namespace loyal::lab {

namespace {

constexpr double sample_every_s = 0.1;
constexpr std::uint64_t status_timeout_ms = 250;
constexpr double evidence_every_s = 0.5;
constexpr double lately_s = 1.0;
constexpr std::size_t differences_max = 10'000, recent_max = 4'096, samples_max = 200'000, events_max = 5'000,
                      watched_messages_max = 2'000;
constexpr std::size_t trace_entries_max = 100'000, watched_evidence_max = 200;

}  // namespace

std::uint64_t RunClock::now_ns() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count());
}

double RunClock::now_s() const {
    return seconds_of(now_ns());
}

double RunClock::seconds_of(std::uint64_t ns) const {
    return (static_cast<double>(ns) - static_cast<double>(start_ns)) * 1e-9;
}

struct Watch::Shared {
    explicit Shared(consensus::Membership m) : membership(std::move(m)) {}

    const consensus::Membership membership;
    mutable std::mutex mutex;
    bool asking = false;
    double next_sample_s = 0, next_evidence_s = 0;
    std::vector<Sample> samples;
    std::map<std::uint16_t, Sample> latest;
    std::map<std::uint16_t, Costs> costs;                                   // since the replica's start
    std::map<std::uint64_t, std::map<std::uint16_t, std::string>> digests;  // by height and replica
    std::map<std::uint64_t, std::map<std::uint16_t, std::string>> recent;   // the newest heights of all
    std::uint64_t highest_view = 0;
    std::vector<Event> events;
    std::map<std::pair<std::uint16_t, std::string>, EvidenceFound> evidence;  // by holder and id
    std::vector<TraceEntry> trace;
    double trace_from_s = 0, trace_to_s = 0;

    void add_event(Event event) {
        if (events.size() < events_max) {
            events.push_back(std::move(event));
        }
    }

    // Of the heights at which nobody was asked only those are kept that tell something: where two replicas differ.
    void take_digests(Sample& sample) {
        if (!sample.digest.empty()) {
            digests[sample.executed][sample.replica] = sample.digest;
        }
        for (auto& [height, digest] : std::exchange(sample.recent_digests, {})) {
            const auto& said = recent[height];
            const bool differs =
                std::any_of(said.begin(), said.end(), [&text = digest](const auto& of) { return of.second != text; });
            recent[height][sample.replica] = std::move(digest);
            if (differs && digests.size() < differences_max) {
                digests[height].insert(recent[height].begin(), recent[height].end());
            }
        }
        while (recent.size() > recent_max) {
            recent.erase(recent.begin());
        }
    }

    void take_status(const client::ReplicaStatus& status, double at_s, std::uint16_t replicas) {
        const std::uint16_t id = status.replica.value;
        Sample sample = status.reachable ? sample_of_status(id, at_s, status.json) : Sample{};
        sample.at_s = at_s;
        sample.replica = id;
        if (sample.up) {
            latest[id] = sample;
            if (const Result<Costs> said = costs_of_status(status.json)) {
                costs[id] = *said;
            }
            take_digests(sample);
            if (sample.view > highest_view && sample.view < std::numeric_limits<std::uint32_t>::max()) {
                highest_view = sample.view;
                add_event({at_s, Event::Kind::view, id,
                           fmt::format("view {}: its primary is replica {}", sample.view, sample.view % replicas)});
            }
        }
        if (samples.size() < samples_max) {
            samples.push_back(std::move(sample));
        }
    }

    void take_evidence(std::uint16_t by, double at_s, const std::string& json) {
        for (const HeldProof& proof : proofs_of_answer(json)) {
            if (evidence.size() >= watched_evidence_max || evidence.contains({by, proof.id})) {
                continue;
            }
            EvidenceFound found = examine(proof, by, at_s, membership);
            add_event({at_s, Event::Kind::evidence, found.culprit,
                       fmt::format("replica {} holds proof {} against replica {}", by, found.kind, found.culprit)});
            evidence.emplace(std::pair(by, proof.id), std::move(found));
        }
    }
};

Watch::Watch(client::Client& admin, const consensus::Membership& membership, RunClock clock)
    : admin_(admin),
      replicas_(static_cast<std::uint16_t>(membership.replicas.size())),
      clock_(clock),
      shared_(std::make_shared<Shared>(membership)) {}

void Watch::look() {
    const double now = clock_.now_s();
    {
        const std::lock_guard lock(shared_->mutex);
        if (shared_->asking || now < shared_->next_sample_s) {
            return;
        }
        shared_->asking = true;
        shared_->next_sample_s = now + sample_every_s;
    }
    admin_.status(
        [shared = shared_, clock = clock_, replicas = replicas_](const std::vector<client::ReplicaStatus>& all) {
            const std::lock_guard lock(shared->mutex);
            const double at_s = clock.now_s();
            for (const client::ReplicaStatus& status : all) {
                shared->take_status(status, at_s, replicas);
            }
            shared->asking = false;
        },
        status_timeout_ms);
    bool due = false;
    {
        const std::lock_guard lock(shared_->mutex);
        due = now >= shared_->next_evidence_s;
        shared_->next_evidence_s = due ? now + evidence_every_s : shared_->next_evidence_s;
    }
    if (due) {
        ask_evidence();
    }
}

void Watch::ask_evidence() {
    for (std::uint16_t id = 0; id < replicas_; ++id) {
        admin_.control(consensus::ReplicaId(id), "evidence",
                       [shared = shared_, clock = clock_, id](const Result<std::string>& answer) {
                           if (answer) {
                               const std::lock_guard lock(shared->mutex);
                               shared->take_evidence(id, clock.now_s(), *answer);
                           }
                       });
    }
}

void Watch::ask_trace(double from_s, double to_s) {
    {
        const std::lock_guard lock(shared_->mutex);
        shared_->trace_from_s = from_s;
        shared_->trace_to_s = to_s;
    }
    const double since_us = std::max(0.0, static_cast<double>(clock_.start_ns) * 1e-3 + from_s * 1e6);
    const std::string line = fmt::format("trace since={}", static_cast<std::uint64_t>(since_us));
    for (std::uint16_t id = 0; id < replicas_; ++id) {
        admin_.control(consensus::ReplicaId(id), line, [shared = shared_, id](const Result<std::string>& answer) {
            if (!answer) {
                return;
            }
            std::vector<TraceEntry> entries = trace_of_answer(id, *answer);
            const std::lock_guard lock(shared->mutex);
            for (TraceEntry& entry : entries) {
                if (shared->trace.size() < trace_entries_max) {
                    shared->trace.push_back(std::move(entry));
                }
            }
        });
    }
}

void Watch::add_event(Event event) {
    const std::lock_guard lock(shared_->mutex);
    shared_->add_event(std::move(event));
}

std::map<std::uint16_t, Sample> Watch::latest() const {
    const std::lock_guard lock(shared_->mutex);
    std::map<std::uint16_t, Sample> fresh;
    const double now = clock_.now_s();
    for (const auto& [id, sample] : shared_->latest) {
        if (now - sample.at_s < lately_s) {
            fresh.emplace(id, sample);
        }
    }
    return fresh;
}

std::uint16_t Watch::primary() const {
    std::uint64_t view = 0;
    std::uint16_t who = 0;
    bool said = false;
    for (const auto& [id, sample] : latest()) {
        if (sample.role == "primary" && (!said || sample.view > view)) {
            said = true;
            view = sample.view;
            who = id;
        }
    }
    if (said) {
        return who;
    }
    const std::lock_guard lock(shared_->mutex);
    return static_cast<std::uint16_t>(shared_->highest_view % replicas_);
}

bool Watch::level(const std::vector<std::uint16_t>& ids) const {
    const auto now = latest();
    return !ids.empty() && std::all_of(ids.begin(), ids.end(), [&](std::uint16_t id) {
        return now.contains(id) && now.contains(ids.front()) && now.at(id).executed == now.at(ids.front()).executed;
    });
}

void Watch::finish(Record& record) {
    const std::lock_guard lock(shared_->mutex);
    record.samples = std::move(shared_->samples);
    record.digests = std::move(shared_->digests);
    for (const auto& [id, costs] : shared_->costs) {
        if (std::find(record.traitors.begin(), record.traitors.end(), id) == record.traitors.end()) {
            record.costs.messages += costs.messages;
            record.costs.bytes += costs.bytes;
            record.costs.signatures += costs.signatures;
            record.costs.verifications += costs.verifications;
            record.costs.syncs += costs.syncs;
        }
    }
    for (auto& [key, found] : shared_->evidence) {
        record.evidence.push_back(std::move(found));
    }
    std::stable_sort(record.evidence.begin(), record.evidence.end(),
                     [](const EvidenceFound& a, const EvidenceFound& b) { return a.at_s < b.at_s; });
    record.messages = messages_of(std::move(shared_->trace), clock_.start_ns, shared_->trace_from_s,
                                  shared_->trace_to_s, watched_messages_max);
    record.events.insert(record.events.end(), std::make_move_iterator(shared_->events.begin()),
                         std::make_move_iterator(shared_->events.end()));
    std::stable_sort(record.events.begin(), record.events.end(),
                     [](const Event& a, const Event& b) { return a.at_s < b.at_s; });
}

}  // namespace loyal::lab
