#include "client/cli/status_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <sstream>

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
    EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 6);
    EXPECT_THAT(text, HasSubstr("primary"));
    EXPECT_THAT(text, HasSubstr("+0.5±2.0 ms"));
    EXPECT_THAT(text, HasSubstr("0:1.2"));
    EXPECT_THAT(text, HasSubstr("unreachable"));
    EXPECT_THAT(text, HasSubstr("\nreplica 1: alarm: {\"a\":1}\n"));
    EXPECT_THAT(text, HasSubstr("\nreplica 2: connection refused\n"));
}

std::string row_with(const std::string& members) {
    client::ReplicaStatus one = answer(0, "backup");
    one.json = R"({"role":"backup","view":12,"executed":1234567,"lag":0,"fault":"none","uptime_s":86399,)"
               R"("db_bytes":123456789,)" +
               members + "}";
    return status_table(status_document(cluster_of(4), {one}));
}

TEST(StatusReport, the_table_shows_the_clock_against_the_majoritys) {
    EXPECT_THAT(row_with(R"("clock":{"offset_ms":-0.04,"uncertainty_ms":0.26})"), HasSubstr(" +0.0±0.3 ms "));
    EXPECT_THAT(row_with(R"("clock":{"offset_ms":-9000.4,"uncertainty_ms":0.26})"), HasSubstr(" -9000±0.3 ms "));
    EXPECT_THAT(row_with(R"("clock":{"offset_ms":null,"uncertainty_ms":null,"verdict":"scattered"})"),
                HasSubstr(" scattered "));
    EXPECT_THAT(row_with(R"("clock":{"offset_ms":"x","uncertainty_ms":[],"verdict":{}})"), HasSubstr(" - "));
}

TEST(StatusReport, the_table_shows_whom_a_replica_suspects_most) {
    EXPECT_THAT(row_with(R"("suspicion":{"0":0.04,"1":12.61,"3":0.2})"), HasSubstr(" 1:13 3:0.2 0:0.0 "));
    EXPECT_THAT(row_with(R"("suspicion":{"0":0,"1":1,"2":2,"3":3,"4":4})"), HasSubstr(" 4:4.0 3:3.0 2:2.0 … "));
    EXPECT_THAT(row_with(R"("suspicion":{"0":null,"1":0.5})"), HasSubstr(" 1:0.5 0:0.0 "));
}

TEST(StatusReport, the_table_tells_how_far_a_state_transfer_is) {
    client::ReplicaStatus recovering = answer(1, "recovering");
    recovering.json.insert(
        1, R"("transfer":{"checkpoint":640,"buckets":20316,"of":65536,"records_fetched":12,"records_local":5},)");
    const std::string table = status_table(status_document(cluster_of(4), {answer(0, "primary"), recovering}));
    EXPECT_THAT(table, HasSubstr("replica 1: gets the state at height 640 from the others: 31 %, 12 records fetched"));
    client::ReplicaStatus garbled = answer(1, "recovering");
    garbled.json.insert(1, R"("transfer":{"checkpoint":640,"of":"x","records_fetched":[]},)");
    EXPECT_THAT(status_table(status_document(cluster_of(4), {garbled})), HasSubstr(" 0 %"));
}

TEST(StatusReport, a_long_fault_line_is_told_below_and_a_row_fits_a_terminal) {
    const std::string fault = "byzantine lie-to-clients equivocate bad-view-change seed=17";
    const std::string text = row_with(
        R"("suspicion":{"0":10.2,"1":10.6,"3":11.2},"clock":{"offset_ms":-9000.4,"uncertainty_ms":0.26},"fault":")" +
        fault + R"(","alarms":["a","b"])");
    EXPECT_THAT(text, HasSubstr("\nreplica 0: fault " + fault + "\n"));
    EXPECT_THAT(text, HasSubstr("\nreplica 0: alarm: b\n"));
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        EXPECT_LE(line.size(), 123U) << line << " (± and … are two and three bytes)";
    }
}

TEST(StatusReport, one_replica_cannot_fill_the_terminal) {
    std::string alarms;
    for (int i = 0; i < 5'000; ++i) {
        alarms += (i == 0 ? "\"" : ",\"") + std::string(1'000, 'x') + "\"";
    }
    EXPECT_LT(row_with("\"alarms\":[" + alarms + "]").size(), 4'000U);
}

}  // namespace
}  // namespace loyal::cli
