#include "kvstore/consensus_log.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using consensus::BlockPtr;
using consensus::BlockRecord;
using consensus::CertKind;
using consensus::Height;
using consensus::View;
using test::certificate_of;
using test::chain_on;
using test::commit_of;
using test::heights_of;
using test::Log;
using test::must;
using test::voting_for;

std::vector<std::uint64_t> numbers(std::uint64_t from, std::uint64_t to) {
    std::vector<std::uint64_t> all(to - from + 1);
    std::iota(all.begin(), all.end(), from);
    return all;
}

void append_blocks(Log& log, const std::vector<BlockPtr>& chain) {
    for (const BlockPtr& block : chain) {
        log.append({BlockRecord{block}, voting_for(block)});
    }
}

TEST(ConsensusLog, an_empty_one_is_fresh) {
    Log log;
    const auto recovered = log.recover();
    EXPECT_TRUE(recovered.fresh);
    EXPECT_EQ(recovered.committed, test::genesis());
    EXPECT_EQ(log->committed(), Height(0));
    log.reopen();
    EXPECT_TRUE(log.recover().fresh);
}

TEST(ConsensusLog, gives_back_what_was_appended) {
    Log log;
    const auto chain = chain_on(nullptr, 3);
    consensus::NewView new_view;
    new_view.view = View(0);
    new_view.base.block = test::genesis();
    consensus::ViewChange view_change;
    view_change.new_view = View(1);
    view_change.voter = consensus::ReplicaId(2);
    view_change.lock.block = test::genesis();
    auto voting = voting_for(chain[2], chain[1]);
    voting.promised = View(1);
    voting.leading = 0;
    log.append({BlockRecord{chain[0]}, BlockRecord{chain[1]}, commit_of(chain[0])});
    log.append({BlockRecord{chain[2]}, consensus::LockRecord{certificate_of(CertKind::prepare, chain[1])},
                consensus::NewViewRecord{new_view}, consensus::ViewChangeRecord{view_change}, voting});
    for (int round = 0; round < 2; ++round) {
        const auto recovered = log.recover();
        EXPECT_FALSE(recovered.fresh);
        EXPECT_EQ(recovered.voting, voting);
        EXPECT_EQ(recovered.committed, chain[0]->ref());
        EXPECT_EQ(heights_of(recovered.blocks), numbers(1, 3));
        EXPECT_EQ(*recovered.blocks[2]->body, *chain[2]->body);
        EXPECT_EQ(recovered.lock_certificate, certificate_of(CertKind::prepare, chain[1]));
        ASSERT_TRUE(recovered.new_view);
        EXPECT_EQ(encode_new_view(*recovered.new_view), encode_new_view(new_view));
        ASSERT_TRUE(recovered.view_change);
        EXPECT_EQ(encode_view_change(*recovered.view_change), encode_view_change(view_change));
        EXPECT_EQ((*must(log->block(chain[1]->id)))->id, chain[1]->id);
        EXPECT_FALSE(must(log->block(crypto::Digest{})).has_value());
        log.reopen();
    }
}

TEST(ConsensusLog, a_group_is_one_transaction_and_its_last_voting_state_counts) {
    Log log;
    const auto chain = chain_on(nullptr, 2);
    std::vector<consensus::Persist> group(2);
    group[0].records = {BlockRecord{chain[0]}, voting_for(chain[0])};
    group[1].records = {BlockRecord{chain[1]}, voting_for(chain[1])};
    must(log->append(group));
    log.reopen();
    EXPECT_EQ(log.recover().voting, voting_for(chain[1]));
}

TEST(ConsensusLog, blocks_without_a_voting_state_are_no_first_start) {
    Log log;
    log.append({BlockRecord{chain_on(nullptr, 1)[0]}});
    log.reopen();
    const auto recovered = log.recover();
    EXPECT_FALSE(recovered.fresh);
    EXPECT_EQ(recovered.voting.prep.block, test::genesis());
    EXPECT_TRUE(recovered.voting.lock.view.is_genesis());
}

TEST(ConsensusLog, the_committed_chain_is_followed_through_competing_blocks) {
    Log log;
    const auto common = chain_on(nullptr, 2);
    const auto lost = chain_on(common[1], 2, 10, View(0));
    const auto won = chain_on(common[1], 2, 20, View(1));
    append_blocks(log, common);
    append_blocks(log, lost);
    append_blocks(log, won);
    log.append({commit_of(won[1])});
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(log->committed(), Height(4));
        const auto range = must(log->committed_range(Height(1), Height(4), 1U << 20U));
        ASSERT_EQ(range.blocks.size(), 4U);
        EXPECT_EQ(range.blocks[2]->id, won[0]->id);
        EXPECT_EQ(range.blocks[3]->id, won[1]->id);
        EXPECT_EQ(range.headers[3], won[1]->header);
        EXPECT_EQ(range.certificate, commit_of(won[1]).certificate);
        log.reopen();
    }
}

TEST(ConsensusLog, a_commit_waits_for_blocks_that_come_later) {
    Log log;
    const auto chain = chain_on(nullptr, 3);
    log.append({BlockRecord{chain[2]}, commit_of(chain[2])});
    EXPECT_EQ(log->committed(), Height(0));
    log.append({BlockRecord{chain[0]}});
    EXPECT_EQ(log->committed(), Height(0));
    log.append({BlockRecord{chain[1]}});
    EXPECT_EQ(log->committed(), Height(3));
    log.reopen();
    EXPECT_EQ(log->committed(), Height(3));
}

TEST(ConsensusLogDeathTest, a_commit_beside_the_committed_chain_is_a_bug) {
    Log log;
    const auto chain = chain_on(nullptr, 2);
    const auto other = chain_on(nullptr, 3, 20, View(1));
    append_blocks(log, chain);
    append_blocks(log, other);
    log.append({commit_of(chain[1])});
    EXPECT_DEATH(log.append({commit_of(other[2])}), "one chain");
    // The child wrote that record before it noticed. It is not believed.
    log.reopen();
    EXPECT_EQ(log->committed(), Height(2));
    EXPECT_EQ(log.recover().committed, chain[1]->ref());
    EXPECT_TRUE(log.damage_names("two blocks are committed"));
}

TEST(ConsensusLog, recovery_reaches_two_windows_below_what_is_executed_and_committed) {
    Log log;
    const auto chain = chain_on(nullptr, 200);
    append_blocks(log, chain);
    log.append({commit_of(chain[189])});
    EXPECT_EQ(heights_of(log.recover(150).blocks), numbers(150 - 2 * limits::window_max + 1, 200));
    // The state store may be ahead of the lazily written commit record.
    EXPECT_EQ(heights_of(log.recover(195).blocks), numbers(190 - 2 * limits::window_max + 1, 200));
    EXPECT_EQ(heights_of(log.recover(10).blocks), numbers(1, 200));
}

TEST(ConsensusLog, recovery_has_the_chains_of_prep_lock_base_and_commit_each_block_once) {
    Log log;
    const auto common = chain_on(nullptr, 2);
    const auto own = chain_on(common[1], 2, 10, View(0));
    const auto base = chain_on(common[1], 1, 20, View(1));
    append_blocks(log, common);
    append_blocks(log, base);
    append_blocks(log, own);
    consensus::NewView new_view;
    new_view.view = View(2);
    new_view.base = {consensus::LockView(View(1)), base[0]->ref()};
    auto voting = voting_for(own[1], own[0]);
    voting.promised = voting.entered = View(2);
    log.append(
        {consensus::NewViewRecord{new_view}, consensus::LockRecord{certificate_of(CertKind::prepare, own[0])}, voting});
    log.reopen();
    const auto blocks = log.recover().blocks;
    EXPECT_EQ(heights_of(blocks), (std::vector<std::uint64_t>{1, 2, 3, 3, 4}));
}

TEST(ConsensusLog, bodies_that_are_missing_are_left_out_for_the_core_to_fetch) {
    Log log;
    const auto chain = chain_on(nullptr, 3);
    log.append({BlockRecord{chain[0]}, voting_for(chain[0])});
    consensus::NewView new_view;
    new_view.view = View(1);
    new_view.base = {consensus::LockView(View(0)), chain[2]->ref()};
    auto voting = voting_for(chain[0]);
    voting.promised = voting.entered = View(1);
    log.append({consensus::NewViewRecord{new_view}, voting});
    EXPECT_EQ(heights_of(log.recover().blocks), numbers(1, 1));
    log.append({BlockRecord{chain[2]}, voting_for(chain[2])});
    EXPECT_EQ(heights_of(log.recover().blocks), (std::vector<std::uint64_t>{3}));
    EXPECT_EQ(log.recover().voting, voting_for(chain[2]));
}

TEST(ConsensusLog, a_lock_without_its_certificate_makes_amnesiac_unless_no_lock_ever_had_one) {
    const auto chain = chain_on(nullptr, 2);
    Log crash_mode;
    append_blocks(crash_mode, chain);
    crash_mode.append({voting_for(chain[1], chain[1])});
    crash_mode.reopen();
    EXPECT_FALSE(crash_mode.recover().lock_certificate);
    EXPECT_FALSE(crash_mode.recover().voting.amnesiac);

    Log byzantine;
    append_blocks(byzantine, chain);
    byzantine.append(
        {consensus::LockRecord{certificate_of(CertKind::prepare, chain[0])}, voting_for(chain[1], chain[1])});
    EXPECT_FALSE(byzantine->recover(consensus::BlockRef()));
    byzantine.reopen();
    EXPECT_TRUE(byzantine.recover().voting.amnesiac);
    EXPECT_TRUE(byzantine.recover().voting.lock.view.is_genesis());
    EXPECT_NE(byzantine.recover().votes_lost.find("certificate"), std::string::npos);
}

// Commits in steps of `step` blocks; answers must end at a certificate.
TEST(ConsensusLog, a_committed_range_ends_at_a_certificate_and_within_the_bound) {
    Log log;
    const auto chain = chain_on(nullptr, 100);
    append_blocks(log, chain);
    for (std::size_t height : {5U, 10U, 30U, 70U, 100U}) {
        log.append({commit_of(chain[height - 1])});
    }
    const auto ask = [&](std::uint64_t from, std::uint64_t top) {
        const auto range = must(log->committed_range(Height(from), Height(top), 1U << 20U));
        const auto end = range.headers.empty() ? 0 : range.headers.back().height.value;
        if (!range.headers.empty()) {
            EXPECT_EQ(range.headers.front().height.value, from);
            EXPECT_LE(range.headers.size(), limits::fetch_blocks_max);
            EXPECT_TRUE(range.certificate.has_value());
            EXPECT_EQ(range.certificate->target, range.headers.back());
            EXPECT_EQ(range.blocks.size(), range.headers.size());
        }
        return end;
    };
    EXPECT_EQ(ask(1, 100), 30U);  // 70 would be 70 headers
    EXPECT_EQ(ask(8, 100), 70U);
    EXPECT_EQ(ask(1, 7), 5U);
    EXPECT_EQ(ask(6, 7), 10U);  // the first one beyond `top`
    EXPECT_EQ(ask(71, 100), 100U);
    EXPECT_EQ(ask(100, 100), 100U);
    EXPECT_EQ(ask(101, 200), 0U);
}

TEST(ConsensusLog, without_certificates_a_committed_range_goes_to_its_bound) {
    Log log;
    const auto chain = chain_on(nullptr, 100);
    append_blocks(log, chain);
    log.append({commit_of(chain[99], false)});
    auto range = must(log->committed_range(Height(1), Height(100), 1U << 20U));
    EXPECT_EQ(range.headers.size(), limits::fetch_blocks_max);
    EXPECT_FALSE(range.certificate);
    range = must(log->committed_range(Height(90), Height(95), 1U << 20U));
    EXPECT_EQ(range.headers.size(), 6U);
}

TEST(ConsensusLog, a_committed_range_sends_the_bodies_that_fit_and_one_at_least) {
    Log log;
    const auto chain = chain_on(nullptr, 10, 10'000);
    append_blocks(log, chain);
    log.append({commit_of(chain[9])});
    auto range = must(log->committed_range(Height(1), Height(10), 35'000));
    EXPECT_EQ(range.headers.size(), 10U);
    EXPECT_EQ(heights_of(range.blocks), numbers(1, 3));
    range = must(log->committed_range(Height(4), Height(10), 1));
    EXPECT_EQ(heights_of(range.blocks), numbers(4, 4));
}

TEST(ConsensusLog, reads_while_it_appends) {
    Log log;
    const auto chain = chain_on(nullptr, 150);
    std::atomic<bool> done{false};
    std::thread reader([&] {
        while (!done) {
            const auto top = log->committed();
            const auto range = must(log->committed_range(Height(1), top, 1U << 16U));
            for (std::size_t i = 0; i < range.blocks.size(); ++i) {
                EXPECT_EQ(range.blocks[i]->id, chain[i]->id);
            }
        }
    });
    for (const BlockPtr& block : chain) {
        log.append({BlockRecord{block}, voting_for(block), commit_of(block)});
    }
    done = true;
    reader.join();
}

}  // namespace
}  // namespace loyal::kvstore
