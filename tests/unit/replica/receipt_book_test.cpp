#include "replica/receipt_book.h"

#include <gtest/gtest.h>

#include "consensus/receipt.h"
#include "replica/signing_guard.h"
#include "sim/sim_signer.h"

namespace loyal::replica {
namespace {

using consensus::Height;
using consensus::ReplicaId;

consensus::ClusterContext context_of_test() {
    return {crypto::digest_of("test", view_of("receipts")), consensus::Epoch(0)};
}
consensus::ClientId client_named(std::uint8_t name) {
    consensus::ClientId id;
    id.bytes.fill(name);
    return id;
}

class CountingSigner final : public crypto::Signer {
 public:
    crypto::Signature sign(ByteView message) const override {
        ++asked;
        return refuses ? crypto::Signature{} : key.sign(message);
    }
    const crypto::PublicKey& public_key() const override { return key.public_key(); }
    sim::SimSigner key{1};
    mutable int asked = 0;
    bool refuses = false;
};

// A block with one put of each client, sequence number 1 of session 5.
std::shared_ptr<const kvstore::BlockResults> block_of(std::uint64_t height, const std::vector<std::uint8_t>& clients,
                                                      std::size_t value_bytes = 4) {
    auto results = std::make_shared<kvstore::BlockResults>();
    const Bytes operations =
        kvstore::encode_operation(kvstore::Put{bytes_of("key"), Bytes(value_bytes, std::uint8_t{7})});
    results->height = Height(height);
    results->body = std::make_shared<const Bytes>(operations);
    std::vector<crypto::Digest> leaves;
    for (const std::uint8_t client : clients) {
        kvstore::Outcome outcome;
        outcome.seq = consensus::Seq(1);
        outcome.height = Height(height);
        leaves.push_back(kvstore::result_leaf(client_named(client), consensus::SessionId(5), operations, outcome));
        results->operations.push_back(
            {client_named(client), consensus::SessionId(5), ByteView(*results->body), 1, 0, outcome});
    }
    results->opening.block_id = crypto::digest_of("block", view_of(std::to_string(height)));
    results->tree = kvstore::ResultTree(std::move(leaves));
    results->opening.results_root = results->tree.root();
    results->digest = kvstore::execution_digest(results->opening);
    return results;
}

wire::ReceiptAsk ask_for(std::uint64_t height, std::uint64_t seq = 1) {
    return {9, consensus::SessionId(5), consensus::Seq(seq), Height(height)};
}

struct ReceiptBookTest : ::testing::Test {
    ReceiptBook book{context_of_test(), ReplicaId(2), {3, 10'000}};
    CountingSigner signer;
};

TEST_F(ReceiptBookTest, a_receipt_leads_to_the_signed_digest_of_its_block) {
    sim::SimVerifier verifier;
    verifier.learn(signer.key);
    const auto block = block_of(7, {1, 2, 3});
    book.add(block);
    for (std::uint8_t client = 1; client <= 3; ++client) {
        const auto answer = book.answer(client_named(client), ask_for(7), signer);
        ASSERT_TRUE(answer) << answer.error().message;
        EXPECT_EQ(answer->nonce, 9U);
        EXPECT_EQ(answer->receipt.client, client_named(client));
        EXPECT_EQ(kvstore::executed_digest_of(answer->receipt), block->digest);
        const Bytes content =
            consensus::receipt_content({{Height(7), block->opening.block_id}, block->digest, ReplicaId(2)});
        EXPECT_TRUE(verifier.verify(signer.public_key(),
                                    consensus::signed_bytes(context_of_test(), consensus::SignDomain::receipt, content),
                                    answer->signature));
        const auto again = kvstore::decode_receipt(kvstore::encode_receipt(answer->receipt));
        ASSERT_TRUE(again) << again.error().message;
        EXPECT_EQ(*again, answer->receipt);
    }
    EXPECT_EQ(signer.asked, 1) << "one signature a block";
}

TEST_F(ReceiptBookTest, a_client_gets_its_own_receipts_only) {
    book.add(block_of(7, {1}));
    EXPECT_EQ(book.answer(client_named(2), ask_for(7), signer).error().code, Errc::not_found);
    EXPECT_EQ(book.answer(client_named(1), ask_for(7, 2), signer).error().code, Errc::not_found);
    wire::ReceiptAsk other = ask_for(7);
    other.session = consensus::SessionId(6);
    EXPECT_EQ(book.answer(client_named(1), other, signer).error().code, Errc::not_found);
    EXPECT_EQ(signer.asked, 0) << "nothing is signed for who asks for nothing";
}

TEST_F(ReceiptBookTest, what_is_not_executed_yet_is_asked_for_again_and_what_is_forgotten_is_not) {
    EXPECT_EQ(book.answer(client_named(1), ask_for(1), signer).error().code, Errc::unavailable);
    for (std::uint64_t height = 1; height <= 5; ++height) {
        book.add(block_of(height, {1}));
    }
    EXPECT_EQ(book.heights(), 3U);
    EXPECT_EQ(book.answer(client_named(1), ask_for(6), signer).error().code, Errc::unavailable);
    EXPECT_TRUE(book.answer(client_named(1), ask_for(3), signer));
    EXPECT_EQ(book.answer(client_named(1), ask_for(2), signer).error().code, Errc::not_found);
}

TEST_F(ReceiptBookTest, large_blocks_are_forgotten_sooner_and_the_newest_never) {
    book.add(block_of(1, {1}, 6'000));
    book.add(block_of(2, {1}, 6'000));
    EXPECT_EQ(book.heights(), 1U);
    book.add(block_of(3, {1}, 50'000));
    EXPECT_EQ(book.heights(), 1U);
    EXPECT_TRUE(book.answer(client_named(1), ask_for(3), signer));
    book.add(block_of(4, {1}));
    EXPECT_LE(book.bytes(), 10'000U);
}

TEST_F(ReceiptBookTest, a_gap_begins_the_book_anew) {
    book.add(block_of(7, {1}));
    book.add(block_of(9, {1}));
    EXPECT_EQ(book.heights(), 1U);
    EXPECT_EQ(book.answer(client_named(1), ask_for(7), signer).error().code, Errc::not_found);
    book.add(nullptr);
    EXPECT_EQ(book.heights(), 0U);
}

TEST_F(ReceiptBookTest, a_refused_signature_is_no_answer_and_is_not_remembered) {
    book.add(block_of(7, {1}));
    signer.refuses = true;
    EXPECT_EQ(book.answer(client_named(1), ask_for(7), signer).error().code, Errc::unavailable);
    signer.refuses = false;
    EXPECT_TRUE(book.answer(client_named(1), ask_for(7), signer));
}

// ---- The guard

struct GuardedReceipts : ::testing::Test {
    GuardedReceipts() { recovered.fresh = true; }
    [[nodiscard]] bool signs(const SigningGuard& guard, consensus::SignDomain domain, ByteView content) const {
        return !guard.sign(consensus::signed_bytes(context_of_test(), domain, content)).is_zero();
    }
    [[nodiscard]] bool signs_receipt(const SigningGuard& guard, std::uint64_t height, const std::string& state,
                                     std::uint16_t replica = 2) const {
        return signs(guard, consensus::SignDomain::receipt,
                     consensus::receipt_content({{Height(height), crypto::digest_of("block", {})},
                                                 crypto::digest_of("state", view_of(state)),
                                                 ReplicaId(replica)}));
    }
    [[nodiscard]] bool signs_root(const SigningGuard& guard, std::uint64_t height, const std::string& state) const {
        return signs(guard, consensus::SignDomain::state_root,
                     kvstore::root_content({Height(height), crypto::digest_of("state", view_of(state))}, ReplicaId(2)));
    }
    sim::SimSigner key{1};
    consensus::Recovered recovered;
};

TEST_F(GuardedReceipts, one_state_a_height) {
    const SigningGuard guard(key, context_of_test(), 4, ReplicaId(2), recovered);
    EXPECT_TRUE(signs_receipt(guard, 7, "a"));
    EXPECT_TRUE(signs_receipt(guard, 7, "a")) << "the same again";
    EXPECT_FALSE(signs_receipt(guard, 7, "b"));
    EXPECT_TRUE(signs_receipt(guard, 6, "b"));
    EXPECT_FALSE(signs_receipt(guard, 8, "a", 3)) << "in another's name";
    EXPECT_FALSE(signs(guard, consensus::SignDomain::receipt, view_of("junk")));
    EXPECT_EQ(guard.refusals(), 3U);
    EXPECT_TRUE(signs_root(guard, 7, "a"));
    EXPECT_FALSE(signs_root(guard, 7, "b"));
}

TEST_F(GuardedReceipts, what_is_no_longer_remembered_is_not_signed) {
    const SigningGuard guard(key, context_of_test(), 4, ReplicaId(2), recovered);
    for (std::uint64_t height = 10; height < 10 + 2 * limits::receipt_heights_max; ++height) {
        ASSERT_TRUE(signs_receipt(guard, height, "a"));
    }
    EXPECT_FALSE(signs_receipt(guard, 9, "a"));
    EXPECT_TRUE(signs_receipt(guard, 100'000, "a"));
    EXPECT_FALSE(signs_receipt(guard, 10, "b")) << "forgotten, and older than all that is remembered";
}

TEST_F(GuardedReceipts, who_may_have_forgotten_votes_signs_none) {
    recovered.fresh = false;
    recovered.voting.amnesiac = true;
    const SigningGuard guard(key, context_of_test(), 4, ReplicaId(2), recovered);
    EXPECT_FALSE(signs_receipt(guard, 7, "a"));
    EXPECT_FALSE(signs_root(guard, 7, "a"));
}

}  // namespace
}  // namespace loyal::replica
