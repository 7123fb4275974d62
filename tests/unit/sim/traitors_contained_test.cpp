// At most f traitors: whatever they do, every checker is content and every operation completes.
#include "traitors_world.h"

namespace loyal::sim {
namespace {

class ContainedTest : public TraitorsTest, public ::testing::WithParamInterface<std::string> {
 protected:
    static Scenario stage(std::uint64_t seed, std::size_t n, const std::vector<Traitor>& traitors) {
        Scenario scenario = betrayed(seed, n, traitors);
        const std::string& fault = traitors.front().fault;
        if (fault.starts_with("bad-state-transfer") || fault.starts_with("mute-to")) {
            leave_behind(scenario, static_cast<std::uint16_t>((traitors.front().replica + 1) % n));
        }
        if (fault == "amnesia") {
            scenario.plan.push_back(event(400 * ms, FaultKind::crash, traitors.front().replica));
            scenario.plan.push_back(event(500 * ms, FaultKind::restart, traitors.front().replica));
            scenario.plan.push_back(event(800 * ms, FaultKind::crash, traitors.front().replica));
            scenario.plan.push_back(event(850 * ms, FaultKind::restart, traitors.front().replica));
        }
        return scenario;
    }
};

// Replica 0 leads the first view; elsewhere the traitor is a backup until it is its turn.
TEST_P(ContainedTest, one_of_four_does_no_harm) {
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
        (void)contained(stage(seed, 4, {{0, GetParam()}}));
        // A backup, under a first primary who is soon gone.
        Scenario scenario = stage(seed + 100, 4, {{1, GetParam() == "mute-to=1,2" ? "mute-to=0,2" : GetParam()}});
        scenario.plan.push_back(event(300 * ms, FaultKind::pause, 0));
        scenario.plan.back().arg = 700 * ms;
        (void)contained(scenario);
    }
}

INSTANTIATE_TEST_SUITE_P(Behaviours, ContainedTest,
                         ::testing::Values("silent", "mute-to=1,2", "mute-to=3", "equivocate", "double-vote",
                                           "lie-to-clients", "lie-to-clients=c0", "stale-reads", "forge", "replay",
                                           "slow-primary", "censor=client:c0", "censor=key:k1", "censor=k", "reorder",
                                           "bad-view-change", "view-change-spam", "bad-checkpoint",
                                           "bad-state-transfer", "bad-state-transfer=corrupt",
                                           "bad-state-transfer=withhold", "bad-state-transfer=endless",
                                           "clock-lie=+10s", "clock-lie=-1h", "clock-lie=+200ms", "flood",
                                           "corrupt-bits=0.0001", "corrupt-bits=0.01", "amnesia", "wrong-execution",
                                           "equivocate double-vote lie-to-clients", "forge flood replay"),
                         [](const auto& given) {
                             std::string name = given.param;
                             for (char& c : name) {
                                 c = std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
                             }
                             return std::to_string(given.index) + "_" + name;
                         });

TEST_F(ContainedTest, two_of_seven_do_no_harm) {
    const std::vector<std::vector<Traitor>> pairs{
        {{0, "equivocate"}, {1, "equivocate"}},
        {{0, "equivocate"}, {1, "double-vote"}},
        {{0, "double-vote"}, {1, "double-vote"}},
        {{0, "collude=1"}, {1, "collude=0"}},
        {{0, "collude=3"}, {3, "collude=0"}},
        {{2, "collude=5"}, {5, "collude=2"}},
        {{0, "wrong-execution"}, {1, "lie-to-clients"}},
        {{0, "bad-view-change"}, {1, "view-change-spam"}},
        {{0, "stale-reads"}, {1, "stale-reads"}},
    };
    for (const auto& pair : pairs) {
        for (std::uint64_t seed = 1; seed <= 4; ++seed) {
            (void)contained(betrayed(seed, 7, pair));
        }
    }
}

}  // namespace
}  // namespace loyal::sim
