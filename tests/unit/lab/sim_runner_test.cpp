#include "client/lab/sim_runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "client/lab/sim_plan.h"

namespace loyal::lab {
namespace {

constexpr const char* head = R"(
title = "A test"
paragraph = "Something happens."
[workload]
clients = 3
keys = 4
[times]
before = 1
during = 2
after = 2
)";

Scenario scenario_of(const std::string& steps, const std::string& cluster = "") {
    auto parsed = parse_scenario(head + cluster + steps, "test.toml");
    EXPECT_TRUE(parsed.has_value()) << parsed.error().message;
    return parsed.value_or(Scenario());
}

Record run(const Scenario& scenario, std::uint64_t seed = 1) {
    RunOptions options;
    options.seed = seed;
    auto record = run_in_simulator(scenario, options);
    EXPECT_TRUE(record.has_value()) << record.error().message;
    return record.value_or(Record());
}

std::size_t events_of(const Record& record, Event::Kind kind) {
    return static_cast<std::size_t>(std::count_if(record.events.begin(), record.events.end(),
                                                  [kind](const Event& event) { return event.kind == kind; }));
}

bool answered_between(const Record& record, double from_s, double to_s) {
    return std::any_of(record.operations.begin(), record.operations.end(), [&](const Operation& operation) {
        const double at_s = static_cast<double>(operation.ret_ns) / 1e9;
        return operation.status == Operation::Status::ok && at_s >= from_s && at_s < to_s;
    });
}

// Digests of replicas that are none of the traitors, at one height.
bool agrees(const Record& record) {
    return std::all_of(record.digests.begin(), record.digests.end(), [](const auto& at_height) {
        std::set<std::string> digests;
        for (const auto& [replica, digest] : at_height.second) {
            digests.insert(digest);
        }
        return digests.size() == 1;
    });
}

constexpr const char* equivocation = R"(
[[step]]
at = 1.0
fault = "0 byzantine equivocate"
[[step]]
at = 3.0
fault = "0 none"
[expect]
evidence = ["E1"]
against = [0]
)";

TEST(SimRunnerTest, a_healthy_run_is_recorded_whole) {
    const Record record = run(scenario_of(""));
    EXPECT_TRUE(record.simulated);
    EXPECT_EQ(record.fault_model, "byzantine");
    EXPECT_EQ(record.n, 4);
    EXPECT_EQ(record.q, 3);
    EXPECT_TRUE(record.failures.empty());
    EXPECT_EQ(events_of(record, Event::Kind::phase), 3U);
    EXPECT_EQ(events_of(record, Event::Kind::violation) + events_of(record, Event::Kind::view), 0U);
    EXPECT_GE(record.end_s, 5);
    EXPECT_GT(record.operations.size(), 100U);
    EXPECT_EQ(record.read_back.size(), 4U);
    EXPECT_GT(record.samples.size(), 4U * 40);
    EXPECT_GT(record.digests.size(), 20U);
    EXPECT_TRUE(agrees(record));
    EXPECT_GT(record.costs.messages, 0U);
    EXPECT_GT(record.costs.bytes, record.costs.messages);
    EXPECT_GT(record.costs.signatures, 0U);
    EXPECT_GT(record.costs.syncs, 0U);
    for (const Operation& operation : record.operations) {
        EXPECT_EQ(operation.status, Operation::Status::ok);
        EXPECT_LT(operation.call_ns, operation.ret_ns);
        EXPECT_EQ(operation.key.substr(0, 4), "key-");
    }
    for (const Sample& sample : record.samples) {
        EXPECT_EQ(sample.fault, "none");
        EXPECT_TRUE(!sample.up || sample.role == (sample.replica == 0 ? "primary" : "backup")) << sample.role;
    }
}

TEST(SimRunnerTest, a_seed_gives_the_same_record_and_another_seed_another) {
    const Scenario scenario = scenario_of(equivocation);
    const Record first = run(scenario, 5), second = run(scenario, 5), other = run(scenario, 6);
    ASSERT_EQ(first.operations.size(), second.operations.size());
    for (std::size_t i = 0; i < first.operations.size(); ++i) {
        EXPECT_EQ(first.operations[i].ret_ns, second.operations[i].ret_ns);
        EXPECT_EQ(first.operations[i].out, second.operations[i].out);
    }
    EXPECT_EQ(first.digests, second.digests);
    EXPECT_EQ(first.costs.messages, second.costs.messages);
    EXPECT_NE(first.digests, other.digests);
}

TEST(SimRunnerTest, a_traitor_is_seen_convicted_and_replaced) {
    const Record record = run(scenario_of(equivocation));
    EXPECT_EQ(record.traitors, std::vector<std::uint16_t>{0});
    EXPECT_EQ(events_of(record, Event::Kind::inject), 1U);
    EXPECT_EQ(events_of(record, Event::Kind::mend), 1U);
    EXPECT_GT(events_of(record, Event::Kind::view), 0U);
    EXPECT_EQ(events_of(record, Event::Kind::violation), 0U);
    EXPECT_GT(record.evidence.size(), 0U);
    for (const EvidenceFound& found : record.evidence) {
        EXPECT_EQ(found.culprit, 0);
        EXPECT_TRUE(found.verified);
        EXPECT_GE(found.at_s, 1.0);
    }
    EXPECT_TRUE(std::any_of(record.samples.begin(), record.samples.end(),
                            [](const Sample& sample) { return sample.fault == "byzantine equivocate"; }));
    EXPECT_FALSE(record.messages.empty());
    for (const Message& message : record.messages) {
        EXPECT_GE(message.sent_s, 0.9);
        EXPECT_TRUE(!message.received_s || *message.received_s >= message.sent_s);
    }
}

TEST(SimRunnerTest, the_same_traitor_among_replicas_that_only_crash_breaks_agreement) {
    const Record record = run(scenario_of(R"(
[[step]]
at = 1.0
fault = "0 byzantine equivocate"
[expect]
violated = ["agreement"]
beyond_model = true
)",
                                          "[cluster]\nreplicas = 3\nfault_model = \"crash\"\n"));
    EXPECT_FALSE(agrees(record));
    EXPECT_GT(events_of(record, Event::Kind::violation), 0U);
}

TEST(SimRunnerTest, killing_the_primary_and_starting_it_again) {
    const Record record = run(scenario_of(R"(
[[step]]
at = 1.0
kill = "primary"
[[step]]
at = 3.0
restart = "dead"
)"));
    EXPECT_EQ(events_of(record, Event::Kind::crash), 1U);
    EXPECT_EQ(events_of(record, Event::Kind::restart), 1U);
    EXPECT_TRUE(std::any_of(record.samples.begin(), record.samples.end(), [](const Sample& sample) {
        return sample.replica == 0 && !sample.up && sample.at_s > 1 && sample.at_s < 3;
    }));
    EXPECT_TRUE(answered_between(record, 2, 3)) << "the others go on";
    EXPECT_TRUE(agrees(record));
}

TEST(SimRunnerTest, more_dead_than_tolerated_is_a_stall_until_they_return) {
    const Record record = run(scenario_of(R"(
[[step]]
at = 1.0
kill = "1,2"
[[step]]
at = 3.0
restart = "dead"
)"));
    EXPECT_FALSE(answered_between(record, 1.2, 3)) << "two of four are no quorum";
    EXPECT_TRUE(answered_between(record, 3, 5));
}

TEST(SimRunnerTest, links_clocks_disks_and_pauses_are_translated) {
    const auto plan = plan_for_simulator(scenario_of(R"(
[[step]]
at = 1.0
clock = "2 offset=-5s"
[[step]]
at = 1.1
disk = "1 slow=20ms"
[[step]]
at = 1.2
pause = "3 500ms"
[[step]]
at = 1.3
fault = "2 crash-recovery --every 300ms --down 100ms"
[[step]]
at = 2.5
heal = true
)"),
                                         1);
    ASSERT_TRUE(plan.has_value()) << plan.error().message;
    std::map<sim::FaultKind, int> kinds;
    for (const sim::FaultEvent& event : plan->scenario.plan) {
        ++kinds[event.kind];
        if (event.kind == sim::FaultKind::clock_offset) {
            EXPECT_EQ(event.arg, -5'000);
        }
        if (event.kind == sim::FaultKind::disk_delay) {
            EXPECT_EQ(event.arg, 20'000);
        }
        if (event.kind == sim::FaultKind::pause) {
            EXPECT_EQ(event.arg, 500'000);
        }
    }
    EXPECT_EQ(kinds[sim::FaultKind::crash], 3);  // up 300 ms, down 100 ms, from 1.3 s until it is healed at 2.5 s
    EXPECT_EQ(kinds[sim::FaultKind::restart], 3);
    EXPECT_EQ(kinds[sim::FaultKind::heal_all], 1);
    EXPECT_EQ(plan->step_of.size(), plan->scenario.plan.size());
}

TEST(SimRunnerTest, what_needs_real_processes_is_refused_with_a_reason) {
    const auto plan = plan_for_simulator(scenario_of(R"(
[[step]]
at = 1.0
disk = "1 rot"
)"),
                                         1);
    ASSERT_FALSE(plan.has_value());
    EXPECT_EQ(plan.error().code, Errc::invalid_argument);
    EXPECT_NE(plan.error().message.find("needs real processes"), std::string::npos) << plan.error().message;
}

TEST(SimRunnerTest, tells_how_far_it_is_and_stops_when_told_to) {
    RunOptions options;
    std::vector<std::string> phases;
    options.progress = [&](const Progress& progress) {
        if (phases.empty() || phases.back() != progress.phase) {
            phases.push_back(progress.phase);
        }
    };
    ASSERT_TRUE(run_in_simulator(scenario_of(""), options).has_value());
    EXPECT_EQ(phases, (std::vector<std::string>{"before", "during", "after", "reading back"}));
    const std::atomic<bool> stop{true};
    options.stop = &stop;
    const auto record = run_in_simulator(scenario_of(""), options);
    ASSERT_TRUE(record.has_value());
    EXPECT_LT(record->end_s, 0.1);
}

}  // namespace
}  // namespace loyal::lab
