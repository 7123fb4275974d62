// Nothing lost: a replica that fell behind the logs, lost its disk or whose state rotted gets the state from the others
// and serves again, without a restart (PROTOCOL.md §13 S6, §14).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/system/cluster.h"
#include "tests/system/history.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

// A transfer needs a checkpoint that is certified while it runs; machines are slow that run many tests at once.
constexpr std::chrono::seconds recovery_max{90};

// Checkpoints so near to each other that a few seconds of load are many.
class ClusterWithCheckpoints : public ClusterOfProcesses {
 public:
    explicit ClusterWithCheckpoints(std::vector<std::string> init = {}) : ClusterOfProcesses(often(std::move(init))) {
        up();
    }
    void load(const char* seconds) const {
        const Ran ran = loyal({"bench", "--clients", "8", "--keys", "300", "--value-bytes", "100", "--seconds", seconds,
                               "--timeout", "30s", "-w", "json"});
        ASSERT_EQ(ran.exit, 0) << ran.error;
    }
    [[nodiscard]] std::uint64_t stable_of(int id) const { return number_of(id, "stable_checkpoint"); }
    [[nodiscard]] std::uint64_t executed_of(int id) const { return number_of(id, "executed"); }
    // So far that the others' logs no longer hold what `behind` has to execute next.
    [[nodiscard]] bool moved_on_from(std::uint64_t height) const { return stable_of(await_primary()) > height + 200; }
    [[nodiscard]] bool serves(int id) const {
        const json row = status_of(id);
        return row["reachable"] == true && (row["role"] == "backup" || row["role"] == "primary") && caught_up(id);
    }
    // Its vote counts: with one of the others gone, three of four is all there is.
    void expect_to_be_of_use(int id) const {
        int other = 0;
        while (other == id || other == await_primary()) {
            ++other;
        }
        ASSERT_EQ(down({"--only", std::to_string(other)}).exit, 0);
        EXPECT_EQ(loyal({"put", "with", "it", "--timeout", "30s"}).exit, 0) << log_of(id);
        EXPECT_EQ(get("with"), "it");
    }

 private:
    static std::vector<std::string> often(std::vector<std::string> init) {
        init.insert(init.end(), {"--checkpoint-interval", "32"});
        return init;
    }
    [[nodiscard]] std::uint64_t number_of(int id, const char* field) const {
        const json row = status_of(id);
        return row.contains(field) && row[field].is_number() ? row[field].get<std::uint64_t>() : 0;
    }
};

void fall_behind(ClusterWithCheckpoints& cluster, int id) {
    ASSERT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
    cluster.load("1");
    const std::uint64_t height = cluster.executed_of(id);
    ASSERT_EQ(cluster.down({"--only", std::to_string(id)}).exit, 0);
    ASSERT_EQ(cluster.loyal({"put", "meanwhile", "2"}).exit, 0);
    for (int round = 0; round < 20 && !cluster.moved_on_from(height); ++round) {
        cluster.load("2");
    }
    ASSERT_TRUE(cluster.moved_on_from(height)) << cluster.status().dump(1) << cluster.all_logs();
}

TEST(StateTransfer, a_replica_that_fell_behind_the_logs_fetches_the_state_and_serves) {
    ClusterWithCheckpoints cluster;
    fall_behind(cluster, 3);
    cluster.up({"--only", "3"});
    EXPECT_TRUE(eventually([&] { return cluster.serves(3); }, recovery_max))
        << cluster.status().dump(1) << cluster.log_of(3);
    EXPECT_THAT(cluster.log_of(3), HasSubstr("event=state_installed"));
    EXPECT_GT(cluster.stable_of(3), 0U);
    cluster.expect_to_be_of_use(3);
    EXPECT_EQ(cluster.get("before"), "1");
    EXPECT_EQ(cluster.get("meanwhile"), "2");
}

class StateTransferLiar : public ::testing::TestWithParam<const char*> {};

INSTANTIATE_TEST_SUITE_P(Ways, StateTransferLiar, ::testing::Values("corrupt", "withhold", "endless"),
                         [](const auto& parameter) { return std::string(parameter.param); });

TEST_P(StateTransferLiar, a_traitor_who_serves_it_badly_does_not_keep_the_state_from_coming) {
    ClusterWithCheckpoints cluster({"--experiments"});
    fall_behind(cluster, 3);
    ASSERT_EQ(cluster.loyal({"traitor", "1", std::string("bad-state-transfer=") + GetParam()}).exit, 0);
    // Who answers wrongly is asked for certain: at first nobody else is heard.
    const bool answers = std::string(GetParam()) == "corrupt";
    for (const char* honest : {"0", "2"}) {
        ASSERT_TRUE(!answers || cluster.loyal({"net", "cut", honest, "3", "--one-way"}).exit == 0);
    }
    cluster.up({"--only", "3"});
    if (answers) {
        const auto dropped = [&] { return cluster.log_of(3).find("event=transfer_peer_dropped peer=1"); };
        EXPECT_TRUE(eventually([&] { return dropped() != std::string::npos; }, recovery_max))
            << cluster.status().dump(1) << cluster.log_of(3);
        ASSERT_EQ(cluster.loyal({"net", "heal"}).exit, 0);
    }
    EXPECT_TRUE(eventually([&] { return cluster.serves(3); }, recovery_max))
        << cluster.status().dump(1) << cluster.log_of(3);
    EXPECT_THAT(cluster.log_of(3), HasSubstr("event=state_installed"));
    EXPECT_EQ(cluster.get("meanwhile"), "2");
}

TEST(StateTransfer, a_replica_whose_disk_was_lost_recovers_its_state_and_its_vote) {
    ClusterWithCheckpoints cluster;
    fall_behind(cluster, 3);
    fs::remove_all(cluster.folder() / "data" / "replica-3");
    cluster.up({"--only", "3"});
    EXPECT_THAT(cluster.log_of(3), HasSubstr("may have forgotten votes"));
    EXPECT_TRUE(eventually([&] { return cluster.serves(3); }, recovery_max))
        << cluster.status().dump(1) << cluster.log_of(3);
    cluster.expect_to_be_of_use(3);
    EXPECT_EQ(cluster.get("before"), "1");
    EXPECT_EQ(cluster.get("meanwhile"), "2");
}

TEST(StateTransfer, a_state_that_rots_while_it_is_served_is_repaired) {
    ClusterWithCheckpoints cluster({"--experiments"});
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    cluster.load("3");
    ASSERT_TRUE(eventually([&] { return cluster.stable_of(2) > 0; })) << cluster.status().dump(1);
    const Ran rot = cluster.loyal({"disk", "2", "rot", "40"});
    ASSERT_EQ(rot.exit, 0) << rot.error;
    // Nobody has to read it: the scrub does.
    EXPECT_TRUE(
        eventually([&] { return cluster.log_of(2).find("event=state_installed") != std::string::npos; }, recovery_max))
        << cluster.status().dump(1) << cluster.log_of(2);
    EXPECT_TRUE(eventually([&] { return cluster.serves(2); }, recovery_max)) << cluster.status().dump(1);
    EXPECT_EQ(cluster.get("k"), "v");
}

}  // namespace
}  // namespace loyal::system_test
