// What leaves the traitor towards its peers differs from what its honest core said, in the way that the behaviour says.
#include <set>

#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using consensus::BlockRef;
using consensus::Heartbeat;
using consensus::Vote;

class PeersLiedToTest : public FaultTest {
 protected:
    [[nodiscard]] static std::vector<PeerSend> said(FaultModel& fault, std::uint16_t to,
                                                    const consensus::PeerMessage& message) {
        return fault.to_peer({replica(to), message});
    }
    // How many of these a correct receiver refuses at its door, by kind.
    [[nodiscard]] std::map<std::string, std::size_t> refused(const std::vector<PeerSend>& sends) const {
        std::map<std::string, std::size_t> kinds;
        for (const PeerSend& send : sends) {
            kinds[consensus::name_of(send.message)] += is_accepted(send.message) ? 0U : 1U;
        }
        return kinds;
    }
};

TEST_F(PeersLiedToTest, mute_to_is_silent_to_some_only) {
    const auto mute = make("mute-to=1,3");
    EXPECT_TRUE(said(*mute, 1, Heartbeat{}).empty());
    EXPECT_TRUE(said(*mute, 3, Heartbeat{}).empty());
    EXPECT_EQ(said(*mute, 2, Heartbeat{}).size(), 1U);
    EXPECT_EQ(mute->to_client(client_, wire::Welcome{}).size(), 1U);
}

TEST_F(PeersLiedToTest, a_double_voter_signs_two_votes_for_one_height) {
    const auto fault = make("double-vote");
    const BlockRef block{consensus::Height(3), crypto::digest_of("test", view_of("block"))};
    std::set<crypto::Digest> ids;
    std::size_t both = 0;
    for (int i = 0; i < 20; ++i) {
        for (std::uint16_t to = 1; to < n; ++to) {
            const auto out = said(*fault, to, vote(0, block, block, 0));
            ASSERT_FALSE(out.empty());
            both += out.size() == 2 ? 1U : 0U;
            for (const PeerSend& send : out) {
                const Vote& lie = std::get<Vote>(send.message);
                EXPECT_TRUE(is_accepted(lie)) << "a lie that nobody believes is none";
                EXPECT_EQ(lie.prep.height, block.height);
                EXPECT_EQ(lie.com, lie.prep);
                ids.insert(lie.prep.id);
            }
        }
    }
    EXPECT_EQ(ids.size(), 2U);
    EXPECT_GT(both, 3U);
}

TEST_F(PeersLiedToTest, a_double_voter_tells_whoever_votes_otherwise_that_he_is_right) {
    const auto fault = make("double-vote");
    const BlockRef own{consensus::Height(3), crypto::digest_of("test", view_of("own"))};
    const BlockRef theirs{consensus::Height(3), crypto::digest_of("test", view_of("theirs"))};
    (void)said(*fault, 1, vote(0, own, {}, 0));
    EXPECT_TRUE(fault->from_peer(replica(2), vote(0, theirs, {}, 2)));
    const auto out = deeds(*fault, 3);
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(out.front().to, replica(2));
    EXPECT_EQ(std::get<Vote>(out.front().message).com, theirs);
    EXPECT_TRUE(is_accepted(out.front().message));
    const auto next = said(*fault, 2, vote(0, own, own, 0));
    EXPECT_TRUE(std::any_of(next.begin(), next.end(), [&](const PeerSend& send) {
        return std::get<Vote>(send.message).prep == theirs || std::get<Vote>(send.message).prep == own;
    }));
}

TEST_F(PeersLiedToTest, a_forger_speaks_in_every_kind_of_name_and_nobody_opens) {
    const auto fault = make("forge");
    const auto block = this->block(1, genesis().id, {"a"});
    EXPECT_TRUE(fault->from_peer(replica(1), consensus::Propose{block, {}}));
    const auto out = deeds(*fault, 200);
    const auto kinds = refused(out);
    for (const char* kind : {"VOTE", "VIEW-CHANGE", "NEW-VIEW", "BLOCKS"}) {
        EXPECT_GT(kinds.at(kind), 0U) << kind;
    }
    std::size_t all = 0, others_names = 0;
    for (const auto& [kind, count] : kinds) {
        all += count;
    }
    for (const PeerSend& send : out) {
        const auto* vote = std::get_if<Vote>(&send.message);
        others_names += vote != nullptr && vote->voter != self_ ? 1U : 0U;
    }
    EXPECT_GT(others_names, 0U);
    // What replica 0 may say in its own view is not refused: its own proposal.
    EXPECT_GT(all * 4, out.size() * 3);
}

TEST_F(PeersLiedToTest, a_replayer_says_again_what_it_and_others_said_long_ago) {
    const auto fault = make("replay");
    const BlockRef block{consensus::Height(3), crypto::digest_of("test", view_of("old"))};
    EXPECT_TRUE(deeds(*fault, 3).empty());
    (void)said(*fault, 1, vote(0, block, {}, 0));
    EXPECT_TRUE(fault->from_peer(replica(2), vote(0, block, {}, 2)));
    for (std::uint64_t view = 1; view <= 2'000; ++view) {
        (void)said(*fault, 1, view_change(view, {{}, genesis()}, 0));
    }
    std::set<std::uint64_t> views;
    for (const PeerSend& send : deeds(*fault, 500)) {
        if (const auto* change = std::get_if<consensus::ViewChange>(&send.message)) {
            views.insert(change->new_view.value);
        }
    }
    // A sample of all ages, of bounded size.
    EXPECT_GT(views.size(), 50U);
    EXPECT_LE(views.size(), 256U);
    EXPECT_LT(*views.begin(), 200U);
    EXPECT_GT(*views.rbegin(), 1'800U);
}

TEST_F(PeersLiedToTest, a_flood_is_large_bounded_and_mostly_looks_valid) {
    const auto fault = make("flood");
    const auto out = deeds(*fault, 100);
    EXPECT_EQ(out.size(), 3'200U);
    std::size_t accepted = 0;
    std::set<crypto::Digest> blocks;
    for (const PeerSend& send : out) {
        accepted += is_accepted(send.message) ? 1U : 0U;
        if (const auto* vote = std::get_if<Vote>(&send.message)) {
            blocks.insert(vote->prep.id);
        }
    }
    EXPECT_GT(accepted * 2, out.size());
    EXPECT_GT(blocks.size(), 1'000U);
}

TEST_F(PeersLiedToTest, bits_are_flipped_as_often_as_it_was_told) {
    const auto fault = make("corrupt-bits=0.01");
    std::size_t flipped = 0;
    for (int i = 0; i < 1'000; ++i) {
        Bytes frame(125, 0);
        fault->outgoing_frame(replica(1), frame);
        for (const std::uint8_t byte : frame) {
            flipped += static_cast<std::size_t>(__builtin_popcount(byte));
        }
    }
    EXPECT_GT(flipped, 9'000U);
    EXPECT_LT(flipped, 11'000U);
    Bytes frame(10, 0);
    make("corrupt-bits=1")->outgoing_frame(replica(1), frame);
    EXPECT_EQ(frame, Bytes(10, 0xFF));
    Bytes empty;
    make("corrupt-bits=1")->outgoing_frame(replica(1), empty);
    EXPECT_TRUE(empty.empty());
}

TEST_F(PeersLiedToTest, a_lying_clock_lies_to_its_core_and_to_peers_alike) {
    const auto ahead = make("clock-lie=+10s");
    EXPECT_EQ(ahead->wall_ms(5'000), 15'000U);
    const auto out = said(*ahead, 1, consensus::ClockAnswer{7, 1'000, 2'000});
    const auto& answer = std::get<consensus::ClockAnswer>(out.front().message);
    EXPECT_EQ(answer.probe_us, 7U);
    EXPECT_EQ(answer.received_us, 10'001'000U);
    EXPECT_EQ(answer.sent_us, 10'002'000U);
    const auto behind = make("clock-lie=-1h");
    EXPECT_EQ(behind->wall_ms(3'600'500), 500U);
    EXPECT_EQ(behind->wall_ms(10), 0U);
}

}  // namespace
}  // namespace loyal::replica
