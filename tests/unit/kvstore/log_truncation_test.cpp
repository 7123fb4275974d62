// Forgetting below a stable checkpoint (S5): bounded steps, nothing lost that is still needed, whatever happens
// between.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using consensus::BlockPtr;
using consensus::BlockRecord;
using consensus::Height;
using consensus::View;
using test::chain_on;
using test::commit_of;
using test::Log;
using test::must;
using test::voting_for;

constexpr std::uint64_t kept = 2 * limits::window_max + 2;

consensus::Evidence evidence_against(std::uint16_t culprit) {
    const auto one = chain_on(nullptr, 1, 10)[0];
    const auto other = chain_on(nullptr, 1, 20)[0];
    return consensus::evidence_of_votes(test::vote_of(culprit, one), test::vote_of(culprit, other), {});
}

VoteCopy newest(Log& log) {
    return must(open_vote_copy(vote_a_table_name, log.stored(vote_a_table, view_of(vote_key))));
}

// Appends nothing until there is nothing to forget; says how often.
int settle(Log& log) {
    int appends = 0;
    while (log->wants_append()) {
        const auto before = newest(log).first;
        must(log->append({}));
        EXPECT_LE(newest(log).first, before + 64);
        ++appends;
    }
    return appends;
}

class LogTruncation : public testing::Test {
 protected:
    // All of a chain of `count`, with a commit at each, behind what the votes lean on.
    void fill(std::size_t count) {
        chain_ = chain_on(nullptr, count);
        consensus::NewView new_view;
        new_view.view = View(1);
        new_view.base.block = test::genesis();
        consensus::ViewChange change;
        change.new_view = View(2);
        change.lock.block = test::genesis();
        voting_ = voting_for(chain_.back(), chain_[0]);
        voting_.entered = View(1);
        voting_.promised = View(2);
        log_.append({consensus::LockRecord{test::certificate_of(consensus::CertKind::prepare, chain_[0])},
                     consensus::NewViewRecord{new_view}, consensus::ViewChangeRecord{change},
                     consensus::EvidenceRecord{evidence_against(3)}, consensus::EvidenceRecord{evidence_against(2)}});
        for (std::size_t i = 0; i < count; i += 10) {
            std::vector<consensus::LogRecord> records;
            for (std::size_t k = i; k < std::min(i + 10, count); ++k) {
                records.emplace_back(BlockRecord{chain_[k]});
                records.emplace_back(commit_of(chain_[k]));
            }
            records.emplace_back(voting_);
            log_.append(std::move(records));
        }
    }
    void expect_all_there(Height first) {
        EXPECT_TRUE(log_->damage().empty());
        EXPECT_EQ(log_->first_height(), first);
        EXPECT_EQ(log_->committed(), chain_.back()->header.height);
        const auto recovered = log_.recover(chain_.size());
        EXPECT_EQ(recovered.voting, voting_);
        EXPECT_EQ(recovered.votes_lost, "");
        EXPECT_EQ(recovered.blocks.size(), 2 * limits::window_max);
        ASSERT_TRUE(recovered.lock_certificate && recovered.new_view && recovered.view_change);
        EXPECT_EQ(recovered.lock_certificate->target, chain_[0]->header);
        EXPECT_EQ(must(log_->evidence()).size(), 2U);
        for (Height at = first; at <= chain_.back()->header.height; at = at.next()) {
            EXPECT_EQ((*must(log_->committed_block(at)))->id, chain_[at.value - 1]->id);
        }
    }
    Log log_;
    std::vector<BlockPtr> chain_;
    consensus::VotingState voting_;
};

TEST_F(LogTruncation, what_lies_below_goes_in_bounded_steps_and_what_is_needed_stays) {
    fill(300);
    EXPECT_FALSE(log_->wants_append());
    log_->release_below(Height(250));
    EXPECT_TRUE(log_->wants_append());
    EXPECT_GE(settle(log_), (2 * (250 - 66) + 5) / 64);
    const Height first(250 - kept + 1);
    expect_all_there(first);
    EXPECT_FALSE(must(log_->block(chain_[0]->id)).has_value());
    EXPECT_FALSE(must(log_->block(chain_[first.value - 2]->id)).has_value());
    EXPECT_FALSE(must(log_->committed_block(Height(7))).has_value());
    EXPECT_TRUE(must(log_->committed_range(Height(1), Height(300), 1U << 20U)).headers.empty());
    EXPECT_EQ(must(log_->committed_range(first, Height(300), 1U << 20U)).headers.size(), limits::fetch_blocks_max);
    log_.reopen();
    expect_all_there(first);
    // The same again changes nothing, a higher one goes on from here.
    log_->release_below(Height(250));
    settle(log_);
    log_->release_below(Height(280));
    settle(log_);
    expect_all_there(Height(280 - kept + 1));
    log_.reopen();
    expect_all_there(Height(280 - kept + 1));
}

TEST_F(LogTruncation, what_the_votes_have_left_behind_goes) {
    fill(200);
    log_->release_below(Height(150));
    auto later = voting_for(chain_.back());
    later.entered = later.promised = View(3);
    consensus::NewView new_view;
    new_view.view = View(3);
    new_view.base.block = test::genesis();
    log_.append({consensus::NewViewRecord{new_view}, later});
    settle(log_);
    log_.reopen();
    EXPECT_TRUE(log_->damage().empty());
    EXPECT_EQ(log_.recover(200).voting, later);
    std::size_t others = 0;
    const auto txn = must(log_.store().begin_read());
    for (auto entry = must(txn->seek(records_table, {})); entry;
         entry = must(txn->seek(records_table, entry->key, true))) {
        const auto kind = must(kind_of(entry->value));
        others += kind == RecordKind::lock || kind == RecordKind::view_change ? 1 : 0;
    }
    EXPECT_EQ(others, 0U);
}

// Fails the n-th writing operation of a transaction.
class FailingStore final : public Store {
 public:
    explicit FailingStore(Store& store) : store_(store) {}
    Result<std::unique_ptr<ReadTxn>> begin_read() override { return store_.begin_read(); }
    Result<std::unique_ptr<WriteTxn>> begin_write() override {
        return store_.begin_write().map([this](std::unique_ptr<WriteTxn>&& txn) -> std::unique_ptr<WriteTxn> {
            return std::make_unique<Txn>(std::move(txn), left);
        });
    }
    Result<void> sync() override { return store_.sync(); }
    std::uint64_t used_bytes() const override { return store_.used_bytes(); }
    int left = -1;  // never

 private:
    class Txn final : public WriteTxn {
     public:
        Txn(std::unique_ptr<WriteTxn> txn, int& left) : txn_(std::move(txn)), left_(left) {}
        Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
            return txn_->get(table, key);
        }
        Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
            return txn_->seek(table, key, after);
        }
        Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
            return txn_->seek_before(table, key);
        }
        Result<void> put(TableIndex table, ByteView key, ByteView value) override {
            return count().and_then([&] { return txn_->put(table, key, value); });
        }
        Result<void> append(TableIndex table, ByteView key, ByteView value) override {
            return count().and_then([&] { return txn_->append(table, key, value); });
        }
        Result<void> erase(TableIndex table, ByteView key) override {
            return count().and_then([&] { return txn_->erase(table, key); });
        }
        Result<void> commit(Durability durability) override {
            return count().and_then([&] { return txn_->commit(durability); });
        }

     private:
        Result<void> count() {
            if (left_ == 0) {
                return fail(Errc::io, "the disk is gone");
            }
            --left_;
            return {};
        }
        std::unique_ptr<WriteTxn> txn_;
        int& left_;
    };
    Store& store_;
};

TEST_F(LogTruncation, a_crash_at_any_write_of_a_step_leaves_the_log_as_before_it_or_after_it) {
    fill(200);
    FailingStore failing(log_.store());
    bool done = false;
    int crashes = 0;
    Height first(1);
    while (!done) {
        failing.left = crashes++;
        auto log = must(ConsensusLog::open(failing, test::test_context()));
        EXPECT_TRUE(log->damage().empty());
        EXPECT_EQ(log->first_height(), first);
        const auto recovered = must(log->recover(chain_.back()->ref()));
        EXPECT_EQ(recovered.voting, voting_);
        EXPECT_EQ(recovered.blocks.size(), 2 * limits::window_max);
        EXPECT_TRUE(recovered.lock_certificate && recovered.new_view && recovered.view_change);
        EXPECT_EQ(must(log->evidence()).size(), 2U);
        log->release_below(Height(150));
        if (log->append({})) {
            done = !log->wants_append();
            first = Height(150 - kept + 1);
            crashes = 0;
        }
        failing.left = -1;
    }
    log_.reopen();
    expect_all_there(first);
}

// Seed 207530 of the simulator: the step that found no room was taken for done, so that records went and the chain
// still began below them.
TEST_F(LogTruncation, a_step_that_found_no_room_is_done_later) {
    fill(200);
    FailingStore failing(log_.store());
    for (int writes = 0; writes < 8; ++writes) {
        auto log = must(ConsensusLog::open(failing, test::test_context()));
        log->release_below(Height(100 + static_cast<std::uint64_t>(writes) * 10));
        failing.left = writes;
        EXPECT_FALSE(log->append({}));
        failing.left = -1;
        while (log->wants_append()) {
            must(log->append({}));
        }
        EXPECT_EQ(log->first_height(), Height(100 + static_cast<std::uint64_t>(writes) * 10 - kept + 1));
        EXPECT_TRUE(log->damaged_blocks().empty());
    }
    log_.reopen();
    expect_all_there(Height(170 - kept + 1));
}

// The state may be ahead of the commit records, which are written lazily.
TEST_F(LogTruncation, what_was_given_up_before_it_was_known_to_be_committed_goes_later) {
    const auto chain = chain_on(nullptr, 300);
    Log log;
    std::vector<consensus::LogRecord> records;
    for (const BlockPtr& block : chain) {
        records.emplace_back(BlockRecord{block});
    }
    records.emplace_back(commit_of(chain[99]));
    log.append(std::move(records));
    log->release_below(Height(300));
    settle(log);
    EXPECT_EQ(log->first_height(), Height(100 - kept + 1));
    EXPECT_FALSE(log->wants_append());
    log.append({commit_of(chain[299])});
    settle(log);
    EXPECT_EQ(log->first_height(), Height(300 - kept + 1));
}

TEST_F(LogTruncation, constant_appends_do_not_let_the_file_grow) {
    BlockPtr last;
    const auto grow = [&](std::uint64_t to) {
        while (!last || last->header.height.value < to) {
            const auto more = chain_on(last, 8, 2'000);
            std::vector<consensus::LogRecord> records;
            for (const BlockPtr& block : more) {
                records.emplace_back(BlockRecord{block});
                records.emplace_back(commit_of(block));
            }
            last = more.back();
            records.emplace_back(voting_for(last));
            log_.append(std::move(records));
            if (last->header.height.value % 64 == 0) {
                log_->release_below(last->header.height);
            }
        }
        return log_->used_bytes();
    };
    const auto after_some = grow(800);
    const auto after_many = grow(4'000);
    EXPECT_LT(after_many, after_some + after_some / 5) << "bytes, for five times as many blocks";
    log_.reopen();
    EXPECT_TRUE(log_->damage().empty());
    EXPECT_EQ(log_->committed(), Height(4'000));
}

TEST_F(LogTruncation, readers_never_meet_a_record_that_moved_as_damage) {
    fill(200);
    std::atomic<bool> done{false};
    std::thread reader([&] {
        while (!done) {
            EXPECT_EQ(must(log_->evidence()).size(), 2U);
            const auto range = must(log_->committed_range(log_->first_height(), log_->committed(), 1U << 16U));
            (void)range;
            (void)must(log_->block(chain_[100]->id));
        }
    });
    BlockPtr last = chain_.back();
    for (int i = 0; i < 60; ++i) {
        last = chain_on(last, 1)[0];
        auto voting = voting_;
        voting.prep = {View(0), last->ref()};
        log_.append({BlockRecord{last}, commit_of(last), voting});
        log_->release_below(last->header.height);
    }
    done = true;
    reader.join();
    EXPECT_TRUE(log_->damage().empty());
}

// It is not forgotten: the process still knows it.
TEST_F(LogTruncation, a_rotten_record_that_the_votes_lean_on_is_written_again_from_memory) {
    fill(200);
    Bytes rotten = log_.stored(records_table, sequence_key(2));  // NEWVIEW
    rotten[20] ^= 1U;
    log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, sequence_key(2), rotten)); });
    log_->release_below(Height(150));
    settle(log_);
    log_.reopen();
    EXPECT_TRUE(log_->damage().empty());
    EXPECT_FALSE(log_.recover().voting.amnesiac);
    EXPECT_TRUE(log_.recover().new_view);
}

// A state that came by transfer: the log begins above its block.
TEST_F(LogTruncation, an_installed_state_begins_the_chain_anew) {
    fill(20);
    consensus::Header far;
    far.height = Height(500);
    far.hlc = consensus::Hlc(test::start_ms + 500, std::uint16_t{0});
    const consensus::BlockRef at{Height(500), consensus::header_id(test::test_context(), far)};
    log_.append({consensus::InstalledRecord{far}});
    for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(log_->committed(), Height(500));
        EXPECT_EQ(log_->first_height(), Height(501));
        EXPECT_EQ(must(log_->recover(at)).committed, at);
        EXPECT_EQ(must(log_->recover(chain_[19]->ref())).committed, chain_[19]->ref()) << "the state is not there yet";
        EXPECT_TRUE(log_->damage().empty());
        EXPECT_TRUE(log_->damaged_blocks().empty());
        log_.reopen();
    }
    consensus::Header next = far;
    next.height = Height(501);
    next.parent = at.id;
    auto body = std::make_shared<const Bytes>(consensus::make_body({}));
    next.body_bytes = static_cast<std::uint32_t>(body->size());
    next.flags = consensus::flag_empty;
    next.body_root = consensus::body_root_of(*body);
    const BlockPtr block = must(consensus::make_block(test::test_context(), next, {}, body));
    log_.append({BlockRecord{block}, commit_of(block)});
    log_.reopen();
    EXPECT_EQ(must(log_->recover(at)).committed, block->ref());
    EXPECT_EQ(test::heights_of(must(log_->recover(at)).blocks), (std::vector<std::uint64_t>{501}));
    EXPECT_EQ(must(log_->committed_range(Height(501), Height(501), 1U << 20U)).headers.size(), 1U);
    log_->release_below(Height(500));
    settle(log_);
    EXPECT_FALSE(must(log_->block(chain_[5]->id)).has_value());
    EXPECT_EQ(log_->first_height(), Height(501));
    log_.reopen();
    EXPECT_EQ(log_->first_height(), Height(501));
    EXPECT_EQ(log_->committed(), Height(501));
}

}  // namespace
}  // namespace loyal::kvstore
