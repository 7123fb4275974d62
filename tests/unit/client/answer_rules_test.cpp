// The pure rules: what time a client believes, when it believes a read, when an outcome.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "client/cluster_clock.h"
#include "client/flight.h"
#include "client/read_quorum.h"
#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client {
namespace {

using namespace test;
using consensus::Quorum;

// ---- Clock

Hlc at(std::uint64_t wall_ms) {
    return Hlc(wall_ms, 0);
}

TEST(ClusterClock, one_replica_is_not_believed_where_one_may_lie) {
    ClusterClock clock(4, 2);
    clock.report(ReplicaId(0), at(1'000), 0);
    EXPECT_FALSE(clock.believed_ms(0));
    clock.report(ReplicaId(1), at(1'100), 0);
    EXPECT_EQ(clock.believed_ms(0), 1'000U);
}

TEST(ClusterClock, reports_are_carried_forward) {
    ClusterClock clock(3, 1);
    clock.report(ReplicaId(2), at(1'000), 50);
    EXPECT_EQ(clock.believed_ms(80), 1'030U);
    clock.report(ReplicaId(2), at(900), 90);
    EXPECT_EQ(clock.believed_ms(90), 1'040U) << "the time of an older block does not turn the clock back";
}

TEST(ClusterClock, an_agreed_block_time_lifts_or_restarts_it) {
    ClusterClock clock(4, 2);
    clock.at_least(at(7'000), 10);
    EXPECT_EQ(clock.believed_ms(10), 7'000U);
    for (std::uint16_t i = 0; i < 4; ++i) {
        clock.report(ReplicaId(i), at(9'000'000), 10);
    }
    clock.restart(at(8'000), 20);
    EXPECT_EQ(clock.believed_ms(25), 8'005U);
}

RC_GTEST_PROP(ClusterClock, with_all_honest_reports_in_the_belief_lies_between_two_of_them, ()) {
    const auto n = *rc::gen::element<std::size_t>(4, 5, 7, 10);
    const Quorum quorum = Quorum::of(FaultModel::byzantine, n);
    ClusterClock clock(n, quorum.w);
    std::vector<std::uint64_t> honest;
    for (std::uint16_t i = 0; i < n; ++i) {
        const bool lies = i < quorum.fb;
        const auto wall_ms =
            lies ? *rc::gen::inRange<std::uint64_t>(0, 1'000'000) : *rc::gen::inRange<std::uint64_t>(400'000, 500'000);
        clock.report(ReplicaId(i), at(wall_ms), 0);
        if (!lies) {
            honest.push_back(wall_ms);
        }
    }
    const std::uint64_t believed = clock.believed_ms(0).value();
    RC_ASSERT(believed >= *std::min_element(honest.begin(), honest.end()));
    RC_ASSERT(believed <= *std::max_element(honest.begin(), honest.end()));
}

// ---- Reads

crypto::Digest value(std::uint8_t number) {
    return crypto::digest_of("read", ByteView(&number, 1));
}
ReadVote vote(std::uint16_t replica, std::uint8_t result, std::uint64_t executed, std::uint64_t lock) {
    return {ReplicaId(replica), value(result), Height(executed), Height(lock)};
}
const Quorum four = Quorum::of(FaultModel::byzantine, 4);

TEST(ReadQuorum, q_equal_answers_are_believed) {
    EXPECT_EQ(accepted_result({vote(0, 1, 5, 9), vote(1, 1, 5, 9), vote(2, 1, 5, 9)}, four), value(1));
}

TEST(ReadQuorum, fewer_than_q_answers_are_not_however_equal) {
    EXPECT_FALSE(accepted_result({vote(0, 1, 9, 9), vote(1, 1, 9, 9)}, four));
}

TEST(ReadQuorum, w_answers_that_reach_the_index_of_some_quorum_are_believed) {
    EXPECT_EQ(accepted_result({vote(0, 2, 10, 10), vote(1, 2, 10, 10), vote(2, 1, 8, 8)}, four), value(2));
}

TEST(ReadQuorum, an_inflated_lock_of_one_liar_does_not_stop_the_others) {
    const std::vector<ReadVote> votes = {vote(0, 2, 10, 10), vote(1, 2, 11, 9), vote(2, 1, 8, 8), vote(3, 9, 1, 1'000)};
    EXPECT_EQ(accepted_result(votes, four), value(2));
}

// Pitfall 9, the client's side: a write that one replica has executed and another has locked. Two old answers and a lie
// of the same content are a quorum only if nobody among them had the lock.
TEST(ReadQuorum, two_old_answers_and_an_echo_lose_against_a_lock_among_them) {
    // R1 locked height 1 and has not executed it: its honest answer is not possible before it has (R2), so it is
    // silent.
    EXPECT_FALSE(accepted_result({vote(2, 0, 0, 0), vote(3, 0, 0, 0)}, four));
    // Then R1 answers from height 1, and only that is believed together with R0.
    const std::vector<ReadVote> votes = {vote(2, 0, 0, 0), vote(3, 0, 0, 0), vote(1, 1, 1, 1)};
    EXPECT_FALSE(accepted_result(votes, four));
    EXPECT_EQ(accepted_result({vote(2, 0, 0, 0), vote(3, 0, 0, 0), vote(1, 1, 1, 1), vote(0, 1, 1, 1)}, four),
              value(1));
}

TEST(ReadQuorum, in_the_crash_model_one_answer_that_reaches_the_index_of_a_majority_is_enough) {
    const Quorum three = Quorum::of(FaultModel::crash, 3);
    EXPECT_FALSE(accepted_result({vote(0, 1, 10, 10)}, three));
    EXPECT_EQ(accepted_result({vote(1, 1, 7, 7), vote(0, 2, 10, 10)}, three), value(2));
}

TEST(ReadQuorum, the_claim_is_what_w_replicas_say_they_have_executed) {
    EXPECT_EQ(executed_claim({vote(0, 1, 5, 0), vote(1, 1, 9, 0), vote(2, 1, 1'000, 0)}, four), Height(9));
    EXPECT_EQ(executed_claim({vote(0, 1, 5, 0)}, four), Height(0));
}

// A model of the replicas: a write at height h is finished, so at least q-fb honest replicas have a lock at or above h,
// and whoever answers honestly has executed at least its own lock. Liars say anything. No accepted answer may be from
// before h: results are named after the height class they come from.
RC_GTEST_PROP(ReadQuorum, a_finished_write_is_never_missed, ()) {
    const auto n = *rc::gen::element<std::size_t>(4, 5, 6, 7);
    const Quorum quorum = Quorum::of(FaultModel::byzantine, n);
    constexpr std::uint64_t finished = 10;
    std::vector<ReadVote> votes;
    for (std::uint16_t i = 0; i < n; ++i) {
        if (!*rc::gen::weightedElement<bool>({{4, true}, {1, false}})) {
            continue;  // no answer from this one
        }
        if (i < quorum.fb) {
            votes.push_back(vote(i, *rc::gen::inRange<std::uint8_t>(0, 2), *rc::gen::inRange<std::uint64_t>(0, 20),
                                 *rc::gen::inRange<std::uint64_t>(0, 20)));
            continue;
        }
        const bool locked = i < quorum.q;  // liars 0..fb-1 and these: a commit quorum
        const auto lock = *rc::gen::inRange<std::uint64_t>(locked ? finished : 0, 14);
        const auto executed = *rc::gen::inRange<std::uint64_t>(lock, 16);
        votes.push_back(vote(i, executed >= finished ? 1 : 0, executed, lock));
    }
    const auto accepted = accepted_result(votes, quorum);
    const bool new_or_nothing = !accepted || *accepted == value(1);
    RC_ASSERT(new_or_nothing);
}

// ---- Outcomes

wire::OutcomeReply word(const kvstore::Outcome& outcome, bool full) {
    wire::OutcomeReply reply{outcome.seq, {}, kvstore::outcome_digest(outcome)};
    if (full) {
        reply.outcome = outcome;
    }
    return reply;
}

TEST(Ballot, w_digests_and_one_outcome_that_hashes_to_it) {
    Ballot ballot(4);
    const kvstore::Outcome outcome = ScriptedCluster::outcome(Seq(1));
    ballot.take(ReplicaId(0), word(outcome, false));
    ballot.take(ReplicaId(1), word(outcome, false));
    EXPECT_FALSE(ballot.agreed(2)) << "nobody has said what it is";
    ballot.take(ReplicaId(2), word(outcome, true));
    ASSERT_TRUE(ballot.agreed(2));
    EXPECT_EQ(ballot.agreed(2)->outcome, outcome);
    EXPECT_EQ(members_of(ballot.agreed(2)->replicas).size(), 3U);
}

TEST(Ballot, one_replica_counts_once) {
    Ballot ballot(4);
    for (int i = 0; i < 5; ++i) {
        ballot.take(ReplicaId(3), word(ScriptedCluster::outcome(Seq(1)), true));
    }
    EXPECT_FALSE(ballot.agreed(2));
}

TEST(Ballot, an_outcome_that_does_not_hash_to_its_digest_is_no_word) {
    Ballot ballot(4);
    wire::OutcomeReply forged = word(ScriptedCluster::outcome(Seq(1)), true);
    forged.outcome->revision = kvstore::Revision(666);
    ballot.take(ReplicaId(0), forged);
    EXPECT_EQ(ballot.voters(), 0U);
    wire::OutcomeReply shifted = word(ScriptedCluster::outcome(Seq(2)), true);
    shifted.seq = Seq(1);
    ballot.take(ReplicaId(0), shifted);
    EXPECT_EQ(ballot.voters(), 0U);
}

TEST(Ballot, a_later_word_replaces_the_earlier_one) {
    Ballot ballot(4);
    const kvstore::Outcome refused = ScriptedCluster::outcome(Seq(1), kvstore::Status::window);
    const kvstore::Outcome done = ScriptedCluster::outcome(Seq(1));
    ballot.take(ReplicaId(0), word(refused, true));
    ballot.take(ReplicaId(0), word(done, true));
    ballot.take(ReplicaId(1), word(refused, true));
    EXPECT_FALSE(ballot.agreed(2));
    ballot.take(ReplicaId(1), word(done, true));
    EXPECT_EQ(ballot.agreed(2)->outcome, done);
}

}  // namespace
}  // namespace loyal::client
