#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using kvstore::Outcome;
using kvstore::RangeResult;
using kvstore::Status;

class LieToClientsTest : public FaultTest {
 protected:
    template <class T>
    [[nodiscard]] T told(FaultModel& fault, T message) const {
        auto out = fault.to_client(client_, std::move(message));
        EXPECT_EQ(out.size(), 1U);
        return std::get<T>(out.front());
    }
    [[nodiscard]] static wire::Reply reply(Status status) {
        wire::Reply reply;
        Outcome outcome;
        outcome.seq = consensus::Seq(4);
        outcome.height = consensus::Height(9);
        outcome.status = status;
        reply.outcomes.push_back({outcome.seq, outcome, kvstore::outcome_digest(outcome)});
        return reply;
    }
    [[nodiscard]] static Result<RangeResult> range_of(const wire::ReadReply& reply) {
        return kvstore::decode_query_answer(*reply.result).and_then([](const kvstore::QueryAnswer& answer) {
            return kvstore::decode_range_result(answer.result);
        });
    }
    [[nodiscard]] static wire::ReadReply read_of(const std::string& value, std::uint64_t revision) {
        RangeResult range;
        range.items.push_back({bytes_of("k"), bytes_of(value), kvstore::Revision(revision), kvstore::Revision(1),
                               revision, consensus::Hlc(5, 0)});
        range.count = 1;
        wire::ReadReply reply;
        reply.nonce = 77;
        reply.result = kvstore::encode_query_answer({Status::ok, kvstore::encode_range_result(range)});
        reply.digest = crypto::digest_of("read", *reply.result);
        return reply;
    }
};

TEST_F(LieToClientsTest, outcomes_are_wrong_and_carry_their_own_digest) {
    const auto liar = make("lie-to-clients");
    for (const Status status : {Status::ok, Status::not_found, Status::mismatch}) {
        const auto honest = reply(status);
        const auto lie = told(*liar, honest);
        ASSERT_TRUE(lie.outcomes.front().outcome.has_value());
        EXPECT_NE(lie.outcomes.front().outcome->status, status);
        EXPECT_EQ(lie.outcomes.front().seq, honest.outcomes.front().seq);
        EXPECT_EQ(lie.outcomes.front().digest, kvstore::outcome_digest(*lie.outcomes.front().outcome));
    }
}

TEST_F(LieToClientsTest, a_digest_without_an_outcome_is_wrong_too) {
    auto honest = reply(Status::ok);
    honest.outcomes.front().outcome.reset();
    EXPECT_NE(told(*make("lie-to-clients"), honest).outcomes.front().digest, honest.outcomes.front().digest);
}

TEST_F(LieToClientsTest, reads_never_tell_the_truth_and_carry_their_own_digest) {
    const auto liar = make("lie-to-clients");
    for (int i = 0; i < 50; ++i) {
        const auto honest = read_of("v" + std::to_string(i), static_cast<std::uint64_t>(i + 1));
        const auto lie = told(*liar, honest);
        EXPECT_EQ(lie.nonce, honest.nonce);
        EXPECT_NE(lie.digest, honest.digest);
        if (lie.result) {
            EXPECT_TRUE(range_of(lie).has_value());
            EXPECT_EQ(lie.digest, crypto::digest_of("read", *lie.result));
        }
    }
}

TEST_F(LieToClientsTest, an_old_value_is_told_for_a_new_one) {
    const auto liar = make("lie-to-clients");
    (void)told(*liar, read_of("old", 1));
    std::size_t stale = 0;
    for (int i = 0; i < 20; ++i) {
        const auto lie = told(*liar, read_of("new" + std::to_string(i), 2));
        const auto range = lie.result ? range_of(lie) : Result<RangeResult>();
        stale += range && !range->items.empty() && range->items.front().value == bytes_of("old") ? 1U : 0U;
    }
    EXPECT_GT(stale, 0U);
}

TEST_F(LieToClientsTest, two_liars_tell_one_lie) {
    const auto honest = reply(Status::ok);
    EXPECT_EQ(told(*make("lie-to-clients", 1), honest).outcomes.front().digest,
              told(*make("lie-to-clients", 2), honest).outcomes.front().digest);
}

TEST_F(LieToClientsTest, peers_hear_the_truth) {
    consensus::Heartbeat beat;
    beat.committed = consensus::Height(3);
    const auto out = make("lie-to-clients")->to_peer({replica(2), beat});
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(std::get<consensus::Heartbeat>(out.front().message).committed, beat.committed);
}

}  // namespace
}  // namespace loyal::replica
