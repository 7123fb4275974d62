// Pitfalls of crashes and restarts (docs/PROTOCOL.md §21: 2, 7, 9, 25).
#include <gtest/gtest.h>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

// 2. R1 promises view 3 and dies; if the promise is gone and its VIEW-CHANGE is not, it helps to commit b in view 0 and
// to start view 3 without b.
TEST(Pitfall2, a_promise_is_durable_before_anybody_hears_of_it) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            cluster.replicas[1].auto_persist = false;
            const auto r2_knows = [&](View view) {
                cluster.inject(3, 1,
                               cluster.view_change(3, view, genesis_lock_of(cluster), {View(0), cluster.genesis()}));
                cluster.inject(3, 2,
                               cluster.view_change(3, view, genesis_lock_of(cluster), {View(0), cluster.genesis()}));
            };
            r2_knows(View(3));
            time_out(cluster, 2);
            for (int i = 0; i < 3000 && cluster.status(2).promised < View(3); ++i) {
                cluster.tick(1);
                cluster.tick(2);
                cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && among(packet, {1, 2}); });
            }
            const std::optional<ViewChange> said = cluster.last_view_change(1);
            cluster.replicas[1].auto_persist = true;
            cluster.restart(1);
            cut(cluster);
            commit_at_r0_only(cluster);
            promise(cluster, {2}, View(3));
            if (said && said->new_view == View(3)) {
                EXPECT_TRUE(cluster.executed_text(0, "b"));
                const NewView late = cluster.new_view(
                    3, View(3),
                    {*said, *cluster.last_view_change(2),
                     cluster.view_change(3, View(3), genesis_lock_of(cluster), {View(0), cluster.genesis()})},
                    genesis_lock_of(cluster));
                cluster.inject(3, 1, late);
                cluster.inject(3, 2, late);
                const BlockPtr x = cluster.block(3, View(3), cluster.genesis(), Hlc(), "x");
                cluster.inject(3, 1, Propose{x, Height()});
                cluster.inject(3, 2, Propose{x, Height()});
                settle(cluster, {1, 2});
            } else {
                go_on_without(cluster, {1, 2}, View(3), "x");
            }
            cluster.check_agreement();
            return false;
        },
        {"V2", "A1-echo"});  // R1 would see its own VIEW-CHANGE in the NEWVIEW, and know what it lost
}

TEST(Pitfall2, a_promise_binds_after_a_restart) {
    TestCluster cluster(shape_of({}));
    time_out(cluster, 1);
    const ViewChange said = *cluster.last_view_change(1);
    cluster.restart(1);
    EXPECT_EQ(cluster.status(1).promised, View(1));
    EXPECT_EQ(encode_view_change(*cluster.last_view_change(1)), encode_view_change(said));
    cut(cluster);
    commit_at_r0_only(cluster);
    EXPECT_TRUE(votes_of(cluster, 1, View(0)).empty()) << "voted in a view that it promised to leave";
    EXPECT_EQ(cluster.status(0).committed.height, Height(0));
}

// 7. R0 proposes, dies before its own write, and comes back.
TEST(Pitfall7, a_leader_that_restarts_never_proposes_in_the_same_view) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            cluster.replicas[0].auto_persist = false;
            propose_to(cluster, 0, {1}, "b");
            EXPECT_EQ(cluster.status(1).prep.height, Height(1));
            cluster.replicas[0].auto_persist = true;
            cluster.restart(0);
            cut(cluster);
            propose_to(cluster, 0, {1, 2}, "other", 2);
            for (const Accuse& accuse : cluster.replicas[1].accusations) {
                if (accuse.evidence.culprit == ReplicaId(0)) {
                    return true;  // an honest replica convicted
                }
            }
            return cluster.status(0).promised == View(0);
        },
        {"D3"});
}

// A read of this replica may be answered, and with what it has executed.
std::optional<Height> answer(const TestCluster& cluster, std::size_t replica) {
    const Core& core = *cluster.replicas[replica].core;
    if (!core.is_executed(core.read_target().block)) {
        return std::nullopt;
    }
    return core.status().executed;
}

// 9. R0 executed b and answered; with R3's echo the client has its f+1 replies. R3 then tells a reader the old state.
bool stale_read(const TestCluster& cluster) {
    EXPECT_TRUE(cluster.executed_text(0, "b"));
    std::size_t old_answers = 1;  // R3's lie
    for (const std::size_t replica : {1UL, 2UL}) {
        const auto seen = answer(cluster, replica);
        old_answers += seen && seen->value == 0 ? 1 : 0;
    }
    return old_answers >= cluster.membership.quorum().q;
}

TEST(Pitfall9, a_read_waits_for_the_own_lock) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            commit_at_r0_only(cluster);
            return stale_read(cluster);
        },
        {"R2"});
}

TEST(Pitfall9, the_base_of_the_view_survives_a_restart) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            commit_at_r0_only(cluster);
            promise(cluster, {1, 2}, View(1));
            cluster.deliver([](const Packet& packet) { return is<NewView>(packet) && among(packet, {1, 2}); });
            EXPECT_EQ(cluster.status(1).entered, View(1));
            EXPECT_EQ(cluster.status(2).entered, View(1));
            EXPECT_FALSE(stale_read(cluster));
            cluster.restart(1);
            cluster.restart(2);
            cut(cluster);
            return stale_read(cluster);
        },
        {"base-durable"});
}

// 25. R1 leads view 1 and dies after its NEWVIEW left; the next one would name another set.
TEST(Pitfall25, one_new_view_a_view_ever) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TestCluster cluster(shape_of(off));
            time_out(cluster, 1);
            time_out(cluster, 2);
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && packet.to == ReplicaId(0); });
            EXPECT_EQ(cluster.status(0).promised, View(1));
            cluster.replicas[1].auto_persist = false;
            cluster.deliver([](const Packet& packet) { return is<ViewChange>(packet) && packet.to == ReplicaId(1); });
            cluster.replicas[1].auto_persist = true;
            cluster.restart(1);
            cut(cluster);
            const auto lie = cluster.view_change(3, View(1), genesis_lock_of(cluster), {View(0), cluster.genesis()});
            cluster.inject(3, 1, lie);
            cluster.inject(2, 1, *cluster.last_view_change(2));
            std::set<Bytes> contents;
            for (const Packet& packet : cluster.history) {
                if (const auto* sent = std::get_if<NewView>(&packet.message); sent && sent->view == View(1)) {
                    contents.insert(new_view_content(*sent));
                }
            }
            EXPECT_FALSE(contents.empty());
            return contents.size() > 1;
        },
        {"D3"});
}

// The same, with the first NEWVIEW on the disk: it may be handed on, never replaced, and the leader asks for the next
// view.
TEST(Pitfall25, a_leader_that_restarts_in_its_view_asks_for_the_next) {
    TestCluster cluster(shape_of({}));
    promise(cluster, {0, 1, 2}, View(1));
    cluster.deliver();
    EXPECT_EQ(cluster.status(1).entered, View(1));
    cut(cluster);
    const std::size_t before = cluster.history.size();
    cluster.restart(1);
    cluster.submit(1, "x");
    cluster.tick(1, 30);
    EXPECT_EQ(cluster.status(1).promised, View(2));
    for (std::size_t i = before; i < cluster.history.size(); ++i) {
        EXPECT_FALSE(is<Propose>(cluster.history[i]));
        EXPECT_FALSE(is<NewView>(cluster.history[i]));
    }
}

}  // namespace
}  // namespace loyal::consensus::test
