#include "sim/checkers/chain_checker.h"

#include <gmock/gmock.h>

namespace loyal::sim {
namespace {

using consensus::Height;
using consensus::ReplicaId;
using consensus::Seq;
using kvstore::Operation;
using kvstore::Outcome;
using kvstore::Revision;
using kvstore::Status;
using testing::HasSubstr;
using testing::Optional;

constexpr auto nothing = std::nullopt;

class ChainCheckerTest : public ::testing::Test {
 protected:
    struct Executed {
        consensus::Block block;
        kvstore::ExecutedBlock result;
    };
    // A block with one put of each value to key "k", sequence numbers from `seq`; outcomes as they should be.
    Executed next(std::vector<std::string> values, std::uint64_t seq) {
        Executed made;
        std::vector<Operation> operations;
        for (const std::string& value : values) {
            operations.emplace_back(kvstore::Put{bytes_of("k"), bytes_of(value)});
        }
        consensus::EnvelopeContent content;
        content.session = session_;
        content.seq0 = Seq(seq);
        content.count = static_cast<std::uint16_t>(values.size());
        content.operations = kvstore::encode_operations(operations);
        const auto bytes = std::make_shared<const Bytes>(consensus::make_envelope(content, {}, {}, nullptr));
        made.block.envelopes.push_back(consensus::parse_envelope(bytes).value());
        made.block.header.height = head_.height.next();
        made.block.header.parent = head_.id;
        made.block.header.hlc = consensus::Hlc(100 + head_.height.value, 0);
        made.block.id = consensus::header_id({}, made.block.header);
        made.result.height = made.block.header.height;
        made.result.digest.bytes[0] = static_cast<std::uint8_t>(seq);
        made.result.hlc = made.block.header.hlc;
        kvstore::Replies replies{client_, session_, {}};
        for (std::size_t i = 0; i < values.size(); ++i) {
            replies.outcomes.push_back(
                Outcome{Seq(seq + i), made.result.height, {}, made.result.hlc, Revision(++revision_), Status::ok, {}});
        }
        made.result.replies.push_back(replies);
        made.result.revision = Revision(revision_);
        return made;
    }
    [[nodiscard]] Finding execute(const Executed& made, std::uint16_t replica = 0) {
        head_ = made.block.ref();
        return checker_.executed(ReplicaId(replica), made.block, made.result);
    }
    [[nodiscard]] Finding acknowledge(const Outcome& outcome, ChainChecker::Mark mark = {}) {
        return checker_.acknowledged(client_, session_, mark, kvstore::Put{bytes_of("k"), bytes_of("x")}, outcome);
    }
    [[nodiscard]] Finding read(const std::string& value, std::uint64_t revision, ChainChecker::Mark mark) {
        const kvstore::Range range{bytes_of("k"), {}, 0, false, false, false};
        auto result = checker_.model().read(range, Revision(revision));
        if (!result.items.empty()) {
            result.items.front().value = bytes_of(value);
        }
        return checker_.read_returned(mark, range, result);
    }

    const consensus::ClientId client_ = consensus::client_id_of({});  // of a key of zeros
    consensus::SessionId session_{7};
    consensus::BlockRef head_ = consensus::genesis_block({});
    std::uint64_t revision_ = 0;
    ChainChecker checker_{head_};
};

TEST_F(ChainCheckerTest, replicas_that_agree_are_fine) {
    const auto one = next({"a", "b"}, 1);
    EXPECT_EQ(execute(one, 0), nothing);
    EXPECT_EQ(execute(one, 1), nothing);
    EXPECT_EQ(execute(one, 0), nothing) << "again, after a restart";
    EXPECT_EQ(checker_.operations(), 2U);
}

TEST_F(ChainCheckerTest, two_blocks_at_a_height_are_found) {
    auto one = next({"a"}, 1);
    ASSERT_EQ(execute(one), nothing);
    one.block.id.bytes[0] ^= 1U;
    EXPECT_THAT(execute(one, 1), Optional(HasSubstr("AGREEMENT")));
}

TEST_F(ChainCheckerTest, a_block_off_the_chain_is_found) {
    ASSERT_EQ(execute(next({"a"}, 1)), nothing);
    auto two = next({"b"}, 2);
    two.block.header.parent.bytes[0] ^= 1U;
    EXPECT_THAT(execute(two), Optional(HasSubstr("AGREEMENT")));
}

TEST_F(ChainCheckerTest, another_state_after_the_same_block_is_found) {
    auto one = next({"a"}, 1);
    ASSERT_EQ(execute(one), nothing);
    one.result.digest.bytes[5] ^= 1U;
    EXPECT_THAT(execute(one, 2), Optional(HasSubstr("DIVERGENCE")));
}

TEST_F(ChainCheckerTest, a_clock_that_stands_still_is_found) {
    ASSERT_EQ(execute(next({"a"}, 1)), nothing);
    auto two = next({"b"}, 2);
    two.block.header.hlc = consensus::Hlc(100, 0);
    EXPECT_THAT(execute(two), Optional(HasSubstr("I11")));
}

TEST_F(ChainCheckerTest, an_operation_that_executes_twice_is_found) {
    ASSERT_EQ(execute(next({"a"}, 1)), nothing);
    EXPECT_THAT(execute(next({"a"}, 1)), Optional(HasSubstr("DUPLICATE")));
}

TEST_F(ChainCheckerTest, a_stored_outcome_for_a_retry_is_fine) {
    const auto one = next({"a"}, 1);
    ASSERT_EQ(execute(one), nothing);
    auto two = next({"a"}, 1);
    two.result.replies = one.result.replies;
    two.result.revision = one.result.revision;
    EXPECT_EQ(execute(two), nothing);
}

TEST_F(ChainCheckerTest, an_outcome_that_the_model_contradicts_is_found) {
    auto one = next({"a"}, 1);
    one.result.replies.front().outcomes.front().revision = Revision(9);
    EXPECT_THAT(execute(one), Optional(HasSubstr("model")));
}

TEST_F(ChainCheckerTest, an_acknowledged_operation_that_was_never_executed_is_found) {
    const auto one = next({"a"}, 1);
    EXPECT_THAT(acknowledge(one.result.replies.front().outcomes.front()), Optional(HasSubstr("LOST")));
}

TEST_F(ChainCheckerTest, an_acknowledged_outcome_that_is_not_the_executed_one_is_found) {
    const auto one = next({"a"}, 1);
    ASSERT_EQ(execute(one), nothing);
    Outcome outcome = one.result.replies.front().outcomes.front();
    EXPECT_EQ(acknowledge(outcome), nothing);
    outcome.status = Status::mismatch;
    EXPECT_THAT(acknowledge(outcome), Optional(HasSubstr("FALSE ANSWER")));
}

TEST_F(ChainCheckerTest, operations_take_effect_in_the_order_of_real_time) {
    const auto both = next({"a", "b"}, 1);
    ASSERT_EQ(execute(both), nothing);
    const auto& outcomes = both.result.replies.front().outcomes;
    EXPECT_EQ(acknowledge(outcomes[1]), nothing);
    EXPECT_THAT(acknowledge(outcomes[0], checker_.begin()), Optional(HasSubstr("ORDER")));
}

TEST_F(ChainCheckerTest, a_read_of_an_older_state_is_found) {
    const auto both = next({"a", "b"}, 1);
    ASSERT_EQ(execute(both), nothing);
    const auto before = checker_.begin();
    EXPECT_EQ(read("a", 1, before), nothing) << "nothing was acknowledged yet";
    EXPECT_EQ(acknowledge(both.result.replies.front().outcomes[1]), nothing);
    EXPECT_THAT(read("a", 1, checker_.begin()), Optional(HasSubstr("STALE")));
    EXPECT_EQ(read("b", 2, checker_.begin()), nothing);
    EXPECT_EQ(read("a", 1, before), nothing) << "a read that began before the acknowledgement";
}

TEST_F(ChainCheckerTest, a_read_of_what_never_was_is_found) {
    ASSERT_EQ(execute(next({"a"}, 1)), nothing);
    EXPECT_THAT(read("invented", 1, checker_.begin()), Optional(HasSubstr("FALSE READ")));
}

TEST_F(ChainCheckerTest, reads_do_not_go_back) {
    ASSERT_EQ(execute(next({"a", "b"}, 1)), nothing);
    EXPECT_EQ(read("b", 2, checker_.begin()), nothing);
    EXPECT_THAT(read("a", 1, checker_.begin()), Optional(HasSubstr("STALE")));
}

}  // namespace
}  // namespace loyal::sim
