#include "sim/checkers/signing_ledger.h"

#include <gmock/gmock.h>

namespace loyal::sim {
namespace {

using consensus::BlockRef;
using consensus::Height;
using consensus::LockView;
using consensus::ReplicaId;
using consensus::View;
using consensus::Vote;
using testing::HasSubstr;
using testing::Optional;

class SigningLedgerTest : public ::testing::Test {
 protected:
    SigningLedgerTest() { membership_.replicas.resize(4); }

    // A block on `parent`; known to the tree.
    BlockRef block(const BlockRef& parent, std::uint64_t view, std::uint8_t salt = 0) {
        auto block = std::make_shared<consensus::Block>();
        block->header.view = View(view);
        block->header.height = parent.height.next();
        block->header.parent = parent.id;
        block->header.body_root.bytes[0] = salt;
        block->id = consensus::header_id(membership_.context, block->header);
        tree_.add(*block);
        blocks_[block->id] = block;
        return block->ref();
    }
    [[nodiscard]] Finding propose(const BlockRef& ref) {
        return ledger_.sent(consensus::Propose{blocks_.at(ref.id), {}});
    }
    [[nodiscard]] Finding vote(std::uint64_t view, const BlockRef& prep, const BlockRef& com = {}) {
        Vote vote;
        vote.view = View(view);
        vote.prep = prep;
        vote.com = com;
        vote.voter = self_;
        return ledger_.sent(vote);
    }
    void persist(std::uint64_t view, const BlockRef& prep, const consensus::Lock& lock = {},
                 std::int64_t leading = -1) {
        consensus::VotingState state;
        state.promised = state.entered = View(view);
        state.prep = {View(view), prep};
        state.lock = lock;
        state.leading = leading;
        ledger_.durable({state});
    }
    [[nodiscard]] static consensus::Lock locked(std::uint64_t view, const BlockRef& block) {
        return {LockView(View(view)), block};
    }
    // With its promise durable, as it must be.
    [[nodiscard]] Finding view_change(std::uint64_t view, const consensus::Lock& lock, const consensus::Prepared& last,
                                      bool durable = true) {
        consensus::ViewChange change;
        change.new_view = View(view);
        change.lock = lock;
        change.last_prep = last;
        change.voter = self_;
        if (durable) {
            consensus::VotingState state;
            state.promised = View(view);
            state.prep = last;
            state.lock = lock;
            ledger_.durable({state, consensus::ViewChangeRecord{change}});
        }
        return ledger_.sent(change);
    }

    consensus::Membership membership_;
    ReplicaId self_{0};
    BlockRef genesis_ = consensus::genesis_block(membership_.context);
    HeaderTree tree_{genesis_};
    SigningLedger ledger_{membership_, self_, tree_};
    std::map<crypto::Digest, consensus::BlockPtr> blocks_;
};

TEST_F(SigningLedgerTest, an_orderly_life_has_no_findings) {
    const BlockRef a = block(genesis_, 0), b = block(a, 0);
    persist(0, genesis_, {}, 0);
    EXPECT_EQ(propose(a), std::nullopt);
    persist(0, a);
    EXPECT_EQ(vote(0, a), std::nullopt);
    persist(0, b, locked(0, a));
    EXPECT_EQ(vote(0, b, a), std::nullopt);
    EXPECT_EQ(view_change(1, locked(0, a), {View(0), b}), std::nullopt);
    EXPECT_EQ(view_change(1, locked(0, a), {View(0), b}), std::nullopt) << "sent again";
    persist(1, a, locked(0, a));
    EXPECT_EQ(vote(1, a), std::nullopt) << "the base, voted for again";
}

TEST_F(SigningLedgerTest, a_vote_that_is_not_on_disk_is_found) {
    const BlockRef a = block(genesis_, 0), b = block(a, 0);
    EXPECT_THAT(vote(0, a), Optional(HasSubstr("durable")));
    persist(0, a);
    EXPECT_EQ(vote(0, a), std::nullopt);
    EXPECT_THAT(vote(0, b), Optional(HasSubstr("prep")));
    EXPECT_THAT(vote(1, a), Optional(HasSubstr("view 1")));
}

TEST_F(SigningLedgerTest, a_commit_vote_whose_lock_is_not_on_disk_is_found) {
    const BlockRef a = block(genesis_, 0);
    persist(0, a);
    EXPECT_THAT(vote(0, a, a), Optional(HasSubstr("lock")));
}

TEST_F(SigningLedgerTest, a_proposal_before_leading_is_on_disk_is_found) {
    const BlockRef a = block(genesis_, 0);
    EXPECT_THAT(propose(a), Optional(HasSubstr("leading")));
}

TEST_F(SigningLedgerTest, E1_two_blocks_for_one_place) {
    persist(0, genesis_, {}, 0);
    EXPECT_EQ(propose(block(genesis_, 0, 1)), std::nullopt);
    EXPECT_THAT(propose(block(genesis_, 0, 2)), Optional(HasSubstr("E1")));
}

TEST_F(SigningLedgerTest, E2_votes_for_two_chains_of_a_view) {
    const BlockRef a = block(genesis_, 0, 1), fork = block(genesis_, 0, 2), beyond = block(fork, 0);
    persist(0, beyond);
    EXPECT_EQ(vote(0, a), std::nullopt);
    EXPECT_THAT(vote(0, beyond), Optional(HasSubstr("E2")));
}

TEST_F(SigningLedgerTest, E3_a_view_change_that_hides_a_vote) {
    const BlockRef a = block(genesis_, 0), b = block(a, 0);
    persist(0, b);
    EXPECT_EQ(vote(0, b), std::nullopt);
    EXPECT_THAT(view_change(1, {}, {View(0), a}), Optional(HasSubstr("E3")));
}

TEST_F(SigningLedgerTest, E3_a_vote_beyond_what_was_reported) {
    const BlockRef a = block(genesis_, 0), b = block(a, 0);
    EXPECT_EQ(view_change(1, {}, {View(0), a}), std::nullopt);
    persist(1, b);
    EXPECT_THAT(vote(0, b), Optional(testing::AnyOf(HasSubstr("E3"), HasSubstr("E4"))));
}

TEST_F(SigningLedgerTest, E4_a_view_change_that_hides_a_commit_vote) {
    const BlockRef a = block(genesis_, 0);
    persist(0, a, locked(0, a));
    EXPECT_EQ(vote(0, a, a), std::nullopt);
    EXPECT_THAT(view_change(2, {}, {View(0), a}), Optional(HasSubstr("E4")));
}

TEST_F(SigningLedgerTest, E7_two_view_changes_for_one_view) {
    const BlockRef a = block(genesis_, 0);
    EXPECT_EQ(view_change(1, {}, {View(0), a}), std::nullopt);
    EXPECT_THAT(view_change(1, locked(0, a), {View(0), a}), Optional(HasSubstr("E7")));
}

TEST_F(SigningLedgerTest, a_view_change_that_is_not_on_disk_is_found) {
    EXPECT_THAT(view_change(1, {}, {}, false), Optional(HasSubstr("durable")));
}

TEST_F(SigningLedgerTest, a_new_view_that_is_not_on_disk_is_found) {
    consensus::NewView message;
    message.view = View(4);
    message.leader = self_;
    EXPECT_THAT(ledger_.sent(message), Optional(HasSubstr("durable")));
    consensus::VotingState state;
    state.leading = 4;
    ledger_.durable({state, consensus::NewViewRecord{message}});
    SigningLedger again(membership_, self_, tree_);
    again.durable({state, consensus::NewViewRecord{message}});
    EXPECT_EQ(again.sent(message), std::nullopt);
    message.base.block.height = Height(3);
    EXPECT_THAT(again.sent(message), Optional(HasSubstr("E7")));
}

TEST_F(SigningLedgerTest, a_restart_must_read_back_what_was_written) {
    consensus::Recovered recovered;
    EXPECT_EQ(ledger_.recovered(recovered), std::nullopt) << "nothing was ever written";
    persist(3, genesis_);
    EXPECT_THAT(ledger_.recovered(recovered), Optional(HasSubstr("lost")));
    recovered.fresh = false;
    EXPECT_THAT(ledger_.recovered(recovered), Optional(HasSubstr("not the durable one")));
    recovered.voting.promised = recovered.voting.entered = View(3);
    recovered.voting.prep = {View(3), genesis_};
    EXPECT_EQ(ledger_.recovered(recovered), std::nullopt);
}

// ---- Lost disks (§14)

TEST_F(SigningLedgerTest, a_lost_disk_must_be_noticed) {
    const BlockRef a = block(genesis_, 0);
    persist(0, a);
    EXPECT_EQ(vote(0, a), std::nullopt);
    ledger_.disk_lost();
    EXPECT_THAT(ledger_.recovered({}), Optional(HasSubstr("A1")));
    consensus::Recovered knows;
    knows.votes_lost = "the data folder is gone";
    EXPECT_EQ(ledger_.recovered(knows), std::nullopt);
    EXPECT_EQ(vote(0, a), std::nullopt) << "said before";
    EXPECT_THAT(vote(0, block(genesis_, 0, 2)), Optional(HasSubstr("A2")));
    EXPECT_THAT(ledger_.sent(consensus::PreVoteGrant{View(1)}), Optional(HasSubstr("A2")));
    EXPECT_EQ(ledger_.sent(consensus::Recover{1}), std::nullopt);
}

TEST_F(SigningLedgerTest, what_was_said_before_a_loss_stays_said) {
    const BlockRef a = block(genesis_, 0);
    persist(0, a);
    EXPECT_EQ(view_change(7, {}, {View(0), a}), std::nullopt);
    ledger_.disk_lost();
    const BlockRef b = block(genesis_, 6, 1);
    persist(6, b, locked(6, b));  // amnesiac no more, too early
    EXPECT_THAT(view_change(7, locked(6, b), {View(6), b}), Optional(HasSubstr("E7")));
    EXPECT_EQ(view_change(9, locked(6, b), {View(6), b}), std::nullopt);
}

TEST_F(SigningLedgerTest, an_amnesiac_is_silent_as_long_as_its_disk_says_so) {
    const BlockRef a = block(genesis_, 0);
    ledger_.disk_rolled_back({});
    consensus::VotingState state;
    state.promised = state.entered = View(4);
    state.prep = {View(4), a};
    state.amnesiac = true;
    ledger_.durable({state});
    EXPECT_THAT(vote(4, a), Optional(HasSubstr("A2")));
    state.amnesiac = false;
    ledger_.durable({state});
    EXPECT_EQ(vote(4, a), std::nullopt);
}

}  // namespace
}  // namespace loyal::sim
