#include "kvstore/state_proof.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "kvstore/receipt.h"
#include "tests/unit/kvstore/checkpoint_support.h"

namespace loyal::kvstore {
namespace {

using consensus::Height;
using test::Chain;
using test::CheckpointedReplica;
using test::must;

// A word for the root, so that a proof can be encoded; nobody checks it here.
StateProof with_word(StateProof proof, const StateRoot& root) {
    proof.vouched = SignedRoot{root, consensus::ReplicaId(1), {}};
    return proof;
}

// Against the records of a state that was computed without proofs, at the older of two checkpoints while the store has
// gone on.
RC_GTEST_PROP(StateProof, says_of_every_key_what_the_state_held, ()) {
    Chain chain;
    CheckpointedReplica replica(chain);
    replica.execute_to(test::test_interval);
    replica.flush();
    replica.work_all();
    replica.execute_to(2 * test::test_interval);
    replica.flush();
    replica.work_all();
    for (const StateRoot& root : replica.checkpoints().roots()) {
        RC_ASSERT(root == chain.root(root.height.value));
        const test::Records& records = chain.records(root.height.value);
        for (int i = 0; i < 14; ++i) {  // the chain has the keys k0 to k11
            const Bytes key = bytes_of("k" + std::to_string(i));
            const StateProof proof =
                must(make_state_proof(replica.checkpoints(), root.height, test::test_salt, StateTable::keys, key));
            const auto held = records.find({StateTable::keys, key});
            RC_ASSERT(proof.record.content.has_value() == (held != records.end()));
            if (held != records.end()) {
                RC_ASSERT(*proof.record.content == held->second);
            }
            RC_ASSERT(must(root_over(test::test_salt, proof.record)) == root.root);
            RC_ASSERT(must(root_over(test::test_salt, proof.meta)) == root.root);
            RC_ASSERT(must(decode_meta(*proof.meta.content)).height == root.height);
            const StateProof whole = with_word(proof, root);
            RC_ASSERT(must(decode_state_proof(encode_state_proof(whole))) == whole);
        }
    }
}

struct StateProofForms : ::testing::Test {
    StateProofForms() {
        consensus::BlockPtr last;
        for (std::uint64_t height = 1; height <= test::test_interval; ++height) {
            test::Submission submission;
            submission.seq0 = height;
            submission.operations = {test::put("k" + std::to_string(height), "v")};
            last = test::block_on(last, {test::envelope_of(submission)}, test::start_ms + height);
            (void)must(machine->execute(*last));
        }
        EXPECT_TRUE(machine->freeze());
        must(machine->write_frozen(Durability::synced));
        machine->drop_frozen();
        while (must(checkpoints->work(100))) {
        }
        root = checkpoints->roots().front();
        proof = with_word(
            must(make_state_proof(*checkpoints, root.height, test::test_salt, StateTable::keys, view_of("k1"))), root);
    }
    [[nodiscard]] bool leads_to_the_root(const RecordProof& record) const {
        const auto over = root_over(test::test_salt, record);
        return over && *over == root.root;
    }
    test::MemoryStore store;
    std::unique_ptr<StateMachine> machine = must(StateMachine::open(store, test::machine_with_checkpoints()));
    std::unique_ptr<Checkpoints> checkpoints = must(Checkpoints::open(store, test::checkpoint_options()));
    StateRoot root;
    StateProof proof;
};

TEST_F(StateProofForms, a_checkpoint_that_is_not_kept_cannot_be_proven) {
    const auto none = make_state_proof(*checkpoints, Height(999), test::test_salt, StateTable::keys, view_of("k1"));
    EXPECT_EQ(none.error().code, Errc::not_found);
}

TEST_F(StateProofForms, nothing_else_leads_to_the_root) {
    ASSERT_TRUE(leads_to_the_root(proof.record));
    RecordProof other = proof.record;
    other.key.push_back('x');
    EXPECT_FALSE(leads_to_the_root(other));
    other = proof.record;
    other.content = other.content ? std::nullopt : std::optional(bytes_of("v"));
    EXPECT_FALSE(leads_to_the_root(other));
    other = proof.record;
    other.table = StateTable::sessions;
    EXPECT_FALSE(leads_to_the_root(other));
    for (std::size_t level = 0; level < bucket_level; ++level) {
        for (std::size_t i = 0; i < tree_fan_out; ++i) {
            other = proof.record;
            other.siblings[level][i].bytes[5] ^= 1U;
            EXPECT_FALSE(leads_to_the_root(other)) << level << ' ' << i;
        }
    }
}

TEST_F(StateProofForms, a_neighbour_of_another_bucket_or_with_the_own_name_is_refused) {
    const LeafName own = leaf_name(test::test_salt, StateTable::keys, proof.record.key);
    RecordProof other = proof.record;
    other.neighbours.push_back({own, {}});
    EXPECT_EQ(root_over(test::test_salt, other).error().code, Errc::unauthentic);
    other = proof.record;
    LeafName foreign = own;
    foreign[0] ^= 1U;
    other.neighbours = {{foreign, {}}};
    EXPECT_EQ(root_over(test::test_salt, other).error().code, Errc::unauthentic);
}

TEST_F(StateProofForms, only_one_encoding_is_read) {
    const Bytes good = encode_state_proof(proof);
    ASSERT_TRUE(decode_state_proof(good));
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_state_proof(ByteView(good).first(size))) << size;
    }
    Bytes longer = good;
    longer.push_back(0);
    EXPECT_FALSE(decode_state_proof(longer));
    Bytes kind = good;
    kind[0] = 3;
    EXPECT_FALSE(decode_state_proof(kind));
    // A digest of zeros that is said to be none: two ways to write one thing.
    StateProof zero = proof;
    zero.meta.siblings = {};
    zero.meta.siblings[3][2] = crypto::digest_of("x", {});
    Bytes bytes = encode_state_proof(zero);
    std::fill(bytes.end() - 32, bytes.end(), std::uint8_t{0});
    EXPECT_FALSE(decode_state_proof(bytes));
}

TEST(StateProofBounds, a_claimed_number_of_neighbours_allocates_nothing) {
    StateProof proof;
    proof.vouched = SignedRoot{};
    proof.record.key = bytes_of("k");
    proof.meta.key = bytes_of("k");
    Bytes bytes = encode_state_proof(proof);
    const std::size_t count_at = 1 + 8 + 32 + 2 + 64 + 1 + 2 + 1 + 1;
    for (std::size_t i = 0; i < 4; ++i) {
        bytes[count_at + i] = 0xFF;
    }
    EXPECT_FALSE(decode_state_proof(bytes));
}

// ---- Receipts

Receipt receipt_of(const Operation& operation, Status status, Bytes result = {}) {
    Receipt receipt;
    receipt.operation = encode_operation(operation);
    receipt.outcome.status = status;
    receipt.outcome.result = std::move(result);
    receipt.leaf = 2;
    receipt.leaves = 3;  // the last of three goes up alone: one neighbour
    receipt.path = {crypto::digest_of("x", {})};
    return receipt;
}

TEST(Receipt, is_read_back_and_has_one_encoding) {
    const Receipt receipt = receipt_of(Put{bytes_of("k"), bytes_of("v")}, Status::ok);
    const Bytes good = encode_receipt(receipt);
    EXPECT_EQ(must(decode_receipt(good)), receipt);
    for (std::size_t size = 0; size < good.size(); ++size) {
        EXPECT_FALSE(decode_receipt(ByteView(good).first(size))) << size;
    }
    Bytes longer = good;
    longer.push_back(0);
    EXPECT_FALSE(decode_receipt(longer));
}

TEST(Receipt, a_path_that_its_place_does_not_need_is_refused) {
    Receipt receipt = receipt_of(Put{bytes_of("k"), bytes_of("v")}, Status::ok);
    receipt.path.emplace_back();
    EXPECT_FALSE(decode_receipt(encode_receipt(receipt)));
    receipt.path.resize(1);
    receipt.leaf = 3;
    EXPECT_FALSE(decode_receipt(encode_receipt(receipt)));
    receipt.leaf = 0;
    EXPECT_FALSE(decode_receipt(encode_receipt(receipt))) << "the first of three has two neighbours";
}

TEST(Receipt, what_cannot_be_read_is_no_receipt) {
    Receipt receipt = receipt_of(Put{bytes_of("k"), bytes_of("v")}, Status::ok);
    receipt.operation.push_back(0);
    EXPECT_FALSE(decode_receipt(encode_receipt(receipt)));
    EXPECT_FALSE(decode_receipt(encode_receipt(receipt_of(test::get("k"), Status::ok, bytes_of("junk")))));
    EXPECT_TRUE(decode_receipt(encode_receipt(receipt_of(test::get("k"), Status::ok, encode_range_result({})))));
    EXPECT_TRUE(decode_receipt(encode_receipt(receipt_of(test::get("k"), Status::too_large))));
}

}  // namespace
}  // namespace loyal::kvstore
