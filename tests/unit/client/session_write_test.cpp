#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <set>

#include "config/limits.h"
#include "tests/unit/client/session_write_fixture.h"

namespace loyal::client {
namespace {

using namespace test;
using kvstore::Status;
using wire::RefusalCode;

TEST_F(SessionWrite, goes_to_the_primary_and_is_done_when_w_replicas_agree) {
    cluster.connect_all(6);
    index = cluster.write(put("k"));
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].first, 2U) << "6 mod 4";
    const consensus::Envelope& envelope = sent[0].second;
    cluster.reply(0, envelope, ScriptedCluster::outcome(Seq(1)));
    EXPECT_FALSE(result());
    cluster.reply(3, envelope, ScriptedCluster::outcome(Seq(1)), false);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->certainty, Certainty::done);
    EXPECT_EQ(result()->outcome.revision, kvstore::Revision(100));
    EXPECT_EQ(result()->replicas, (std::vector{ReplicaId(0), ReplicaId(3)}));
    EXPECT_FALSE(cluster.session.busy());
}

TEST_F(SessionWrite, the_envelope_is_signed_and_says_until_when_it_may_execute) {
    const consensus::Envelope envelope = launched();
    const Bytes signed_form =
        consensus::signed_bytes(cluster.membership.context, consensus::SignDomain::submit, envelope.digest.view());
    EXPECT_TRUE(crypto::Ed25519Verifier().verify(cluster.identity.public_key(), signed_form, envelope.signature));
    EXPECT_GT(envelope.not_after.wall_ms(), cluster_wall_ms);
    EXPECT_LT(envelope.not_after.wall_ms(), cluster_wall_ms + limits::session_horizon_ms);
    EXPECT_EQ(envelope.seq0, Seq(1));
    EXPECT_EQ(envelope.ack_low, Seq(1));
}

TEST_F(SessionWrite, one_liar_cannot_make_it_believe_anything) {
    const consensus::Envelope envelope = launched();
    kvstore::Outcome lie = ScriptedCluster::outcome(Seq(1), Status::mismatch);
    for (int i = 0; i < 10; ++i) {
        cluster.reply(3, envelope, lie);
    }
    EXPECT_FALSE(result());
    cluster.reply(1, envelope, ScriptedCluster::outcome(Seq(1)));
    cluster.reply(3, envelope, lie);
    EXPECT_FALSE(result());
    cluster.reply(2, envelope, ScriptedCluster::outcome(Seq(1)));
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->outcome.status, Status::ok);
}

TEST_F(SessionWrite, who_speaks_is_known_from_the_link_not_from_the_message) {
    const consensus::Envelope envelope = launched();
    const kvstore::Outcome lie = ScriptedCluster::outcome(Seq(1), Status::mismatch);
    for (std::uint16_t claimed = 0; claimed < 4; ++claimed) {
        cluster.deliver(3, wire::Reply{ReplicaId(claimed),
                                       envelope.session,
                                       View(0),
                                       Hlc(cluster_wall_ms, 0),
                                       {{lie.seq, lie, kvstore::outcome_digest(lie)}}});
    }
    EXPECT_FALSE(result());
}

TEST_F(SessionWrite, operations_that_arrive_meanwhile_share_envelopes_of_which_two_fly) {
    cluster.connect_all();
    cluster.write(put("a"));
    ASSERT_EQ(cluster.take_envelopes().size(), 1U);
    cluster.write(put("b"));
    ASSERT_EQ(cluster.take_envelopes().size(), 1U);
    for (int i = 0; i < 300; ++i) {
        cluster.write(put("c"));
    }
    EXPECT_TRUE(cluster.take_envelopes().empty()) << "two are in flight";
    EXPECT_EQ(cluster.session.status().waiting, 300U);
    EXPECT_EQ(cluster.session.status().in_flight, 2U);
}

TEST_F(SessionWrite, sequence_numbers_are_gapless_and_replies_may_come_in_any_order) {
    cluster.connect_all();
    std::vector<consensus::Envelope> flying;
    std::uint64_t next = 1;
    for (int round = 0; round < 20; ++round) {
        for (int i = 0; i < 40; ++i) {
            cluster.write(put("k" + std::to_string(i)));
        }
        for (auto& [to, envelope] : cluster.take_envelopes()) {
            EXPECT_EQ(envelope.seq0, Seq(next));
            EXPECT_LE(envelope.ack_low, envelope.seq0);
            EXPECT_LT(envelope.seq0.value + envelope.count, envelope.ack_low.value + limits::session_window);
            next += envelope.count;
            flying.push_back(envelope);
        }
        std::reverse(flying.begin(), flying.end());
        while (!flying.empty()) {
            const consensus::Envelope envelope = flying.back();
            flying.pop_back();
            for (const std::size_t from : {2U, 0U, 1U, 3U}) {
                cluster.reply_all_operations(from, envelope);
            }
            for (auto& [to, more] : cluster.take_envelopes()) {
                EXPECT_EQ(more.seq0, Seq(next));
                next += more.count;
                flying.insert(flying.begin(), more);
            }
        }
    }
    EXPECT_EQ(next, 801U);
    EXPECT_TRUE(std::all_of(cluster.writes.begin(), cluster.writes.end(),
                            [](const auto& each) { return each && each->certainty == Certainty::done; }));
}

TEST_F(SessionWrite, an_envelope_holds_at_most_256_operations_and_its_byte_target) {
    cluster.connect_all();
    for (int i = 0; i < 600; ++i) {
        cluster.write(put("k"));
    }
    const auto many = cluster.take_envelopes();
    ASSERT_EQ(many.size(), 2U);
    EXPECT_EQ(many[0].second.count, limits::envelope_ops_max);
    ScriptedCluster other;
    other.connect_all();
    const std::string large(100'000, 'x');
    for (int i = 0; i < 5; ++i) {
        other.write(put("k", large));
    }
    const auto big = other.take_envelopes();
    ASSERT_EQ(big.size(), 2U);
    EXPECT_EQ(big[0].second.count, 2U) << "256 KiB hold two of 100 kB";
}

TEST_F(SessionWrite, the_largest_value_passes_and_a_larger_one_is_refused_here) {
    cluster.connect_all();
    const std::string largest(limits::value_bytes_max, 'x');
    kvstore::CompareAndSet cas{Bytes(limits::key_bytes_max, 'k'), bytes_of(largest), bytes_of(largest)};
    cluster.write(cas);
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_LE(sent[0].second.bytes.size(), limits::envelope_bytes_max);
    const std::size_t refused = cluster.write(put("k", largest + "x"));
    const std::size_t nameless = cluster.write(put("", "v"));
    cluster.advance(10);
    ASSERT_TRUE(cluster.writes[refused] && cluster.writes[nameless]);
    EXPECT_EQ(cluster.writes[refused]->certainty, Certainty::not_applied);
    EXPECT_NE(cluster.writes[refused]->why.find("1048577"), std::string::npos) << cluster.writes[refused]->why;
    EXPECT_EQ(cluster.writes[nameless]->certainty, Certainty::not_applied);
}

TEST_F(SessionWrite, nothing_leaves_before_w_replicas_have_told_the_time) {
    index = cluster.write(put("k"));
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.connect(0);
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.connect(1);
    EXPECT_EQ(cluster.take_envelopes().size(), 1U);
}

TEST_F(SessionWrite, a_liars_clock_does_not_reach_not_after) {
    cluster.connect(0, 0, cluster_wall_ms * 2);
    cluster.connect(1);
    cluster.connect(2);
    cluster.write(put("k"));
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_LT(sent[0].second.not_after.wall_ms(), cluster_wall_ms + limits::session_horizon_ms);
}

TEST_F(SessionWrite, after_t_retry_it_goes_to_all_and_then_less_and_less_often) {
    const consensus::Envelope envelope = launched();
    cluster.advance(90);
    EXPECT_TRUE(cluster.take_envelopes().empty());
    cluster.advance(10);
    auto again = cluster.take_envelopes();
    ASSERT_EQ(again.size(), 4U);
    for (const auto& [to, copy] : again) {
        EXPECT_EQ(copy.digest, envelope.digest) << "the same bytes";
    }
    std::vector<std::uint64_t> pauses;
    std::uint64_t last = cluster.now_ms;
    while (cluster.now_ms < 9'000) {
        cluster.advance(10);
        if (!cluster.take_envelopes().empty()) {
            pauses.push_back(cluster.now_ms - last);
            last = cluster.now_ms;
        }
    }
    ASSERT_GE(pauses.size(), 3U);
    EXPECT_TRUE(std::is_sorted(pauses.begin(), pauses.end()));
    EXPECT_GT(pauses.back(), pauses.front());
    EXPECT_GE(cluster.session.status().resends, 4U);
}

TEST_F(SessionWrite, one_of_64_envelopes_goes_to_all_at_once) {
    cluster.connect_all();
    std::size_t probes = 0;
    for (int i = 0; i < 128; ++i) {
        cluster.write(put("k"));
        const auto sent = cluster.take_envelopes();
        probes += sent.size() == 4 ? 1U : 0U;
        cluster.reply_all_operations(0, sent.at(0).second);
        cluster.reply_all_operations(1, sent.at(0).second);
    }
    EXPECT_EQ(probes, 2U);
}

TEST_F(SessionWrite, when_the_primarys_link_breaks_the_others_get_it_at_once) {
    (void)launched();
    cluster.disconnect(0);
    cluster.advance(10);
    EXPECT_EQ(cluster.take_envelopes().size(), 3U);
}

TEST_F(SessionWrite, it_follows_the_primary_that_w_replicas_name) {
    cluster.connect_all(0);
    cluster.deliver(3, wire::Welcome{ReplicaId(3), View(7), ReplicaId(3), Hlc(cluster_wall_ms, 0)});
    cluster.write(put("a"));
    auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].first, 0U) << "one replica's word moves nobody";
    cluster.reply_all_operations(1, sent[0].second);
    cluster.reply_all_operations(2, sent[0].second);
    cluster.deliver(1, wire::Welcome{ReplicaId(1), View(7), ReplicaId(3), Hlc(cluster_wall_ms, 0)});
    cluster.write(put("b"));
    sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].first, 3U);
}

// ---- Sessions that cannot go on

TEST_F(SessionWrite, a_lost_operation_is_acknowledged_so_that_the_session_goes_on) {
    (void)launched();
    cluster.advance(5'000);
    ASSERT_TRUE(result());
    (void)cluster.take_envelopes();
    index = cluster.write(put("next"));
    const auto sent = cluster.take_envelopes();
    ASSERT_FALSE(sent.empty());
    EXPECT_EQ(sent[0].second.seq0, Seq(2));
    EXPECT_EQ(sent[0].second.ack_low, Seq(2)) << "no copy of number 1 executes after this one";
}

TEST_F(SessionWrite, while_an_operation_is_open_ack_low_does_not_pass_it) {
    const consensus::Envelope first = launched();
    cluster.write(put("second"));
    auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    cluster.reply_all_operations(0, sent[0].second);
    cluster.reply_all_operations(1, sent[0].second);
    cluster.write(put("third"));
    sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].second.ack_low, first.seq0);
}

TEST_F(SessionWrite, numbers_beyond_the_window_make_it_open_another_session) {
    const consensus::Envelope envelope = launched();
    cluster.reply_all_operations(0, envelope, Status::window);
    cluster.reply_all_operations(1, envelope, Status::window);
    cluster.write(put("later"));
    std::set<std::uint64_t> sessions;
    for (const auto& [to, next] : cluster.take_envelopes()) {
        sessions.insert(next.session.value);
        EXPECT_EQ(next.seq0, Seq(1));
    }
    EXPECT_EQ(sessions.size(), 1U);
    EXPECT_FALSE(sessions.contains(envelope.session.value));
    // The first is still settled by its own session's replies.
    cluster.reply_all_operations(0, envelope);
    cluster.reply_all_operations(1, envelope);
    EXPECT_EQ(result()->certainty, Certainty::done);
}

TEST_F(SessionWrite, a_session_that_was_idle_for_long_is_not_used_again) {
    const consensus::Envelope envelope = launched();
    cluster.reply_all_operations(0, envelope);
    cluster.reply_all_operations(1, envelope);
    cluster.now_ms += limits::session_horizon_ms;
    cluster.write(put("later"));
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_NE(sent[0].second.session, envelope.session);
}

TEST_F(SessionWrite, closing_tells_the_certainty_of_everything) {
    (void)launched();
    ScriptedCluster alone;
    const std::size_t unsent = alone.write(put("k"));
    alone.session.close("closed");
    cluster.session.close("closed");
    ASSERT_TRUE(result() && alone.writes[unsent]);
    EXPECT_EQ(result()->certainty, Certainty::maybe_applied);
    EXPECT_EQ(alone.writes[unsent]->certainty, Certainty::not_applied);
}

TEST_F(SessionWrite, a_completion_may_ask_for_more) {
    cluster.connect_all();
    int done = 0;
    std::function<void(const WriteResult&)> again = [&](const WriteResult&) {
        if (++done < 3) {
            cluster.session.write(put("k"), cluster.now_ms, again);
        }
    };
    cluster.session.write(put("k"), cluster.now_ms, again);
    for (int i = 0; i < 3; ++i) {
        const auto sent = cluster.take_envelopes();
        ASSERT_EQ(sent.size(), 1U);
        cluster.reply_all_operations(0, sent[0].second);
        cluster.reply_all_operations(1, sent[0].second);
    }
    EXPECT_EQ(done, 3);
}

TEST_F(SessionWrite, reads_and_writes_do_not_share_an_envelope) {
    cluster.connect_all();
    cluster.write(put("a"));
    cluster.write(kvstore::Operation(key_range("b")));
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 2U);
    EXPECT_EQ(sent[0].second.count, 1U);
    EXPECT_EQ(sent[1].second.count, 1U);
}

TEST_F(SessionWrite, a_range_whose_answer_did_not_fit_is_asked_again_alone) {
    cluster.connect_all();
    for (int i = 0; i < 3; ++i) {
        cluster.write(kvstore::Operation(key_range("b" + std::to_string(i))));
    }
    const auto sent = cluster.take_envelopes();
    ASSERT_EQ(sent.size(), 1U);
    EXPECT_EQ(sent[0].second.count, 3U);
    cluster.reply_all_operations(0, sent[0].second, Status::too_large);
    cluster.reply_all_operations(1, sent[0].second, Status::too_large);
    const auto alone = cluster.take_envelopes();
    ASSERT_EQ(alone.size(), 2U);
    EXPECT_EQ(alone[0].second.count, 1U);
    EXPECT_EQ(alone[1].second.count, 1U);
}

TEST_F(SessionWrite, what_is_too_large_alone_is_told_so) {
    cluster.connect_all();
    kvstore::Delete erase;
    erase.key = bytes_of("a");
    erase.end = bytes_of("b");
    const std::size_t call = cluster.write(std::move(erase));
    for (int round = 0; round < 2; ++round) {
        EXPECT_FALSE(cluster.writes[call]);
        const auto sent = cluster.take_envelopes();
        ASSERT_EQ(sent.size(), 1U) << "once more alone, for the block may have been full";
        cluster.reply_all_operations(0, sent[0].second, Status::too_large);
        cluster.reply_all_operations(1, sent[0].second, Status::too_large);
    }
    ASSERT_TRUE(cluster.writes[call]);
    EXPECT_EQ(cluster.writes[call]->certainty, Certainty::done);
    EXPECT_EQ(cluster.writes[call]->outcome.status, Status::too_large);
    EXPECT_TRUE(cluster.take_envelopes().empty());
}

TEST_F(SessionWrite, an_answer_that_says_no_is_done) {
    cluster.connect_all();
    for (const Status status : {Status::compacted, Status::future_revision, Status::no_lease, Status::fenced,
                                Status::no_lock, Status::exhausted}) {
        const std::size_t call = cluster.write(kvstore::LeaseRevoke{kvstore::LeaseId(3)});
        const auto sent = cluster.take_envelopes();
        ASSERT_EQ(sent.size(), 1U);
        cluster.reply_all_operations(0, sent[0].second, status);
        cluster.reply_all_operations(1, sent[0].second, status);
        ASSERT_TRUE(cluster.writes[call]);
        EXPECT_EQ(cluster.writes[call]->certainty, Certainty::done);
        EXPECT_EQ(cluster.writes[call]->outcome.status, status);
    }
}

TEST_F(SessionWrite, an_operation_beyond_the_limits_is_refused_before_it_is_sent) {
    cluster.connect_all();
    kvstore::Txn large;
    for (int i = 0; i < 4; ++i) {
        large.then.emplace_back(kvstore::Put{bytes_of("k" + std::to_string(i)), Bytes(limits::value_bytes_max)});
    }
    const std::size_t call = cluster.write(std::move(large));
    cluster.advance(10);
    ASSERT_TRUE(cluster.writes[call]);
    EXPECT_EQ(cluster.writes[call]->certainty, Certainty::not_applied);
    EXPECT_EQ(cluster.writes[call]->outcome.status, Status::invalid);
    EXPECT_NE(cluster.writes[call]->why.find("bytes in all"), std::string::npos);
    EXPECT_TRUE(cluster.take_envelopes().empty());
}

}  // namespace
}  // namespace loyal::client
