// One traitor too many: the checkers must see what breaks. A checker that is content here would be content with
// everything.
#include "traitors_world.h"

namespace loyal::sim {
namespace {

using consensus::FaultModel;

class TooManyTest : public TraitorsTest {
 protected:
    // Of the seeds, how many runs break safety, and how. A run ends with the first violation; that may also be that a
    // client was answered by traitors what no correct replica has executed yet.
    struct Broken {
        std::size_t runs = 0, unsafe = 0, disagreed = 0;
        std::string failure;
    };
    static Broken run_all(std::size_t n, const std::vector<Traitor>& traitors, FaultModel model = FaultModel::byzantine,
                          std::uint64_t seeds = 8) {
        Broken broken;
        for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
            Scenario scenario = betrayed(seed, n, traitors, model);
            scenario.recovery_max_us = 20 * second;
            const RunResult result = run_scenario(scenario);
            ++broken.runs;
            broken.unsafe += result.numbers.unsafe;
            broken.disagreed += result.numbers.disagreed;
            if (result.numbers.unsafe != 0) {
                broken.failure += "\n  seed " + std::to_string(seed) + " " + result.failure;
            }
        }
        return broken;
    }
};

TEST_F(TooManyTest, two_colluders_of_four_make_two_correct_replicas_commit_different_blocks) {
    const Broken broken = run_all(4, {{0, "collude=1"}, {1, "collude=0"}});
    EXPECT_EQ(broken.unsafe, broken.runs) << broken.failure;
    EXPECT_GT(broken.disagreed, 0U) << broken.failure;
}

TEST_F(TooManyTest, two_colluders_of_four_break_it_also_when_a_correct_replica_leads_first) {
    const Broken broken = run_all(4, {{1, "collude=2"}, {2, "collude=1"}});
    // Less time is left for it: a run in which the evidence is faster may pass.
    EXPECT_GE(broken.unsafe + 2, broken.runs) << broken.failure;
    EXPECT_GT(broken.disagreed, 0U) << broken.failure;
}

TEST_F(TooManyTest, three_colluders_of_seven_make_correct_replicas_commit_different_blocks) {
    const Broken broken = run_all(7, {{0, "collude=1,2"}, {1, "collude=0,2"}, {2, "collude=0,1"}});
    EXPECT_EQ(broken.unsafe, broken.runs) << broken.failure;
    EXPECT_GT(broken.disagreed, 0U) << broken.failure;
}

TEST_F(TooManyTest, two_liars_of_four_are_believed_by_clients) {
    for (const std::string fault : {"lie-to-clients", "wrong-execution"}) {
        const Broken broken = run_all(4, {{1, fault}, {2, fault}});
        EXPECT_EQ(broken.unsafe, broken.runs) << fault << broken.failure;
    }
}

TEST_F(TooManyTest, two_of_four_who_answer_from_the_past_are_believed_by_readers) {
    const Broken broken = run_all(4, {{1, "stale-reads"}, {2, "stale-reads"}}, FaultModel::byzantine, 20);
    EXPECT_GT(broken.unsafe, 0U);
    EXPECT_NE(broken.failure.find("STALE"), std::string::npos) << broken.failure;
}

// The same lie that one of four traitors tells in vain in a byzantine cluster.
TEST_F(TooManyTest, one_equivocating_leader_splits_a_crash_cluster_of_three) {
    const Broken broken = run_all(3, {{0, "equivocate"}}, FaultModel::crash);
    EXPECT_EQ(broken.unsafe, broken.runs) << broken.failure;
    EXPECT_GT(broken.disagreed, 0U) << broken.failure;
}

TEST_F(TooManyTest, one_liar_is_believed_in_a_crash_cluster) {
    EXPECT_GT(run_all(3, {{0, "lie-to-clients"}}, FaultModel::crash).unsafe, 0U);
    EXPECT_GT(run_all(3, {{0, "wrong-execution"}}, FaultModel::crash).unsafe, 0U);
}

}  // namespace
}  // namespace loyal::sim
