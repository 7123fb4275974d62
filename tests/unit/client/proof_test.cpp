// Proofs as a third party gets them: files, and what they prove. Valid ones come from tests/mutations/proof_world.h.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "client/proof/proof_file.h"
#include "client/proof/verify_proof.h"
#include "tests/mutations/proof_mutator.h"
#include "tests/mutations/proof_world.h"

namespace loyal::proof {
namespace {

using mutations::ProofWorld;

const ProofWorld& byzantine() {
    static const ProofWorld world(consensus::FaultModel::byzantine);
    return world;
}
const ProofWorld& crash() {
    static const ProofWorld world(consensus::FaultModel::crash);
    return world;
}

template <class What>
std::vector<std::pair<Proof, What>> all_of(const ProofWorld& world) {
    std::vector<std::pair<Proof, What>> found;
    for (const Bytes& file : world.proofs()) {
        const auto proof = decode_proof(file);
        const auto proven = world.verifier().check(*proof);
        if (const auto* what = std::get_if<What>(&proven->what)) {
            found.emplace_back(*proof, *what);
        }
    }
    return found;
}

bool verifies(const ProofWorld& world, const Proof& proof) {
    return world.verifier().check(proof).has_value();
}

TEST(ProofFile, every_proof_is_read_back_and_has_one_encoding) {
    for (const ProofWorld* world : {&byzantine(), &crash()}) {
        for (const Bytes& file : world->proofs()) {
            const auto proof = decode_proof(file);
            ASSERT_TRUE(proof) << proof.error().message;
            EXPECT_EQ(encode_proof(*proof), file);
        }
    }
}

TEST(ProofFile, what_is_no_proof_and_what_is_damaged_are_told_apart) {
    const Bytes& good = byzantine().proofs().front();
    EXPECT_EQ(decode_proof({}).error().code, Errc::invalid_argument);
    EXPECT_EQ(decode_proof(view_of("hello, world")).error().code, Errc::invalid_argument);
    Bytes newer = good;
    newer[8] = 2;
    EXPECT_EQ(decode_proof(newer).error().code, Errc::invalid_argument);
    EXPECT_EQ(decode_proof(ByteView(good).first(good.size() - 1)).error().code, Errc::corrupted);
    EXPECT_EQ(decode_proof(ByteView(good).first(9)).error().code, Errc::corrupted);
    for (std::size_t at = 10; at < good.size(); at += 7) {
        Bytes damaged = good;
        damaged[at] ^= 4U;
        EXPECT_EQ(decode_proof(damaged).error().code, Errc::corrupted) << at;
    }
}

TEST(ProofFile, a_file_is_written_once) {
    std::string pattern = (std::filesystem::temp_directory_path() / "loyal-proof-XXXXXX").string();
    const std::filesystem::path folder = ::mkdtemp(pattern.data());
    const auto proof = *decode_proof(byzantine().proofs().front());
    EXPECT_EQ(read_proof_file(folder / "a").error().code, Errc::not_found);
    ASSERT_TRUE(write_proof_file(folder / "a", proof));
    EXPECT_EQ(write_proof_file(folder / "a", proof).error().code, Errc::conflict);
    const auto read = read_proof_file(folder / "a");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(*read, proof);
    std::filesystem::remove_all(folder);
}

TEST(Receipt, needs_exactly_w_signatures_of_different_replicas) {
    auto [proof, operation] = all_of<ProvenOperation>(byzantine()).front();
    auto& signatures = std::get<SignedReceipt>(proof.content).signatures;
    ASSERT_EQ(signatures.size(), 2U);
    const auto both = signatures;
    signatures = {both[0]};
    EXPECT_FALSE(verifies(byzantine(), proof));
    signatures = {both[0], both[0]};
    EXPECT_FALSE(verifies(byzantine(), proof));
    signatures = {both[1], both[0]};
    EXPECT_FALSE(verifies(byzantine(), proof)) << "in one order only";
    signatures = both;
    EXPECT_TRUE(verifies(byzantine(), proof));
    // In the crash model one is enough, and no more are taken.
    auto [alone, same] = all_of<ProvenOperation>(crash()).front();
    EXPECT_EQ(std::get<SignedReceipt>(alone.content).signatures.size(), 1U);
    EXPECT_TRUE(verifies(crash(), alone));
}

TEST(Receipt, is_worth_nothing_in_another_cluster) {
    auto [proof, operation] = all_of<ProvenOperation>(byzantine()).front();
    proof.cluster_id.bytes[0] ^= 1U;
    EXPECT_FALSE(verifies(byzantine(), proof));
    EXPECT_FALSE(verifies(crash(), proof));
}

TEST(Receipt, proves_absence_and_refusal_as_well_as_success) {
    std::map<std::string, int> seen;
    for (const auto& [proof, operation] : all_of<ProvenOperation>(byzantine())) {
        ++seen[std::string(to_string(operation.outcome.status))];
        if (operation.range) {
            ++seen[operation.range->items.empty() ? "absent" : "present"];
        }
    }
    for (const char* wanted : {"ok", "mismatch", "not found", "absent", "present"}) {
        EXPECT_GT(seen[wanted], 0) << wanted;
    }
}

TEST(StateProof, of_values_and_of_absences_with_neighbours_and_without) {
    int values = 0;
    int absences = 0;
    int beside_others = 0;
    for (const auto& [proof, record] : all_of<ProvenRecord>(byzantine())) {
        values += record.item ? 1 : 0;
        absences += record.item ? 0 : 1;
        const auto& state = std::get<kvstore::StateProof>(proof.content);
        beside_others += !record.item && !state.record.neighbours.empty() ? 1 : 0;
        EXPECT_EQ(record.facts.height.value % 4, 0U);
        ASSERT_TRUE(state.certified);
        EXPECT_EQ(state.certified->votes.size(), 3U);
    }
    EXPECT_GT(values, 0);
    EXPECT_GT(absences, beside_others);
    EXPECT_GT(beside_others, 0);
}

TEST(StateProof, a_record_cannot_be_left_out_nor_made_up) {
    for (auto& [proof, record] : all_of<ProvenRecord>(byzantine())) {
        auto& state = std::get<kvstore::StateProof>(proof.content);
        const auto honest = state;
        if (record.item) {
            state.record.content.reset();  // "there was none"
            EXPECT_FALSE(verifies(byzantine(), proof));
            // With its own leaf among the neighbours it leads to the root, and the name gives it away.
            state.record.neighbours.push_back(
                {kvstore::leaf_name(kvstore::salt_of(byzantine().verifier().membership().context.cluster_id),
                                    kvstore::StateTable::keys, record.key),
                 kvstore::leaf_digest(kvstore::StateTable::keys, record.key, *honest.record.content)});
            std::sort(state.record.neighbours.begin(), state.record.neighbours.end());
            EXPECT_FALSE(verifies(byzantine(), proof));
        } else {
            state.record.content = bytes_of("made up");
            EXPECT_FALSE(verifies(byzantine(), proof));
        }
        state = honest;
        EXPECT_TRUE(verifies(byzantine(), proof));
    }
}

TEST(StateProof, an_absent_key_of_the_same_bucket_is_absent_too) {
    const auto& keys = byzantine().keys();
    for (auto& [proof, record] : all_of<ProvenRecord>(byzantine())) {
        auto& state = std::get<kvstore::StateProof>(proof.content);
        if (state.record.key != keys[keys.size() - 1]) {
            continue;
        }
        state.record.key = keys[keys.size() - 2];
        const auto proven = byzantine().verifier().check(proof);
        ASSERT_TRUE(proven) << proven.error().message;
        EXPECT_EQ(byzantine().objection(encode_proof(proof), proof, *proven), "") << "it is another one's own proof";
    }
}

TEST(StateProof, the_crash_model_and_the_byzantine_one_do_not_believe_each_others) {
    auto [proof, record] = all_of<ProvenRecord>(byzantine()).front();
    auto [other, same] = all_of<ProvenRecord>(crash()).front();
    auto& state = std::get<kvstore::StateProof>(proof.content);
    state.certified.reset();
    state.vouched = std::get<kvstore::StateProof>(other.content).vouched;
    EXPECT_FALSE(verifies(byzantine(), proof));
    EXPECT_TRUE(verifies(crash(), other));
}

// The check itself is checked: an objection is raised against what is false.
TEST(Mutations, the_judge_knows_false_from_true) {
    auto [proof, operation] = all_of<ProvenOperation>(byzantine()).front();
    const Bytes file = encode_proof(proof);
    Proven proven{operation, {}};
    EXPECT_EQ(byzantine().objection(file, proof, proven), "");
    std::get<ProvenOperation>(proven.what).outcome.revision = kvstore::Revision(999);
    EXPECT_NE(byzantine().objection(file, proof, proven), "");
    auto [state, record] = all_of<ProvenRecord>(byzantine()).front();
    Proven of_state{record, {}};
    EXPECT_EQ(byzantine().objection(encode_proof(state), state, of_state), "");
    std::get<ProvenRecord>(of_state.what).item.reset();
    EXPECT_NE(byzantine().objection(encode_proof(state), state, of_state), "");
    EXPECT_NE(byzantine().objection(file, state, Proven{record, {}}), "") << "other bytes than the proof's";
}

TEST(Mutations, few_are_enough_to_find_no_false_one_here) {
    mutations::ProofMutator mutator(byzantine().proofs(), byzantine().keys(), 7);
    std::map<bool, int> decoded;
    for (int i = 0; i < 3'000; ++i) {
        const Bytes file = mutator.next();
        const auto proof = decode_proof(file);
        ++decoded[proof.has_value()];
        if (!proof) {
            continue;
        }
        if (const auto proven = byzantine().verifier().check(*proof)) {
            EXPECT_EQ(byzantine().objection(file, *proof, *proven), "");
        }
    }
    EXPECT_GT(decoded[true], 300) << "mutants must get past the form";
    EXPECT_GT(decoded[false], 300);
}

}  // namespace
}  // namespace loyal::proof
