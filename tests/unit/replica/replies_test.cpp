#include "replica/replies.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"

namespace loyal::replica {
namespace {

using consensus::FaultModel;
using consensus::Quorum;
using consensus::ReplicaId;

kvstore::Outcome outcome(std::uint64_t seq, std::size_t bytes) {
    kvstore::Outcome result;
    result.seq = consensus::Seq(seq);
    result.result = Bytes(bytes, 1);
    return result;
}

RC_GTEST_PROP(RepliesP1, long_results_come_in_full_from_exactly_f_plus_one_replicas, (std::uint64_t seq)) {
    const auto n = *rc::gen::inRange<std::size_t>(4, 32);
    const Quorum quorum = Quorum::of(FaultModel::byzantine, n);
    consensus::ClientId client;
    client.bytes = *rc::gen::arbitrary<std::array<std::uint8_t, 16>>();
    std::size_t full = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const ReplyContext context{ReplicaId(static_cast<std::uint16_t>(i)), quorum, {}, {}};
        const bool in_full = sends_in_full(context, client, outcome(seq, limits::result_inline_bytes_max + 1));
        full += in_full ? 1 : 0;
        const bool short_in_full = sends_in_full(context, client, outcome(seq, limits::result_inline_bytes_max));
        RC_ASSERT(short_in_full);
    }
    RC_ASSERT(full == quorum.f + 1);
}

TEST(RepliesTest, the_digest_is_the_outcomes_whether_in_full_or_not) {
    kvstore::Replies replies;
    for (std::uint64_t seq = 0; seq < 4; ++seq) {
        replies.outcomes.push_back(outcome(seq, 1000));
    }
    const Quorum quorum = Quorum::of(FaultModel::byzantine, 4);
    std::size_t full = 0;
    for (std::uint16_t i = 0; i < 4; ++i) {
        const wire::Reply reply = make_reply({ReplicaId(i), quorum, consensus::View(3), {}}, replies, false);
        ASSERT_EQ(reply.outcomes.size(), 4U);
        EXPECT_EQ(reply.view, consensus::View(3));
        for (std::size_t k = 0; k < 4; ++k) {
            EXPECT_EQ(reply.outcomes[k].digest, kvstore::outcome_digest(replies.outcomes[k]));
            EXPECT_EQ(reply.outcomes[k].seq, replies.outcomes[k].seq);
            full += reply.outcomes[k].outcome ? 1 : 0;
        }
    }
    EXPECT_EQ(full, 8U) << "f+1 = 2 replicas for each of 4 outcomes";
}

TEST(RepliesTest, a_retry_gets_everything_in_full) {
    kvstore::Replies replies;
    replies.outcomes = {outcome(1, 1000), outcome(2, 1000), outcome(3, 1000), outcome(4, 1000)};
    const wire::Reply reply = make_reply({ReplicaId(0), Quorum::of(FaultModel::byzantine, 4), {}, {}}, replies, true);
    for (const wire::OutcomeReply& one : reply.outcomes) {
        EXPECT_TRUE(one.outcome);
    }
}

}  // namespace
}  // namespace loyal::replica
