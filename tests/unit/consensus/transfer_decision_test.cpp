// When a replica asks for the state of others, and how it goes on with it (docs/PROTOCOL.md §13 S6, N10, A6, V4).
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "tests/unit/consensus/checkpoint_schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t step = checkpoint_step;
const Members everybody{0, 1, 2, 3};

Members all_of(const TestCluster& cluster) {
    Members members;
    for (std::size_t i = 0; i < cluster.shape.n; ++i) {
        members.insert(i);
    }
    return members;
}

Members without(Members members, std::size_t replica) {
    members.erase(replica);
    return members;
}

// The last replica hears nothing while the others go on and truncate their logs.
std::size_t leave_one_behind(TestCluster& cluster, Height height) {
    const std::size_t last = cluster.shape.n - 1;
    EXPECT_TRUE(write_until(cluster, Height(3), all_of(cluster)));
    EXPECT_TRUE(write_until(cluster, height, without(all_of(cluster), last)));
    return last;
}

bool asks(const TestCluster& cluster, std::size_t replica) {
    return !cluster.replicas[replica].fetches.empty();
}

TEST(Transfer, a_replica_behind_the_logs_asks_for_the_state_and_votes_again) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(checkpoint_shape({}, {}, model));
        const std::size_t late = leave_one_behind(cluster, Height(5 * step + 3));
        const Height own = cluster.status(late).committed.height;
        ASSERT_TRUE(run_until(cluster, all_of(cluster), [&] { return asks(cluster, late); }));
        EXPECT_EQ(cluster.status(late).state_lost.substr(0, 11), "fell behind");
        EXPECT_EQ(cluster.replicas[late].fetches.back().checkpoint.height, Height(4 * step));
        EXPECT_EQ(cluster.status(late).executed, own);
        const auto voted = [&] { return votes_of(cluster, late, View(0)).back().prep.height; };
        ASSERT_TRUE(cluster.install(late));
        EXPECT_EQ(cluster.status(late).state_lost, "");
        EXPECT_EQ(cluster.status(late).executed, Height(4 * step));
        ASSERT_TRUE(write_one(cluster, all_of(cluster)));
        if (model == FaultModel::crash) {
            EXPECT_GT(voted(), Height(4 * step)) << "a view has one chain only";
            continue;
        }
        // Whether its votes of this view are on the chain of the state it was given is not known: it stays silent.
        EXPECT_EQ(voted(), own);
        for (const std::size_t replica : everybody) {
            time_out(cluster, replica);
        }
        ASSERT_TRUE(write_one(cluster, everybody));
        const View view = cluster.status(late).entered;
        EXPECT_GE(view, View(1));
        EXPECT_FALSE(votes_of(cluster, late, view).empty());
        for (const TestCluster::Replica& replica : cluster.replicas) {
            EXPECT_TRUE(replica.accusations.empty());
        }
        cluster.check_agreement();
    }
}

// Not even stale reads: they may be old, but nobody is taken back behind what this replica has served before.
TEST(Transfer, nothing_is_answered_from_a_state_older_than_what_the_log_knows_to_be_committed) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(3), everybody));
    TestCluster::Replica& replica = cluster.replicas[3];
    ASSERT_TRUE(replica.core->serving());
    replica.auto_execute = false;
    cluster.restart(3);
    EXPECT_EQ(cluster.status(3).executed, Height(0));
    EXPECT_FALSE(replica.core->serving());
    cluster.execute_all(3);
    EXPECT_GT(cluster.status(3).executed, Height(0));
    EXPECT_TRUE(replica.core->serving());
}

TEST(Transfer, of_a_replica_that_slept_through_views) {
    TestCluster cluster(checkpoint_shape());
    const Members awake{0, 1, 2};
    ASSERT_TRUE(write_until(cluster, Height(3), everybody));
    for (int view = 0; view < 4; ++view) {
        for (const std::size_t replica : awake) {
            time_out(cluster, replica);
        }
        ASSERT_TRUE(write_one(cluster, awake));
    }
    ASSERT_TRUE(write_until(cluster, Height(5 * step + 3), awake));
    ASSERT_TRUE(run_until(cluster, everybody, [&] { return asks(cluster, 3); }));
    ASSERT_TRUE(cluster.install(3));
    ASSERT_TRUE(write_one(cluster, everybody));
    // It had not voted in this view: it does now.
    EXPECT_FALSE(votes_of(cluster, 3, cluster.status(0).entered).empty());
    cluster.restart(3);
    ASSERT_TRUE(write_one(cluster, everybody));
    cluster.check_agreement();
}

TEST(Transfer, a_replica_that_lost_everything_but_its_votes_comes_back) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(4 * step + 3), everybody));
    cluster.lose_state(1, "the disk is unreadable");
    EXPECT_EQ(cluster.replicas[1].fetches.back().checkpoint.height, Height(3 * step));
    // A restart in the middle: the state is still lost.
    cluster.restart(1);
    EXPECT_EQ(cluster.status(1).state_lost, "the disk is unreadable");
    EXPECT_EQ(cluster.replicas[1].fetches.back().checkpoint.height, Height(3 * step));
    ASSERT_TRUE(write_until(cluster, Height(9 * step), without(everybody, 1)));
    cluster.run(200);
    EXPECT_GE(cluster.replicas[1].fetches.back().checkpoint.height, Height(7 * step));
    ASSERT_TRUE(cluster.install(1));
    ASSERT_TRUE(write_one(cluster, everybody));
    EXPECT_TRUE(same_state(cluster, 0, 1));
}

TEST(Transfer, the_same_state_is_asked_for_again_when_nothing_happens) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(3), everybody));
    cluster.lose_state(2, "a record is damaged");
    EXPECT_EQ(cluster.replicas[2].fetches.size(), 1U);
    cluster.run(2900);
    EXPECT_EQ(cluster.replicas[2].fetches.size(), 1U);
    cluster.run(200);
    EXPECT_EQ(cluster.replicas[2].fetches.size(), 2U);
}

// S6: the others have the blocks; one that says that they are gone is not enough to fetch the whole state.
TEST(Transfer, one_liar_cannot_make_a_replica_fetch_the_state) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(checkpoint_shape(off));
            for (TestCluster::Replica& replica : cluster.replicas) {
                replica.truncates = false;
            }
            leave_one_behind(cluster, Height(3 * step + 1));
            const auto proof = cluster.newest_checkpoint(0);
            EXPECT_TRUE(proof.has_value());
            Blocks lie;
            lie.checkpoint = proof;
            const auto fetched = [&] { return cluster.status(3).committed == cluster.status(0).committed; };
            for (int i = 0; i < 300 && !fetched() && !asks(cluster, 3); ++i) {
                EXPECT_TRUE(cluster.inject(0, 3, lie));
                cluster.run(1, {1, 2, 3});
            }
            return asks(cluster, 3);
        },
        {"S6-others"});
}

// But if nobody else answers, it is believed.
TEST(Transfer, one_peer_alone_is_believed_when_no_other_helps) {
    TestCluster cluster(checkpoint_shape());
    const std::size_t late = leave_one_behind(cluster, Height(3 * step + 1));
    for (int i = 0; i < 300 && !asks(cluster, late); ++i) {
        cluster.run(1, {0, late});
    }
    EXPECT_TRUE(asks(cluster, late));
}

TEST(Transfer, only_forward) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(checkpoint_shape(off));
            EXPECT_TRUE(write_until(cluster, Height(2 * step + 1), everybody));
            Blocks old;
            old.checkpoint = cluster.newest_checkpoint(0);
            EXPECT_EQ(old.checkpoint->root().height, Height(step));
            EXPECT_TRUE(write_until(cluster, Height(4 * step + 1), everybody));
            for (const std::size_t replica : {0UL, 1UL}) {
                cluster.inject(replica, 3, old);
            }
            return asks(cluster, 3);
        },
        {"S6-forward"});
}

TEST(Transfer, goes_on_to_the_newest_checkpoint_and_never_back) {
    TestCluster cluster(checkpoint_shape());
    const std::size_t late = leave_one_behind(cluster, Height(3 * step + 1));
    Blocks old;
    old.checkpoint = cluster.newest_checkpoint(0);
    ASSERT_TRUE(write_until(cluster, Height(5 * step + 1), without(everybody, late)));
    ASSERT_TRUE(run_until(cluster, everybody, [&] { return asks(cluster, late); }));
    EXPECT_EQ(cluster.replicas[late].fetches.back().checkpoint.height, Height(4 * step));
    const std::size_t asked = cluster.replicas[late].fetches.size();
    for (const std::size_t replica : {0UL, 1UL, 2UL}) {
        cluster.inject(replica, late, old);
    }
    EXPECT_EQ(cluster.replicas[late].fetches.size(), asked);
    ASSERT_TRUE(write_until(cluster, Height(7 * step + 1), without(everybody, late)));
    ASSERT_TRUE(run_until(cluster, everybody,
                          [&] { return cluster.replicas[late].fetches.back().checkpoint.height == Height(6 * step); }));
    ASSERT_TRUE(cluster.install(late));
    ASSERT_TRUE(write_one(cluster, everybody));
}

// The proof binds the root, not the header of the checkpoint's own block: what most peers name comes in its place.
TEST(Transfer, a_false_header_of_the_checkpoint_is_outvoted) {
    TestCluster cluster(checkpoint_shape());
    const std::size_t late = leave_one_behind(cluster, Height(3 * step + 1));
    Blocks lie;
    lie.checkpoint = cluster.newest_checkpoint(0);
    lie.checkpoint->block.view = View(5);
    for (int i = 0; i < 300 && !asks(cluster, late); ++i) {
        ASSERT_TRUE(cluster.inject(0, late, lie));
        cluster.run(1, {late});
    }
    ASSERT_TRUE(asks(cluster, late));
    EXPECT_FALSE(cluster.install(late)) << "the state does not hold that block";
    ASSERT_TRUE(run_until(cluster, everybody, [&] { return cluster.install(late); }));
    ASSERT_TRUE(write_one(cluster, everybody));
}

// V4, pitfall 21 with truncated logs: nobody has the block of an old lock any more.
TEST(Transfer, an_old_lock_whose_block_is_in_no_log_stops_nobody) {
    TestCluster cluster(checkpoint_shape());
    const std::size_t late = leave_one_behind(cluster, Height(5 * step + 3));
    EXPECT_FALSE(cluster.status(late).lock.view.is_genesis());
    EXPECT_LT(cluster.status(late).lock.block.height, cluster.replicas[0].log_first);
    ASSERT_TRUE(run_until(cluster, everybody, [&] { return asks(cluster, late); }));
    ASSERT_TRUE(cluster.install(late));
    // R2 is gone: R3's old lock takes part in every view change, and it leads view 3.
    const Members alive = without(everybody, 2);
    for (int view = 0; view < 5; ++view) {
        for (const std::size_t replica : alive) {
            time_out(cluster, replica);
        }
        ASSERT_TRUE(write_one(cluster, alive)) << view;
    }
    cluster.check_agreement();
}

// ---- A6

// R1 has voted for a block whose record rotted: it says so again only when the block is back.
TEST(LostRecord, a_vote_is_repeated_when_its_block_was_fetched_again) {
    TestCluster cluster(checkpoint_shape());
    ASSERT_TRUE(write_until(cluster, Height(4), everybody));
    cut(cluster);
    const BlockRef lost = propose_to(cluster, 0, {1, 2}, "rots");
    cut(cluster);
    ASSERT_EQ(cluster.status(1).prep, lost);
    std::erase_if(cluster.replicas[1].log, [&](const LogRecord& record) {
        const auto* block = std::get_if<BlockRecord>(&record);
        return block != nullptr && block->block->id == lost.id;
    });
    const std::size_t before = votes_of(cluster, 1, View(0)).size();
    cluster.restart(1);
    EXPECT_EQ(cluster.status(1).prep, lost) << "the vote stands";
    cluster.tick(1, 15);
    EXPECT_EQ(votes_of(cluster, 1, View(0)).size(), before) << "voted for what it does not have";
    EXPECT_TRUE(std::any_of(cluster.bag.begin(), cluster.bag.end(), [&](const Packet& packet) {
        const auto* fetch = std::get_if<Fetch>(&packet.message);
        return fetch != nullptr && fetch->what == Fetch::What::by_id && fetch->ids.front() == lost.id;
    }));
    // Back in memory is not back on the disk.
    cluster.replicas[1].auto_persist = false;
    const Members quorum{0, 1, 2};
    cluster.run(5, quorum);
    EXPECT_EQ(votes_of(cluster, 1, View(0)).size(), before);
    cluster.replicas[1].auto_persist = true;
    ASSERT_TRUE(run_until(cluster, quorum, [&] { return cluster.executed_text(1, "rots"); }));
    EXPECT_TRUE(
        std::any_of(cluster.replicas[1].log.begin(), cluster.replicas[1].log.end(), [&](const LogRecord& record) {
            const auto* block = std::get_if<BlockRecord>(&record);
            return block != nullptr && block->block->id == lost.id;
        }));
    EXPECT_GT(votes_of(cluster, 1, View(0)).size(), before);
    ASSERT_TRUE(write_one(cluster, everybody));
    EXPECT_EQ(cluster.status(0).entered, View(0));
    cluster.check_agreement();
}

// Committed blocks that rotted in a log whose state is in order.
class LostBlocks : public ::testing::TestWithParam<FaultModel> {
 protected:
    explicit LostBlocks(const std::vector<std::string>& rules_off = {})
        : cluster_(checkpoint_shape(rules_off, {}, GetParam())) {
        EXPECT_TRUE(write_until(cluster_, Height(3 * step), all_));
        cut(cluster_);
        const Height committed = cluster_.status(self_).committed.height;
        for (const std::uint64_t below : {7U, 6U, 1U}) {
            lost_.push_back(cluster_.replicas[self_].executed_ever.at(committed.minus(below))->ref());
        }
    }
    [[nodiscard]] std::size_t stored(const crypto::Digest& id) const {
        const auto& log = cluster_.replicas[self_].log;
        return static_cast<std::size_t>(std::count_if(log.begin(), log.end(), [&](const LogRecord& record) {
            const auto* block = std::get_if<BlockRecord>(&record);
            return block != nullptr && block->block->id == id;
        }));
    }
    [[nodiscard]] std::vector<Packet> questions() const {
        std::vector<Packet> asked = cluster_.sent_by(self_);
        std::erase_if(asked, [](const Packet& packet) { return !std::holds_alternative<Fetch>(packet.message); });
        return asked;
    }
    TestCluster cluster_;
    Members all_ = all_of(cluster_);
    std::size_t self_ = cluster_.shape.n - 1;
    std::vector<BlockRef> lost_;  // lowest first; the last one is still in memory
};

TEST_P(LostBlocks, are_asked_for_and_stored_again) {
    const std::size_t before = stored(lost_[0].id), recent = stored(lost_[2].id);
    cluster_.log_damaged(self_, {{lost_[0].height.minus(1), {}}, lost_[0], lost_[1], lost_[2]});
    EXPECT_EQ(stored(lost_[2].id), recent + 1) << "without asking anybody";
    EXPECT_EQ(stored(lost_[0].id), before);
    ASSERT_TRUE(run_until(cluster_, all_, [&] { return stored(lost_[0].id) > before; }));
    EXPECT_EQ(stored(lost_[0].id), before + 1);
    EXPECT_EQ(stored(lost_[1].id), before + 1) << "the same answer held it";
    const std::size_t asked = questions().size();
    cluster_.run(500);
    EXPECT_EQ(questions().size(), asked) << "nothing is missing any more";
    EXPECT_EQ(stored(lost_[0].id), before + 1);
    cluster_.check_agreement();
}

TEST_P(LostBlocks, peers_are_asked_in_turn_and_not_all_the_time_until_one_answers) {
    const std::size_t before = stored(lost_[0].id);
    cluster_.log_damaged(self_, {lost_[0]});
    const auto asked_before = questions().size();
    cluster_.run(100, {self_});  // a second; nobody hears it
    const auto asked = questions();
    std::set<std::size_t> peers;
    for (std::size_t i = asked_before; i < asked.size(); ++i) {
        const auto& fetch = std::get<Fetch>(asked[i].message);
        EXPECT_EQ(fetch.from, lost_[0].height);
        peers.insert(asked[i].to.value);
    }
    EXPECT_EQ(peers.size(), cluster_.shape.n - 1);
    EXPECT_GE(asked.size() - asked_before, 3U);
    EXPECT_LE(asked.size() - asked_before, 6U);
    EXPECT_EQ(stored(lost_[0].id), before);
    ASSERT_TRUE(run_until(cluster_, all_, [&] { return stored(lost_[0].id) > before; }));
}

TEST_P(LostBlocks, another_block_of_that_height_is_not_stored) {
    cluster_.log_damaged(self_, {lost_[0]});
    const BlockPtr real = cluster_.replicas[0].executed_ever.at(lost_[0].height);
    Blocks lie;
    lie.blocks = {cluster_.block(0, View(0), {lost_[0].height.minus(1), real->header.parent}, Hlc(), "another")};
    ASSERT_TRUE(cluster_.inject(0, self_, lie));
    cluster_.end_batch(self_);
    EXPECT_EQ(stored(lie.blocks[0]->id), 0U);
    const std::size_t before = stored(lost_[0].id);
    ASSERT_TRUE(run_until(cluster_, all_, [&] { return stored(lost_[0].id) > before; }));
}

TEST_P(LostBlocks, a_replica_without_its_state_repairs_its_log_as_well) {
    const std::size_t before = stored(lost_[0].id);
    cluster_.lose_state(self_, "rot");
    cluster_.log_damaged(self_, {lost_[0]});
    ASSERT_TRUE(run_until(cluster_, all_, [&] { return stored(lost_[0].id) > before; }));
}

class LostBlocksForEver : public LostBlocks {
 protected:
    LostBlocksForEver() : LostBlocks({"A6-repair"}) {}
};

TEST_P(LostBlocksForEver, stay_lost_without_the_rule) {
    const std::size_t before = stored(lost_[0].id);
    cluster_.log_damaged(self_, lost_);
    cluster_.run(500);
    EXPECT_EQ(stored(lost_[0].id), before);
}

INSTANTIATE_TEST_SUITE_P(Models, LostBlocks, ::testing::Values(FaultModel::byzantine, FaultModel::crash));
INSTANTIATE_TEST_SUITE_P(Models, LostBlocksForEver, ::testing::Values(FaultModel::byzantine));

}  // namespace
}  // namespace loyal::consensus::test
