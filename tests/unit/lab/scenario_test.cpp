// Scenario files: what they say is understood, and everything else is refused with its place and a remedy.
#include "client/lab/scenario.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace loyal::lab {
namespace {

using testing::HasSubstr;

std::string with(const std::string& rest) {
    return "title = \"t\"\nparagraph = \"p\"\n" + rest;
}

Scenario read(const std::string& rest) {
    const Result<Scenario> scenario = parse_scenario(with(rest), "dir/my-idea.toml");
    EXPECT_TRUE(scenario) << scenario.error().message;
    return scenario.value_or(Scenario{});
}

std::string error_of(const std::string& text) {
    const Result<Scenario> scenario = parse_scenario(text, "bad.toml");
    EXPECT_FALSE(scenario) << "accepted:\n" << text;
    return scenario ? "" : scenario.error().message;
}

std::string refusal(const std::string& rest) {
    return error_of(with(rest));
}

TEST(Scenario, says_what_its_file_says) {
    const Scenario scenario = read(R"(
[cluster]
replicas = 7
[timers]
detector = "fixed"
progress_min_ms = 300
[workload]
clients = 3
reads = 10
cas = 5
deletes = 1
rate = 50
[times]
before = 1
during = 2.5
after = 3
[[step]]
at = 2
net = "partition 0,1 | 2,3,4,5,6"
[[step]]
at = 1
fault = "6,5 byzantine equivocate double-vote"
[[step]]
at = 3.5
heal = true
[expect]
evidence = ["E1", "E2"]
against = [5]
recovery_max_s = 3
)");
    EXPECT_EQ(scenario.name, "my-idea");
    EXPECT_EQ(scenario.cluster.replicas, 7);
    EXPECT_FALSE(scenario.cluster.timers.adaptive);
    EXPECT_EQ(scenario.cluster.timers.progress_min_ms, 300U);
    EXPECT_EQ(scenario.cluster.timers.tenure_ms, 0U);
    EXPECT_EQ(scenario.workload.rate_per_s, 50);
    EXPECT_EQ(scenario.times.total(), 6.5);
    ASSERT_EQ(scenario.steps.size(), 3U);
    EXPECT_EQ(scenario.steps[0].kind, Step::Kind::fault);  // in order of time
    EXPECT_EQ(scenario.traitors(), (std::vector<std::uint16_t>{5, 6}));
    ASSERT_EQ(scenario.steps[1].links.size(), 2U);
    EXPECT_EQ(scenario.steps[1].links[0].to, (std::vector<std::uint16_t>{2, 3, 4, 5, 6}));
    EXPECT_EQ(scenario.steps[1].line, "cut");
    EXPECT_EQ(scenario.expect.against, (std::vector<std::uint16_t>{5}));
    EXPECT_FALSE(scenario.expect.text.empty());
}

TEST(Scenario, repeated_steps_are_written_out) {
    const Scenario scenario = read("[[step]]\nat = 1.5\nnet = \"0 -> 1 cut\"\nrepeat = 3\nevery = 0.5\n");
    ASSERT_EQ(scenario.steps.size(), 3U);
    EXPECT_DOUBLE_EQ(scenario.steps[2].at_s, 2.5);
}

TEST(Scenario, a_variant_changes_only_what_it_names) {
    const Scenario scenario = read(R"(
[cluster]
replicas = 5
fault_model = "crash"
[[variant]]
name = "as it is"
[[variant]]
name = "larger"
[variant.cluster]
replicas = 7
[variant.expect]
recovery_max_s = 2
)");
    ASSERT_EQ(scenario.variants.size(), 2U);
    EXPECT_EQ(scenario.variants[0].cluster.replicas, 5);
    EXPECT_EQ(scenario.variants[1].cluster.replicas, 7);
    EXPECT_EQ(scenario.variants[1].cluster.fault_model, consensus::FaultModel::crash);
    EXPECT_EQ(scenario.variants[1].expect.recovery_max_s, 2);
    EXPECT_EQ(scenario.runs().size(), 2U);
}

TEST(Scenario, unknown_words_are_named_with_file_line_and_remedy) {
    EXPECT_THAT(refusal("[clutser]\n"),
                AllOf(HasSubstr("bad.toml"), HasSubstr("line 3"), HasSubstr("clutser"), HasSubstr("cluster")));
    EXPECT_THAT(refusal("[cluster]\nreplica = 4\n"), AllOf(HasSubstr("line 4"), HasSubstr("replicas")));
    EXPECT_THAT(refusal("[expect]\nviolated = [\"agrement\"]\n"), HasSubstr("agreement"));
    EXPECT_THAT(refusal("[expect]\nevidence = [\"E9\"]\n"), HasSubstr("E1 to E7"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"0 byzantine equivocat\"\n"),
                AllOf(HasSubstr("equivocat"), HasSubstr("equivocate")));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nclock = \"0 offset=yesterday\"\n"), HasSubstr("yesterday"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nnet = \"0 -> 1 dorp=0.3\"\n"), HasSubstr("dorp"));
}

TEST(Scenario, is_refused_when_it_is_incomplete_or_no_toml) {
    EXPECT_THAT(error_of("paragraph = \"p\"\n"), HasSubstr("title"));
    EXPECT_THAT(error_of("title = \"t\"\n"), HasSubstr("paragraph"));
    EXPECT_THAT(error_of("title = \n"), HasSubstr("not TOML"));
    EXPECT_THAT(refusal("[[step]]\nfault = \"0 byzantine silent\"\n"), HasSubstr("at"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\n"), HasSubstr("does nothing"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nkill = \"0\"\npause = \"1 1s\"\n"), HasSubstr("one thing"));
    EXPECT_THAT(refusal("[[variant]]\nname = \"alone\"\n"), HasSubstr("compares nothing"));
}

TEST(Scenario, knows_only_the_replicas_of_its_cluster) {
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"4 byzantine silent\"\n"),
                AllOf(HasSubstr("no replica 4"), HasSubstr("0 to 3")));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nnet = \"partition 0 | 1,2\"\n"), HasSubstr("all 4 replicas"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nnet = \"partition 0,1 | 1,2,3\"\n"), HasSubstr("two groups"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"0,0 byzantine silent\"\n"), HasSubstr("twice"));
}

TEST(Scenario, seven_traitors_of_four_are_refused_and_so_is_one_too_many_by_accident) {
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"0,1,2,3,4,5,6 byzantine silent\"\n"), HasSubstr("no replica"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"all byzantine silent\"\n[expect]\nbeyond_model = true\n"),
                HasSubstr("nobody correct"));
    const std::string two = "[[step]]\nat = 1\nfault = \"0,1 byzantine silent\"\n";
    EXPECT_THAT(refusal(two), AllOf(HasSubstr("2 traitors"), HasSubstr("violated")));
    EXPECT_EQ(read(two + "[expect]\nbeyond_model = true\n").traitors().size(), 2U);
    EXPECT_THAT(refusal("[cluster]\nreplicas = 3\nfault_model = \"crash\"\n[[step]]\nat = 1\n"
                        "fault = \"0 byzantine silent\"\n"),
                HasSubstr("more than the 0"));
}

TEST(Scenario, who_lies_must_be_known_beforehand) {
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"primary byzantine silent\"\n"), HasSubstr("beforehand"));
    EXPECT_EQ(read("[[step]]\nat = 1\nkill = \"primary\"\n[[step]]\nat = 2\nrestart = \"dead\"\n").steps.size(), 2U);
}

TEST(Scenario, steps_happen_within_the_run_and_among_the_living) {
    EXPECT_THAT(refusal("[[step]]\nat = 80\nkill = 0\n"), HasSubstr("out of range"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nkill = 0\nrepeat = 9\nevery = 5\n"), HasSubstr("after the run"));
    EXPECT_THAT(refusal("[[step]]\nat = 7\npause = \"0 5s\"\n"), HasSubstr("after the run"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nrestart = 0\n"), HasSubstr("nothing ended it"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nkill = 0\n[[step]]\nat = 2\nkill = 0\n"), HasSubstr("dead"));
    EXPECT_THAT(refusal("[times]\nbefore = 0\n"), HasSubstr("before"));
    EXPECT_THAT(refusal("[cluster]\nreplicas = 3\nfault_model = \"crash\"\ncrash_mode = \"stop\"\n[[step]]\nat = 1\n"
                        "kill = 0\n[[step]]\nat = 2\nrestart = 0\n"),
                HasSubstr("expect-restart-refused"));
}

TEST(Scenario, disks_are_lost_and_put_back) {
    const Scenario scenario = read(R"(
[cluster]
checkpoint_interval = 32
[[step]]
at = 1
save-disk = 3
[[step]]
at = 2
roll-back-disk = 3
[[step]]
at = 2.5
restart = 3
[[step]]
at = 3
lose-disk = "1,2"
[[step]]
at = 3.5
restart = "1,2"
[[step]]
at = 4
power-cut = "0,3"
[[step]]
at = 5
restart = "0,3"
)");
    EXPECT_EQ(scenario.cluster.checkpoint_interval, 32U);
    ASSERT_EQ(scenario.steps.size(), 7U);
    EXPECT_EQ(scenario.steps[0].kind, Step::Kind::save_disk);
    EXPECT_FALSE(is_injection(scenario.steps[0]));
    EXPECT_EQ(scenario.steps[1].kind, Step::Kind::roll_back_disk);
    EXPECT_EQ(scenario.steps[3].kind, Step::Kind::lose_disk);
    EXPECT_EQ(scenario.steps[3].target.ids, (std::vector<std::uint16_t>{1, 2}));
    EXPECT_EQ(scenario.steps[5].kind, Step::Kind::power_cut);
    EXPECT_EQ(scenario.steps[5].target.ids, (std::vector<std::uint16_t>{0, 3}));
    EXPECT_EQ(read("[[step]]\nat = 1\npower-cut = true\n").steps[0].target.ids.size(), 4U);
    EXPECT_THAT(refusal("[[step]]\nat = 1\nroll-back-disk = 3\n"), HasSubstr("give save-disk first"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nlose-disk = 4\n"), HasSubstr("0 to 3"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nlose-disk = 3\n[[step]]\nat = 2\nkill = 3\n"), HasSubstr("it is dead"));
    EXPECT_THAT(refusal("[cluster]\ncheckpoint_interval = 0\n"), HasSubstr("checkpoint_interval"));
}

TEST(Scenario, a_holder_of_a_lock_is_stopped_where_there_are_locks) {
    const std::string locked = "runners = [\"real\"]\n[workload]\nreads = 40\ncas = 60\ncas_by = \"fenced-lock\"\n";
    const Scenario scenario = read(locked + "lock_ttl = \"2s\"\n[[step]]\nat = 1\npause-holder = \"3s\"\n");
    EXPECT_EQ(scenario.workload.cas_by, CasBy::fenced_lock);
    EXPECT_EQ(scenario.workload.lock_ttl_ms, 2'000U);
    ASSERT_EQ(scenario.steps.size(), 1U);
    EXPECT_EQ(scenario.steps[0].kind, Step::Kind::pause_holder);
    EXPECT_EQ(scenario.steps[0].pause_ms, 3'000U);
    EXPECT_TRUE(is_injection(scenario.steps[0]));
    EXPECT_THAT(refusal("[[step]]\nat = 1\npause-holder = \"3s\"\n"), HasSubstr("nobody holds a lock"));
    EXPECT_THAT(refusal(locked + "[[step]]\nat = 1\npause-holder = \"soon\"\n"), HasSubstr("how long"));
    EXPECT_THAT(refusal("[workload]\nreads = 40\ncas = 60\ncas_by = \"lock\"\n"), HasSubstr("real"));
    EXPECT_THAT(refusal("runners = [\"real\"]\n[workload]\nreads = 40\ncas = 20\ncas_by = \"lock\"\n"),
                HasSubstr("add up to 100"));
}

TEST(Scenario, proof_is_expected_against_traitors_only) {
    EXPECT_THAT(refusal("[expect]\nevidence = [\"E1\"]\n"), HasSubstr("no traitor"));
    EXPECT_THAT(refusal("[[step]]\nat = 1\nfault = \"0 byzantine equivocate\"\n[expect]\nagainst = [1]\n"),
                HasSubstr("never told to lie"));
}

TEST(ShippedScenarios, all_parse_and_cover_every_behaviour) {
    std::set<std::string> seen;
    EXPECT_GE(shipped_scenarios().size(), 50U);
    for (const ShippedScenario& shipped : shipped_scenarios()) {
        const Result<Scenario> scenario = parse_scenario(shipped.text, std::string(shipped.name) + ".toml");
        ASSERT_TRUE(scenario) << scenario.error().message;
        EXPECT_EQ(scenario->name, shipped.name);
        EXPECT_GT(scenario->paragraph.size(), 60U) << shipped.name << ": say what happens and why";
        for (const Scenario& run : scenario->runs()) {
            for (const Step& step : run.steps) {
                for (const replica::BehaviourSpec& behaviour : step.fault.behaviours) {
                    seen.insert(behaviour.name);
                }
            }
        }
    }
    for (const replica::BehaviourInfo& behaviour : replica::behaviours()) {
        EXPECT_TRUE(seen.contains(std::string(behaviour.name))) << "no scenario shows " << behaviour.name;
    }
}

TEST(ShippedScenarios, a_misspelt_name_gets_a_hint) {
    const Result<std::string> text = scenario_text("equivocating-primari");
    ASSERT_FALSE(text);
    EXPECT_THAT(text.error().message, HasSubstr("equivocating-primary"));
    EXPECT_TRUE(scenario_text("equivocating-primary"));
}

}  // namespace
}  // namespace loyal::lab
