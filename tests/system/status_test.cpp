// What real replicas say of themselves: clocks against each other, whom they suspect, what it all cost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <sstream>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

bool clocks_known(const json& status) {
    return std::all_of(status["replicas"].begin(), status["replicas"].end(), [](const json& row) {
        return row["clock"].is_object() && row["clock"]["offset_ms"].is_number() && row["clock"]["peers"].size() == 3;
    });
}

void write_some(const ClusterOfProcesses& cluster, const std::string& prefix) {
    for (int i = 0; i < 5; ++i) {
        ASSERT_EQ(cluster.loyal({"put", prefix + std::to_string(i), "v"}).exit, 0);
    }
}

TEST(Status, replicas_of_one_machine_find_their_clocks_equal) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_TRUE(eventually([&] { return clocks_known(cluster.status()); }, 20s)) << cluster.status().dump(1);
    const json status = cluster.status();
    for (const json& row : status["replicas"]) {
        const json& clock = row["clock"];
        ASSERT_TRUE(clock["offset_ms"].is_number() && clock["uncertainty_ms"].is_number()) << row.dump(1);
        const double offset_ms = clock["offset_ms"], uncertainty_ms = clock["uncertainty_ms"];
        EXPECT_GT(uncertainty_ms, 0);
        EXPECT_LT(uncertainty_ms, 125) << "half of precision_ms";
        // They read the very same clock.
        EXPECT_LE(std::fabs(offset_ms), uncertainty_ms);
        EXPECT_EQ(clock["verdict"], "inside");
        for (const auto& [peer, estimate] : clock["peers"].items()) {
            EXPECT_NE(peer, std::to_string(row["id"].get<int>()));
            EXPECT_LE(std::fabs(estimate["offset_ms"].get<double>()), estimate["uncertainty_ms"].get<double>());
            EXPECT_GT(estimate["round_trip_ms"].get<double>(), 0);
        }
    }
}

TEST(Status, every_peer_has_a_suspicion_and_a_dead_ones_rises) {
    ClusterOfProcesses cluster;
    cluster.up();
    write_some(cluster, "a");
    const int dead = (cluster.await_primary() + 1) % 4;
    for (const json& row : cluster.status()["replicas"]) {
        ASSERT_EQ(row["suspicion"].size(), 3U) << row.dump(1);
        for (const auto& [peer, phi] : row["suspicion"].items()) {
            EXPECT_NE(peer, std::to_string(row["id"].get<int>()));
            EXPECT_TRUE(phi.is_number()) << row.dump(1);
        }
        EXPECT_GT(row["detector"]["progress_timeout_ms"].get<double>(), 0);
    }
    cluster.kill(dead);
    const int witness = (dead + 1) % 4;
    const auto phi_of = [&](int peer) {
        const json phi = cluster.status_of(witness)["suspicion"][std::to_string(peer)];
        return phi.is_number() ? phi.get<double>() : phi.is_null() ? 1e9 : 0.0;  // null: beyond all numbers
    };
    EXPECT_TRUE(eventually([&] { return phi_of(dead) > 8; }, 20s)) << cluster.status().dump(1);
    EXPECT_LT(phi_of((dead + 2) % 4), 8) << "the living are not suspected with it";
    const Ran table = cluster.loyal({"status"});
    EXPECT_EQ(table.exit, 0) << "three of four are a quorum";
    EXPECT_THAT(table.out, HasSubstr(" " + std::to_string(dead) + ":")) << "it leads the list of the suspected";
}

TEST(Status, costs_grow_with_the_work) {
    ClusterOfProcesses cluster;
    cluster.up();
    // One at a time everywhere: a replica that lags behind the answers puts several blocks into one sync.
    const auto write_one = [&](int i) {
        ASSERT_EQ(cluster.loyal({"put", "k", std::to_string(i)}).exit, 0);
        ASSERT_TRUE(eventually([&] { return cluster.caught_up(3); }));
    };
    write_one(0);
    const json before = cluster.status();
    constexpr int writes = 5, quorum = 3;
    for (int i = 1; i <= writes; ++i) {
        write_one(i);
    }
    const json after = cluster.status();
    std::map<std::string, int> of_all;
    for (std::size_t i = 0; i < 4; ++i) {
        const json& was = before["replicas"][i]["costs"];
        const json& is = after["replicas"][i]["costs"];
        const auto grown = [&](const char* field) { return is[field].get<int>() - was[field].get<int>(); };
        for (const char* field : {"signatures", "verifications", "syncs"}) {
            of_all[field] += grown(field);
        }
        for (const char* field : {"messages", "bytes", "verifications"}) {
            EXPECT_GE(grown(field), writes) << field << " of replica " << i << was << is;
        }
        EXPECT_EQ(grown("operations"), writes) << i;
    }
    // A quorum votes, not always the same one: who gets the certificate first need not vote any more.
    for (const char* field : {"signatures", "syncs"}) {
        EXPECT_GE(of_all[field], writes * quorum) << field;
    }
    EXPECT_GE(of_all["verifications"], writes * quorum * quorum) << "an envelope and votes of a quorum for each write";
}

TEST(Status, the_table_fits_a_terminal) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_TRUE(eventually([&] { return clocks_known(cluster.status()); }, 20s));
    const Ran ran = cluster.loyal({"status"});
    ASSERT_EQ(ran.exit, 0) << ran.error;
    EXPECT_THAT(ran.out, HasSubstr("±"));
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(line.size(), 121U) << line;
    }
}

}  // namespace
}  // namespace loyal::system_test
