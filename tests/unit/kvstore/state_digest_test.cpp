// The digests of the state, pinned, and the sparse tree against a tree that is computed anew.
#include "kvstore/state_digest.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"

namespace loyal::kvstore {
namespace {

using crypto::Digest;

const Salt salt = salt_of(crypto::digest_of("test", view_of("cluster")));

Digest numbered_digest(std::uint32_t number) {
    return crypto::digest_of("test", view_of(std::to_string(number)));
}

// Every level in full, from nothing but the buckets.
std::vector<std::vector<Digest>> full_tree(const std::map<Bucket, Digest>& of) {
    std::vector<std::vector<Digest>> levels(bucket_level + 1);
    levels[bucket_level].resize(buckets);
    for (const auto& [bucket, digest] : of) {
        levels[bucket_level][bucket] = digest;
    }
    for (std::size_t level = bucket_level; level-- > 0;) {
        const auto& below = levels[level + 1];
        for (auto first = below.begin(); first != below.end(); first += tree_fan_out) {
            levels[level].push_back(node_digest({first, first + tree_fan_out}));
        }
    }
    return levels;
}

Leaf leaf_in(Bucket bucket, std::uint32_t number) {
    Leaf leaf;
    const Digest digest = numbered_digest(number);
    std::copy_n(digest.bytes.begin(), leaf.name.size(), leaf.name.begin());
    leaf.name[0] = static_cast<std::uint8_t>(bucket >> 8U);
    leaf.name[1] = static_cast<std::uint8_t>(bucket);
    leaf.digest = numbered_digest(number + 1'000'000);
    return leaf;
}

// Pinned: replicas of different versions must agree on every one of these.
TEST(StateDigest, known_vectors) {
    const LeafName name = leaf_name(salt, StateTable::keys, view_of("sky"));
    const Digest leaf = leaf_digest(StateTable::keys, view_of("sky"), view_of("blue"));
    const Digest bucket = bucket_digest({{name, leaf}});
    DigestTree tree;
    tree.set_bucket(bucket_of(name), bucket);
    tree.update();
    EXPECT_EQ(salt.hex(), "fd593594fd0e913a496fc62f44506b011fc1c66ba2307d8476471e45eefccde0");
    EXPECT_EQ(to_hex(name), "2034cfb345cb1606780169ef7275d478");
    EXPECT_EQ(leaf.hex(), "7a9723088178b3bfc2edcd8056ddfd3a444d059e5960f82759c49744c7555533");
    EXPECT_EQ(bucket.hex(), "f3f0cad89640446ca54f2dd4da28d8e647ddcc50f4cd15d63352bfb3c33dca5e");
    EXPECT_EQ(tree.root().hex(), "3b6aa513dfc6fe5c444f738fc034a19b6ed66585606e8a3c5d570fdb48ec6033");
}

TEST(StateDigest, names_and_leaves_depend_on_everything_that_they_are_of) {
    const LeafName name = leaf_name(salt, StateTable::keys, view_of("k"));
    EXPECT_NE(name, leaf_name(salt, StateTable::sessions, view_of("k")));
    EXPECT_NE(name, leaf_name(salt, StateTable::keys, view_of("l")));
    EXPECT_NE(name, leaf_name(salt_of(numbered_digest(1)), StateTable::keys, view_of("k")));
    const Digest leaf = leaf_digest(StateTable::keys, view_of("ab"), view_of("c"));
    EXPECT_NE(leaf, leaf_digest(StateTable::keys, view_of("a"), view_of("bc")));
    EXPECT_NE(leaf, leaf_digest(StateTable::meta, view_of("ab"), view_of("c")));
    EXPECT_NE(leaf, leaf_digest(StateTable::keys, view_of("ab"), view_of("d")));
    EXPECT_EQ(bucket_of(LeafName{0x12, 0x34, 0x56}), 0x1234U);
}

TEST(StateDigest, nothing_has_the_zero_digest) {
    EXPECT_TRUE(bucket_digest({}).is_zero());
    EXPECT_TRUE(node_digest(std::vector<Digest>(tree_fan_out)).is_zero());
    EXPECT_TRUE(node_digest(std::vector<Digest>(subtree_digests)).is_zero());
    DigestTree tree;
    EXPECT_TRUE(tree.root().is_zero());
    tree.set_bucket(77, numbered_digest(1));
    tree.update();
    EXPECT_FALSE(tree.root().is_zero());
    tree.set_bucket(77, {});
    tree.update();
    EXPECT_TRUE(tree.root().is_zero());
}

TEST(StateDigest, one_child_more_is_another_digest) {
    std::vector<Digest> children(tree_fan_out);
    children[3] = numbered_digest(3);
    const Digest one = node_digest(children);
    std::swap(children[3], children[4]);
    EXPECT_NE(node_digest(children), one);
    EXPECT_NE(bucket_digest({leaf_in(5, 1)}), bucket_digest({leaf_in(5, 2)}));
}

RC_GTEST_PROP(StateDigest, the_sparse_tree_is_the_full_tree, ()) {
    DigestTree tree;
    std::map<Bucket, Digest> model;
    const auto rounds = *rc::gen::inRange(1, 4);
    for (int round = 0; round < rounds; ++round) {
        const auto updates = *rc::gen::container<std::vector<std::pair<std::uint32_t, std::uint32_t>>>(
            rc::gen::pair(rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 40),
                                         rc::gen::inRange<std::uint32_t>(0, static_cast<std::uint32_t>(buckets))),
                          rc::gen::inRange<std::uint32_t>(0, 4)));
        for (const auto& [bucket, value] : updates) {
            const Digest digest = value == 0 ? Digest{} : numbered_digest(value);
            tree.set_bucket(bucket, digest);
            model[bucket] = digest;
        }
        tree.update();
        const auto full = full_tree(model);
        RC_ASSERT(tree.root() == full[0][0]);
        for (const auto& [bucket, digest] : model) {
            for (std::size_t level = 0; level <= bucket_level; ++level) {
                const auto index = bucket >> (4U * (bucket_level - level));
                RC_ASSERT(tree.at(level, index) == full[level][index]);
            }
        }
    }
}

TEST(StateDigest, subtrees_prove_buckets_up_to_the_root) {
    DigestTree tree;
    for (std::uint32_t i = 0; i < 3000; ++i) {
        tree.set_bucket(i * 21 % buckets, numbered_digest(i));
    }
    tree.update();
    const auto top = tree.subtree(0);
    EXPECT_EQ(node_digest(top), tree.root());
    for (std::uint32_t i = 0; i < subtree_digests; ++i) {
        const auto part = tree.subtree(1 + i);
        ASSERT_EQ(node_digest(part), top[i]);
        EXPECT_EQ(part[7], tree.at(bucket_level, i * 256 + 7));
    }
}

TEST(StateDigest, a_tree_and_its_copy_do_not_change_each_other) {
    DigestTree tree;
    tree.set_bucket(5, numbered_digest(5));
    tree.set_bucket(6, numbered_digest(6));
    tree.update();
    const Digest root = tree.root();
    DigestTree copy = tree;
    copy.set_bucket(5, numbered_digest(7));
    copy.set_bucket(40'000, numbered_digest(8));
    copy.update();
    EXPECT_EQ(tree.root(), root);
    EXPECT_EQ(tree.at(bucket_level, 5), numbered_digest(5));
    EXPECT_TRUE(tree.at(bucket_level, 40'000).is_zero());
    copy.set_bucket(5, numbered_digest(5));
    copy.set_bucket(40'000, Digest{});
    copy.update();
    EXPECT_EQ(copy.root(), root);
    EXPECT_TRUE(copy.at(bucket_level - 1, 40'000 / 16).is_zero());
}

TEST(StateDigest, a_subtree_has_one_encoding) {
    std::vector<Digest> digests(subtree_digests);
    digests[9] = numbered_digest(9);
    Bytes bytes = encode_subtree(digests);
    ASSERT_EQ(decode_subtree(bytes).value(), digests);
    bytes.push_back(0);
    EXPECT_EQ(decode_subtree(bytes).error().code, Errc::invalid_argument);
    bytes.resize(bytes.size() - 2);
    EXPECT_FALSE(decode_subtree(bytes));
    EXPECT_FALSE(decode_subtree({}));
}

TEST(StateDigest, leaves_have_one_encoding) {
    std::vector<Leaf> leaves{leaf_in(258, 1), leaf_in(258, 2), leaf_in(258, 3)};
    std::sort(leaves.begin(), leaves.end());
    const Bytes bytes = encode_leaves(leaves);
    ASSERT_EQ(decode_leaves(258, bytes).value(), leaves);
    EXPECT_TRUE(decode_leaves(258, {}).value().empty());
    EXPECT_FALSE(decode_leaves(259, bytes));                                    // of another bucket
    EXPECT_FALSE(decode_leaves(258, ByteView(bytes).first(bytes.size() - 1)));  // cut
    std::swap(leaves[0], leaves[1]);
    EXPECT_FALSE(decode_leaves(258, encode_leaves(leaves)));  // out of order
    EXPECT_FALSE(decode_leaves(258, encode_leaves({leaves[0], leaves[0]})));
    EXPECT_FALSE(decode_leaves(0, Bytes(limits::state_chunk_bytes_max / 48 * 48 + 48)));
}

TEST(StateDigest, records_have_one_encoding) {
    const std::vector<StateRecord> records{{StateTable::keys, bytes_of("a"), bytes_of("content")},
                                           {StateTable::meta, bytes_of("state"), {}}};
    const Bytes bytes = encode_records(records);
    ASSERT_EQ(decode_records(bytes).value(), records);
    EXPECT_TRUE(decode_records({}).value().empty());
    for (std::size_t size = 1; size < bytes.size(); ++size) {
        const auto cut = decode_records(ByteView(bytes).first(size));
        EXPECT_TRUE(!cut || size == 1 + 4 + 1 + 4 + 7) << size;
    }
    Bytes unknown = bytes;
    unknown[0] = 9;
    EXPECT_FALSE(decode_records(unknown));
    unknown[0] = 0;
    EXPECT_FALSE(decode_records(unknown));
}

TEST(StateDigest, records_over_a_bound_are_refused) {
    const auto refused = [](StateRecord record) { return !decode_records(encode_records({std::move(record)})); };
    EXPECT_TRUE(refused({StateTable::keys, {}, bytes_of("no key")}));
    EXPECT_FALSE(refused({StateTable::keys, Bytes(limits::table_key_bytes_max - 1), {}}));
    EXPECT_TRUE(refused({StateTable::keys, Bytes(limits::table_key_bytes_max), {}}));
    EXPECT_FALSE(refused({StateTable::keys, bytes_of("k"), Bytes(limits::state_record_bytes_max)}));
    EXPECT_TRUE(refused({StateTable::keys, bytes_of("k"), Bytes(limits::state_record_bytes_max + 1)}));
    const std::vector<StateRecord> many(limits::state_names_max + 1, {StateTable::keys, bytes_of("k"), {}});
    EXPECT_FALSE(decode_records(encode_records(many)));
}

}  // namespace
}  // namespace loyal::kvstore
