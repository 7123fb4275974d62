#include "kvstore/result_tree.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "config/limits.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using crypto::Digest;
using test::del;
using test::get;
using test::Machine;
using test::put;
using test::Submission;

std::vector<Digest> leaves_of(std::uint32_t count) {
    std::vector<Digest> leaves;
    for (std::uint32_t i = 0; i < count; ++i) {
        leaves.push_back(crypto::digest_of("test", view_of(std::to_string(i))));
    }
    return leaves;
}

TEST(ResultTree, every_leaf_has_a_path_to_the_root) {
    for (const std::uint32_t count : {1U, 2U, 3U, 4U, 5U, 7U, 8U, 9U, 31U, 32U, 33U, 100U}) {
        const std::vector<Digest> leaves = leaves_of(count);
        const ResultTree tree(leaves);
        for (std::uint32_t i = 0; i < count; ++i) {
            EXPECT_EQ(root_over(leaves[i], i, count, tree.path(i)), tree.root()) << i << " of " << count;
        }
    }
}

TEST(ResultTree, a_path_proves_one_leaf_at_one_place_among_so_many) {
    const std::vector<Digest> leaves = leaves_of(7);
    const ResultTree tree(leaves);
    for (std::uint32_t i = 0; i < 7; ++i) {
        const std::vector<Digest> path = tree.path(i);
        for (std::uint32_t place = 0; place < 9; ++place) {
            for (std::uint32_t count = 1; count < 10; ++count) {
                if (place != i || count != 7) {
                    EXPECT_NE(root_over(leaves[i], place, count, path), tree.root()) << place << " of " << count;
                }
            }
        }
        std::vector<Digest> longer = path;
        longer.emplace_back();
        EXPECT_EQ(root_over(leaves[i], i, 7, longer), std::nullopt);
        std::vector<Digest> shorter = path;
        shorter.pop_back();
        EXPECT_EQ(root_over(leaves[i], i, 7, shorter), std::nullopt);
        EXPECT_NE(root_over(leaves[(i + 1) % 7], i, 7, path), tree.root());
    }
    EXPECT_EQ(root_over(leaves[0], 0, limits::block_ops_max + 1, {}), std::nullopt);
}

TEST(ResultTree, roots_tell_how_many_leaves_there_are) {
    std::set<Digest> roots{ResultTree({}).root()};
    for (std::uint32_t count = 1; count <= 40; ++count) {
        EXPECT_TRUE(roots.insert(ResultTree(leaves_of(count)).root()).second) << count;
    }
    // A node is no leaf: a tree whose only leaf is another tree's top has another root.
    const std::vector<Digest> two = leaves_of(2);
    const Digest top = crypto::Hasher("result-node").update(two[0].view()).update(two[1].view()).finish();
    EXPECT_NE(ResultTree({top}).root(), ResultTree(two).root());
}

TEST(ResultTree, a_leaf_covers_every_field) {
    const consensus::ClientId client = test::client_of('a');
    const Bytes operation = encode_operation(put("k", "v"));
    const Outcome outcome{consensus::Seq(1), consensus::Height(2), consensus::View(3), consensus::Hlc(4),
                          Revision(5),       Status::not_found,    bytes_of("r")};
    std::set<Digest> seen{result_leaf(client, consensus::SessionId(9), operation, outcome)};
    const auto is_new = [&](const Digest& digest) { return seen.insert(digest).second; };
    EXPECT_TRUE(is_new(result_leaf(test::client_of('b'), consensus::SessionId(9), operation, outcome)));
    EXPECT_TRUE(is_new(result_leaf(client, consensus::SessionId(8), operation, outcome)));
    EXPECT_TRUE(is_new(result_leaf(client, consensus::SessionId(9), encode_operation(put("k", "w")), outcome)));
    const auto changed = [&](auto change) {
        Outcome other = outcome;
        change(other);
        return is_new(result_leaf(client, consensus::SessionId(9), operation, other));
    };
    EXPECT_TRUE(changed([](Outcome& o) { o.seq = o.seq.next(); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.height = o.height.next(); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.view = o.view.next(); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.hlc = consensus::Hlc(5); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.revision = o.revision.next(); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.status = Status::ok; }));
    EXPECT_TRUE(changed([](Outcome& o) { o.result.clear(); }));
    EXPECT_TRUE(changed([](Outcome& o) { o.result.push_back(0); }));
}

TEST(BlockResults, what_a_block_did_is_under_its_execution_digest) {
    Machine machine;
    Submission submission;
    submission.operations = {put("k", "v"), get("k"), del("absent")};
    const ExecutedBlock executed = machine.execute({test::envelope_of(submission)});
    const BlockResults& results = *executed.results;
    ASSERT_EQ(results.operations.size(), 3U);
    EXPECT_EQ(execution_digest(results.opening), executed.digest);
    EXPECT_EQ(results.digest, executed.digest);
    EXPECT_EQ(results.opening.results_root, results.tree.root());
    for (std::size_t i = 0; i < 3; ++i) {
        const ExecutedOperationRef& of = results.operations[i];
        EXPECT_EQ(of.outcome, executed.replies.at(0).outcomes.at(i));
        EXPECT_EQ(result_leaf(of.client, of.session, encode_operation(submission.operations[i]), of.outcome),
                  results.tree.leaf(static_cast<std::uint32_t>(i)));
    }
}

// The same number with another operation: the stored outcome says nothing of it, so there is no leaf for it.
TEST(BlockResults, a_stored_outcome_is_no_result_of_the_operation_that_asked_again) {
    Machine machine;
    Submission submission;
    submission.operations = {put("k", "v")};
    const auto first = test::envelope_of(submission);
    submission.operations = {put("k", "another")};
    const auto reused = test::envelope_of(submission);
    const ExecutedBlock same = machine.execute({first, reused});
    ASSERT_EQ(same.replies.size(), 2U);
    EXPECT_EQ(same.replies[1].outcomes, same.replies[0].outcomes);
    ASSERT_EQ(same.results->operations.size(), 1U);
    const ByteView executed = same.results->operations[0].operations;
    EXPECT_EQ(Bytes(executed.begin(), executed.end()), encode_operation(put("k", "v")));
    const ExecutedBlock later = machine.execute({reused});
    EXPECT_EQ(later.replies.at(0).outcomes, same.replies[0].outcomes);
    EXPECT_TRUE(later.results->operations.empty());
    EXPECT_EQ(machine.value("k"), "v");
}

TEST(BlockResults, stored_outcomes_still_count_in_the_execution_digest) {
    Machine one;
    Machine other;
    Submission submission;
    submission.operations = {put("k", "v")};
    const auto envelope = test::envelope_of(submission);
    const auto before_one = one.execute({envelope});
    const auto before_other = other.execute({envelope});
    EXPECT_EQ(before_one.digest, before_other.digest);
    const auto repeated = one.execute({envelope});
    const auto empty = other.execute(std::vector<consensus::Envelope>{});
    EXPECT_EQ(repeated.results->opening.results_root, empty.results->opening.results_root);
    EXPECT_NE(repeated.results->opening.effects, empty.results->opening.effects);
}

}  // namespace
}  // namespace loyal::kvstore
