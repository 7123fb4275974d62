#include "replica/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace loyal::replica {
namespace {

Report healthy() {
    Report report;
    report.id = 2;
    report.replicas = 4;
    report.quorum = 3;
    report.peer_links = 3;
    report.executed = 10;
    report.core.committed.height = consensus::Height(10);
    report.peer_committed_max = 10;
    report.executed_digest = std::string(64, 'a');
    return report;
}

// The contract's `status -w json` element.
TEST(ReportTest, status_has_every_field_of_the_contract) {
    const auto json = nlohmann::json::parse(status_json(healthy()));
    for (const char* field : {"id", "reachable", "role", "view", "executed", "stable_checkpoint", "lag", "clock",
                              "suspicion", "fault", "uptime_s", "db_bytes", "state_digest", "alarms"}) {
        EXPECT_TRUE(json.contains(field)) << field;
    }
    EXPECT_EQ(json["id"], 2);
    EXPECT_EQ(json["reachable"], true);
    EXPECT_EQ(json["role"], "backup");
    EXPECT_EQ(json["executed"], 10);
    EXPECT_EQ(json["lag"], 0);
    EXPECT_EQ(json["fault"], "none");
    EXPECT_TRUE(json["stable_checkpoint"].is_null());
    EXPECT_TRUE(json["clock"].contains("offset_ms"));
    EXPECT_TRUE(json["clock"].contains("uncertainty_ms"));
    EXPECT_TRUE(json["suspicion"].is_object());
    EXPECT_TRUE(json["alarms"].is_array());
}

TEST(ReportTest, roles) {
    Report report = healthy();
    report.core.is_leader = true;
    EXPECT_EQ(role_of(report), "primary");
    report.peer_committed_max = 1'000;
    EXPECT_EQ(role_of(report), "recovering");
    EXPECT_EQ(lag_of(report), 990U);
    report.core.halted = true;
    EXPECT_EQ(role_of(report), "halted");
}

TEST(ReportTest, healthy_needs_links_to_a_quorum_and_execution) {
    EXPECT_TRUE(is_healthy(healthy()));
    Report report = healthy();
    report.peer_links = 2;
    EXPECT_TRUE(is_healthy(report)) << "itself and two others are a quorum of three";
    report.peer_links = 1;
    EXPECT_FALSE(is_healthy(report));
    EXPECT_EQ(nlohmann::json::parse(health_json(report))["status"], "unhealthy");
    EXPECT_EQ(nlohmann::json::parse(health_json(report))["alarms"].size(), 1U);
    report = healthy();
    report.executes = false;
    EXPECT_FALSE(is_healthy(report));
    report = healthy();
    report.core.halted = true;
    EXPECT_FALSE(is_healthy(report));
    EXPECT_EQ(nlohmann::json::parse(health_json(healthy()))["status"], "ok");
}

TEST(ReportTest, metrics_are_prometheus_text) {
    Report report = healthy();
    report.core.entered = consensus::View(7);
    report.rejected["peer: not authentic"] = 3;
    report.node.rejected["stale vote"] = 2;
    Durations durations;
    durations.add(std::chrono::microseconds(60));
    durations.add(std::chrono::seconds(60));
    report.log_durations = &durations;
    const std::string text = metrics_text(report);
    for (const char* line :
         {"loyal_view 7", "loyal_committed_height 10", "loyal_executed_height 10", "loyal_is_primary 0",
          "loyal_links_up 3", "loyal_healthy 1", "loyal_rejected_total{reason=\"peer: not authentic\"} 3",
          "loyal_rejected_total{reason=\"stale vote\"} 2", "loyal_log_sync_seconds_count 2",
          "loyal_log_sync_seconds_bucket{le=\"+Inf\"} 2", "# TYPE loyal_commits_total counter"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
    }
}

}  // namespace
}  // namespace loyal::replica
