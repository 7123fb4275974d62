#include <set>

#include "crypto/identity.h"
#include "fault_fixture.h"

namespace loyal::replica {
namespace {

using consensus::Propose;
using consensus::Vote;

class EquivocateTest : public FaultTest {
 protected:
    [[nodiscard]] static consensus::BlockPtr proposed(FaultModel& fault, std::uint16_t to,
                                                      const consensus::BlockPtr& block) {
        const auto out = fault.to_peer({replica(to), Propose{block, {}}});
        EXPECT_EQ(out.size(), 1U);
        return std::get<Propose>(out.front().message).block;
    }
    [[nodiscard]] Vote vote_for(const consensus::BlockPtr& block) const {
        Vote vote;
        vote.view = block->header.view;
        vote.prep = block->ref();
        vote.voter = self_;
        vote.signature = sign(consensus::SignDomain::vote, consensus::vote_content(vote));
        return vote;
    }
};

TEST_F(EquivocateTest, backups_get_two_different_blocks_for_one_place_both_valid) {
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        const auto fault = make("equivocate", seed);
        const auto block = this->block(1, consensus::genesis_block(membership_.context).id, {"a", "b"});
        std::set<crypto::Digest> ids;
        for (std::uint16_t to = 1; to < n; ++to) {
            const auto got = proposed(*fault, to, block);
            ids.insert(got->id);
            EXPECT_EQ(got->header.view, block->header.view);
            EXPECT_EQ(got->header.height, block->header.height);
            EXPECT_EQ(got->header.parent, block->header.parent);
            EXPECT_TRUE(verifier_->verify(Propose{got, {}}, self_).has_value()) << "to " << to;
        }
        EXPECT_EQ(ids.size(), 2U) << "seed " << seed;
    }
}

TEST_F(EquivocateTest, each_side_sees_one_chain) {
    const auto fault = make("equivocate");
    const auto first = block(1, consensus::genesis_block(membership_.context).id, {"a"});
    const auto second = block(2, first->id, {"b"});
    for (std::uint16_t to = 1; to < n; ++to) {
        const auto one = proposed(*fault, to, first);
        const auto two = proposed(*fault, to, second);
        EXPECT_EQ(two->header.parent, one->id);
        EXPECT_GT(two->header.hlc, one->header.hlc);
    }
}

TEST_F(EquivocateTest, each_side_gets_a_valid_vote_for_its_own_block) {
    const auto fault = make("equivocate");
    const auto block = this->block(1, consensus::genesis_block(membership_.context).id, {"a"});
    for (std::uint16_t to = 1; to < n; ++to) {
        const auto got = proposed(*fault, to, block);
        const auto out = fault->to_peer({replica(to), vote_for(block)});
        ASSERT_FALSE(out.empty());
        const Vote& last = std::get<Vote>(out.back().message);
        EXPECT_EQ(last.prep, got->ref());
        for (const PeerSend& send : out) {
            EXPECT_TRUE(verifier_->verify(send.message, self_).has_value());
        }
    }
}

TEST_F(EquivocateTest, now_and_then_a_backup_gets_both_votes) {
    const auto fault = make("equivocate");
    const auto block = this->block(1, consensus::genesis_block(membership_.context).id, {"a"});
    (void)proposed(*fault, 1, block);
    std::size_t both = 0;
    for (int i = 0; i < 100; ++i) {
        both += fault->to_peer({replica(1), vote_for(block)}).size() == 2 ? 1U : 0U;
    }
    EXPECT_GT(both, 5U);
    EXPECT_LT(both, 60U);
}

TEST_F(EquivocateTest, under_another_primary_it_says_what_it_means) {
    const auto fault = make("equivocate");
    const auto block = this->block(1, consensus::genesis_block(membership_.context).id, {"a"}, 1);
    EXPECT_EQ(proposed(*fault, 2, block)->id, block->id);
    const auto out = fault->to_peer({replica(2), vote_for(block)});
    ASSERT_EQ(out.size(), 1U);
    EXPECT_EQ(std::get<Vote>(out.front().message), vote_for(block));
}

TEST_F(EquivocateTest, the_same_seed_tells_the_same_stories) {
    const auto block = this->block(1, consensus::genesis_block(membership_.context).id, {"a", "b"});
    for (std::uint16_t to = 1; to < n; ++to) {
        EXPECT_EQ(proposed(*make("equivocate", 3), to, block)->id, proposed(*make("equivocate", 3), to, block)->id);
    }
}

}  // namespace
}  // namespace loyal::replica
