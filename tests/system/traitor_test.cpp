// One of four replicas is a traitor: answers stay right and writes go on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"
#include "tests/system/history.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Under load with the traitor at work; the history must hold.
void expect_right_answers(const ClusterOfProcesses& cluster, const std::string& file) {
    const Ran ran = cluster.loyal({"bench", "--mix", "50/50", "--keys", "20", "--clients", "8", "--seconds", "3",
                                   "--timeout", "20s", "--history", cluster.path(file), "-w", "json"});
    ASSERT_EQ(ran.exit, 0) << ran.error;
    const History history = History::load(cluster.path(file));
    EXPECT_GT(history.acknowledged_writes(), 20U) << "more than the load before";
    EXPECT_EQ(history.objections(), std::vector<std::string>{});
}

TEST(Traitor, a_primary_that_equivocates_is_deposed_and_the_data_stay_right) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
    const int traitor = cluster.await_primary();
    const Ran set = cluster.loyal({"traitor", std::to_string(traitor), "equivocate"});
    ASSERT_EQ(set.exit, 0) << set.error;
    EXPECT_THAT(set.out, HasSubstr("equivocate"));
    EXPECT_EQ(cluster.loyal({"put", "during", "2", "--timeout", "20s"}).exit, 0);
    EXPECT_TRUE(eventually([&] { return cluster.primary().value_or(traitor) != traitor; })) << cluster.status().dump(1);
    expect_right_answers(cluster, "history");
    EXPECT_EQ(cluster.get("before"), "1");
    EXPECT_EQ(cluster.get("during"), "2");
    const json faults = json::parse(cluster.loyal({"fault", "list", "-w", "json"}).out);
    EXPECT_EQ(faults["faults"][static_cast<std::size_t>(traitor)]["fault"], "byzantine equivocate");
    EXPECT_EQ(cluster.loyal({"fault", "set", std::to_string(traitor), "none"}).exit, 0);
    EXPECT_EQ(cluster.status_of(traitor)["fault"], "none");
}

TEST(Traitor, a_silent_primary_is_deposed) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "before", "1"}).exit, 0);
    const int traitor = cluster.await_primary();
    ASSERT_EQ(cluster.loyal({"traitor", std::to_string(traitor), "silent"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"put", "during", "2", "--timeout", "20s"}).exit, 0);
    expect_right_answers(cluster, "history");
    EXPECT_EQ(cluster.get("before"), "1");
    EXPECT_EQ(cluster.get("during"), "2");
    // Honest again, it is of use again.
    ASSERT_EQ(cluster.loyal({"traitor", std::to_string(traitor), "none"}).exit, 0);
    EXPECT_TRUE(eventually([&] { return cluster.caught_up(traitor); })) << cluster.status().dump(1);
}

TEST(Traitor, lies_to_clients_are_outvoted) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "truth"}).exit, 0);
    for (int liar = 0; liar < 4; ++liar) {  // the primary among them
        const std::string id = std::to_string(liar);
        ASSERT_EQ(cluster.loyal({"traitor", id, "lie-to-clients"}).exit, 0);
        for (int i = 0; i < 3; ++i) {
            const Ran read = cluster.loyal({"get", "k", "-w", "json"});
            ASSERT_EQ(read.exit, 0) << read.error;
            const json document = json::parse(read.out);
            EXPECT_EQ(document["value"], "truth");
            EXPECT_THAT(document["replicas"].get<std::vector<int>>(), ::testing::Not(::testing::Contains(liar)));
        }
        EXPECT_EQ(cluster.loyal({"put", "written-under-" + id, "yes"}).exit, 0);
        EXPECT_EQ(cluster.get("written-under-" + id), "yes");
        EXPECT_EQ(cluster.loyal({"get", "absent"}).exit, 1);
        expect_right_answers(cluster, "history-" + id);
        // Alone it is believed by nobody who asks for more than its word.
        const Ran stale = cluster.loyal({"get", "k", "--consistency", "stale", "--replica", id, "-w", "json"});
        if (stale.exit == 0) {
            EXPECT_EQ(json::parse(stale.out)["path"], "stale");
        }
        ASSERT_EQ(cluster.loyal({"traitor", id, "none"}).exit, 0);
    }
}

TEST(Traitor, faults_need_experiments_the_admin_right_and_a_known_name) {
    ClusterOfProcesses honest;
    honest.up();
    const Ran off = honest.loyal({"traitor", "0", "silent"});
    EXPECT_EQ(off.exit, 5);
    EXPECT_THAT(off.error, HasSubstr("--experiments"));
    ClusterOfProcesses lab({"--experiments"});
    lab.up();
    EXPECT_EQ(lab.loyal({"--as", "default", "traitor", "0", "silent"}).exit, 5);
    EXPECT_EQ(lab.loyal({"traitor", "0", "sings"}).exit, 2);
    EXPECT_EQ(lab.loyal({"traitor", "9", "silent"}).exit, 2);
    const json status = lab.status();
    for (const auto& row : status["replicas"]) {
        EXPECT_EQ(row["fault"], "none");
    }
}

}  // namespace
}  // namespace loyal::system_test
