#include "replica/report.h"

#include <gtest/gtest.h>

#include <limits>
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
    EXPECT_EQ(json["stable_checkpoint"], 0);
    EXPECT_TRUE(json["transfer"].is_null());
    EXPECT_TRUE(json["clock"].contains("offset_ms"));
    EXPECT_TRUE(json["clock"].contains("uncertainty_ms"));
    EXPECT_TRUE(json["suspicion"].is_object());
    EXPECT_TRUE(json["alarms"].is_array());
}

Report with_numbers() {
    Report report = healthy();
    report.core.suspicion.resize(4);
    report.core.suspicion[0] = {8.25, 51.5, 3.5, 2};
    report.core.suspicion[1] = {std::numeric_limits<double>::infinity(), 0, std::nullopt, 0};
    report.core.suspicion[2] = {99, 99, 99.0, 99};  // its own entry
    report.core.progress_timeout_ms = 800;
    report.core.last_time_out = "no heartbeat";
    report.core.view_changes = 5;
    report.clock.verdict = ClockVerdict::outside;
    report.clock.offset_us = -1'500'250;
    report.clock.uncertainty_us = 125;
    report.clock.outside_by_us = 1'500'000;
    report.clock.peers.resize(4);
    report.clock.peers[0] = PeerClock{1'500'300, 90, 180, 40};
    report.clock.peer_jumps = {3, 0, 0, 0};
    report.clock.own_jumps = 1;
    report.clock.probes = 30;
    report.clock.answers = 20;
    report.clock.unasked = 2;
    report.clock.impossible = 4;
    report.clock_steps = 6;
    report.peer_frames_out = 11;
    report.peer_bytes_out = 12;
    report.node.signatures = 13;
    report.verifications = 14;
    report.log_transactions = 15;
    report.node.operations_executed = 16;
    report.accusations = 17;
    report.fault = "byzantine silent";
    return report;
}

TEST(ReportTest, status_tells_clocks_suspicion_and_costs) {
    const auto json = nlohmann::json::parse(status_json(with_numbers()));
    EXPECT_EQ(json["clock"]["offset_ms"], -1500.25);
    EXPECT_EQ(json["clock"]["uncertainty_ms"], 0.125);
    EXPECT_EQ(json["clock"]["verdict"], "outside");
    EXPECT_EQ(json["clock"]["outside_by_ms"], 1500);
    EXPECT_EQ(json["clock"]["jumps"], 1);
    EXPECT_EQ(json["clock"]["wall_clock_steps"], 6);
    EXPECT_EQ(json["clock"]["peers"].size(), 1U) << "of those that answered";
    EXPECT_EQ(json["clock"]["peers"]["0"]["offset_ms"], 1500.3);
    EXPECT_EQ(json["clock"]["peers"]["0"]["uncertainty_ms"], 0.09);
    EXPECT_EQ(json["clock"]["peers"]["0"]["round_trip_ms"], 0.18);
    EXPECT_EQ(json["clock"]["peers"]["0"]["jumps"], 3);
    EXPECT_EQ(json["suspicion"].size(), 3U) << "of each peer, not of itself";
    EXPECT_EQ(json["suspicion"]["0"], 8.25);
    EXPECT_TRUE(json["suspicion"]["1"].is_null()) << "JSON knows no infinity";
    EXPECT_EQ(json["suspicion"]["3"], 0);
    EXPECT_EQ(json["detector"]["progress_timeout_ms"], 800);
    EXPECT_EQ(json["detector"]["last_time_out"], "no heartbeat");
    EXPECT_EQ(json["detector"]["view_changes"], 5);
    EXPECT_EQ(json["detector"]["peers"]["0"]["heartbeat_interval_ms"], 51.5);
    EXPECT_EQ(json["detector"]["peers"]["0"]["order_latency_ms"], 3.5);
    EXPECT_EQ(json["detector"]["peers"]["0"]["deposed"], 2);
    EXPECT_TRUE(json["detector"]["peers"]["1"]["order_latency_ms"].is_null());
    EXPECT_EQ(json["costs"], nlohmann::json({{"messages", 11},
                                             {"bytes", 12},
                                             {"signatures", 13},
                                             {"verifications", 14},
                                             {"syncs", 15},
                                             {"operations", 16}}));
    EXPECT_EQ(json["fault"], "byzantine silent");
}

TEST(ReportTest, a_clock_without_a_majority_to_compare_with_has_no_offset) {
    for (const ClockVerdict verdict : {ClockVerdict::unknown, ClockVerdict::scattered}) {
        Report report = with_numbers();
        report.clock.verdict = verdict;
        const auto json = nlohmann::json::parse(status_json(report));
        EXPECT_TRUE(json["clock"]["offset_ms"].is_null());
        EXPECT_TRUE(json["clock"]["uncertainty_ms"].is_null());
        EXPECT_EQ(json["clock"]["verdict"], name_of(verdict));
    }
}

TEST(ReportTest, metrics_tell_clocks_suspicion_and_costs) {
    const std::string text = metrics_text(with_numbers());
    for (const char* line : {"loyal_suspicion_phi{peer=\"0\"} 8.25",
                             "loyal_suspicion_phi{peer=\"1\"} +Inf",
                             "loyal_heartbeat_interval_seconds{peer=\"0\"} 0.0515",
                             "loyal_order_latency_seconds{peer=\"0\"} 0.0035",
                             "loyal_deposed_total{peer=\"0\"} 2",
                             "loyal_progress_timeout_seconds 0.8",
                             "loyal_fault{fault=\"byzantine silent\"} 1",
                             "loyal_clock_state{state=\"outside\"} 1",
                             "loyal_clock_offset_seconds -1.50025",
                             "loyal_clock_uncertainty_seconds 0.000125",
                             "loyal_clock_outside_seconds 1.5",
                             "loyal_peer_clock_offset_seconds{peer=\"0\"} 1.5003",
                             "loyal_peer_clock_uncertainty_seconds{peer=\"0\"} 9",
                             "loyal_peer_round_trip_seconds{peer=\"0\"} 0.00018",
                             "loyal_peer_clock_jumps_total{peer=\"0\"} 3",
                             "loyal_clock_jumps_total 1",
                             "loyal_clock_steps_total 6",
                             "loyal_clock_probes_total 30",
                             "loyal_clock_answers_total{result=\"impossible\"} 4",
                             "loyal_clock_answers_total{result=\"unasked\"} 2",
                             "loyal_clock_answers_total{result=\"used\"} 20",
                             "loyal_verifications_total 14",
                             "loyal_signatures_total 13"}) {
        EXPECT_NE(text.find(line), std::string::npos) << line << "\n" << text;
    }
    for (const char* line :
         {"peer=\"2\"", "loyal_order_latency_seconds{peer=\"1\"}", "loyal_peer_clock_offset_seconds{peer=\"1\"}"}) {
        EXPECT_EQ(text.find(line), std::string::npos) << line;
    }
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

TEST(ReportTest, a_replica_that_recovers_says_so_and_is_not_healthy) {
    Report report = healthy();
    report.core.stable_checkpoint = consensus::Height(640);
    report.core.state_lost = "a record does not match its seal";
    report.state.transferring = true;
    report.state.phase = "fetching";
    report.state.target = consensus::Height(640);
    report.state.progress.buckets_done = 32'768;
    EXPECT_EQ(role_of(report), "recovering");
    EXPECT_FALSE(is_healthy(report));
    EXPECT_EQ(progress_text(report.state), "fetching the state of height 640, 50 %");
    const auto json = nlohmann::json::parse(status_json(report));
    EXPECT_EQ(json["stable_checkpoint"], 640);
    EXPECT_EQ(json["transfer"]["buckets"], 32'768);
    report.core.state_lost = "diverged: the root of the state at height 640 is not the one that a quorum certified";
    EXPECT_EQ(role_of(report), "diverged");
    EXPECT_FALSE(is_healthy(report));
    report.core.state_lost.clear();
    EXPECT_TRUE(is_healthy(report));
    report.core.amnesiac = true;
    EXPECT_EQ(role_of(report), "recovering");
    EXPECT_FALSE(is_healthy(report));
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
