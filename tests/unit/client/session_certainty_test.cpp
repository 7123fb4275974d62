// What a write's end says of it: surely not applied, or maybe.
#include <gtest/gtest.h>

#include "config/limits.h"
#include "tests/unit/client/session_write_fixture.h"

namespace loyal::client {
namespace {

using namespace test;
using kvstore::Status;
using wire::RefusalCode;

TEST_F(SessionWrite, never_handed_to_anybody_is_surely_not_applied) {
    index = cluster.write(put("k"));
    cluster.advance(5'000);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::not_applied);
}

TEST_F(SessionWrite, unreachable_replicas_are_reported_at_once) {
    index = cluster.write(put("k"));
    const std::size_t read = cluster.read(key_range("k"));
    cluster.session.unreachable(cluster.now_ms, "connection refused", false, cluster.now_ms);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::not_applied);
    EXPECT_FALSE(result()->denied);
    ASSERT_TRUE(cluster.reads[read]);
    EXPECT_FALSE(cluster.reads[read]->ok);
    index = cluster.write(put("k"));
    cluster.session.unreachable(cluster.now_ms - 1, "before it was asked", false, cluster.now_ms);
    EXPECT_FALSE(result());
    cluster.session.unreachable(cluster.now_ms, "unknown client key", true, cluster.now_ms);
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->denied);
}

TEST_F(SessionWrite, handed_over_and_unanswered_may_have_been_applied) {
    (void)launched();
    cluster.advance(5'000);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::maybe_applied);
}

TEST_F(SessionWrite, refused_by_all_proves_nothing_where_replicas_may_lie) {
    const consensus::Envelope envelope = launched();
    cluster.advance(100);
    (void)cluster.take_envelopes();
    for (std::size_t round = 0; round < 20; ++round) {
        for (std::size_t i = 0; i < 4; ++i) {
            cluster.refuse(i, envelope, RefusalCode::disk_full);
        }
        cluster.advance(250);
        (void)cluster.take_envelopes();
    }
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::maybe_applied);
    EXPECT_NE(result()->why.find("disk_full"), std::string::npos) << result()->why;
}

// Replicas that are full say so unasked. What was handed to nobody is surely not applied, and that is said at once.
class SessionWriteFull : public SessionWrite {
 protected:
    void announce(std::size_t replica) {
        const ReplicaId id(static_cast<std::uint16_t>(replica));
        cluster.deliver(replica, wire::Refusal{id, RefusalCode::disk_full, false, {}, 0, "no room"});
    }
};

TEST_F(SessionWriteFull, without_a_quorum_that_has_room_nothing_is_handed_over) {
    cluster.connect_all();
    announce(0);
    announce(1);
    index = cluster.write(put("k"));
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.advance(10);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::not_applied);
    EXPECT_NE(result()->why.find("disk_full"), std::string::npos) << result()->why;
    cluster.connect(1);
    index = cluster.write(put("k"));
    EXPECT_EQ(cluster.take_envelopes().size(), 1U) << "one has room again";
}

TEST_F(SessionWriteFull, f_replicas_alone_keep_nobody_from_writing) {
    cluster.connect_all();
    announce(3);
    announce(3);
    index = cluster.write(put("k"));
    EXPECT_EQ(cluster.take_envelopes().size(), 1U);
}

TEST_F(SessionWriteFull, when_one_is_full_the_others_are_heard_first) {
    cluster.connect(0);
    announce(0);
    cluster.connect(1);
    index = cluster.write(put("k"));
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.connect(2);
    announce(2);
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.advance(10);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::not_applied);
    // Who cannot be reached is not waited for longer than a retry takes.
    cluster.connect(2);
    index = cluster.write(put("k"));
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.advance(100);
    EXPECT_FALSE(cluster.take_envelopes().empty());
}

TEST_F(SessionWriteFull, what_was_handed_over_before_may_have_been_applied) {
    const consensus::Envelope envelope = launched();
    for (std::size_t i = 0; i < 4; ++i) {
        cluster.refuse(i, envelope, RefusalCode::disk_full);
    }
    cluster.advance(5'000);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::maybe_applied);
}

TEST(SessionWriteCrash, refused_by_all_who_were_asked_is_surely_not_applied) {
    ScriptedCluster cluster(3, FaultModel::crash);
    cluster.connect_all();
    const std::size_t index = cluster.write(put("k"));
    while (!cluster.writes[index]) {
        for (const auto& [to, envelope] : cluster.take_envelopes()) {
            cluster.refuse(to, envelope, RefusalCode::disk_full);
        }
        cluster.advance(10);
    }
    EXPECT_EQ(cluster.writes[index]->certainty, Certainty::not_applied);
}

TEST(SessionWriteCrash, one_copy_that_was_not_refused_may_have_been_applied) {
    ScriptedCluster cluster(3, FaultModel::crash);
    cluster.connect_all();
    const std::size_t index = cluster.write(put("k"));
    bool kept = false;
    while (!cluster.writes[index]) {
        for (const auto& [to, envelope] : cluster.take_envelopes()) {
            if (to == 2 && !kept) {
                kept = true;
                continue;
            }
            cluster.refuse(to, envelope, RefusalCode::busy);
        }
        cluster.advance(10);
    }
    EXPECT_TRUE(kept);
    EXPECT_EQ(cluster.writes[index]->certainty, Certainty::maybe_applied);
}

TEST(SessionWriteCrash, the_leaders_reply_is_enough_and_nothing_is_signed) {
    ScriptedCluster cluster(3, FaultModel::crash);
    cluster.connect_all(1);
    const std::size_t index = cluster.write(put("k"));
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].first, 1U);
    EXPECT_TRUE(sent[0].second.signature.is_zero());
    cluster.reply(1, sent[0].second, ScriptedCluster::outcome(Seq(1)));
    ASSERT_TRUE(cluster.writes[index]);
    EXPECT_EQ(cluster.writes[index]->certainty, Certainty::done);
}

TEST_F(SessionWrite, a_missing_right_is_believed_from_w_replicas) {
    const consensus::Envelope envelope = launched();
    cluster.advance(100);
    (void)cluster.take_envelopes();
    cluster.refuse(3, envelope, RefusalCode::denied);
    cluster.refuse(3, envelope, RefusalCode::denied);
    EXPECT_FALSE(result());
    cluster.refuse(1, envelope, RefusalCode::denied);
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->denied);
    EXPECT_EQ(result()->certainty, Certainty::not_applied);
}

TEST_F(SessionWrite, a_refusal_of_somebody_who_was_not_asked_counts_for_nothing) {
    const consensus::Envelope envelope = launched();  // only replica 0 has it
    for (std::size_t i = 1; i < 4; ++i) {
        cluster.refuse(i, envelope, RefusalCode::denied);
    }
    EXPECT_FALSE(result());
}

// ---- Expiry (C4)

TEST_F(SessionWrite, an_expired_operation_is_signed_again_under_the_same_number) {
    const consensus::Envelope envelope = launched();
    const std::uint64_t later_ms = envelope.not_after.wall_ms() + 5'000;
    for (const std::size_t from : {0U, 1U}) {
        cluster.reply_all_operations(from, envelope, Status::expired, 50, later_ms);
    }
    EXPECT_FALSE(result());
    cluster.advance(10);
    const auto again = cluster.take_envelopes();
    ASSERT_EQ(again.size(), 4U);
    EXPECT_EQ(again[0].second.seq0, envelope.seq0);
    EXPECT_GT(again[0].second.not_after.wall_ms(), later_ms);
    EXPECT_TRUE(std::ranges::equal(again[0].second.operations, envelope.operations));
    // What slower replicas say of the first version is not about the second.
    for (const std::size_t from : {2U, 3U}) {
        cluster.reply_all_operations(from, envelope, Status::expired, 50, later_ms);
    }
    cluster.advance(10);
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.reply_all_operations(2, again[0].second);
    cluster.reply_all_operations(3, again[0].second);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::done);
}

TEST_F(SessionWrite, one_replicas_word_that_it_expired_changes_nothing) {
    const consensus::Envelope envelope = launched();
    cluster.reply_all_operations(3, envelope, Status::expired, 50, envelope.not_after.wall_ms() + 5'000);
    cluster.advance(100);
    for (const auto& [to, copy] : cluster.take_envelopes()) {
        EXPECT_EQ(copy.digest, envelope.digest);
    }
}

TEST_F(SessionWrite, expired_at_its_end_is_surely_not_applied) {
    const consensus::Envelope envelope = launched();
    cluster.advance(4'990);
    for (const std::size_t from : {0U, 1U}) {
        cluster.reply_all_operations(from, envelope, Status::expired, 50, envelope.not_after.wall_ms() + 5'000);
    }
    cluster.advance(10);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::not_applied) << result()->why;
}

TEST_F(SessionWrite, refused_as_expired_by_w_it_is_signed_again_with_a_later_end) {
    const consensus::Envelope envelope = launched();
    cluster.advance(100);
    (void)cluster.take_envelopes();
    cluster.refuse(0, envelope, RefusalCode::expired);
    cluster.refuse(2, envelope, RefusalCode::expired);
    cluster.advance(400);
    const auto again = cluster.take_envelopes();
    ASSERT_FALSE(again.empty());
    EXPECT_GT(again.back().second.not_after, envelope.not_after);
}

// A refusal names the envelope, not which of its operations were not executed.
TEST_F(SessionWrite, refused_as_expired_at_its_end_is_certain_for_an_envelope_of_one_operation_only) {
    for (const std::size_t operations : {1U, 2U}) {
        ScriptedCluster other;
        other.connect_all();
        for (std::size_t i = 0; i < operations; ++i) {
            other.write(put("k"));
        }
        const consensus::Envelope envelope = other.take_envelopes().at(0).second;
        ASSERT_EQ(envelope.count, operations);
        other.advance(4'990);
        (void)other.take_envelopes();
        other.refuse(0, envelope, RefusalCode::expired);
        other.refuse(1, envelope, RefusalCode::expired);
        other.advance(10);
        ASSERT_TRUE(other.writes[0]);
        EXPECT_EQ(other.writes[0]->certainty, operations == 1 ? Certainty::not_applied : Certainty::maybe_applied);
    }
}

TEST_F(SessionWrite, beyond_the_horizon_the_clock_begins_again_from_what_w_agree_on) {
    for (std::size_t i = 0; i < 4; ++i) {
        cluster.connect(i, 0, cluster_wall_ms + 4 * limits::session_horizon_ms);
    }
    index = cluster.write(put("k"));
    const consensus::Envelope envelope = cluster.take_envelopes().at(0).second;
    cluster.reply_all_operations(0, envelope, Status::beyond_horizon, 9, cluster_wall_ms);
    cluster.reply_all_operations(1, envelope, Status::beyond_horizon, 9, cluster_wall_ms);
    EXPECT_FALSE(result());
    cluster.write(put("later"));
    cluster.advance(10);
    bool seen = false;
    for (const auto& [to, next] : cluster.take_envelopes()) {
        if (next.seq0 == Seq(2)) {
            seen = true;
            EXPECT_LT(next.not_after.wall_ms(), cluster_wall_ms + limits::session_horizon_ms);
        }
    }
    EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace loyal::client
