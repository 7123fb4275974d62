#include "replica/signing_guard.h"

#include <gtest/gtest.h>

#include "node_world.h"

namespace loyal::replica {
namespace {

using consensus::BlockRef;
using consensus::Height;
using consensus::Recovered;
using consensus::SignDomain;
using consensus::View;
using test::replica;

BlockRef block(std::uint64_t height, std::string_view name) {
    return {Height(height), crypto::digest_of("block", view_of(name))};
}

class SigningGuardTest : public ::testing::Test {
 protected:
    SigningGuard guard(std::size_t self = 1, const Recovered& recovered = {}) {
        return {*cluster_.signers[self], cluster_.membership.context, 4, replica(self), recovered};
    }
    consensus::Vote vote(std::uint64_t view, const BlockRef& prep, const BlockRef& com = {}, std::size_t self = 1) {
        return {View(view), prep, com, replica(self), {}};
    }
    consensus::ViewChange view_change(std::uint64_t view, consensus::Lock lock, consensus::Prepared last_prep) {
        return {View(view), lock, last_prep, replica(1), {}, {}};
    }
    Bytes to_sign(const consensus::Vote& one) {
        return consensus::signed_bytes(cluster_.membership.context, SignDomain::vote, consensus::vote_content(one));
    }
    consensus::Propose propose(std::uint64_t view, std::uint64_t height, std::uint8_t variant) {
        auto made = std::make_shared<consensus::Block>();
        made->header.view = View(view);
        made->header.height = Height(height);
        made->header.parent.bytes.fill(variant);
        made->id = consensus::header_id(cluster_.membership.context, made->header);
        return {made, Height(0)};
    }
    // As after a crash: voted in view 3 up to a(h5), locked a(h4) there.
    Recovered recovered() {
        Recovered result;
        result.fresh = false;
        result.voting.promised = View(3);
        result.voting.entered = View(3);
        result.voting.prep = {View(3), block(5, "a")};
        result.voting.lock = {consensus::LockView(View(3)), block(4, "a")};
        return result;
    }

    test::Cluster cluster_{4};
};

// A2, A5.
TEST_F(SigningGuardTest, is_silent_while_votes_may_be_lost_and_never_says_anything_of_those_views_again) {
    Recovered lost;
    lost.votes_lost = "the data folder is gone";
    SigningGuard key = guard(1, lost);
    const BlockRef a = block(1, "a");
    EXPECT_FALSE(key.check(vote(9, a)));
    EXPECT_FALSE(key.check(view_change(12, {}, {View(0), a})));
    EXPECT_FALSE(key.check(propose(13, 1, 0)));
    EXPECT_FALSE(key.check(consensus::PreVoteGrant{View(3)}));
    EXPECT_TRUE(key.check(consensus::Recover{1}));
    EXPECT_TRUE(key.check(consensus::Heartbeat{}));
    consensus::VotingState voting;
    voting.amnesiac = true;
    key.persisting({consensus::PersistId(1), {voting}});
    EXPECT_FALSE(key.check(vote(9, a)));
    // It holds the lock of view 8 and enters view 9.
    voting.amnesiac = false;
    voting.promised = voting.entered = View(9);
    voting.lock = {consensus::LockView(View(8)), a};
    key.persisting({consensus::PersistId(2), {voting}});
    EXPECT_FALSE(key.check(vote(8, a)));
    EXPECT_FALSE(key.check(view_change(8, {}, {View(0), a})));
    EXPECT_FALSE(key.check(propose(5, 1, 0)));
    EXPECT_TRUE(key.check(vote(9, a)));
}

// What an echo found out in a running process.
TEST_F(SigningGuardTest, falls_silent_with_the_voting_state) {
    SigningGuard key = guard();
    const BlockRef a = block(1, "a");
    EXPECT_TRUE(key.check(vote(0, a)));
    consensus::VotingState voting;
    voting.amnesiac = true;
    key.persisting({consensus::PersistId(1), {voting}});
    EXPECT_TRUE(key.check(vote(0, a))) << "said already";
    EXPECT_FALSE(key.check(vote(0, block(2, "b"))));
    EXPECT_EQ(key.refusals(), 1U);
}

TEST_F(SigningGuardTest, signs_votes_that_only_extend) {
    SigningGuard key = guard();
    EXPECT_FALSE(key.sign(to_sign(vote(0, block(1, "a")))).is_zero());
    EXPECT_FALSE(key.sign(to_sign(vote(0, block(2, "b"), block(1, "a")))).is_zero());
    EXPECT_FALSE(key.sign(to_sign(vote(1, block(1, "other")))).is_zero()) << "a later view may start lower";
    EXPECT_EQ(key.refusals(), 0U);
    EXPECT_EQ(key.signatures(), 3U);
}

TEST_F(SigningGuardTest, what_it_signs_verifies) {
    SigningGuard key = guard();
    consensus::Vote one = vote(0, block(1, "a"));
    one.signature = key.sign(to_sign(one));
    EXPECT_TRUE(cluster_.verifier->verify(one, replica(1)));
}

TEST_F(SigningGuardTest, refuses_a_second_digest_for_one_view_and_height) {
    SigningGuard key = guard();
    ASSERT_FALSE(key.sign(to_sign(vote(0, block(1, "a")))).is_zero());
    EXPECT_TRUE(key.sign(to_sign(vote(0, block(1, "b")))).is_zero());
    ASSERT_FALSE(key.sign(to_sign(vote(0, block(3, "c"), block(1, "a")))).is_zero());
    EXPECT_TRUE(key.sign(to_sign(vote(0, block(3, "c"), block(1, "b")))).is_zero());
    EXPECT_EQ(key.refusals(), 2U);
}

TEST_F(SigningGuardTest, refuses_heads_that_fall_back_within_a_view) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(vote(2, block(4, "a"), block(3, "a"))));
    EXPECT_FALSE(key.check(vote(2, block(2, "x"))));
    EXPECT_FALSE(key.check(vote(2, block(4, "a"), block(1, "x"))));
    EXPECT_TRUE(key.check(vote(2, block(4, "a"), block(3, "a")))) << "a re-send";
}

TEST_F(SigningGuardTest, a_re_send_passes_although_the_heads_moved_on) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(vote(0, block(1, "a"))));
    ASSERT_TRUE(key.check(vote(0, block(2, "b"))));
    EXPECT_TRUE(key.check(vote(0, block(1, "a"))));
}

TEST_F(SigningGuardTest, refuses_a_commit_head_off_the_prepared_chain) {
    SigningGuard key = guard();
    EXPECT_FALSE(key.check(vote(0, block(1, "a"), block(2, "b"))));
    EXPECT_FALSE(key.check(vote(0, block(1, "a"), block(1, "b"))));
}

// Pitfalls 2 and 30.
TEST_F(SigningGuardTest, refuses_a_vote_below_what_was_promised) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(vote(0, block(1, "a"))));
    const auto change = view_change(1, {}, {View(0), block(1, "a")});
    ASSERT_FALSE(key.sign(consensus::signed_bytes(cluster_.membership.context, SignDomain::view_change,
                                                  consensus::view_change_content(change)))
                     .is_zero());
    EXPECT_TRUE(key.sign(to_sign(vote(0, block(2, "b")))).is_zero());
    EXPECT_FALSE(key.sign(to_sign(vote(1, block(1, "a")))).is_zero());
}

// Evidence E3, E4, E7.
TEST_F(SigningGuardTest, refuses_view_changes_that_hide_or_contradict) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(vote(0, block(2, "b"), block(1, "a"))));
    const consensus::Lock lock{consensus::LockView(View(0)), block(1, "a")};
    EXPECT_FALSE(key.check(view_change(1, {}, {View(0), block(2, "b")}))) << "hides the lock";
    EXPECT_FALSE(key.check(view_change(1, lock, {View(0), block(1, "a")}))) << "hides the last vote";
    EXPECT_TRUE(key.check(view_change(1, lock, {View(0), block(2, "b")})));
    EXPECT_TRUE(key.check(view_change(1, lock, {View(0), block(2, "b")}))) << "byte-identical re-send";
    EXPECT_FALSE(key.check(view_change(1, lock, {View(0), block(3, "b")}))) << "a second one for the view";
}

TEST_F(SigningGuardTest, refuses_a_view_change_to_a_view_it_voted_in) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(vote(4, block(2, "b"))));
    EXPECT_FALSE(key.check(view_change(4, {}, {View(4), block(2, "b")})));
    EXPECT_TRUE(key.check(view_change(5, {}, {View(4), block(2, "b")})));
}

TEST_F(SigningGuardTest, refuses_equivocating_proposals) {
    SigningGuard key = guard();
    ASSERT_TRUE(key.check(propose(1, 1, 1)));
    EXPECT_TRUE(key.check(propose(1, 1, 1))) << "the same one to another replica";
    EXPECT_FALSE(key.check(propose(1, 1, 2)));
    EXPECT_TRUE(key.check(propose(1, 2, 1)));
    EXPECT_FALSE(key.check(propose(2, 3, 1))) << "replica 2 leads view 2";
}

TEST_F(SigningGuardTest, refuses_a_block_under_a_false_id) {
    SigningGuard key = guard();
    auto forged = std::make_shared<consensus::Block>(*propose(1, 1, 1).block);
    forged->id = block(1, "another").id;
    EXPECT_FALSE(key.check(consensus::Propose{forged, Height(0)}));
}

TEST_F(SigningGuardTest, is_still_bound_after_a_restart) {
    SigningGuard key = guard(1, recovered());
    EXPECT_TRUE(key.sign(to_sign(vote(2, block(6, "x")))).is_zero()) << "below the promise";
    EXPECT_TRUE(key.sign(to_sign(vote(3, block(5, "b")))).is_zero()) << "a second prepare digest";
    EXPECT_TRUE(key.sign(to_sign(vote(3, block(4, "a")))).is_zero()) << "falls back";
    EXPECT_TRUE(key.sign(to_sign(vote(3, block(6, "x"), block(4, "b")))).is_zero()) << "a second commit digest";
    EXPECT_FALSE(key.check(view_change(4, {}, {View(3), block(5, "a")}))) << "hides the lock";
    EXPECT_FALSE(key.sign(to_sign(vote(3, block(5, "a"), block(4, "a")))).is_zero()) << "the last vote again";
}

// Pitfalls 7 and 25.
TEST_F(SigningGuardTest, does_not_lead_a_view_again_after_a_restart) {
    Recovered state = recovered();
    state.voting.promised = state.voting.entered = View(1);
    state.voting.leading = 1;
    state.voting.prep = {View(1), block(1, "a")};
    state.voting.lock = {};
    SigningGuard key = guard(1, state);
    EXPECT_FALSE(key.check(propose(1, 2, 1)));
    const consensus::NewView again{View(1), {}, {}, {}, replica(1), {}};
    EXPECT_FALSE(key.check(again));
    EXPECT_TRUE(key.check(propose(5, 2, 1))) << "a view that it did not lead yet";
}

TEST_F(SigningGuardTest, the_stored_newview_may_be_sent_again_but_no_other) {
    Recovered state = recovered();
    state.voting.promised = state.voting.entered = View(1);
    state.voting.leading = 1;
    state.new_view = consensus::NewView{View(1), {}, {}, {}, replica(1), {}};
    SigningGuard key = guard(1, state);
    EXPECT_TRUE(key.check(*state.new_view));
    consensus::NewView other = *state.new_view;
    other.base.block = block(1, "b");
    EXPECT_FALSE(key.check(other));
}

TEST_F(SigningGuardTest, one_newview_a_view) {
    SigningGuard key = guard();
    consensus::NewView one{View(1), {}, {}, {}, replica(1), {}};
    EXPECT_TRUE(key.check(one));
    one.base.block = block(1, "b");
    EXPECT_FALSE(key.check(one));
    const consensus::NewView of_another{View(2), {}, {}, {}, replica(2), {}};
    EXPECT_TRUE(key.check(of_another)) << "handed on, with its leader's signature";
}

TEST_F(SigningGuardTest, refuses_bytes_that_are_no_message_of_this_cluster) {
    SigningGuard key = guard();
    EXPECT_TRUE(key.sign(view_of("anything")).is_zero());
    consensus::ClusterContext foreign = cluster_.membership.context;
    foreign.epoch = consensus::Epoch(9);
    const Bytes content = consensus::vote_content(vote(0, block(1, "a")));
    EXPECT_TRUE(key.sign(consensus::signed_bytes(foreign, SignDomain::vote, content)).is_zero());
    EXPECT_TRUE(key.sign(consensus::signed_bytes(cluster_.membership.context, SignDomain::submit, content)).is_zero());
    EXPECT_TRUE(
        key.sign(consensus::signed_bytes(cluster_.membership.context, SignDomain::vote, view_of("short"))).is_zero());
}

TEST_F(SigningGuardTest, signs_in_nobody_elses_name) {
    SigningGuard key = guard(1);
    EXPECT_TRUE(key.sign(to_sign(vote(0, block(1, "a"), {}, 2))).is_zero());
}

}  // namespace
}  // namespace loyal::replica
