// Each rule left out must be noticed by the swarm: a checker that cannot fail checks nothing. Rules whose absence needs
// a schedule that random runs do not find are tested one by one in tests/unit/consensus (PROTOCOL.md §21: "directed
// schedules are mandatory").
#include <gtest/gtest.h>

#include "crypto/identity.h"
#include "sim/swarm.h"

namespace loyal::sim {
namespace {

struct Mutant {
    std::string name;
    std::vector<std::string> rules_off;
    std::string expected;  // part of the reason
    bool disk_faults = false;
};
void PrintTo(const Mutant& mutant, std::ostream* out) {
    *out << mutant.name;
}

class MutantsTest : public ::testing::TestWithParam<Mutant> {};

TEST_P(MutantsTest, is_found_within_a_thousand_seeds) {
    crypto::initialize();
    SwarmOptions options;
    options.seeds = 1'000;
    options.jobs = 1;  // the first failing seed is then always the same
    options.failures_max = 1;
    options.mix.disk_faults = GetParam().disk_faults;
    options.edit = [](Scenario& scenario) {
        scenario.core.rules_off = GetParam().rules_off;
        scenario.state_rules_off = GetParam().rules_off;
    };
    const SwarmReport report = run_swarm(options);
    ASSERT_FALSE(report.failures.empty()) << report.ran << " seeds passed without " << GetParam().name;
    EXPECT_NE(report.failures.front().reason.find(GetParam().expected), std::string::npos)
        << "seed " << report.failures.front().seed << ": " << report.failures.front().reason;
}

INSTANTIATE_TEST_SUITE_P(
    Swarm, MutantsTest,
    ::testing::Values(Mutant{"deduplication", {"C4"}, "DUPLICATE"},  // a retry executes again
                      Mutant{"read_target", {"R2"}, "STALE"},        // a read does not wait for its lock
                      Mutant{"durable_before_send", {"D1", "guard"}, "durable"},
                      Mutant{"restarted_leader", {"D3", "guard"}, "durable"},   // it goes on leading
                      Mutant{"trusted_committed_height", {"8c"}, "AGREEMENT"},  // crash mode, pitfall 18
                      Mutant{"base_is_a_lock", {"8a"}, ""},                     // crash mode, pitfall 17
                      Mutant{"accepting_is_locking", {"8a-accept"}, "lock"},
                      Mutant{
                          "base_is_voted_for_again", {"V5-revote"}, ""},   // pitfall 11; in crash mode a base is a lock
                      Mutant{"path_of_a_certificate", {"cert-path"}, ""},  // pitfall 8
                      Mutant{"amnesia_is_silent", {"A2"}, "", true},
                      Mutant{"rotations_for_amnesiacs_are_rare", {"A4-rate"}, "LIVENESS", true}),
    [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace loyal::sim
