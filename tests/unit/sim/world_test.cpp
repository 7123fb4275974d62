#include "sim/world.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "crypto/identity.h"
#include "sim/shrink.h"

namespace loyal::sim {
namespace {

class WorldTest : public ::testing::Test {
 protected:
    WorldTest() { crypto::initialize(); }
    // Nothing goes wrong in it.
    [[nodiscard]] static Scenario quiet(consensus::FaultModel model, std::size_t n) {
        Mix mix;
        mix.timing = Timing::partial;
        mix.failures = model == consensus::FaultModel::byzantine ? Failures::byzantine : Failures::crash_recovery;
        Scenario scenario = make_scenario(1, mix);
        scenario.core.tenure_ms = 0;
        scenario.core.tenure_blocks = 0;
        scenario.fault_model = model;
        scenario.n = n;
        scenario.clocks.assign(n, ClockShape{});
        scenario.plan.clear();
        scenario.traitors.clear();
        scenario.quality = scenario.storm = scenario.calm = LinkQuality{};
        scenario.workload.timeout_ms = 300'000;
        return scenario;
    }
};

TEST_F(WorldTest, a_seed_gives_the_same_run_to_the_last_event) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        const RunResult first = run_scenario(make_scenario(seed));
        const RunResult second = run_scenario(make_scenario(seed));
        EXPECT_EQ(first.numbers.trace_hash, second.numbers.trace_hash) << "seed " << seed;
        EXPECT_EQ(first.numbers.events, second.numbers.events);
    }
}

TEST_F(WorldTest, the_text_of_a_trace_is_the_same_and_reading_it_changes_nothing) {
    const auto traced = [](std::uint64_t seed, std::string& text) {
        RunOptions options;
        options.trace = [&text](const std::string& line) { text += line + "\n"; };
        return run_scenario(make_scenario(seed), options);
    };
    std::string first, second;
    const RunResult result = traced(5, first);
    (void)traced(5, second);
    EXPECT_GT(first.size(), 1'000U);
    EXPECT_EQ(first, second);
    EXPECT_EQ(result.numbers.trace_hash, run_scenario(make_scenario(5)).numbers.trace_hash);
}

TEST_F(WorldTest, other_seeds_give_other_runs) {
    EXPECT_NE(run_scenario(make_scenario(1)).numbers.trace_hash, run_scenario(make_scenario(2)).numbers.trace_hash);
}

TEST_F(WorldTest, without_faults_every_cluster_stays_in_its_first_view) {
    for (const auto& [model, n] :
         std::vector<std::pair<consensus::FaultModel, std::size_t>>{{consensus::FaultModel::byzantine, 4},
                                                                    {consensus::FaultModel::byzantine, 7},
                                                                    {consensus::FaultModel::crash, 3},
                                                                    {consensus::FaultModel::crash, 5}}) {
        const RunResult result = run_scenario(quiet(model, n));
        EXPECT_TRUE(result.passed) << result.failure;
        EXPECT_EQ(result.numbers.view, 0U) << n;
        EXPECT_GT(result.numbers.operations, 0U);
        EXPECT_EQ(result.numbers.unknown, 0U);
    }
}

TEST_F(WorldTest, the_crash_of_the_primary_ends_in_another_view) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.plan = {{300 * ms, FaultKind::crash, 0, 0, 0, 0, {}, {}}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.view, 0U);
    EXPECT_EQ(result.numbers.crashes, 1U);
}

TEST_F(WorldTest, a_power_cut_loses_nothing) {
    for (const auto model : {consensus::FaultModel::byzantine, consensus::FaultModel::crash}) {
        Scenario scenario = quiet(model, 4);
        scenario.plan = {{400 * ms, FaultKind::power_cut, 0, 0, 0, 0, {}, {}},
                         {600 * ms, FaultKind::restart_all, 0, 0, 0, 0, {}, {}}};
        const RunResult result = run_scenario(scenario);
        EXPECT_TRUE(result.passed) << result.failure;
        EXPECT_EQ(result.numbers.crashes, 4U);
    }
}

TEST_F(WorldTest, an_equivocating_primary_is_convicted_and_replaced) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {0};
    scenario.plan = {{0, FaultKind::behave, 0, 0, 0, 0, "equivocate", {}}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.accusations, 0U);
    EXPECT_GT(result.numbers.view, 0U);
}

TEST_F(WorldTest, a_client_is_not_fooled_by_one_liar) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {2};
    scenario.plan = {{0, FaultKind::behave, 2, 0, 0, 0, "lie-to-clients", {}}};
    const RunResult result = run_scenario(scenario);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_GT(result.numbers.done, 0U);
}

TEST_F(WorldTest, more_traitors_than_the_model_allows_are_noticed) {
    // Two of four tell clients the same lie, which is as many as a client believes.
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {1, 2};
    scenario.plan = {{0, FaultKind::behave, 1, 0, 0, 0, "lie-to-clients", {}},
                     {0, FaultKind::behave, 2, 0, 0, 0, "lie-to-clients", {}}};
    const RunResult result = run_scenario(scenario);
    EXPECT_FALSE(result.passed);
    const bool is_a_lie =
        result.failure.find("FALSE") != std::string::npos || result.failure.find("LOST") != std::string::npos;
    EXPECT_TRUE(is_a_lie) << result.failure;
}

TEST_F(WorldTest, a_cluster_that_cannot_recover_is_reported) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {1, 2};
    scenario.plan = {{0, FaultKind::behave, 1, 0, 0, 0, "silent", {}},
                     {0, FaultKind::behave, 2, 0, 0, 0, "silent", {}}};
    scenario.recovery_max_us = 5 * second;
    const RunResult result = run_scenario(scenario);
    EXPECT_FALSE(result.passed);
    EXPECT_NE(result.failure.find("LIVENESS"), std::string::npos) << result.failure;
}

// Counts what it is told.
class Spectator final : public Observer {
 public:
    [[nodiscard]] bool moment(TimeUs) override { return ++moments != stop_at; }
    void sampled(TimeUs, const ReplicaSample& sample) override { samples += sample.up ? 1 : 0; }
    void happened(TimeUs, Happening what, std::optional<consensus::ReplicaId>, const std::string&) override {
        ++happenings[what];
    }
    void injected(TimeUs, std::size_t, std::optional<consensus::ReplicaId>) override { ++injections; }
    [[nodiscard]] bool wants_messages(TimeUs) override { return true; }
    void sent(TimeUs, const MessageSeen& message) override {
        ++messages[message.kind];
        under_way.insert(message.id);
    }
    void received(TimeUs, std::uint64_t id) override { under_way.erase(id); }
    void executed(consensus::ReplicaId, consensus::Height height, const crypto::Digest&) override {
        height_max = std::max(height_max, height.value);
    }
    void answered(const OperationSeen& operation) override {
        EXPECT_LE(operation.call_us, operation.ret_us);
        ++answers[operation.status];
    }
    void read_back(const std::string& key, const std::optional<std::string>&, std::uint64_t) override {
        keys.insert(key);
    }
    void convicted(TimeUs, consensus::ReplicaId, const consensus::Evidence&, bool verified) override {
        proofs += verified ? 1 : 0;
    }
    void ended(TimeUs, const CostsSeen& seen) override { costs = seen; }

    std::uint64_t moments = 0, stop_at = 0, samples = 0, injections = 0, height_max = 0, proofs = 0;
    std::map<Happening, int> happenings;
    std::map<std::string, int> messages;
    std::set<std::uint64_t> under_way;
    std::map<OperationSeen::Status, std::uint64_t> answers;
    std::set<std::string> keys;
    CostsSeen costs;
};

TEST_F(WorldTest, whoever_watches_changes_nothing) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
        Spectator spectator;
        RunOptions options;
        options.observer = &spectator;
        const RunResult watched = run_scenario(make_scenario(seed), options);
        EXPECT_EQ(watched.numbers.trace_hash, run_scenario(make_scenario(seed)).numbers.trace_hash) << "seed " << seed;
        EXPECT_GT(spectator.moments, 0U);
    }
}

TEST_F(WorldTest, who_watches_sees_everything) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.traitors = {0};
    scenario.plan = {{0, FaultKind::behave, 0, 0, 0, 0, "equivocate", {}},
                     {600 * ms, FaultKind::crash, 2, 0, 0, 0, {}, {}},
                     {700 * ms, FaultKind::restart, 2, 0, 0, 0, {}, {}}};
    Spectator spectator;
    RunOptions options;
    options.observer = &spectator;
    const RunResult result = run_scenario(scenario, options);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_EQ(spectator.injections, 3U);
    EXPECT_EQ(spectator.happenings[Observer::Happening::crash], 1);
    EXPECT_EQ(spectator.happenings[Observer::Happening::restart], 5);
    EXPECT_GT(spectator.happenings[Observer::Happening::view], 0);
    EXPECT_EQ(spectator.happenings[Observer::Happening::violation], 0);
    EXPECT_EQ(spectator.height_max, result.numbers.blocks);
    EXPECT_EQ(spectator.proofs, result.numbers.accusations);
    EXPECT_EQ(spectator.answers[OperationSeen::Status::unknown], 0U);
    EXPECT_GT(spectator.answers[OperationSeen::Status::ok], 0U);
    EXPECT_LE(spectator.answers[OperationSeen::Status::ok], result.numbers.done) << "ranges are not told";
    for (const char* kind : {"PROPOSE", "VOTE", "VIEW-CHANGE", "SUBMIT", "REPLY"}) {
        EXPECT_GT(spectator.messages[kind], 0) << kind;
    }
    EXPECT_GT(spectator.costs.bytes, 100 * spectator.costs.messages);
    EXPECT_GT(spectator.costs.signatures, 0U);
    EXPECT_GT(spectator.costs.verifications, spectator.costs.signatures);
    EXPECT_GT(spectator.costs.syncs, 0U);
    EXPECT_LT(spectator.costs.messages, result.numbers.messages) << "a traitor's are not counted, nor clients'";
}

TEST_F(WorldTest, who_watches_may_end_the_run) {
    Spectator spectator;
    spectator.stop_at = 3;
    RunOptions options;
    options.observer = &spectator;
    options.sample_us = 100 * ms;
    const RunResult result = run_scenario(quiet(consensus::FaultModel::byzantine, 4), options);
    EXPECT_EQ(result.numbers.virtual_us, 200 * ms);
}

TEST_F(WorldTest, a_run_may_end_by_reading_every_key_back) {
    Scenario scenario = quiet(consensus::FaultModel::byzantine, 4);
    scenario.ending = Ending::read_back;
    scenario.workload.keys = 5;
    scenario.workload.key_prefix = "key-";
    scenario.workload.key_digits = 3;
    Spectator spectator;
    RunOptions options;
    options.observer = &spectator;
    const RunResult result = run_scenario(scenario, options);
    EXPECT_TRUE(result.passed) << result.failure;
    EXPECT_EQ(spectator.keys, (std::set<std::string>{"key-000", "key-001", "key-002", "key-003", "key-004"}));
}

TEST_F(WorldTest, a_run_that_shall_go_on_after_a_violation_sees_what_follows) {
    Scenario scenario = quiet(consensus::FaultModel::crash, 3);
    scenario.traitors = {0};
    scenario.plan = {{0, FaultKind::behave, 0, 0, 0, 0, "equivocate", {}}};
    scenario.ending = Ending::read_back;
    RunOptions options;
    const RunResult stopped = run_scenario(scenario, options);
    options.go_on = true;
    const RunResult whole = run_scenario(scenario, options);
    EXPECT_FALSE(stopped.passed);
    EXPECT_EQ(stopped.failure, whole.failure) << "the first is what it reports";
    EXPECT_GT(whole.numbers.virtual_us, stopped.numbers.virtual_us);
    EXPECT_GE(whole.numbers.virtual_us, scenario.faults_end_us);
}

TEST(SimClockTest, shows_offset_drift_jumps_and_stops_and_forgets_them_when_mended) {
    SimClock clock(100, 1'000);
    const auto at = [&](TimeUs now) {
        return static_cast<std::int64_t>(clock.wall_us(now)) - SimClock::epoch_ms * 1'000;
    };
    EXPECT_EQ(at(0), 100'000);
    EXPECT_EQ(at(second), 1'101'000);
    clock.jump(-50);
    EXPECT_EQ(at(second), 1'051'000);
    clock.mend();
    clock.drift(99'000, second);  // ten per cent in all, from here on
    EXPECT_EQ(at(second), 1'101'000) << "no jump when the rate changes";
    EXPECT_EQ(at(2 * second), 2'201'000);
    clock.freeze(2 * second);
    EXPECT_EQ(at(5 * second), 2'201'000);
    clock.set_offset(7);
    EXPECT_EQ(at(5 * second), 2'208'000);
    clock.mend();
    EXPECT_EQ(at(5 * second), 5'105'000) << "as if nothing had been";
}

}  // namespace
}  // namespace loyal::sim
