// Proofs of checkpoints out of the log (S4).
#include <gtest/gtest.h>

#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using consensus::BlockPtr;
using consensus::BlockRecord;
using consensus::Height;
using test::commit_of;
using test::Log;
using test::must;

constexpr std::uint64_t interval = 10;

BlockPtr checkpoint_block(const BlockPtr& parent) {
    consensus::Header header;
    header.height = parent ? parent->header.height.next() : Height(1);
    header.parent = parent ? parent->id : test::genesis().id;
    header.hlc = consensus::Hlc(test::start_ms + header.height.value, std::uint16_t{0});
    const auto body = std::make_shared<const Bytes>(consensus::make_body({}));
    header.body_bytes = static_cast<std::uint32_t>(body->size());
    header.flags = consensus::flag_empty;
    header.body_root = consensus::body_root_of(*body);
    if (header.height.value % interval == 0 && header.height.value >= 2 * interval) {
        header.checkpoint = header.height.minus(interval);
        header.checkpoint_root = crypto::digest_of("root", header.parent.view());
    }
    return must(consensus::make_block(test::test_context(), header, {}, body));
}

class LogCheckpoint : public testing::Test {
 protected:
    // Up to `height`; commits as often as `commit_every` says.
    void grow(std::uint64_t height, std::uint64_t commit_every, bool certified = true) {
        while (chain_.size() < height) {
            chain_.push_back(checkpoint_block(chain_.empty() ? nullptr : chain_.back()));
            std::vector<consensus::LogRecord> records{BlockRecord{chain_.back()}};
            if (chain_.size() % commit_every == 0) {
                records.emplace_back(commit_of(chain_.back(), certified));
            }
            log_.append(std::move(records));
        }
    }
    void expect_proof(std::uint64_t checkpoint, std::uint64_t certified_at, bool certified = true) {
        const auto proof = must(log_->checkpoint_proof(Height(checkpoint)));
        ASSERT_TRUE(proof) << checkpoint;
        EXPECT_EQ(proof->block, chain_[checkpoint - 1]->header);
        ASSERT_EQ(proof->headers.size(), certified_at - checkpoint - interval + 1);
        EXPECT_EQ(proof->root().height, Height(checkpoint));
        EXPECT_EQ(proof->root().root, chain_[checkpoint + interval - 1]->header.checkpoint_root);
        for (std::size_t i = 0; i < proof->headers.size(); ++i) {
            EXPECT_EQ(proof->headers[i], chain_[checkpoint + interval - 1 + i]->header);
        }
        ASSERT_EQ(proof->commit.has_value(), certified);
        if (certified) {
            EXPECT_EQ(proof->commit->target, proof->headers.back());
        }
    }
    Log log_{LogOptions{false, interval, {}}};
    std::vector<BlockPtr> chain_;
};

TEST_F(LogCheckpoint, one_is_proved_by_the_first_certificate_at_or_above_its_carrier) {
    grow(19, 4);
    EXPECT_EQ(log_->newest_checkpoint(), Height(0));
    EXPECT_FALSE(must(log_->checkpoint_proof(Height(10))).has_value());
    grow(43, 4);
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(log_->newest_checkpoint(), Height(30));
        expect_proof(10, 20);
        expect_proof(20, 32);
        expect_proof(30, 40);
        for (const std::uint64_t none : {0UL, 5UL, 15UL, 40UL, 50UL}) {
            EXPECT_FALSE(must(log_->checkpoint_proof(Height(none))).has_value()) << none;
        }
        log_.reopen();
    }
}

TEST_F(LogCheckpoint, crash_mode_proves_by_the_committed_header_alone) {
    grow(25, 5, false);
    EXPECT_EQ(log_->newest_checkpoint(), Height(10));
    expect_proof(10, 20, false);
}

TEST_F(LogCheckpoint, a_certificate_that_is_too_far_above_proves_nothing) {
    grow(21 + limits::fetch_blocks_max, 1'000);
    log_.append({commit_of(chain_.back())});
    EXPECT_FALSE(must(log_->checkpoint_proof(Height(10))).has_value()) << "85 is 65 above 20";
    EXPECT_EQ(log_->newest_checkpoint(), Height(70)) << "the certificate is at height 85";
    EXPECT_TRUE(must(log_->checkpoint_proof(Height(20))).has_value()) << "85 is 55 above 30";
}

TEST_F(LogCheckpoint, a_rotten_certificate_is_done_without) {
    grow(30, 1);
    // Record 2h-1 is block h, record 2h its commit.
    Bytes rotten = log_.stored(records_table, sequence_key(40));
    rotten[60] ^= 1U;
    log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, sequence_key(40), rotten)); });
    expect_proof(10, 21);
    EXPECT_TRUE(log_.damage_names("log record 40"));
}

TEST_F(LogCheckpoint, truncation_keeps_the_proof_of_the_stable_one) {
    grow(200, 3);
    log_->release_below(Height(180));
    while (log_->wants_append()) {
        must(log_->append({}));
    }
    log_.reopen();
    EXPECT_EQ(log_->first_height(), Height(180 - 2 * limits::window_max - 1));
    EXPECT_EQ(log_->newest_checkpoint(), Height(180));
    expect_proof(180, 192);
    EXPECT_FALSE(must(log_->checkpoint_proof(Height(100))).has_value());
}

TEST_F(LogCheckpoint, an_installed_state_is_proved_by_the_header_that_came_with_it) {
    grow(50, 1);
    Log other(LogOptions{false, interval, {}});
    other.append({consensus::InstalledRecord{chain_[29]->header}});
    for (std::size_t i = 30; i < 45; ++i) {
        other.append({BlockRecord{chain_[i]}, commit_of(chain_[i])});
    }
    other.reopen();
    EXPECT_EQ(other->newest_checkpoint(), Height(30));
    const auto proof = must(other->checkpoint_proof(Height(30)));
    ASSERT_TRUE(proof);
    EXPECT_EQ(proof->block, chain_[29]->header);
    EXPECT_EQ(*proof, *must(log_->checkpoint_proof(Height(30))));
}

}  // namespace
}  // namespace loyal::kvstore
