// Pitfall 23 (docs/PROTOCOL.md §21): a client that sends so that backups wait for what the leader never got, got late,
// or cannot execute must not depose honest leaders.
#include <gtest/gtest.h>

#include "tests/unit/consensus/timed_cluster.h"

namespace loyal::consensus::test {
namespace {

const Members everybody{0, 1, 2, 3};

bool deposed(const TimedCluster& timed) {
    return timed.highest_view() > View(0);
}

TEST(Pitfall23, a_client_that_sends_to_two_backups_only) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_of(off, {}));
            timed.run(500);
            for (std::uint64_t seq = 1; seq <= 20 && !deposed(timed); ++seq) {
                timed.cluster.submit(1, "hidden", seq);
                timed.cluster.submit(2, "hidden", seq);
                timed.run(1'000);
            }
            EXPECT_TRUE(deposed(timed) || timed.executed_envelopes(3) == 20);
            return deposed(timed);
        },
        {"C2"});
}

// The leader gets it after every time-out that the backups could have started when they got it.
TEST(Pitfall23, a_client_that_sends_late_to_the_leader) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_of(off, {}));
            timed.run(500);
            for (std::uint64_t seq = 1; seq <= 5 && !deposed(timed); ++seq) {
                timed.cluster.submit(1, "late", seq);
                timed.cluster.submit(2, "late", seq);
                timed.run(2'000);
                timed.cluster.submit(0, "late", seq);
            }
            return deposed(timed);
        },
        {"C2"});
}

// ... or each time just before they hand it over, so that the leader looks slow by L0. Busy, for a minute.
TEST(Pitfall23, a_client_cannot_make_a_leader_look_slow) {
    TimedCluster timed(shape_of({}, {}));
    for (std::uint64_t seq = 1; seq <= 600; ++seq) {
        timed.cluster.submit(1, "late", seq);
        timed.cluster.submit(2, "late", seq);
        timed.run(40);
        timed.cluster.submit(0, "late", seq);
        timed.run(60);
    }
    EXPECT_EQ(timed.cluster.status(1).last_time_out, "");
    EXPECT_EQ(timed.highest_view().value, 1U) << "one tenure ended by plan";
    EXPECT_GE(timed.executed_envelopes(3), 600U);
}

// The leader orders A. B, which has A's sequence number, is handed to it by the backups; it refuses B, as every replica
// that executed A does (the node's admission: here the network loses it).
TEST(Pitfall23, a_client_that_sends_something_else_to_the_backups) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_of(off, {}));
            timed.network = [](const Packet& packet) -> std::optional<std::uint64_t> {
                return is<Relay>(packet) ? std::nullopt : std::optional<std::uint64_t>(10);
            };
            timed.run(500);
            for (std::uint64_t seq = 1; seq <= 20 && !deposed(timed); ++seq) {
                timed.cluster.submit(0, "A", seq);
                for (const std::size_t backup : {1UL, 2UL, 3UL}) {
                    timed.cluster.submit(backup, "B", seq);
                }
                timed.run(300);
            }
            timed.run(3'000);
            return deposed(timed);
        },
        {"T1-pending"});
}

// What was handed over and lost with a connection is handed over again, before anybody blames the leader.
TEST(Relay, one_that_was_lost_is_sent_again) {
    TimedCluster timed(shape_of({}, {}));
    std::uint64_t lost = 0;
    timed.network = [&](const Packet& packet) -> std::optional<std::uint64_t> {
        if (is<Relay>(packet) && lost < 2) {
            ++lost;
            return std::nullopt;
        }
        return 0;
    };
    timed.cluster.submit(1, "a");
    timed.cluster.submit(2, "a");
    timed.run(350);
    EXPECT_EQ(lost, 2U);
    EXPECT_TRUE(timed.cluster.executed_text(3, "a"));
    EXPECT_FALSE(deposed(timed));
}

// A replica that is far behind what the others committed blames nobody; it catches up.
TEST(CatchUp, a_replica_that_lags_behind_suspects_no_leader) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            Shape shape = shape_of(off, {});
            shape.window = 2;
            TimedCluster timed(shape);
            timed.load = {60, 0, everybody};
            timed.run(1'000);
            bool cut_off = true;
            timed.network = [&](const Packet& packet) -> std::optional<std::uint64_t> {
                // What R3 hands over was executed long ago: the primary's admission refuses it.
                const bool lost = is<Relay>(packet) || (packet.to == ReplicaId(3) && !is<Heartbeat>(packet));
                return cut_off && lost ? std::nullopt : std::optional<std::uint64_t>(0);
            };
            timed.run(5'000);
            const Height reached = timed.cluster.status(3).committed.height;
            EXPECT_GT(timed.cluster.status(0).committed.height.value, reached.value + 30);
            if (timed.cluster.status(3).promised != View(0)) {
                return true;
            }
            cut_off = false;
            timed.run(2'000);
            EXPECT_EQ(timed.cluster.status(3).promised, View(0));
            EXPECT_LE(timed.cluster.status(0).committed.height.value,
                      timed.cluster.status(3).committed.height.value + 2);
            return false;
        },
        {"T1-behind"});
}

}  // namespace
}  // namespace loyal::consensus::test
