// The small parts: quorums, block tree, vote set, envelope pool, hlc, the choice of a base.
#include <gtest/gtest.h>

#include "consensus/block_tree.h"
#include "consensus/envelope_pool.h"
#include "consensus/view_change_safety.h"
#include "consensus/vote_set.h"
#include "tests/unit/consensus/test_cluster.h"

namespace loyal::consensus::test {
namespace {

// ---- Quorums (PROTOCOL.md §1)

TEST(Quorums, the_table) {
    struct Row {
        FaultModel model;
        std::size_t n, f, q, w;
    };
    for (const Row& row : {Row{FaultModel::byzantine, 4, 1, 3, 2}, Row{FaultModel::byzantine, 5, 1, 4, 2},
                           Row{FaultModel::byzantine, 6, 1, 4, 2}, Row{FaultModel::byzantine, 7, 2, 5, 3},
                           Row{FaultModel::byzantine, 10, 3, 7, 4}, Row{FaultModel::byzantine, 31, 10, 21, 11},
                           Row{FaultModel::crash, 3, 1, 2, 1}, Row{FaultModel::crash, 4, 1, 3, 1},
                           Row{FaultModel::crash, 5, 2, 3, 1}, Row{FaultModel::crash, 7, 3, 4, 1}}) {
        const Quorum quorum = Quorum::of(row.model, row.n);
        EXPECT_EQ(quorum.f, row.f) << row.n;
        EXPECT_EQ(quorum.q, row.q) << row.n;
        EXPECT_EQ(quorum.w, row.w) << row.n;
    }
}

TEST(Quorums, any_two_meet_in_a_correct_replica_and_the_correct_ones_are_one) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        for (std::size_t n = 3; n <= limits::replicas_max; ++n) {
            const Quorum quorum = Quorum::of(model, n);
            EXPECT_GT(2 * quorum.q, n + quorum.fb) << n;
            EXPECT_LE(quorum.q + quorum.f, n) << n;
            EXPECT_TRUE(quorum.is_sound()) << n;
        }
    }
}

// ---- Block tree

class Tree : public ::testing::Test {
 protected:
    BlockPtr child(const BlockRef& parent, const std::string& text) {
        const BlockPtr made = cluster.block(0, View(0), parent, Hlc(), text);
        tree.add_block(made);
        return made;
    }
    TestCluster cluster{Shape{}};
    BlockTree tree{cluster.genesis()};
};

TEST_F(Tree, says_what_is_on_a_chain) {
    const BlockPtr a = child(cluster.genesis(), "a");
    const BlockPtr b = child(a->ref(), "b");
    const BlockPtr other = child(cluster.genesis(), "other");
    EXPECT_EQ(tree.contains(b->ref(), a->ref()), Relation::yes);
    EXPECT_EQ(tree.contains(b->ref(), b->ref()), Relation::yes);
    EXPECT_EQ(tree.contains(b->ref(), cluster.genesis()), Relation::yes);
    EXPECT_EQ(tree.contains(b->ref(), other->ref()), Relation::no);
    EXPECT_EQ(tree.contains(a->ref(), b->ref()), Relation::no);
    const BlockRef stranger{Height(9), crypto::digest_of("test", view_of("stranger"))};
    EXPECT_EQ(tree.contains(stranger, a->ref()), Relation::unknown);
    EXPECT_EQ(tree.path(cluster.genesis(), b->ref()).size(), 2U);
    EXPECT_TRUE(tree.path(other->ref(), b->ref()).empty());
    EXPECT_TRUE(tree.path(b->ref(), b->ref()).empty());
    EXPECT_EQ(*tree.ancestor(b->ref(), Height(1)), a->id);
    // A false height is no chain.
    EXPECT_EQ(tree.contains({Height(7), b->id}, a->ref()), Relation::unknown);
}

TEST_F(Tree, a_header_is_not_a_body) {
    const BlockPtr a = child(cluster.genesis(), "a");
    const BlockPtr b = cluster.block(0, View(0), a->ref(), Hlc(), "b");
    tree.add_header(b->id, b->header);
    EXPECT_FALSE(tree.has_body(b->id));
    EXPECT_EQ(tree.first_missing(b->ref(), cluster.genesis())->id, b->id);
    tree.add_block(b);
    EXPECT_TRUE(tree.has_body(b->id));
    EXPECT_FALSE(tree.first_missing(b->ref(), cluster.genesis()));
    EXPECT_TRUE(tree.has_body(cluster.genesis().id));
}

TEST_F(Tree, forgets_below_the_floor) {
    BlockRef at = cluster.genesis();
    for (int i = 0; i < 10; ++i) {
        at = child(at, std::to_string(i))->ref();
    }
    tree.drop_below(Height(8));
    EXPECT_EQ(tree.size(), 3U);
    EXPECT_EQ(tree.contains(at, cluster.genesis()), Relation::unknown);
}

// ---- Vote set

TEST(Votes, the_newest_of_a_view_stands_for_all_before) {
    VoteSet votes(4);
    const BlockRef one{Height(1), crypto::digest_of("test", view_of("1"))};
    const BlockRef two{Height(2), crypto::digest_of("test", view_of("2"))};
    votes.add({View(0), one, {}, ReplicaId(1), {}});
    votes.add({View(0), two, one, ReplicaId(1), {}});
    votes.add({View(0), one, {}, ReplicaId(1), {}});  // late
    ASSERT_EQ(votes.of(View(0)).size(), 1U);
    EXPECT_EQ(votes.of(View(0)).front().prep, two);
    EXPECT_EQ(votes.of(View(0)).front().com, one);
}

TEST(Votes, are_found_by_view_and_voter) {
    VoteSet votes(4);
    const BlockRef one{Height(1), crypto::digest_of("test", view_of("1"))};
    const BlockRef other{Height(1), crypto::digest_of("test", view_of("other"))};
    votes.add({View(0), one, {}, ReplicaId(1), {}});
    votes.add({View(1), other, {}, ReplicaId(1), {}});
    votes.add({View(0), other, {}, ReplicaId(2), {}});
    ASSERT_TRUE(votes.of(View(0), ReplicaId(1)));
    EXPECT_EQ(votes.of(View(0), ReplicaId(1))->prep, one);
    EXPECT_FALSE(votes.of(View(1), ReplicaId(2)));
    EXPECT_EQ(votes.of(ReplicaId(1)).size(), 2U);
}

TEST(Votes, of_two_views_at_most) {
    VoteSet votes(4);
    for (std::uint64_t view = 0; view < 100; ++view) {
        votes.add({View(view), {Height(1), {}}, {}, ReplicaId(3), {}});
    }
    EXPECT_EQ(votes.all().size(), VoteSet::views_kept);
    EXPECT_EQ(votes.views(), (std::vector<View>{View(98), View(99)}));
    votes.add({View(5), {Height(1), {}}, {}, ReplicaId(3), {}});
    EXPECT_EQ(votes.views(), (std::vector<View>{View(98), View(99)})) << "an old view does not push out a new one";
}

// ---- Envelope pool

Envelope envelope_of(std::uint64_t seq0, std::uint16_t count, std::size_t bytes = 8, std::uint64_t session = 1,
                     Hlc not_after = Hlc(1000, 0), std::uint8_t client = 0) {
    EnvelopeContent content;
    content.key.bytes[0] = client;
    content.session = SessionId(session);
    content.seq0 = Seq(seq0);
    content.count = count;
    content.not_after = not_after;
    content.operations.resize(bytes);
    return *parse_envelope(std::make_shared<const Bytes>(make_envelope(content, {}, Epoch(0), nullptr)));
}
Block block_with(std::vector<Envelope> envelopes) {
    Block block;
    block.envelopes = std::move(envelopes);
    return block;
}

TEST(Pool, an_envelope_leaves_when_its_last_operation_is_executed) {
    EnvelopePool pool;
    EXPECT_TRUE(pool.add(envelope_of(10, 5), 0, false));
    EXPECT_FALSE(pool.add(envelope_of(10, 5), 0, false)) << "twice";
    pool.executed(block_with({envelope_of(8, 4)}));  // 10 and 11
    EXPECT_EQ(pool.size(), 1U);
    EXPECT_EQ(pool.entries().front().open.count(), 3U);
    pool.executed(block_with({envelope_of(12, 2, 8, 2)}));  // another session
    EXPECT_EQ(pool.entries().front().open.count(), 3U);
    pool.executed(block_with({envelope_of(13, 50)}));
    EXPECT_EQ(pool.entries().front().open.count(), 1U);
    pool.executed(block_with({envelope_of(12, 1)}));
    EXPECT_EQ(pool.size(), 0U);
    EXPECT_TRUE(pool.add(envelope_of(10, 5), 0, false)) << "its place is free again";
}

Envelope of_client(std::uint8_t client, std::uint64_t seq, std::size_t bytes = 8) {
    return envelope_of(seq, 1, bytes, 1, Hlc(1000, 0), client);
}

TEST(Pool, is_bounded_in_count_and_bytes_also_of_each_client) {
    EnvelopePool pool;
    for (std::uint8_t client = 0; client < 4; ++client) {
        for (std::uint64_t seq = 1; seq <= limits::envelope_pool_of_client_max; ++seq) {
            ASSERT_TRUE(pool.add(of_client(client, seq), 0, false));
        }
        EXPECT_FALSE(pool.add(of_client(client, limits::envelope_pool_of_client_max + 1), 0, false)) << "its share";
    }
    EXPECT_EQ(pool.size(), limits::envelope_pool_max);
    EXPECT_FALSE(pool.add(of_client(4, 1), 0, false));
    pool.executed(block_with({of_client(0, 1)}));
    EXPECT_TRUE(pool.add(of_client(4, 1), 0, false));

    EnvelopePool fat;
    std::vector<std::size_t> taken(5);
    for (std::uint8_t client = 0; client < 5; ++client) {
        for (std::uint64_t seq = 1; seq <= 20; ++seq) {
            taken[client] += fat.add(of_client(client, seq, 1U << 20U), 0, false) ? 1 : 0;
        }
    }
    EXPECT_EQ(taken, (std::vector<std::size_t>{15, 15, 15, 15, 3}));
}

TEST(Pool, batches_are_filled_in_turns_of_the_clients) {
    EnvelopePool pool;
    for (std::uint64_t seq = 1; seq <= 3'000 && seq <= limits::envelope_pool_of_client_max; ++seq) {
        pool.add(of_client(1, seq), 0, true);
    }
    pool.add(of_client(2, 1), 0, true);
    pool.add(of_client(2, 2), 0, true);
    pool.add(of_client(3, 1), 0, true);
    const std::vector<Envelope> batch = pool.next_batch();
    ASSERT_EQ(batch.size(), limits::block_envelopes_max);
    const auto client = [&](std::size_t at) { return batch[at].key.bytes[0]; };
    EXPECT_EQ((std::vector<int>{client(0), client(1), client(2), client(3), client(4), client(5)}),
              (std::vector<int>{1, 2, 3, 1, 2, 1}));
    EXPECT_EQ(batch[3].seq0, Seq(2)) << "each client's in their order";
}

TEST(Pool, a_batch_is_within_one_body) {
    EnvelopePool pool;
    pool.add(envelope_of(1, 1, 2U << 20U), 0, true);  // larger than the target, alone
    pool.add(envelope_of(2, 1, 600'000), 0, true);
    pool.add(envelope_of(3, 1, 600'000), 0, true);
    std::vector<Envelope> batch = pool.next_batch();
    ASSERT_EQ(batch.size(), 1U);
    EXPECT_LE(make_body(batch).size(), limits::body_bytes_max);
    pool.mark_in_chain(block_with(batch), true);
    batch = pool.next_batch();
    ASSERT_EQ(batch.size(), 1U);
    EXPECT_EQ(batch.front().seq0, Seq(2));
    pool.clear_in_chain();
    EXPECT_EQ(pool.next_batch().front().seq0, Seq(1));

    EnvelopePool many;
    for (std::uint64_t i = 0; i < 100; ++i) {
        many.add(envelope_of(1 + 256 * i, 256), 0, true);
    }
    std::size_t operations = 0;
    for (const Envelope& envelope : many.next_batch()) {
        operations += envelope.count;
    }
    EXPECT_GE(operations, limits::block_ops_target);
    EXPECT_LE(operations, limits::block_ops_max);
}

TEST(Pool, what_can_execute_no_more_leaves) {
    EnvelopePool pool;
    pool.add(envelope_of(1, 1, 8, 1, Hlc(1000, 0)), 0, true);
    pool.add(envelope_of(2, 1, 8, 1, Hlc(2000, 0)), 0, true);
    pool.expire(Hlc(1000, 0));
    EXPECT_EQ(pool.size(), 2U);
    pool.expire(Hlc(1000, 1));
    EXPECT_EQ(pool.size(), 1U);
}

// ---- Hlc

TEST(HlcValue, orders_by_time_and_then_counter) {
    EXPECT_LT(Hlc(5, 0xFFFF), Hlc(6, 0));
    EXPECT_EQ(Hlc(Hlc(5, 0xFFFF).packed + 1), Hlc(6, 0));
    EXPECT_EQ(Hlc(1'700'000'000'000, 7).wall_ms(), 1'700'000'000'000U);
    EXPECT_EQ(Hlc(1'700'000'000'000, 7).counter(), 7U);
}

// ---- The choice of a base (V4)

ViewChange with_lock(std::int64_t view, std::uint64_t height, const std::string& name) {
    ViewChange change;
    change.lock.view.value = view;
    change.lock.block = {Height(height), crypto::digest_of("test", view_of(name))};
    return change;
}

TEST(SelectBase, view_first_then_height) {
    EXPECT_FALSE(select_base({}));
    const auto base = select_base({with_lock(0, 9, "tall"), with_lock(1, 2, "new"), with_lock(1, 1, "low")});
    ASSERT_TRUE(base);
    EXPECT_EQ(base->block, with_lock(1, 2, "new").lock.block);
}

TEST(SelectBase, equal_locks_agree_and_unequal_ones_at_the_top_do_not) {
    EXPECT_TRUE(select_base({with_lock(1, 2, "a"), with_lock(1, 2, "a")}));
    EXPECT_FALSE(select_base({with_lock(1, 2, "a"), with_lock(1, 2, "b")}));
    EXPECT_TRUE(select_base({with_lock(1, 2, "a"), with_lock(1, 2, "b"), with_lock(2, 1, "c")}))
        << "a tie below the top does not matter";
    EXPECT_FALSE(select_base({with_lock(2, 1, "c"), with_lock(1, 2, "a"), with_lock(2, 1, "d")}));
}

}  // namespace
}  // namespace loyal::consensus::test
