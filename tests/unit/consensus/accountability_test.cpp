// What the core finds out, and that it never accuses a correct replica (invariant I15).
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "tests/unit/consensus/adversary.h"
#include "tests/unit/consensus/prosecutor.h"

namespace loyal::consensus::test {
namespace {

// R3 is the traitor; R0 leads view 0.
class Accusing : public ::testing::Test {
 protected:
    [[nodiscard]] std::vector<EvidenceKind> kinds_at(std::size_t replica) const {
        std::vector<EvidenceKind> kinds;
        for (const Accuse& accuse : cluster.replicas[replica].accusations) {
            EXPECT_TRUE(check_evidence(*cluster.verifier, accuse.evidence));
            EXPECT_EQ(accuse.evidence.culprit, ReplicaId(3));
            kinds.push_back(accuse.evidence.kind);
        }
        return kinds;
    }
    [[nodiscard]] std::vector<Evidence> kept_at(std::size_t replica) const {
        std::vector<Evidence> kept;
        for (const LogRecord& record : cluster.replicas[replica].log) {
            if (const auto* found = std::get_if<EvidenceRecord>(&record)) {
                kept.push_back(found->evidence);
            }
        }
        return kept;
    }
    using Kinds = std::vector<EvidenceKind>;

    TestCluster cluster{shape_of({})};
};

TEST_F(Accusing, two_votes_at_one_height) {
    const BlockRef b = propose_to(cluster, 0, {0, 1, 2}, "b");
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "other");
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), b)));
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), other->ref())));
    EXPECT_EQ(kinds_at(1), Kinds{EvidenceKind::two_votes});
}

TEST_F(Accusing, votes_for_two_chains_at_different_heights) {
    propose_to(cluster, 0, {0, 1, 2}, "b");
    settle(cluster, {0, 1, 2});
    const BlockRef c = propose_to(cluster, 0, {0, 1, 2}, "c", 2);
    ASSERT_EQ(c.height, Height(2));
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "other");
    TestCluster fresh{shape_of({})};  // the traitor's earlier votes are not known there
    const BlockRef b = propose_to(fresh, 0, {0, 1, 2}, "b");
    fresh.persist_one(1);
    ASSERT_TRUE(fresh.inject(3, 1, fresh.vote(3, View(0), other->ref())));
    EXPECT_TRUE(fresh.replicas[1].accusations.empty()) << "one vote is no contradiction";
    const BlockPtr next = fresh.block(0, View(0), b, block_of(fresh, b)->header.hlc, "next");
    ASSERT_TRUE(fresh.inject(0, 1, Propose{next, Height()}));
    ASSERT_TRUE(fresh.inject(3, 1, fresh.vote(3, View(0), next->ref())));
    ASSERT_EQ(fresh.replicas[1].accusations.size(), 1U);
    const Evidence& found = fresh.replicas[1].accusations[0].evidence;
    EXPECT_EQ(found.kind, EvidenceKind::two_votes);
    EXPECT_EQ(found.path, encode_header(next->header));
    EXPECT_TRUE(check_evidence(*fresh.verifier, found));
}

TEST_F(Accusing, a_vote_that_somebody_else_carries_in_a_certificate) {
    const BlockRef b = propose_to(cluster, 0, {0, 1, 2}, "b");
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "other");
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), other->ref())));
    const Certificate certificate{
        CertKind::prepare,
        View(0),
        block_of(cluster, b)->header,
        {},
        {cluster.vote(0, View(0), b), cluster.vote(2, View(0), b), cluster.vote(3, View(0), b)}};
    ASSERT_TRUE(
        cluster.inject(2, 1, cluster.view_change(2, View(1), {LockView(View(0)), b}, {View(0), b}, certificate)));
    EXPECT_EQ(kinds_at(1), Kinds{EvidenceKind::two_votes});
}

TEST_F(Accusing, a_view_change_that_hides_votes_in_either_order) {
    const BlockRef b = propose_to(cluster, 0, {0, 1, 2}, "b");
    const ViewChange lie = cluster.view_change(3, View(1), genesis_lock_of(cluster), {});
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), b)));
    ASSERT_TRUE(cluster.inject(3, 1, lie));
    EXPECT_EQ(kinds_at(1), Kinds{EvidenceKind::hidden_vote});
    ASSERT_TRUE(cluster.inject(3, 2, lie));
    ASSERT_TRUE(cluster.inject(3, 2, cluster.vote(3, View(0), b, b)));
    EXPECT_EQ(kinds_at(2), Kinds{EvidenceKind::hidden_lock});
}

TEST_F(Accusing, two_view_changes_for_one_view_also_inside_a_new_view) {
    const BlockRef b = propose_to(cluster, 0, {0, 1, 2}, "b");
    const ViewChange one = cluster.view_change(3, View(1), genesis_lock_of(cluster), {});
    const ViewChange other = cluster.view_change(3, View(1), genesis_lock_of(cluster), {View(0), b});
    ASSERT_TRUE(cluster.inject(3, 2, one));
    ASSERT_TRUE(cluster.inject(3, 2, other));
    EXPECT_EQ(kinds_at(2), Kinds{EvidenceKind::two_view_changes});
    // R0 was told the one, R1 made its NEW-VIEW of the other.
    ASSERT_TRUE(cluster.inject(3, 0, one));
    promise(cluster, {0, 1, 2}, View(1));
    const ViewChange own0 = *cluster.last_view_change(0);
    const ViewChange own1 = *cluster.last_view_change(1);
    const NewView message = cluster.new_view(1, View(1), {own0, own1, other}, genesis_lock_of(cluster));
    ASSERT_TRUE(cluster.inject(1, 0, message));
    EXPECT_EQ(kinds_at(0), Kinds{EvidenceKind::two_view_changes});
}

TEST_F(Accusing, two_new_views_for_one_view) {
    promise(cluster, {0, 1, 2}, View(3));
    std::vector<ViewChange> changes;
    for (const std::size_t replica : {0U, 1U, 2U}) {
        changes.push_back(*cluster.last_view_change(replica));
    }
    const NewView one = cluster.new_view(3, View(3), changes, genesis_lock_of(cluster));
    changes[2] = cluster.view_change(3, View(3), genesis_lock_of(cluster), {});
    const NewView other = cluster.new_view(3, View(3), changes, genesis_lock_of(cluster));
    ASSERT_TRUE(cluster.inject(3, 0, one));
    ASSERT_TRUE(cluster.inject(3, 0, other));
    EXPECT_EQ(kinds_at(0), Kinds{EvidenceKind::two_view_changes});
    ASSERT_TRUE(cluster.inject(3, 0, one)) << "the same again is no second one";
    EXPECT_EQ(kinds_at(0).size(), 1U);
}

TEST_F(Accusing, what_the_verifier_refused_is_kept_too) {
    const std::vector<ViewChange> twice(3, cluster.view_change(3, View(3), genesis_lock_of(cluster), {}));
    ASSERT_FALSE(cluster.inject(3, 1, cluster.new_view(3, View(3), twice, genesis_lock_of(cluster))));
    EXPECT_EQ(kinds_at(1), Kinds{EvidenceKind::bad_new_view});
}

TEST_F(Accusing, proposals_of_a_view_that_is_over) {
    promise(cluster, {0, 1, 2}, View(3));
    lead(cluster, {0, 1, 2}, View(3));
    const BlockPtr one = cluster.block(3, View(3), cluster.genesis(), Hlc(), "one");
    const BlockPtr other = cluster.block(3, View(3), cluster.genesis(), Hlc(), "other");
    ASSERT_TRUE(cluster.inject(3, 0, Propose{one, Height()}));
    promise(cluster, {0, 1, 2}, View(4));
    const View promised = cluster.status(0).promised;
    ASSERT_TRUE(cluster.inject(3, 0, Propose{other, Height()}));
    const Kinds kinds = kinds_at(0);
    EXPECT_EQ(std::count(kinds.begin(), kinds.end(), EvidenceKind::two_proposals), 1);
    EXPECT_EQ(cluster.status(0).promised, promised) << "pitfall 28: it moves nobody";
}

TEST_F(Accusing, is_written_soon_and_known_after_a_restart) {
    const BlockRef b = propose_to(cluster, 0, {0, 1, 2}, "b");
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "other");
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), b)));
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), other->ref())));
    ASSERT_EQ(kinds_at(1).size(), 1U);
    cluster.run(30, {0, 1, 2});
    ASSERT_EQ(kept_at(1).size(), 1U);
    EXPECT_EQ(kept_at(1)[0], cluster.replicas[1].accusations[0].evidence);
    cluster.crash(1);
    cluster.replicas[1].accusations.clear();
    cluster.restart(1);
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), b)));
    ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(0), other->ref())));
    EXPECT_EQ(kinds_at(1).size(), 0U);
    EXPECT_EQ(kept_at(1).size(), 1U);
}

// Blocks below a commit certificate come without a checked signature, for instance.
TEST_F(Accusing, of_nothing_that_it_cannot_prove) {
    const BlockPtr one = cluster.block(3, View(3), cluster.genesis(), Hlc(), "one");
    auto forged = std::make_shared<Block>(*cluster.block(3, View(3), cluster.genesis(), Hlc(), "other"));
    forged->signature = {};
    Effects effects;
    cluster.replicas[1].core->accuse(evidence_of_proposals(ReplicaId(3), *one, *forged), effects);
    EXPECT_TRUE(effects.empty());
}

TEST_F(Accusing, a_productive_traitor_fills_no_disk) {
    for (std::uint64_t view = 1; view < 200; ++view) {
        const BlockRef b{Height(1), crypto::digest_of("test", view_of("b"))};
        const BlockRef c{Height(1), crypto::digest_of("test", view_of("c"))};
        ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(view), b)));
        ASSERT_TRUE(cluster.inject(3, 1, cluster.vote(3, View(view), c)));
    }
    EXPECT_LE(kinds_at(1).size(), limits::evidence_per_culprit_max);
    EXPECT_GE(kinds_at(1).size(), 8U);
}

// V1: proof against the leader of the current view asks for the next one, whenever it turns up.
TEST(Accountability, a_second_proposal_for_a_committed_height_deposes_the_leader) {
    TestCluster cluster{Shape{}};
    cluster.submit(0, "a");
    cluster.run(20);
    ASSERT_GE(cluster.status(1).committed.height, Height(1));
    ASSERT_EQ(cluster.status(1).promised, View(0));
    const BlockPtr other = cluster.block(0, View(0), cluster.genesis(), Hlc(), "b");
    ASSERT_TRUE(cluster.inject(0, 1, Propose{other, Height(0)}));
    EXPECT_FALSE(cluster.replicas[1].accusations.empty());
    EXPECT_EQ(cluster.status(1).promised, View(1));
}

// A replica that voted for the losing side of an equivocation, and cannot tell any more what won at that height, must
// not vote in this view again.
TEST(Accountability, the_loser_of_an_equivocation_never_votes_for_the_winner) {
    Shape shape = shape_of({}, {0});
    shape.window = 2;
    TestCluster cluster(shape);
    const auto say = [&](const BlockPtr& block, std::set<std::size_t> to) {
        for (const std::size_t replica : to) {
            ASSERT_TRUE(cluster.inject(0, replica, Propose{block, Height()}));
        }
    };
    const BlockPtr lost = cluster.block(0, View(0), cluster.genesis(), Hlc(), "lost");
    say(lost, {3});
    BlockRef parent = cluster.genesis();
    Hlc hlc;
    for (std::uint64_t height = 1; height <= 20; ++height) {
        const std::uint64_t base = height > 2 ? height - 2 : 0;
        const BlockPtr block =
            cluster.block(0, View(0), parent, hlc, "won" + std::to_string(height), cluster.replicas[1].digests[base]);
        parent = block->ref();
        hlc = block->header.hlc;
        say(block, {1, 2});
        for (int round = 0; round < 3; ++round) {
            cluster.deliver([](const Packet& packet) { return packet.to.value != 3 && packet.from.value != 3; });
            echo(cluster, {1, 2}, true, 0);
        }
    }
    ASSERT_EQ(cluster.status(1).committed.height, Height(20));
    cluster.bag.clear();
    // R3 catches up while it stays in view 0.
    for (int i = 0; i < 40; ++i) {
        const Fetch fetch{Fetch::What::committed, cluster.status(3).committed.height.next(), {}};
        cluster.inject(3, 1, fetch);
        cluster.deliver(
            [](const Packet& packet) { return packet.from.value == 1 && packet.to.value == 3 && is<Blocks>(packet); });
        cluster.execute_all(3);
        cluster.end_batch(3);
    }
    for (const Packet& packet : cluster.history) {
        if (const auto* vote = std::get_if<Vote>(&packet.message); vote != nullptr && vote->voter == ReplicaId(3)) {
            EXPECT_TRUE(vote->view != View(0) || vote->prep == lost->ref()) << vote->prep.height.value;
        }
    }
    EXPECT_GE(cluster.status(3).committed.height, Height(19)) << "it follows all the same";
}

// ---- I15: correct replicas never give evidence against themselves

struct Trials {
    std::uint64_t accusations = 0;  // that cores made, of traitors
    std::uint64_t convictions = 0;  // that the prosecutor got against traitors
};

Trials try_everybody(const Chaos& given, std::uint64_t seeds) {
    Trials trials;
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
        Chaos chaos = given;
        chaos.must_recover = false;
        chaos.afterwards = [&](const TestCluster& cluster) {
            const auto is_traitor = [&](ReplicaId id) { return cluster.shape.traitors.contains(id.value); };
            for (const auto& replica : cluster.replicas) {
                for (const Accuse& accuse : replica.accusations) {
                    ++trials.accusations;
                    EXPECT_TRUE(is_traitor(accuse.evidence.culprit)) << "seed " << seed;
                    EXPECT_TRUE(check_evidence(*cluster.verifier, accuse.evidence)) << "seed " << seed;
                }
            }
            Prosecutor prosecutor(*cluster.verifier);
            for (const Packet& packet : cluster.history) {
                prosecutor.hear(packet.message);
            }
            for (const PeerMessage& message : cluster.injected) {
                prosecutor.hear(message);
            }
            for (const Evidence& evidence : prosecutor.convictions()) {
                trials.convictions += is_traitor(evidence.culprit) ? 1 : 0;
                EXPECT_TRUE(is_traitor(evidence.culprit)) << "seed " << seed << ": " << name_of(evidence.kind)
                                                          << " against correct replica " << evidence.culprit.value;
            }
        };
        const Verdict verdict = run_chaos(chaos, seed);
        EXPECT_TRUE(verdict.safe) << "seed " << seed << ": " << verdict.why;
    }
    return trials;
}

TEST(Accountability, no_prosecutor_convicts_a_correct_replica_of_four) {
    const Trials trials = try_everybody({}, 150);
    EXPECT_GE(trials.accusations, 100U) << "traitors are found out";
    EXPECT_GE(trials.convictions, trials.accusations);
}
TEST(Accountability, no_prosecutor_convicts_a_correct_replica_of_seven) {
    Chaos chaos;
    chaos.n = 7;
    EXPECT_GE(try_everybody(chaos, 12).accusations, 12U);
}
TEST(Accountability, a_window_of_one_makes_no_difference) {
    Chaos chaos;
    chaos.window = 1;
    EXPECT_GE(try_everybody(chaos, 60).accusations, 20U);
}

// Whatever is put together of what correct replicas signed, in whatever form, proves nothing.
RC_GTEST_PROP(Accountability, statements_of_correct_replicas_prove_nothing, ()) {
    static const auto material = [] {
        std::tuple<std::vector<Bytes>, std::vector<Bytes>, std::shared_ptr<TestCluster>> all;
        auto cluster = std::make_shared<TestCluster>(Shape{});
        for (std::uint64_t seq = 1; seq <= 12; ++seq) {
            const std::size_t leader = cluster->status(1).entered.value % 4;
            cluster->submit(leader, "v" + std::to_string(seq), seq);
            cluster->deliver();
            if (seq % 4 == 0) {
                for (std::size_t i = 0; i < 4; ++i) {
                    if (i != leader) {
                        time_out(*cluster, i);
                    }
                }
                cluster->run(20);
            }
            if (seq % 5 == 0) {
                cluster->crash(seq % 4);
                cluster->restart(seq % 4);
                cluster->run(200);
            }
        }
        Prosecutor heard(*cluster->verifier);
        for (const Packet& packet : cluster->history) {
            heard.hear(packet.message);
        }
        std::get<0>(all) = heard.statements();
        std::get<1>(all) = heard.headers();
        std::get<2>(all) = cluster;
        return all;
    }();
    const auto& [statements, headers, cluster] = material;
    RC_ASSERT(statements.size() > 50U);
    Evidence evidence;
    evidence.kind = static_cast<EvidenceKind>(*rc::gen::inRange(1, 8));
    evidence.culprit = ReplicaId(static_cast<std::uint16_t>(*rc::gen::inRange(0, 4)));
    evidence.first = *rc::gen::elementOf(statements);
    evidence.second =
        *rc::gen::weightedOneOf<Bytes>({{4, rc::gen::elementOf(statements)}, {1, rc::gen::just(Bytes())}});
    if (evidence.second < evidence.first && *rc::gen::arbitrary<bool>()) {
        std::swap(evidence.first, evidence.second);
    }
    for (int i = *rc::gen::inRange(0, 4); i > 0; --i) {
        const Bytes header = *rc::gen::elementOf(headers);
        evidence.path.insert(evidence.path.end(), header.begin(), header.end());
    }
    RC_ASSERT_FALSE(check_evidence(*cluster->verifier, evidence).has_value());
    if (const auto decoded = decode_evidence(encode_evidence(evidence))) {
        RC_ASSERT(*decoded == evidence);
    }
}

}  // namespace
}  // namespace loyal::consensus::test
