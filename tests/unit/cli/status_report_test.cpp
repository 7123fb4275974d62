#include "client/cli/status_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace loyal::cli {
namespace {

using ::testing::HasSubstr;

config::Cluster cluster_of(std::uint16_t n) {
    config::Cluster cluster;
    for (std::uint16_t id = 0; id < n; ++id) {
        cluster.replicas.emplace_back().id = id;
    }
    return cluster;
}

client::ReplicaStatus answer(std::uint16_t id, const std::string& role) {
    client::ReplicaStatus status;
    status.replica = consensus::ReplicaId(id);
    status.reachable = true;
    status.json =
        R"({"id":)" + std::to_string(id) + R"(,"role":")" + role +
        R"(","view":3,"executed":9,"lag":0,"clock":{"offset_ms":0.5,"uncertainty_ms":2},"suspicion":{"0":1.25},"extra":1})";
    return status;
}

client::ReplicaStatus silence(std::uint16_t id) {
    client::ReplicaStatus status;
    status.replica = consensus::ReplicaId(id);
    status.why = "connection refused";
    return status;
}

TEST(StatusReport, a_quorum_of_primary_and_backups_is_healthy) {
    const auto document =
        status_document(cluster_of(4), {answer(0, "primary"), answer(1, "backup"), answer(2, "backup"), silence(3)});
    EXPECT_EQ(document["healthy"], true);
    EXPECT_EQ(document["quorum"], 3);
    EXPECT_EQ(document["n"], 4);
    EXPECT_EQ(document["f"], 1);
    EXPECT_EQ(document["fault_model"], "byzantine");
}

TEST(StatusReport, replicas_that_recover_or_are_silent_do_not_count) {
    EXPECT_EQ(status_document(cluster_of(4), {answer(0, "primary"), answer(1, "backup"), answer(2, "recovering"),
                                              silence(3)})["healthy"],
              false);
    EXPECT_EQ(status_document(cluster_of(4), {answer(0, "primary"), answer(1, "backup"), answer(2, "diverged"),
                                              answer(3, "halted")})["healthy"],
              false);
}

TEST(StatusReport, an_unreachable_replica_has_a_row_with_every_field) {
    const auto row = status_document(cluster_of(4), {silence(2)})["replicas"][0];
    EXPECT_EQ(row["id"], 2);
    EXPECT_EQ(row["reachable"], false);
    for (const char* field : {"role", "view", "executed", "stable_checkpoint", "lag", "clock", "suspicion", "fault",
                              "uptime_s", "db_bytes", "state_digest"}) {
        ASSERT_TRUE(row.contains(field)) << field;
        EXPECT_TRUE(row[field].is_null()) << field;
    }
    EXPECT_TRUE(row["alarms"].is_array());
    EXPECT_EQ(row["why"], "connection refused");
}

TEST(StatusReport, a_replica_can_say_nothing_about_its_id_and_nonsense_counts_as_silence) {
    client::ReplicaStatus liar = answer(0, "primary");
    liar.json = R"({"id":7,"reachable":false,"role":"backup"})";
    client::ReplicaStatus babbler = answer(1, "backup");
    babbler.json = "[[[";
    const auto document = status_document(cluster_of(4), {liar, babbler});
    EXPECT_EQ(document["replicas"][0]["id"], 0);
    EXPECT_EQ(document["replicas"][0]["reachable"], true);
    EXPECT_EQ(document["replicas"][1]["reachable"], false);
}

TEST(StatusReport, the_table_has_a_row_a_replica_and_survives_odd_values) {
    client::ReplicaStatus odd = answer(1, "backup");
    odd.json = R"({"role":["x"],"view":"many","clock":7,"suspicion":[],"alarms":[{"a":1}],"db_bytes":"big"})";
    const std::string text = status_table(status_document(cluster_of(4), {answer(0, "primary"), odd, silence(2)}));
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
    EXPECT_THAT(text, HasSubstr("primary"));
    EXPECT_THAT(text, HasSubstr("0.5 ±2 ms"));
    EXPECT_THAT(text, HasSubstr("0:1.2"));
    EXPECT_THAT(text, HasSubstr("unreachable"));
    EXPECT_THAT(text, HasSubstr("connection refused"));
}

}  // namespace
}  // namespace loyal::cli
