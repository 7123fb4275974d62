#include "tests/unit/lab/sample_runs.h"

#include <algorithm>
#include <random>

#include <fmt/format.h>

namespace loyal::lab {

namespace {

constexpr std::uint64_t start_ns = 5'000'000'000;

// Whether somebody answers at a moment, and how slowly.
using Pace = double (*)(double at_s);  // median latency in ms; negative: nobody answers

void add_operations(Record& record, int clients, Pace pace, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int client = 0; client < clients; ++client) {
        double at_s = 0.002 * client;
        for (std::uint64_t count = 0; at_s < record.end_s - 0.02; ++count) {
            const double median_ms = pace(at_s);
            double answered_s = at_s;
            if (median_ms < 0) {
                while (answered_s < record.end_s && pace(answered_s) < 0) {
                    answered_s += 0.005;
                }
            } else {
                std::lognormal_distribution<double> spread(0, 0.35);
                answered_s += median_ms * 1e-3 * spread(random);
            }
            Operation operation;
            operation.client = static_cast<std::uint64_t>(client);
            operation.op = count % 5 < 2 ? "get" : count % 5 == 2 ? "cas" : "put";
            operation.key = fmt::format("key-{}", random() % 8);
            if (operation.op != "get") {
                operation.value = fmt::format("{:x}.{:x}", client, count);
            } else {
                operation.out = "0.0";
            }
            operation.call_ns = start_ns + static_cast<std::uint64_t>(at_s * 1e9);
            const bool late = answered_s - at_s > 1.0;
            operation.status = late ? Operation::Status::unknown : Operation::Status::ok;
            operation.ret_ns = late ? 0 : start_ns + static_cast<std::uint64_t>(answered_s * 1e9);
            record.operations.push_back(operation);
            at_s = answered_s + 0.010;
        }
    }
    std::sort(record.operations.begin(), record.operations.end(),
              [](const Operation& a, const Operation& b) { return a.call_ns < b.call_ns; });
}

PhaseNumbers phase_numbers(const Record& record, double from_s, double to_s) {
    PhaseNumbers numbers;
    std::vector<double> latencies;
    for (const Operation& operation : record.operations) {
        const std::uint64_t when = operation.ret_ns == 0 ? operation.call_ns : operation.ret_ns;
        const double at_s = static_cast<double>(when - start_ns) * 1e-9;
        if (at_s < from_s || at_s >= to_s) {
            continue;
        }
        if (operation.status != Operation::Status::ok) {
            ++numbers.unknown;
            continue;
        }
        latencies.push_back(static_cast<double>(operation.ret_ns - operation.call_ns) * 1e-6);
    }
    std::sort(latencies.begin(), latencies.end());
    numbers.ok = latencies.size();
    if (!latencies.empty()) {
        numbers.p50_ms = latencies[latencies.size() / 2];
        numbers.p99_ms = latencies[latencies.size() * 99 / 100];
        numbers.max_ms = latencies.back();
        numbers.ops_per_s = static_cast<double>(latencies.size()) / (to_s - from_s);
    }
    return numbers;
}

void sum_up(Run& run) {
    const Record& record = run.record;
    Verdict& verdict = run.verdict;
    verdict.scenario = run.scenario.name;
    verdict.fault_model = record.fault_model;
    verdict.n = record.n;
    verdict.seed = record.seed;
    verdict.before = phase_numbers(record, 0, record.during_from_s);
    verdict.during = phase_numbers(record, record.during_from_s, record.during_to_s);
    verdict.after = phase_numbers(record, record.during_to_s, record.end_s + 1);
    verdict.ops = verdict.before.ok + verdict.during.ok + verdict.after.ok;
    std::vector<double> answers = {0};
    for (const Operation& operation : record.operations) {
        if (operation.status == Operation::Status::ok) {
            answers.push_back(static_cast<double>(operation.ret_ns - start_ns) * 1e-9);
        }
    }
    std::sort(answers.begin(), answers.end());
    for (std::size_t i = 1; i < answers.size(); ++i) {
        if (answers[i] - answers[i - 1] > verdict.longest_gap_s) {
            verdict.longest_gap_s = answers[i] - answers[i - 1];
            verdict.gap_from_s = answers[i - 1];
        }
    }
    verdict.evidence = record.evidence;
}

Record record_of(const char* scenario, const char* model, std::uint16_t n, std::uint16_t f, std::uint16_t q) {
    Record record;
    record.scenario = scenario;
    record.seed = 42;
    record.fault_model = model;
    record.n = n;
    record.f = f;
    record.q = q;
    record.start_ns = start_ns;
    record.during_from_s = 1.5;
    record.during_to_s = 5.5;
    record.end_s = 8;
    return record;
}

Step step(double at_s, Step::Kind kind, std::vector<std::uint16_t> ids, const std::string& text) {
    Step made;
    made.at_s = at_s;
    made.kind = kind;
    made.target.ids = std::move(ids);
    made.text = text;
    return made;
}

// A block agreed upon by all, as its messages.
void add_round(Record& record, double at_s, std::uint16_t primary, std::uint64_t view, std::uint64_t height,
               const std::string& block) {
    const double hop_s = 0.00018;
    record.messages.push_back({at_s - 0.0004, at_s - 0.0001, 1000, primary, "SUBMIT", 0, 0, "2 operations"});
    for (std::uint16_t to = 0; to < record.n; ++to) {
        if (to != primary) {
            record.messages.push_back({at_s, at_s + hop_s + 0.00003 * to, primary, to, "PROPOSE", view, height, block});
        }
    }
    for (std::uint16_t from = 0; from < record.n; ++from) {
        const double votes_s = at_s + 0.0011 + 0.00021 * from;
        for (std::uint16_t to = 0; to < record.n; ++to) {
            if (to != from) {
                record.messages.push_back({votes_s, votes_s + hop_s + 0.00002 * to, from, to, "VOTE", view, height,
                                           fmt::format("{} commit {}", block, height - 1)});
            }
        }
    }
    for (std::uint16_t from = 0; from < record.n; ++from) {
        record.messages.push_back(
            {at_s + 0.0034 + 0.0001 * from, at_s + 0.0036 + 0.0001 * from, from, 1000, "REPLY", view, height, "ok"});
    }
}

void sort_messages(Record& record) {
    std::stable_sort(record.messages.begin(), record.messages.end(),
                     [](const Message& a, const Message& b) { return a.sent_s < b.sent_s; });
}

double pace_of_equivocation(double at_s) {
    return at_s > 1.52 && at_s < 2.34 ? -1 : at_s < 1.5 ? 4.2 : at_s < 2.8 ? 7.5 : 4.6;
}

void add_equivocation(Record& record) {
    const double at_s = 1.5204;
    add_round(record, at_s - 0.011, 0, 0, 56, "5c11aa02");
    for (std::uint16_t to = 1; to < 4; ++to) {
        const bool other = to == 3;
        record.messages.push_back({at_s + 0.00002 * to, at_s + 0.0002 + 0.00004 * to, 0, to, "PROPOSE", 0, 57,
                                   other ? "77bc90ef" : "9f3a12cd"});
    }
    for (std::uint16_t from = 1; from < 4; ++from) {
        const double votes_s = at_s + 0.0012 + 0.0002 * from;
        for (std::uint16_t to = 0; to < 4; ++to) {
            if (to != from) {
                record.messages.push_back({votes_s, to == 0 ? std::nullopt : std::optional<double>(votes_s + 0.0003),
                                           from, to, "VOTE", 0, 57,
                                           std::string(from == 3 ? "77bc90ef" : "9f3a12cd") + " commit 56"});
            }
        }
    }
    for (std::uint16_t from = 1; from < 4; ++from) {
        const double sent_s = 2.2912 + 0.004 * from;
        for (std::uint16_t to = 1; to < 4; ++to) {
            if (to != from) {
                record.messages.push_back(
                    {sent_s, sent_s + 0.0004, from, to, "VIEW-CHANGE", 1, 0, "lock view 0 height 56"});
            }
        }
    }
    for (const std::uint16_t to : {std::uint16_t{0}, std::uint16_t{2}, std::uint16_t{3}}) {
        record.messages.push_back({2.309, 2.3096, 1, to, "NEWVIEW", 1, 56, "base 5c11aa02"});
    }
    record.messages.push_back({2.31, 2.3101, 1, 2, "HEARTBEAT", 1, 0, ""});
    add_round(record, 2.3302, 1, 1, 57, "e0d14471");
    sort_messages(record);
}

}  // namespace

Run equivocating_primary() {
    Run run;
    run.scenario.name = "equivocate";
    run.scenario.title = "A primary that tells different replicas different things";
    run.scenario.paragraph =
        "The primary proposes one block to some replicas and another block, for the same place in the log, to the "
        "rest. "
        "It hopes that both get executed somewhere. Three of four votes are needed for either, so at most one of them "
        "can win, and the two signed proposals side by side are proof of its guilt.";
    run.scenario.steps = {step(1.5, Step::Kind::fault, {0}, "replica 0: byzantine equivocate"),
                          step(5.5, Step::Kind::heal, {}, "everything back to normal")};
    Record& record = run.record = record_of("equivocate", "byzantine", 4, 1, 3);
    record.traitors = {0};
    for (int tick = 0; tick <= 40; ++tick) {
        const double at_s = 0.2 * tick + 0.01;
        for (std::uint16_t id = 0; id < 4; ++id) {
            Sample sample{at_s, id, true, "", at_s < 2.31 ? 0U : 1U, 0, "d", "none", {}};
            sample.role = sample.view == id ? "primary" : "backup";
            sample.executed = at_s < 1.5    ? static_cast<std::uint64_t>(37 * at_s)
                              : at_s < 2.31 ? 56
                                            : 57 + static_cast<std::uint64_t>(37 * (at_s - 2.31));
            sample.fault = id == 0 && at_s > 1.5 && at_s < 5.5 ? "byzantine equivocate" : "none";
            sample.suspicion = {{0, at_s > 1.6 && at_s < 2.31 ? (at_s - 1.5) * 5 : 0.3}, {1, 0.2}, {2, 0.4}};
            record.samples.push_back(sample);
            if (id > 0) {
                record.digests[sample.executed][id] = fmt::format("{:016x}", sample.executed * 0x9E3779B97F4A7C15ULL);
            }
        }
    }
    record.events = {{0, Event::Kind::phase, {}, "before"},
                     {1.5, Event::Kind::phase, {}, "during"},
                     {1.503, Event::Kind::inject, 0, "replica 0: byzantine equivocate"},
                     {1.523, Event::Kind::evidence, 0, "replica 2 holds proof E1 against replica 0"},
                     {2.312, Event::Kind::view, 1, "view 1 entered, first seen at replica 1"},
                     {5.501, Event::Kind::mend, {}, "everything back to normal"},
                     {5.5, Event::Kind::phase, {}, "after"}};
    record.evidence = {{1.523,
                        2,
                        0,
                        "E1",
                        "a3f1c5d2e4b60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90",
                        "Two headers for one view and height, signed by one primary.",
                        {"view 0, height 57: block 9f3a12cd…, parent 5c11aa02…, 2 envelopes",
                         "view 0, height 57: block 77bc90ef…, parent 5c11aa02…, 1 envelope"},
                        true}};
    record.costs = {61'540, 14'220'310, 4'630, 17'222, 5'104};
    add_operations(record, 4, pace_of_equivocation, 7);
    add_equivocation(record);
    Verdict& verdict = run.verdict;
    sum_up(run);
    verdict.expected = "safe and live, and proof E1 against replica 0";
    verdict.outcome = Outcome::as_expected;
    verdict.agreement = verdict.linearizable = verdict.durable = verdict.once = verdict.live = true;
    verdict.recovery_s = 0.011;
    return run;
}

Run lie_among_crash_tolerant() {
    Run run;
    run.scenario.name = "lie-among-crash-tolerant";
    run.scenario.variant = "crash";
    run.scenario.title = "A lie among crash-tolerant replicas";
    run.scenario.paragraph = "Three replicas that survive a crash believe whatever the primary says.";
    run.scenario.cluster.replicas = 3;
    run.scenario.cluster.fault_model = consensus::FaultModel::crash;
    run.scenario.steps = {step(1.5, Step::Kind::fault, {0}, "replica 0: byzantine equivocate")};
    Record& record = run.record = record_of("lie-among-crash-tolerant", "crash", 3, 1, 2);
    record.traitors = {0};
    for (int tick = 0; tick <= 40; ++tick) {
        const double at_s = 0.2 * tick + 0.01;
        for (std::uint16_t id = 0; id < 3; ++id) {
            Sample sample{at_s, id,
                          true, id == 0 ? "primary" : "backup",
                          0,    static_cast<std::uint64_t>(37 * at_s),
                          "d",  id == 0 && at_s > 1.5 ? "byzantine equivocate" : "none",
                          {}};
            if (id == 2 && at_s > 6) {
                sample.role = "diverged";
            }
            record.samples.push_back(sample);
        }
    }
    for (std::uint64_t height = 50; height < 70; ++height) {
        for (std::uint16_t id = 0; id < 3; ++id) {
            const bool other = id == 2 && height >= 57;
            record.digests[height][id] = fmt::format("{:016x}", (height + (other ? 999 : 0)) * 0x9E3779B97F4A7C15ULL);
        }
    }
    record.events = {{1.503, Event::Kind::inject, 0, "replica 0: byzantine equivocate"},
                     {1.62, Event::Kind::violation, 2, "replicas 1 and 2 differ at height 57"}};
    add_operations(
        record, 4, [](double) { return 2.1; }, 9);
    Verdict& verdict = run.verdict;
    sum_up(run);
    verdict.expected = "agreement or linearizability is broken";
    verdict.outcome = Outcome::as_expected;
    verdict.agreement = verdict.linearizable = false;
    verdict.durable = verdict.live = true;
    verdict.recovery_s = 0.004;
    Violation parted;
    parted.property = Property::agreement;
    parted.text = "Replicas 1 and 2 executed different blocks at height 57";
    parted.height = 57;
    parted.replicas = {1, 2};
    parted.at_s = 1.62;
    Violation stale;
    stale.property = Property::linearizable;
    stale.text = "No order of these operations explains what client 3 read";
    stale.key = "key-4";
    const std::size_t first = record.operations.size();
    const auto at = [](double s) { return start_ns + static_cast<std::uint64_t>(s * 1e9); };
    record.operations.push_back({0, "put", "key-4", "blue", {}, {}, {}, Operation::Status::ok, at(1.60), at(1.604)});
    record.operations.push_back({1, "put", "key-4", "red", {}, {}, {}, Operation::Status::ok, at(1.61), at(1.615)});
    record.operations.push_back({2, "get", "key-4", {}, {}, "red", {}, Operation::Status::ok, at(1.612), at(1.618)});
    record.operations.push_back({3, "get", "key-4", {}, {}, "blue", {}, Operation::Status::ok, at(1.62), at(1.624)});
    record.operations.push_back({4, "cas", "key-4", "green", "blue", {}, {}, Operation::Status::unknown, at(1.619), 0});
    stale.operations = {first, first + 1, first + 2, first + 3, first + 4};
    verdict.violations = {parted, stale};
    return run;
}

Run crash_and_flapping() {
    Run run;
    run.scenario.name = "crash-and-flapping";
    run.scenario.title = "The primary dies and links flap";
    run.scenario.paragraph = "Replica 0 is killed and started again, while links come and go.";
    Record& record = run.record = record_of("crash-and-flapping", "byzantine", 4, 1, 3);
    record.events.push_back({2.0, Event::Kind::crash, 0, "replica 0: kill -9"});
    run.scenario.steps.push_back(step(2.0, Step::Kind::kill, {0}, "replica 0: kill -9"));
    for (int i = 0; i < 12; ++i) {
        const double at_s = 2.4 + 0.2 * i;
        const std::uint16_t id = i % 2 == 0 ? 1 : 2;
        Step cut = step(at_s, Step::Kind::net, {}, fmt::format("replica {}: cut", id));
        cut.line = "cut";
        cut.links.push_back({Target{Target::Role::ids, {id}}, {3}, false});
        run.scenario.steps.push_back(cut);
        run.scenario.steps.push_back(step(at_s + 0.1, Step::Kind::net_heal, {}, "network healed"));
        record.events.push_back({at_s, Event::Kind::inject, id, fmt::format("replica {}: cut to 3", id)});
        record.events.push_back({at_s + 0.1, Event::Kind::mend, {}, "network healed"});
        if (i == 8) {
            record.events.push_back({at_s + 0.1, Event::Kind::restart, 0, "replica 0 started"});
        }
    }
    for (int tick = 0; tick <= 40; ++tick) {
        const double at_s = 0.2 * tick + 0.01;
        for (std::uint16_t id = 0; id < 4; ++id) {
            const bool down = id == 0 && at_s > 2.0 && at_s < 4.3;
            const std::uint64_t view = at_s < 2.6 ? 0 : 1;
            const std::string role = down                                ? ""
                                     : id == 0 && at_s > 4 && at_s < 4.7 ? "recovering"
                                     : view == id                        ? "primary"
                                                                         : "backup";
            record.samples.push_back({at_s,
                                      id,
                                      !down,
                                      role,
                                      down ? 0 : view,
                                      down ? 0U : 30U,
                                      "d",
                                      "none",
                                      {{0, at_s > 2.0 && at_s < 2.7 ? (at_s - 2.0) * 40 : 0.1}, {2, 1.5}}});
        }
    }
    add_operations(
        record, 6, [](double at_s) { return at_s > 2.0 && at_s < 2.62 ? -1.0
                                            : at_s > 2.4 && at_s < 5  ? 14.0
                                                                      : 4.0; },
        11);
    sum_up(run);
    run.verdict.outcome = Outcome::violated;
    run.verdict.expected = "safe and live";
    run.verdict.reasons = {"the evidence E1 that was expected against replica 0 was not found"};
    run.verdict.agreement = run.verdict.linearizable = run.verdict.durable = true;
    run.verdict.live = true;
    run.verdict.recovery_s = 0.4;
    return run;
}

Run empty_run() {
    return {};
}

}  // namespace loyal::lab
