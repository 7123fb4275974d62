// Primaries that misuse their turn.
#include <set>

#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using consensus::Blocks;
using consensus::Heartbeat;
using consensus::Height;
using consensus::Propose;
using consensus::Vote;

class PrimariesTest : public FaultTest {
 protected:
    [[nodiscard]] static std::vector<std::string> keys_of(
        const std::vector<crypto::Verified<consensus::Envelope>>& all) {
        std::vector<std::string> keys;
        for (const auto& envelope : all) {
            const auto operations = kvstore::decode_operations(envelope->operations, envelope->count);
            keys.push_back(string_of(std::get<kvstore::Put>(operations->front()).key));
        }
        return keys;
    }
    template <class T>
    [[nodiscard]] static T only(std::vector<PeerSend> out) {
        EXPECT_EQ(out.size(), 1U);
        return std::get<T>(out.front().message);
    }
};

TEST_F(PrimariesTest, a_slow_primary_proposes_just_before_the_time_out_and_hides_it_until_then) {
    const auto fault = make("slow-primary");
    const auto block = this->block(1, genesis().id, {"a"});
    (void)fault->tick(1'000);
    EXPECT_TRUE(fault->to_peer({replica(1), Propose{block, {}}}).empty());
    EXPECT_TRUE(fault->to_peer({replica(1), vote(0, block->ref(), {}, 0)}).empty());
    EXPECT_EQ(only<Heartbeat>(fault->to_peer({replica(1), Heartbeat{{}, {}, {}, Height(1)}})).prepared, Height(0));
    Blocks tail;
    tail.blocks = {block};
    EXPECT_TRUE(only<Blocks>(fault->to_peer({replica(1), tail})).blocks.empty());
    std::uint64_t left_at = 0;
    std::vector<PeerSend> late;
    for (std::uint64_t now = 1'010; now <= 1'500 && late.empty(); now += 10) {
        late = fault->tick(now).sends;
        left_at = now;
    }
    ASSERT_EQ(late.size(), 2U);
    EXPECT_EQ(std::get<Propose>(late[0].message).block->id, block->id);
    EXPECT_TRUE(std::holds_alternative<Vote>(late[1].message));
    EXPECT_GE(left_at, 1'300U);
    EXPECT_LT(left_at, 1'400U);
    EXPECT_EQ(only<Heartbeat>(fault->to_peer({replica(1), Heartbeat{{}, {}, {}, Height(1)}})).prepared, Height(1));
}

TEST_F(PrimariesTest, a_slow_primary_is_quick_under_another) {
    const auto fault = make("slow-primary");
    EXPECT_EQ(fault->to_peer({replica(1), vote(1, {Height(1), genesis().id}, {}, 0)}).size(), 1U);
    EXPECT_EQ(fault->to_peer({replica(1), Propose{block(1, genesis().id, {"a"}, 1), {}}}).size(), 1U);
}

TEST_F(PrimariesTest, a_censor_leaves_out_its_victims_requests_as_primary_and_as_backup) {
    for (const std::string line : {"censor=secret", "censor=key:secret", "censor=client:alice", "censor=client:0700"}) {
        const auto fault = make(line);
        EXPECT_TRUE(fault->submit(admitted("secret/1", 1)).empty()) << line;
        EXPECT_TRUE(fault->to_peer({replica(1), consensus::Relay{envelope("secret/1", 1)}}).empty()) << line;
        wire::Read read;
        kvstore::Range range;
        range.begin = bytes_of("secret/1");
        read.query = range;
        EXPECT_FALSE(fault->from_client(client_, read)) << line;
    }
    const auto fault = make("censor=secret");
    EXPECT_EQ(fault->submit(admitted("public", 1)).size(), 1U);
    EXPECT_EQ(fault->to_peer({replica(1), consensus::Relay{envelope("public", 1)}}).size(), 1U);
    EXPECT_TRUE(make("censor=key:secret")->from_client(client_, wire::Read{}));
}

TEST_F(PrimariesTest, a_reorderer_orders_late_requests_before_early_ones) {
    const auto fault = make("reorder");
    EXPECT_TRUE(fault->tick(10).submissions.empty());
    for (const char* key : {"first", "second", "third"}) {
        EXPECT_TRUE(fault->submit(admitted(key, 1)).empty());
    }
    std::vector<std::string> keys;
    for (std::uint64_t now = 20; now <= 200 && keys.empty(); now += 10) {
        keys = keys_of(fault->tick(now).submissions);
    }
    EXPECT_EQ(keys, (std::vector<std::string>{"third", "second", "first"}));
}

TEST_F(PrimariesTest, a_reorderer_holds_no_more_than_it_may_and_nothing_as_a_backup) {
    const auto fault = make("reorder");
    std::size_t held = 0;
    while (fault->submit(admitted("k", ++held)).empty()) {
        ASSERT_LT(held, 1'000U);
    }
    EXPECT_EQ(held, 256U);
    (void)fault->to_peer({replica(1), Heartbeat{consensus::View(1), consensus::View(1), {}, {}}});
    EXPECT_EQ(fault->submit(admitted("k", 1)).size(), 1U);
}

TEST_F(PrimariesTest, a_false_checkpoint_is_told_to_all_alike_and_voted_for) {
    const auto fault = make("bad-checkpoint");
    const auto block = this->block(1, genesis().id, {"a"});
    const auto told = only<Propose>(fault->to_peer({replica(1), Propose{block, {}}})).block;
    EXPECT_EQ(only<Propose>(fault->to_peer({replica(2), Propose{block, {}}})).block->id, told->id);
    EXPECT_NE(told->header.checkpoint.value, 0U);
    EXPECT_FALSE(told->header.checkpoint_root.is_zero());
    EXPECT_TRUE(is_accepted(Propose{told, {}})) << "correctly signed: only the header's content is false";
    EXPECT_EQ(only<Vote>(fault->to_peer({replica(2), vote(0, block->ref(), {}, 0)})).prep, told->ref());
    Blocks tail;
    tail.blocks = {block};
    EXPECT_EQ(only<Blocks>(fault->to_peer({replica(2), tail})).blocks.front()->id, told->id);
    const auto next = this->block(2, block->id, {"b"});
    EXPECT_EQ(only<Propose>(fault->to_peer({replica(1), Propose{next, {}}})).block->header.parent, told->id);
}

TEST_F(PrimariesTest, a_wrong_executor_proposes_wrong_digests_once_something_was_executed) {
    const auto fault = make("wrong-execution");
    const auto first = block(1, genesis().id, {"a"});
    EXPECT_EQ(only<Propose>(fault->to_peer({replica(1), Propose{first, {}}})).block->id, first->id);
    const auto later = block(20, first->id, {"b"});
    const auto told = only<Propose>(fault->to_peer({replica(1), Propose{later, {}}})).block;
    EXPECT_NE(told->header.executed_digest, later->header.executed_digest);
    EXPECT_EQ(told->header.body_root, later->header.body_root);
    EXPECT_TRUE(is_accepted(Propose{told, {}}));
}

TEST_F(PrimariesTest, a_wrong_executor_falsifies_each_outcome_once_and_as_others_of_its_kind_do) {
    const auto one = make("wrong-execution", 1), other = make("wrong-execution", 2);
    kvstore::Outcome outcome;
    outcome.seq = consensus::Seq(3);
    outcome.revision = kvstore::Revision(9);
    kvstore::ExecutedBlock block;
    block.height = Height(4);
    block.replies = {{client_, consensus::SessionId(1), {outcome}}};
    kvstore::ExecutedBlock same = block;
    one->executed(block);
    other->executed(same);
    const kvstore::Outcome wrong = block.replies.front().outcomes.front();
    EXPECT_NE(wrong.status, outcome.status);
    EXPECT_NE(wrong.revision, outcome.revision);
    EXPECT_EQ(wrong, same.replies.front().outcomes.front());
    wire::Reply reply;
    reply.outcomes = {{wrong.seq, wrong, kvstore::outcome_digest(wrong)}, {outcome.seq, outcome, {}}};
    const auto told = std::get<wire::Reply>(one->to_client(client_, reply).front());
    for (const wire::OutcomeReply& each : told.outcomes) {
        EXPECT_EQ(each.outcome, wrong);
        EXPECT_EQ(each.digest, kvstore::outcome_digest(wrong));
    }
}

TEST_F(PrimariesTest, colluders_tell_the_same_two_stories_and_vote_for_the_listeners) {
    share_key_of(1);
    const auto leader = make("collude=1");
    const auto block = this->block(1, genesis().id, {"a", "b"});
    // The first side, replica 2, at once; the second, replica 3, when 2 has voted to commit.
    EXPECT_EQ(only<Propose>(leader->to_peer({replica(2), Propose{block, {}}})).block->id, block->id);
    EXPECT_TRUE(leader->to_peer({replica(3), Propose{block, {}}}).empty());
    EXPECT_EQ(only<Propose>(leader->to_peer({replica(1), Propose{block, {}}})).block->id, block->id);
    EXPECT_TRUE(leader->from_peer(replica(2), vote(0, block->ref(), block->ref(), 2)));
    const auto told = leader->tick(10).sends;
    ASSERT_EQ(told.size(), 1U);
    const auto twin = std::get<Propose>(told.front().message).block;
    EXPECT_EQ(told.front().to, replica(3));
    EXPECT_NE(twin->id, block->id);
    EXPECT_TRUE(is_accepted(Propose{twin, {}}));

    // The accomplice, from the first story and the leader's key alone.
    self_ = replica(1);
    accomplices_.clear();
    share_key_of(0);
    const auto accomplice = make("collude=0");
    EXPECT_TRUE(accomplice->from_peer(replica(0), Propose{block, {}}));
    EXPECT_TRUE(accomplice->from_peer(replica(2), vote(0, block->ref(), block->ref(), 2)));
    EXPECT_EQ(only<Vote>(accomplice->to_peer({replica(2), vote(0, block->ref(), {}, 1)})).com, block->ref());
    EXPECT_TRUE(accomplice->to_peer({replica(3), vote(0, block->ref(), {}, 1)}).empty());
    const auto voted = accomplice->tick(10).sends;
    ASSERT_EQ(voted.size(), 1U);
    EXPECT_EQ(std::get<Vote>(voted.front().message).prep, twin->ref());
    EXPECT_EQ(std::get<Vote>(voted.front().message).com, twin->ref());
    EXPECT_TRUE(is_accepted(voted.front().message));
    // It does not hear what would make its own core suspicious, and does not help other primaries.
    EXPECT_FALSE(accomplice->from_peer(replica(3), vote(0, twin->ref(), {}, 3)));
    EXPECT_TRUE(accomplice->to_peer({replica(2), vote(2, block->ref(), {}, 1)}).empty());
}

TEST_F(PrimariesTest, in_the_crash_fault_model_two_stories_need_no_signature) {
    membership_.fault_model = consensus::FaultModel::crash;
    const auto fault = make("equivocate");
    const auto block = this->block(1, genesis().id, {"a", "b"});
    std::set<crypto::Digest> ids;
    for (std::uint16_t to = 1; to < n; ++to) {
        const auto told = only<Propose>(fault->to_peer({replica(to), Propose{block, {}}})).block;
        ids.insert(told->id);
        EXPECT_TRUE(told->id == block->id || told->signature.is_zero());
    }
    EXPECT_EQ(ids.size(), 2U);
}

}  // namespace
}  // namespace loyal::replica
