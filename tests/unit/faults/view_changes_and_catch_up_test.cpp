// Lies in view changes, to replicas that catch up, to readers, and to itself after a restart.
#include <set>

#include "config/limits.h"
#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using consensus::Blocks;
using consensus::Heartbeat;
using consensus::Height;
using consensus::Lock;
using consensus::LockView;
using consensus::NewView;
using consensus::View;
using consensus::ViewChange;

class ViewChangesTest : public FaultTest {
 protected:
    // Of replica 0 for view 4, whose highest lock is genesis.
    [[nodiscard]] NewView new_view() const {
        NewView message;
        message.view = View(4);
        message.base = {LockView(), genesis()};
        message.leader = self_;
        for (std::uint16_t voter = 0; voter < 3; ++voter) {
            message.view_changes.push_back(view_change(4, message.base, voter));
        }
        message.signature = sign(consensus::SignDomain::new_view, consensus::new_view_content(message));
        return message;
    }
    // Committed blocks, uncertified: what is under test does not look.
    [[nodiscard]] Blocks answer() const {
        Blocks answer;
        crypto::Digest parent = genesis().id;
        for (std::uint64_t height = 1; height <= 4; ++height) {
            answer.blocks.push_back(block(height, parent, {"k" + std::to_string(height), "l"}));
            answer.headers.push_back(answer.blocks.back()->header);
            parent = answer.blocks.back()->id;
        }
        answer.commit = consensus::Certificate{consensus::CertKind::commit, View(0), answer.headers.back(), {}, {}};
        const auto head = answer.blocks.back()->ref();
        for (std::uint16_t voter = 0; voter < 3; ++voter) {
            answer.commit->votes.push_back(vote(0, head, head, voter));
        }
        return answer;
    }
};

TEST_F(ViewChangesTest, a_primary_with_broken_sets_convinces_nobody_but_one) {
    ASSERT_TRUE(is_accepted(new_view()));
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        const auto fault = make("bad-view-change", seed);
        std::size_t accepted = 0;
        for (std::uint16_t to = 1; to < n; ++to) {
            const auto out = fault->to_peer({replica(to), new_view()});
            ASSERT_EQ(out.size(), 1U);
            const bool good = is_accepted(out.front().message);
            accepted += good ? 1U : 0U;
            EXPECT_EQ(good, consensus::new_view_content(std::get<NewView>(out.front().message)) ==
                                consensus::new_view_content(new_view()))
                << "seed " << seed;
        }
        EXPECT_EQ(accepted, 1U) << "seed " << seed;
    }
}

TEST_F(ViewChangesTest, false_view_changes_are_refused_or_move_nobody) {
    const auto fault = make("bad-view-change");
    (void)fault->to_peer({replica(1), Heartbeat{View(7), View(7), {}, {}}});
    std::size_t refused = 0, huge = 0, accepted_locks = 0;
    std::set<Bytes> for_next;
    for (const PeerSend& send : deeds(*fault, 600)) {
        const auto& change = std::get<ViewChange>(send.message);
        EXPECT_EQ(change.voter, self_);
        const bool accepted = is_accepted(change);
        refused += accepted ? 0U : 1U;
        huge += change.new_view.value > limits::view_max / 2 ? 1U : 0U;
        accepted_locks += accepted && !change.lock.view.is_genesis() ? 1U : 0U;
        if (accepted && change.new_view == View(8)) {
            for_next.insert(consensus::view_change_content(change));
        }
    }
    EXPECT_GT(refused, 20U);
    EXPECT_GT(huge, 5U);
    EXPECT_EQ(accepted_locks, 0U) << "it has no certificate";
    EXPECT_GT(for_next.size(), 1U) << "two for one view";
}

// Pitfall 16: real votes for the base of view 1 make no certificate of the block below it.
TEST_F(ViewChangesTest, real_votes_for_a_base_are_passed_off_as_a_certificate_of_its_parent) {
    const auto fault = make("bad-view-change");
    const auto first = block(1, genesis().id, {"a"});
    const auto base = block(2, first->id, {"b"});
    EXPECT_TRUE(fault->from_peer(replica(0), consensus::Propose{first, {}}));
    EXPECT_TRUE(fault->from_peer(replica(0), consensus::Propose{base, {}}));
    for (std::uint16_t voter = 1; voter < n; ++voter) {
        EXPECT_TRUE(fault->from_peer(replica(voter), vote(1, base->ref(), {}, voter)));
    }
    (void)fault->to_peer({replica(1), Heartbeat{View(1), View(1), {}, {}}});
    std::size_t tried = 0;
    for (const PeerSend& send : deeds(*fault, 200)) {
        const auto& change = std::get<ViewChange>(send.message);
        if (change.lock == Lock{LockView(View(1)), first->ref()}) {
            ++tried;
            const auto verdict = verifier_->verify(change, self_);
            ASSERT_FALSE(verdict.has_value());
            EXPECT_EQ(verdict.error().message, "prepare certificate below the base of its view");
        }
    }
    EXPECT_GT(tried, 0U);
}

TEST_F(ViewChangesTest, its_own_lock_is_hidden_from_half_of_its_peers) {
    const auto fault = make("bad-view-change");
    const Lock lock{LockView(View(3)), {Height(5), crypto::digest_of("test", view_of("lock"))}};
    std::size_t hidden = 0;
    for (std::uint16_t to = 1; to < n; ++to) {
        const auto out = fault->to_peer({replica(to), view_change(4, lock, 0)});
        hidden += std::get<ViewChange>(out.front().message).lock == lock ? 0U : 1U;
    }
    EXPECT_EQ(hidden, 1U);
}

TEST_F(ViewChangesTest, spam_asks_for_the_next_views_again_and_again_and_each_is_valid) {
    const auto fault = make("view-change-spam");
    (void)fault->to_peer({replica(1), Heartbeat{View(7), View(7), {}, {}}});
    const auto out = deeds(*fault, 100);
    EXPECT_EQ(out.size(), 300U);
    std::set<std::uint64_t> views;
    for (const PeerSend& send : out) {
        EXPECT_TRUE(is_accepted(send.message));
        views.insert(std::get<ViewChange>(send.message).new_view.value);
    }
    EXPECT_EQ(views, (std::set<std::uint64_t>{8, 9, 10, 11}));
}

// ---- Catching up

TEST_F(ViewChangesTest, corrupt_answers_are_refused_and_withheld_ones_hold_no_block) {
    ASSERT_TRUE(is_accepted(answer()));
    const auto corrupt = make("bad-state-transfer=corrupt");
    for (int i = 0; i < 30; ++i) {
        const auto out = corrupt->to_peer({replica(2), answer()});
        ASSERT_EQ(out.size(), 1U);
        EXPECT_FALSE(is_accepted(out.front().message));
    }
    const auto withhold = make("bad-state-transfer=withhold");
    for (int i = 0; i < 30; ++i) {
        for (const PeerSend& send : withhold->to_peer({replica(2), answer()})) {
            EXPECT_TRUE(std::get<Blocks>(send.message).blocks.empty());
        }
    }
}

TEST_F(ViewChangesTest, endless_answers_repeat_the_past_after_each_question) {
    const auto fault = make("bad-state-transfer=endless");
    (void)fault->to_peer({replica(2), answer()});
    const auto first = deeds(*fault, 1'000);
    EXPECT_GE(first.size(), 50U);
    EXPECT_LE(first.size(), 200U) << "bounded, unless it is asked again";
    Blocks later = answer();
    later.blocks.resize(1);
    const auto out = fault->to_peer({replica(2), later});
    EXPECT_EQ(std::get<Blocks>(out.front().message).blocks.size(), 4U) << "the old ones";
    EXPECT_FALSE(deeds(*fault, 3).empty());
}

TEST_F(ViewChangesTest, it_claims_to_be_far_ahead_to_be_asked) {
    const auto fault = make("bad-state-transfer");
    const auto out = fault->to_peer({replica(2), Heartbeat{{}, {}, Height(5), Height(6)}});
    EXPECT_GT(std::get<Heartbeat>(out.front().message).committed, Height(100'000));
}

// ---- Readers

TEST_F(ViewChangesTest, a_stale_reader_answers_what_it_answered_first_as_of_now) {
    const auto fault = make("stale-reads");
    const auto ask = [&](std::uint64_t nonce, const char* key, const char* truth, std::uint64_t executed) {
        wire::Read read;
        read.nonce = nonce;
        kvstore::Range range;
        range.begin = bytes_of(key);
        read.query = range;
        EXPECT_TRUE(fault->from_client(client_, read));
        wire::ReadReply reply;
        reply.nonce = nonce;
        reply.result = bytes_of(truth);
        reply.digest = crypto::digest_of("read", *reply.result);
        reply.executed = Height(executed);
        return std::get<wire::ReadReply>(fault->to_client(client_, reply).front());
    };
    EXPECT_EQ(ask(1, "a", "old", 5).result, bytes_of("old"));
    const auto lie = ask(2, "a", "new", 9);
    EXPECT_EQ(lie.result, bytes_of("old"));
    EXPECT_EQ(lie.digest, crypto::digest_of("read", bytes_of("old")));
    EXPECT_EQ(lie.executed, Height(9)) << "as of now";
    EXPECT_EQ(ask(3, "b", "other", 9).result, bytes_of("other"));
    for (std::uint64_t i = 0; i < 3'000; ++i) {  // so many other questions that the first is forgotten
        (void)ask(10 + i, ("k" + std::to_string(i)).c_str(), "x", 10);
    }
    EXPECT_EQ(ask(9'000, "a", "newest", 11).result, bytes_of("newest"));
}

TEST_F(FaultTest, lies_are_for_the_chosen_clients_only) {
    consensus::ClientId somebody;
    somebody.bytes[0] = 9;
    const auto liar = make("lie-to-clients=alice");
    EXPECT_NE(std::get<wire::Welcome>(liar->to_client(client_, wire::Welcome{}).front()).view, View(0));
    EXPECT_EQ(std::get<wire::Welcome>(liar->to_client(somebody, wire::Welcome{}).front()).view, View(0));
    const auto to_all = make("lie-to-clients=all");
    EXPECT_NE(std::get<wire::Welcome>(to_all->to_client(somebody, wire::Welcome{}).front()).view, View(0));
}

// ---- Restart

TEST_F(FaultTest, an_amnesiac_forgets_votes_lock_and_promise_but_not_what_was_executed) {
    consensus::Recovered recovered;
    recovered.fresh = false;
    recovered.voting.entered = View(3);
    recovered.voting.promised = View(5);
    recovered.voting.leading = 1;
    const consensus::BlockRef head{Height(9), crypto::digest_of("test", view_of("head"))};
    const consensus::BlockRef base{Height(6), crypto::digest_of("test", view_of("base"))};
    recovered.voting.prep = {View(3), head};
    recovered.voting.lock = {LockView(View(3)), head};
    recovered.lock_certificate = consensus::Certificate{};
    recovered.view_change = view_change(5, recovered.voting.lock, 0);
    recovered.new_view = NewView{};
    recovered.new_view->base = {LockView(View(2)), base};
    recovered.executed = Height(8);
    make("silent")->recovered(recovered);
    EXPECT_EQ(recovered.voting.promised, View(5)) << "others forget nothing";
    make("amnesia")->recovered(recovered);
    EXPECT_EQ(recovered.voting.promised, View(3));
    EXPECT_EQ(recovered.voting.prep.block, base);
    EXPECT_TRUE(recovered.voting.lock.view.is_genesis());
    EXPECT_FALSE(recovered.lock_certificate.has_value());
    EXPECT_FALSE(recovered.view_change.has_value());
    EXPECT_EQ(recovered.executed, Height(8));
}

}  // namespace
}  // namespace loyal::replica
