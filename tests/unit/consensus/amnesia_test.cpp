// Replicas that lose their disks and come back (docs/PROTOCOL.md §14, A1 to A5).
#include <gtest/gtest.h>

#include "tests/unit/consensus/adversary.h"
#include "tests/unit/consensus/disk_losses.h"

namespace loyal::consensus::test {
namespace {

Members up_to(std::size_t n) {
    Members all;
    for (std::size_t i = 0; i < n; ++i) {
        all.insert(i);
    }
    return all;
}

// The disks of `lost` go at once. The others go on without them, and they come back.
void expect_recovery(std::size_t n, FaultModel model, const Members& lost) {
    TestCluster cluster(losing_shape(n, model));
    const Members all = up_to(n);
    ASSERT_TRUE(works(cluster, all, "before", 1));
    for (const std::size_t replica : lost) {
        cluster.lose_disk(replica);
        EXPECT_TRUE(cluster.status(replica).amnesiac);
        EXPECT_FALSE(cluster.replicas[replica].core->serving());
    }
    cut(cluster);
    const std::size_t since = cluster.history.size();
    Members others = all;
    for (const std::size_t replica : lost) {
        others.erase(replica);
    }
    const View first = cluster.status(*others.begin()).entered;
    // They read along and execute while they are silent.
    ASSERT_TRUE(works(cluster, all, "meanwhile", 2));
    for (const std::size_t replica : lost) {
        EXPECT_TRUE(cluster.status(replica).amnesiac);
        EXPECT_EQ(statements_of(cluster, replica, since), 0U);
    }
    ASSERT_TRUE(remember(cluster, all, lost));
    for (const std::size_t replica : lost) {
        EXPECT_GT(cluster.status(replica).entered, first.plus(3)) << "M+2, and the silent one";
        EXPECT_EQ(contradiction_of(cluster, replica), std::nullopt);
    }
    cluster.run(100, all);
    // Nobody asks for rotations any more.
    const View settled = cluster.status(*others.begin()).entered;
    cluster.run(500, all);
    EXPECT_EQ(cluster.status(*others.begin()).entered, settled);
    // They count again: with them, f others may fail.
    const std::size_t f = cluster.membership.quorum().f;
    Members alive = all;
    for (std::size_t i = 0; i < f && i < others.size(); ++i) {
        alive.erase(*std::next(others.begin(), static_cast<std::ptrdiff_t>(i)));
    }
    EXPECT_TRUE(works(cluster, alive, "with them", 3, 3000));
    for (const std::size_t replica : lost) {
        EXPECT_EQ(contradiction_of(cluster, replica), std::nullopt);
        EXPECT_FALSE(cluster.status(replica).halted);
    }
}

TEST(Amnesia, one_of_four_loses_its_disk) {
    expect_recovery(4, FaultModel::byzantine, {2});
}
TEST(Amnesia, the_leader_of_four_loses_its_disk) {
    expect_recovery(4, FaultModel::byzantine, {0});
}
TEST(Amnesia, two_of_seven_lose_their_disks_at_once) {
    expect_recovery(7, FaultModel::byzantine, {1, 5});
}
TEST(Amnesia, one_of_three_in_crash_mode) {
    expect_recovery(3, FaultModel::crash, {1});
}
TEST(Amnesia, the_leader_of_three_in_crash_mode) {
    expect_recovery(3, FaultModel::crash, {0});
}
TEST(Amnesia, two_of_five_in_crash_mode) {
    expect_recovery(5, FaultModel::crash, {0, 3});
}

// Nothing was ever written: there is no block to certify, and nothing to forget.
TEST(Amnesia, a_disk_is_lost_before_the_first_write) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(losing_shape(4, model));
        cluster.run(10);
        cluster.lose_disk(3);
        EXPECT_TRUE(remember(cluster, up_to(4), {3}));
        EXPECT_TRUE(works(cluster, up_to(4), "first", 1));
    }
}

TEST(Amnesia, a_restart_in_the_middle_begins_again) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(losing_shape(4, model));
        ASSERT_TRUE(works(cluster, up_to(4), "a", 1));
        cluster.lose_disk(1);
        cluster.run(250);
        ASSERT_TRUE(cluster.status(1).amnesiac);
        const std::size_t since = cluster.history.size();
        cluster.restart(1);
        EXPECT_TRUE(cluster.status(1).amnesiac) << "it is durable";
        cluster.run(100);
        EXPECT_EQ(statements_of(cluster, 1, since), 0U);
        EXPECT_TRUE(remember(cluster, up_to(4), {1}));
        EXPECT_TRUE(works(cluster, {0, 1, 2}, "b", 2));
        EXPECT_EQ(contradiction_of(cluster, 1), std::nullopt);
    }
}

TEST(Amnesia, a_disk_that_is_lost_twice) {
    TestCluster cluster(losing_shape(4, FaultModel::byzantine));
    ASSERT_TRUE(works(cluster, up_to(4), "a", 1));
    for (std::uint64_t round = 0; round < 2; ++round) {
        cluster.lose_disk(1);
        ASSERT_TRUE(remember(cluster, up_to(4), {1}));
        ASSERT_TRUE(works(cluster, up_to(4), "b" + std::to_string(round), 2 + round));
    }
    EXPECT_EQ(contradiction_of(cluster, 1), std::nullopt);
}

// One loss after the other: at every moment q of n know what they promised.
TEST(Amnesia, every_disk_is_lost_one_after_the_other) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(losing_shape(4, model));
        ASSERT_TRUE(works(cluster, up_to(4), "kept", 1));
        for (std::size_t victim = 0; victim < 4; ++victim) {
            cluster.lose_disk(victim);
            ASSERT_TRUE(remember(cluster, up_to(4), {victim})) << victim;
            ASSERT_TRUE(works(cluster, up_to(4), "after " + std::to_string(victim), 2 + victim));
        }
        for (std::size_t i = 0; i < 4; ++i) {
            EXPECT_TRUE(cluster.executed_text(i, "kept"));
        }
    }
}

// More than f: nobody makes anything up. The cluster waits for those who know.
TEST(Amnesia, more_than_f_wait) {
    for (const std::size_t n : {3UL, 4UL}) {
        TestCluster cluster(losing_shape(n, n == 3 ? FaultModel::crash : FaultModel::byzantine));
        const Members all = up_to(n);
        ASSERT_TRUE(works(cluster, all, "a", 1));
        cluster.lose_disk(1);
        cluster.lose_disk(2);
        const std::size_t since = cluster.history.size();
        EXPECT_FALSE(works(cluster, all, "b", 2, 800));
        for (const std::size_t lost : {1UL, 2UL}) {
            EXPECT_TRUE(cluster.status(lost).amnesiac);
            EXPECT_EQ(statements_of(cluster, lost, since), 0U);
        }
        EXPECT_TRUE(cluster.executed_text(0, "a"));
        cluster.check_agreement();
    }
}

// A1 comes before anything that is sent: the loss of the votes is on the new disk first.
TEST(Amnesia, is_durable_before_it_is_over) {
    TestCluster cluster(losing_shape(4, FaultModel::byzantine));
    ASSERT_TRUE(works(cluster, up_to(4), "a", 1));
    cluster.replicas[1].auto_persist = false;
    cluster.lose_disk(1);
    cluster.persist_one(1);
    cluster.replicas[1].auto_persist = true;
    cluster.restart(1);
    EXPECT_TRUE(cluster.status(1).amnesiac);
    // And the end of it is in the transaction of the first promise or entry after it.
    ASSERT_TRUE(remember(cluster, up_to(4), {1}));
    cluster.restart(1);
    EXPECT_FALSE(cluster.status(1).amnesiac);
    bool silent = true;
    for (const LogRecord& record : cluster.replicas[1].log) {
        if (const auto* voting = std::get_if<VotingState>(&record)) {
            EXPECT_TRUE(silent || !voting->amnesiac);
            if (silent && !voting->amnesiac) {
                EXPECT_LT(voting->lock.view, LockView(voting->promised)) << "it votes above the view of its lock only";
            }
            silent = voting->amnesiac;
        }
    }
    EXPECT_FALSE(silent);
}

// R3 cries for help for ever, to all or to one, with ever new questions. A leader keeps its view for ten seconds.
std::uint64_t rotations_of_a_flood(const std::vector<std::string>& off, bool to_all) {
    Shape shape = shape_of(off);
    TestCluster cluster(shape);
    const Members three{0, 1, 2};
    for (std::uint64_t i = 0; i < 4'000; ++i) {
        cluster.run(1, three);
        for (const std::size_t member : three) {
            if (to_all || member == (i / 500) % 3) {
                cluster.inject(3, member, Recover{i + 1});
            }
            cluster.inject(
                3, member,
                Heartbeat{cluster.status(member).entered, cluster.status(member).entered, Height(), Height()});
        }
        if (i % 100 == 0) {
            for (const std::size_t member : three) {
                cluster.submit(member, "w" + std::to_string(i), i / 100 + 1);
            }
        }
        cluster.history.clear();
    }
    for (const std::size_t member : three) {
        EXPECT_TRUE(cluster.executed_text(member, "w3000") || !off.empty());
    }
    std::uint64_t views = 0;
    for (const std::size_t member : three) {
        views = std::max(views, cluster.status(member).entered.value);
    }
    return views;
}

TEST(RecoverFlood, costs_a_leader_its_view_every_ten_seconds_at_most) {
    // 40 s: views 0 to 2 last ten seconds each; view 3 is R3's own, which it loses at once.
    EXPECT_LE(rotations_of_a_flood({}, true), 5U);
    EXPECT_LE(rotations_of_a_flood({}, false), 5U);
    EXPECT_GT(rotations_of_a_flood({"A4-rate"}, true), 20U);
}

// An answer is large: one a second for each peer.
TEST(RecoverFlood, is_answered_once_a_second) {
    TestCluster cluster(shape_of({}));
    cluster.run(10, {0, 1, 2});
    const std::size_t since = cluster.history.size();
    for (std::uint64_t i = 0; i < 300; ++i) {
        cluster.inject(3, 0, Recover{i + 1});
        cluster.tick(0);
    }
    const auto answers =
        std::count_if(cluster.history.begin() + static_cast<std::ptrdiff_t>(since), cluster.history.end(),
                      [](const Packet& packet) { return is<RecoverAck>(packet); });
    EXPECT_GE(answers, 2);
    EXPECT_LE(answers, 4);
}

// ---- Random schedules with lost disks

struct Losses {
    std::size_t traitors = 0;
    std::size_t at_once = 1;
};

void expect_safe_with_losses(std::size_t n, FaultModel model, Losses losses, std::uint64_t seeds) {
    std::uint64_t heights = 0;
    std::uint64_t recovered = 0;
    std::uint64_t lost = 0;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        Chaos chaos;
        chaos.n = n;
        chaos.fault_model = model;
        chaos.views = 12;
        chaos.traitors = losses.traitors;
        chaos.losses_at_once = losses.at_once;
        chaos.must_recover = losses.traitors + losses.at_once <= Quorum::of(model, n).f;
        const Verdict verdict = run_chaos(chaos, seed);
        ASSERT_TRUE(verdict.safe) << "seed " << seed << ": " << verdict.why;
        ASSERT_TRUE(verdict.live) << "seed " << seed << ": " << verdict.why;
        heights += verdict.height;
        recovered += verdict.recovered;
        lost += verdict.losses;
    }
    EXPECT_GE(heights, 2 * seeds);
    EXPECT_GE(lost, seeds / 2);
    EXPECT_GE(3 * recovered, lost) << "too few came back to prove anything";
    ::testing::Test::RecordProperty("losses", std::to_string(lost));
    ::testing::Test::RecordProperty("recovered", std::to_string(recovered));
}

TEST(RandomLosses, four_replicas) {
    expect_safe_with_losses(4, FaultModel::byzantine, {0, 1}, 60);
}
TEST(RandomLosses, four_replicas_with_a_traitor) {
    expect_safe_with_losses(4, FaultModel::byzantine, {1, 1}, 20);
}
TEST(RandomLosses, seven_replicas_with_a_traitor) {
    expect_safe_with_losses(7, FaultModel::byzantine, {1, 1}, 4);
}
TEST(RandomLosses, three_replicas_that_crash) {
    expect_safe_with_losses(3, FaultModel::crash, {0, 1}, 60);
}
TEST(RandomLosses, five_replicas_that_crash) {
    expect_safe_with_losses(5, FaultModel::crash, {0, 2}, 30);
}

TEST(RandomLosses, amnesiacs_that_vote_are_found_out) {
    Chaos chaos;
    chaos.rules_off = {"A2"};
    chaos.must_recover = false;
    chaos.losses_at_once = 1;
    std::uint64_t unsafe = 0;
    for (std::uint64_t seed = 1; seed <= 300 && unsafe == 0; ++seed) {
        unsafe = run_chaos(chaos, seed).safe ? 0 : seed;
    }
    EXPECT_NE(unsafe, 0U);
}

}  // namespace
}  // namespace loyal::consensus::test
