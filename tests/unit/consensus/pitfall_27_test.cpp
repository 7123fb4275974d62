// Pitfall 27 (docs/PROTOCOL.md §21): nobody who kept its disk is called forgetful.
#include <gtest/gtest.h>

#include "tests/unit/consensus/disk_losses.h"

namespace loyal::consensus::test {
namespace {

void expect_nobody_amnesiac(const TestCluster& cluster) {
    for (std::size_t i = 0; i < cluster.shape.n; ++i) {
        EXPECT_FALSE(cluster.status(i).amnesiac) << i;
    }
}

void link_up_all(TestCluster& cluster) {
    for (std::size_t i = 0; i < cluster.shape.n; ++i) {
        for (std::size_t j = 0; j < i; ++j) {
            cluster.link_up(i, j);
        }
    }
}

// Echoes at every moment of a run with crashes between a decision and its sync, and view changes.
void run_with_crashes(FaultModel model, std::size_t n) {
    TestCluster cluster(losing_shape(n, model));
    Members all;
    for (std::size_t i = 0; i < n; ++i) {
        all.insert(i);
    }
    for (std::uint64_t round = 1; round <= 12; ++round) {
        const std::size_t victim = round % n;
        cluster.replicas[victim].auto_persist = round % 3 != 0;
        for (const std::size_t member : all) {
            cluster.submit(member, "r" + std::to_string(round), round);
        }
        cluster.run(round % 4, all);
        link_up_all(cluster);
        cluster.replicas[victim].auto_persist = true;
        cluster.restart(victim);
        link_up_all(cluster);
        expect_nobody_amnesiac(cluster);
        cluster.run(round % 5 == 0 ? 400 : 20, all);
    }
    EXPECT_TRUE(works(cluster, all, "done", 100));
    EXPECT_GT(cluster.status(0).entered, View(0));
    link_up_all(cluster);
    expect_nobody_amnesiac(cluster);
}

TEST(Pitfall27, restarts_with_the_disk_are_no_loss) {
    run_with_crashes(FaultModel::byzantine, 4);
}
TEST(Pitfall27, restarts_with_the_disk_are_no_loss_in_crash_mode) {
    run_with_crashes(FaultModel::crash, 3);
}

// What a replica signed in an earlier epoch says nothing of this one.
TEST(Pitfall27, an_echo_of_another_epoch_is_refused) {
    TestCluster cluster(losing_shape(4, FaultModel::byzantine));
    const BlockRef far{Height(9), crypto::digest_of("test", view_of("far"))};
    Vote old{View(9), far, far, ReplicaId(1), {}};
    ClusterContext before = cluster.membership.context;
    before.epoch = Epoch(7);
    old.signature = cluster.signers[1]->sign(signed_bytes(before, SignDomain::vote, vote_content(old)));
    EXPECT_FALSE(cluster.inject(0, 1, Echo{old, std::nullopt}));
    ViewChange change = cluster.view_change(1, View(9), genesis_lock_of(cluster), {View(0), cluster.genesis()});
    change.signature =
        cluster.signers[1]->sign(signed_bytes(before, SignDomain::view_change, view_change_content(change)));
    EXPECT_FALSE(cluster.inject(0, 1, Echo{std::nullopt, change}));
    expect_nobody_amnesiac(cluster);
}

// A traitor cannot make up what another one signed, and what it signed itself concerns nobody else.
TEST(Pitfall27, a_traitors_echo_proves_nothing_of_others) {
    TestCluster cluster(losing_shape(4, FaultModel::byzantine, {}, {3}));
    const BlockRef far{Height(9), crypto::digest_of("test", view_of("far"))};
    Vote forged = cluster.vote(3, View(9), far, far);
    EXPECT_TRUE(cluster.inject(3, 1, Echo{forged, std::nullopt}));
    forged.voter = ReplicaId(1);
    EXPECT_FALSE(cluster.inject(3, 1, Echo{forged, std::nullopt}));
    EXPECT_FALSE(cluster.status(1).amnesiac);
}

// The same statements convict one whose disk is an old copy.
TEST(Pitfall27, an_echo_that_is_beyond_the_log_is_a_loss) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TestCluster cluster(losing_shape(4, model));
        const Members all{0, 1, 2, 3};
        EXPECT_TRUE(works(cluster, all, "a", 1));
        const std::size_t copy = cluster.replicas[1].log.size();
        EXPECT_TRUE(works(cluster, all, "b", 2));
        cluster.roll_back(1, copy);
        EXPECT_FALSE(cluster.status(1).amnesiac);
        cluster.link_up(0, 1);
        EXPECT_TRUE(cluster.status(1).amnesiac);
        cluster.restart(1);
        EXPECT_TRUE(cluster.status(1).amnesiac) << "it forgot that it forgot";
    }
}

}  // namespace
}  // namespace loyal::consensus::test
