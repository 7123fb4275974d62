// What the verifier refuses of checkpoints (S4, S6), echoes (A1) and answers to RECOVER (A3), and why.
#include <gtest/gtest.h>

#include "config/limits.h"
#include "tests/unit/consensus/checkpoint_schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t step = checkpoint_step;

class VerifyingRecovery : public ::testing::Test {
 protected:
    VerifyingRecovery() : VerifyingRecovery(FaultModel::byzantine) {}
    explicit VerifyingRecovery(FaultModel model) : cluster(checkpoint_shape({}, {0, 1, 2, 3}, model)) {
        const auto below = [](const char* text, std::uint64_t height) {
            return BlockRef{Height(height), crypto::digest_of("test", view_of(text))};
        };
        at = cluster.block(0, View(0), below("below", step - 1), Hlc(), "at");
        carrier = cluster.block(0, View(0), below("between", 2 * step - 1), Hlc(), "carrier", {},
                                {Height(step), crypto::digest_of("root", {})});
        top = cluster.block(0, View(0), carrier->ref(), carrier->header.hlc, "top");
    }
    [[nodiscard]] std::string why_not(const PeerMessage& message, std::size_t from = 1) const {
        const auto verdict = cluster.verifier->verify(message, ReplicaId(static_cast<std::uint16_t>(from)));
        return verdict ? "" : verdict.error().message;
    }
    // The way by which a proof arrives.
    [[nodiscard]] std::string why_not(const CheckpointProof& proof) const {
        Blocks answer;
        answer.checkpoint = proof;
        return why_not(answer);
    }
    [[nodiscard]] Certificate commit_of(const BlockPtr& block) const {
        Certificate made{CertKind::commit, View(0), block->header, {}, {}};
        for (const std::size_t voter : {0UL, 1UL, 2UL}) {
            made.votes.push_back(cluster.vote(voter, View(0), block->ref(), block->ref()));
        }
        return made;
    }
    [[nodiscard]] CheckpointProof proof() const { return {at->header, {carrier->header, top->header}, commit_of(top)}; }
    [[nodiscard]] ViewChange change(std::size_t voter, std::uint64_t view) const {
        return cluster.view_change(voter, View(view), genesis_lock_of(cluster), {View(0), cluster.genesis()});
    }
    [[nodiscard]] NewView new_view() const {
        return cluster.new_view(1, View(1), {change(0, 1), change(1, 1), change(2, 1)}, genesis_lock_of(cluster));
    }

    TestCluster cluster;
    BlockPtr at;
    BlockPtr carrier;
    BlockPtr top;
};

class VerifyingRecoveryInCrashMode : public VerifyingRecovery {
 protected:
    VerifyingRecoveryInCrashMode() : VerifyingRecovery(FaultModel::crash) {}
};

constexpr const char* not_carried = "checkpoint whose header does not carry it";
constexpr const char* not_linked = "checkpoint whose headers are not hash-linked";
constexpr const char* not_certified = "checkpoint without its commit certificate";

TEST_F(VerifyingRecovery, checkpoints) {
    EXPECT_EQ(why_not(proof()), "");
    EXPECT_EQ(proof().root(), (StateRoot{Height(step), crypto::digest_of("root", {})}));
    CheckpointProof alone = proof();
    alone.headers.pop_back();
    alone.commit = commit_of(carrier);
    EXPECT_EQ(why_not(alone), "");
}

TEST_F(VerifyingRecovery, checkpoints_of_another_step_or_height) {
    CheckpointProof wrong = proof();
    wrong.block.height = Height(step + 1);
    EXPECT_EQ(why_not(wrong), not_carried);
    wrong = proof();
    wrong.block.height = Height(2 * step);  // in step, but it is the root of another height
    EXPECT_EQ(why_not(wrong), not_carried);
    wrong = proof();
    wrong.block.height = Height(0);
    EXPECT_EQ(why_not(wrong), not_carried);
    // A carrier that is not one interval above, although a quorum certified it.
    const BlockPtr far = cluster.block(0, View(0), {Height(3 * step - 1), {}}, Hlc(), "far", {},
                                       {Height(step), crypto::digest_of("root", {})});
    EXPECT_EQ(why_not(CheckpointProof{at->header, {far->header}, commit_of(far)}), not_carried);
    // A certified header that carries nothing.
    EXPECT_EQ(why_not(CheckpointProof{at->header, {top->header}, commit_of(top)}), not_carried);
}

TEST_F(VerifyingRecovery, checkpoints_out_of_bounds) {
    CheckpointProof wrong = proof();
    wrong.headers.clear();
    EXPECT_EQ(why_not(wrong), "checkpoint out of bounds");
    wrong = proof();
    wrong.headers.resize(limits::fetch_blocks_max + 1, top->header);
    EXPECT_EQ(why_not(wrong), "checkpoint out of bounds");
    Shape without = checkpoint_shape({}, {0, 1, 2, 3});
    without.checkpoint_interval = 0;
    const TestCluster other(without);
    Blocks answer;
    answer.checkpoint = proof();
    EXPECT_FALSE(other.verifier->verify(answer, ReplicaId(1)).has_value());
}

TEST_F(VerifyingRecovery, checkpoints_with_unlinked_headers) {
    CheckpointProof wrong = proof();
    wrong.headers[0].checkpoint_root.bytes[0] ^= 1U;  // a root that nobody certified
    EXPECT_EQ(why_not(wrong), not_linked);
    const BlockPtr stranger = cluster.block(0, View(0), top->ref(), top->header.hlc, "stranger");
    EXPECT_EQ(why_not(CheckpointProof{at->header, {carrier->header, stranger->header}, commit_of(stranger)}),
              not_linked);
}

TEST_F(VerifyingRecovery, checkpoints_without_their_certificate) {
    CheckpointProof wrong = proof();
    wrong.commit.reset();
    EXPECT_EQ(why_not(wrong), not_certified);
    wrong = proof();
    wrong.commit = commit_of(carrier);  // of another target than the last header
    EXPECT_EQ(why_not(wrong), not_certified);
    wrong = proof();
    wrong.commit->kind = CertKind::prepare;
    EXPECT_EQ(why_not(wrong), not_certified);
    wrong = proof();
    wrong.commit->votes.pop_back();
    EXPECT_EQ(why_not(wrong), "certificate without a quorum");
    wrong = proof();
    wrong.commit->votes[1].signature.bytes[3] ^= 1U;
    EXPECT_EQ(why_not(wrong), "bad signature on a vote");
    wrong = proof();
    wrong.commit->votes[2] = cluster.vote(2, View(0), top->ref());  // prepared, not committed
    EXPECT_EQ(why_not(wrong), "certificate with a vote off its path");
}

TEST_F(VerifyingRecovery, a_checkpoint_comes_alone) {
    Blocks answer;
    answer.checkpoint = proof();
    answer.blocks.push_back(top);
    EXPECT_EQ(why_not(answer), "checkpoint among fetched blocks");
    answer.blocks.clear();
    answer.headers.push_back(top->header);
    answer.commit = commit_of(top);
    EXPECT_EQ(why_not(answer), "checkpoint among fetched blocks");
}

TEST_F(VerifyingRecoveryInCrashMode, checkpoints_carry_no_certificate) {
    CheckpointProof word = proof();
    EXPECT_EQ(why_not(word), "checkpoint with a certificate in the crash fault model");
    word.commit.reset();
    EXPECT_EQ(why_not(word), "");
    word.block.height = Height(step + 1);
    EXPECT_EQ(why_not(word), not_carried);
}

TEST_F(VerifyingRecovery, echoes) {
    EXPECT_EQ(why_not(Echo{}), "");
    const Echo good{cluster.vote(2, View(0), top->ref(), carrier->ref()), change(2, 3)};
    EXPECT_EQ(why_not(good), "");
    Echo wrong = good;
    wrong.vote->signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(wrong), "bad signature on a vote");
    wrong = good;
    wrong.vote->voter = ReplicaId(9);
    EXPECT_EQ(why_not(wrong), "echo of nobody's vote");
    wrong = good;
    wrong.vote->voter = ReplicaId(1);  // in another's name
    EXPECT_EQ(why_not(wrong), "bad signature on a vote");
    wrong = good;
    wrong.view_change->new_view = View(4);
    EXPECT_EQ(why_not(wrong), "bad signature on a view change");
    wrong = good;
    wrong.view_change->certificate = commit_of(top);
    EXPECT_EQ(why_not(wrong), "echo with an attachment");
    wrong = good;
    wrong.view_change->voter = ReplicaId(9);
    EXPECT_EQ(why_not(wrong), "bad signature on a view change");
}

TEST_F(VerifyingRecovery, answers_to_recover) {
    EXPECT_EQ(why_not(RecoverAck{7, View(0), {}, {}}), "") << "view 0 needs no proof";
    EXPECT_EQ(why_not(RecoverAck{7, View(1), new_view(), {}}), "");
    EXPECT_EQ(why_not(RecoverAck{7, View(3), {}, {change(0, 3), change(2, 4)}}), "") << "fb+1 that are there or beyond";

    constexpr const char* another = "recover ack that proves another view";
    EXPECT_EQ(why_not(RecoverAck{7, View(1), {}, {}}), "recover ack without a proof");
    EXPECT_EQ(why_not(RecoverAck{7, View(2), new_view(), {}}), another);
    EXPECT_EQ(why_not(RecoverAck{7, View(1), new_view(), {change(0, 1), change(1, 1)}}), another);
    EXPECT_EQ(why_not(RecoverAck{7, View(3), {}, {change(0, 3), change(2, 2)}}), another);
    EXPECT_EQ(why_not(RecoverAck{7, View(3), {}, {change(0, 3), change(0, 3)}}), another);
    EXPECT_EQ(why_not(RecoverAck{7, View(3), {}, {change(0, 3)}}), "recover ack without enough view changes");
    EXPECT_EQ(why_not(RecoverAck{7, View(3), {}, {change(0, 3), change(1, 3), change(2, 3)}}),
              "recover ack without enough view changes");
    RecoverAck wrong{7, View(3), {}, {change(0, 3), change(2, 3)}};
    wrong.view_changes[1].signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(wrong), "bad signature on a view change");
    wrong.view_changes[1] = change(2, 3);
    wrong.view_changes[1].certificate = commit_of(top);
    EXPECT_EQ(why_not(wrong), another);
    wrong.view_changes[1] = change(2, 3);
    wrong.view_changes[1].voter = ReplicaId(40);
    EXPECT_EQ(why_not(wrong), another);
    RecoverAck forged{7, View(1), new_view(), {}};
    forged.new_view->signature.bytes[0] ^= 1U;
    EXPECT_EQ(why_not(forged), "bad signature on a new view");
}

}  // namespace
}  // namespace loyal::consensus::test
