// The lab's last-write-wins store: right while clocks agree, and losing acknowledged writes when one does not.
#include "client/lab/naive_store.h"

#include <gtest/gtest.h>

#include "client/lab/judge.h"

namespace loyal::lab {
namespace {

constexpr std::uint64_t second_us = 1'000'000;

TEST(NaiveStore, keeps_the_last_write_while_clocks_agree) {
    NaiveStore store(3);
    store.put(0, "k", "old", 1 * second_us);
    store.put(1, "k", "new", 2 * second_us);
    EXPECT_EQ(store.get("k"), "new");
    EXPECT_EQ(store.lost(), 0U);
}

TEST(NaiveStore, loses_a_write_behind_a_clock_that_is_ahead) {
    NaiveStore store(3);
    ASSERT_TRUE(store.disturb(0, "offset=5s", 0));
    store.put(0, "k", "old", 1 * second_us);
    store.put(1, "k", "new", 2 * second_us);
    EXPECT_EQ(store.get("k"), "old");
    EXPECT_EQ(store.lost(), 1U);
    store.put(1, "k", "newest", 7 * second_us);
    EXPECT_EQ(store.get("k"), "newest");
}

TEST(NaiveStore, clocks_drift_and_freeze_and_are_mended) {
    NaiveStore store(2);
    ASSERT_TRUE(store.disturb(0, "drift=100000ppm", 0));
    EXPECT_EQ(store.wall_us(0, 10 * second_us), 11'000'000);
    ASSERT_TRUE(store.disturb(1, "freeze", 3 * second_us));
    EXPECT_EQ(store.wall_us(1, 9 * second_us), 3'000'000);
    store.mend(9 * second_us);
    EXPECT_EQ(store.wall_us(0, 9 * second_us), 9'000'000);
    EXPECT_EQ(store.wall_us(1, 9 * second_us), 9'000'000);
    EXPECT_FALSE(store.disturb(0, "offset=soon", 0));
}

Scenario scenario_of(const std::string& steps) {
    const Result<Scenario> scenario = parse_scenario(
        "title = \"t\"\nparagraph = \"p\"\n[cluster]\nreplicas = 3\nstore = \"last-write-wins\"\n" + steps,
        "naive.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
    return scenario.value_or(Scenario{});
}

TEST(NaiveStore, a_skewed_clock_loses_updates_that_the_judge_finds) {
    const Scenario scenario =
        scenario_of("[[step]]\nat = 1.5\nclock = \"0 offset=-5s\"\n[expect]\nviolated = [\"linearizable\"]\n");
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        RunOptions options;
        options.seed = seed;
        const Result<Record> record = run_naive(scenario, options);
        ASSERT_TRUE(record);
        EXPECT_EQ(judge(scenario, *record).linearizable, false) << "seed " << seed;
    }
}

TEST(NaiveStore, without_skew_the_same_workload_is_linearizable) {
    const Scenario scenario = scenario_of("");
    RunOptions options;
    options.seed = 7;
    const Result<Record> record = run_naive(scenario, options);
    ASSERT_TRUE(record);
    const Verdict verdict = judge(scenario, *record);
    EXPECT_EQ(verdict.outcome, Outcome::as_expected) << testing::PrintToString(verdict.reasons);
    EXPECT_GT(verdict.ops, 500U);
    const Result<Record> again = run_naive(scenario, options);  // a seed is a run
    ASSERT_TRUE(again);
    EXPECT_EQ(again->operations.size(), record->operations.size());
    EXPECT_EQ(again->read_back, record->read_back);
}

}  // namespace
}  // namespace loyal::lab
