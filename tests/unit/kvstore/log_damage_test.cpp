// Damage to the consensus log: what was voted for is given back exactly, or not at all (PROTOCOL.md A6; pitfall 24).
#include <gtest/gtest.h>

#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using consensus::BlockRecord;
using consensus::Height;
using test::chain_on;
using test::commit_of;
using test::Log;
using test::must;
using test::voting_for;

void flip(Bytes& bytes, std::size_t at) {
    bytes.at(at) = static_cast<std::uint8_t>(bytes.at(at) ^ 0x10U);
}

void put_copy(Log& log, TableIndex table, const Bytes& sealed) {
    log.tamper([&](WriteTxn& txn) { must(txn.put(table, view_of(vote_key), sealed)); });
}

class LogDamage : public testing::Test {
 protected:
    LogDamage() {
        chain_ = chain_on(nullptr, 3);
        log_.append({BlockRecord{chain_[0]}, voting_for(chain_[0])});
        older_ = log_.stored(vote_a_table, view_of(vote_key));
        log_.append({BlockRecord{chain_[1]}, BlockRecord{chain_[2]}, voting_for(chain_[2]), commit_of(chain_[1])});
    }
    void erase(LogSequence sequence) {
        log_.tamper([&](WriteTxn& txn) { must(txn.erase(records_table, sequence_key(sequence))); });
    }
    void rot(LogSequence sequence, std::size_t at) {
        const Bytes key = sequence_key(sequence);
        Bytes damaged = log_.stored(records_table, key);
        flip(damaged, at);
        log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, key, damaged)); });
    }
    // Opened anew it is AMNESIAC, says why once, and stays so durably.
    void expect_amnesia(const std::string& why) {
        log_.reopen();
        const auto recovered = log_.recover();
        EXPECT_FALSE(recovered.fresh);
        EXPECT_TRUE(recovered.voting.amnesiac);
        EXPECT_NE(recovered.votes_lost.find(why), std::string::npos) << recovered.votes_lost;
        EXPECT_TRUE(log_.damage_names("cannot be trusted"));
        log_.reopen();
        EXPECT_TRUE(log_.recover().voting.amnesiac);
        EXPECT_EQ(log_.recover().votes_lost, "");
    }
    void expect_votes_kept() {
        log_.reopen();
        EXPECT_EQ(log_.recover().voting, voting_for(chain_[2]));
        EXPECT_EQ(log_.recover().votes_lost, "");
        EXPECT_FALSE(log_->damage().empty());
    }
    Log log_;
    std::vector<consensus::BlockPtr> chain_;
    Bytes older_;  // copy a, before the last transaction
};

TEST_F(LogDamage, one_damaged_copy_is_survived_by_the_other_and_repaired_by_the_next_append) {
    for (const TableIndex table : {vote_a_table, vote_b_table}) {
        Bytes copy = log_.stored(table, view_of(vote_key));
        flip(copy, 20);
        put_copy(log_, table, copy);
        expect_votes_kept();
        log_.append({voting_for(chain_[2])});
    }
    log_.reopen();
    EXPECT_EQ(log_.recover().voting, voting_for(chain_[2]));
    EXPECT_TRUE(log_->damage().empty());
}

// Pitfall 24: the newest copy rots, the other one is a promise that was rolled back. It must not be taken for the
// truth.
TEST_F(LogDamage, an_older_survivor_makes_amnesiac_pitfall_24) {
    put_copy(log_, vote_b_table, Bytes(200, 7));
    put_copy(log_, vote_a_table, older_);
    expect_amnesia("was written with record 1");
}

TEST_F(LogDamage, two_copies_that_differ_make_amnesiac) {
    put_copy(log_, vote_a_table, older_);
    expect_amnesia("differ");
}

TEST_F(LogDamage, two_copies_that_are_both_old_make_amnesiac) {
    const auto old = must(open_vote_copy(vote_a_table_name, older_));
    put_copy(log_, vote_a_table, older_);
    put_copy(log_, vote_b_table, seal_vote_copy(vote_b_table_name, old));
    expect_amnesia("was written with record 1");
}

TEST_F(LogDamage, a_copy_in_the_place_of_the_other_does_not_count) {
    const Bytes a = log_.stored(vote_a_table, view_of(vote_key));
    put_copy(log_, vote_b_table, a);  // sealed for table a
    expect_votes_kept();              // a alone is intact
    put_copy(log_, vote_b_table, log_.stored(vote_a_table, view_of(vote_key)));
    put_copy(log_, vote_a_table, Bytes(50, 1));
    expect_amnesia("no copy");
}

TEST_F(LogDamage, lost_copies_beside_records_make_amnesiac) {
    log_.tamper([&](WriteTxn& txn) {
        must(txn.erase(vote_a_table, view_of(vote_key)));
        must(txn.erase(vote_b_table, view_of(vote_key)));
    });
    expect_amnesia("are gone");
    EXPECT_EQ(log_->committed(), Height(2));
}

TEST_F(LogDamage, a_voting_state_written_alone_moves_the_last_record_too) {
    const Bytes before = log_.stored(vote_a_table, view_of(vote_key));
    auto promised = voting_for(chain_[2]);
    promised.promised = consensus::View(5);
    log_.append({promised});
    put_copy(log_, vote_b_table, Bytes(50, 1));
    put_copy(log_, vote_a_table, before);
    expect_amnesia("was written with record 4");
}

TEST_F(LogDamage, a_missing_last_record_is_noticed) {
    erase(4);
    expect_amnesia("the last record of the log is 3");
    EXPECT_EQ(log_->committed(), Height(0)) << "record 4 was the commit";
}

TEST_F(LogDamage, a_log_that_lost_sight_of_everything_is_not_taken_for_a_new_one) {
    log_.append({BlockRecord{chain_on(chain_[2], 1, 100'000)[0]}});
    log_.tamper([](WriteTxn& txn) {
        for (LogSequence sequence = 1; sequence <= 5; ++sequence) {
            must(txn.erase(records_table, sequence_key(sequence)));
        }
        must(txn.erase(vote_a_table, view_of(vote_key)));
        must(txn.erase(vote_b_table, view_of(vote_key)));
    });
    expect_amnesia("no record at all");
}

TEST_F(LogDamage, a_key_that_is_no_number_at_the_end_makes_amnesiac_and_does_not_stop_appends) {
    log_.tamper([](WriteTxn& txn) { must(txn.put(records_table, bytes_of("~~~~~~~~~"), Bytes(40, 1))); });
    expect_amnesia("the end of the log cannot be read");
    log_.append({BlockRecord{chain_on(chain_[2], 1)[0]}});
}

TEST_F(LogDamage, a_folder_made_anew_begins_amnesiac) {
    Log anew(LogOptions{true, 0, {}});
    EXPECT_FALSE(anew.recover().fresh);
    EXPECT_TRUE(anew.recover().voting.amnesiac);
    EXPECT_NE(anew.recover().votes_lost, "");
    const auto copy = must(open_vote_copy(vote_a_table_name, anew.stored(vote_a_table, view_of(vote_key))));
    EXPECT_EQ(copy.sequence, 1U) << "it is the first thing written";
    EXPECT_TRUE(copy.voting && copy.voting->amnesiac);
    anew.reopen();
    EXPECT_EQ(anew.recover().votes_lost, "") << "not just now";
    EXPECT_TRUE(anew.recover().voting.amnesiac);
}

// A6: "bad block above the committed ones: fetch it again by its id, keep the vote".
TEST_F(LogDamage, a_missing_block_is_named_and_the_vote_for_it_stands) {
    erase(3);
    expect_votes_kept();
    EXPECT_TRUE(log_.damage_names("log record 3 is missing"));
    EXPECT_EQ(test::heights_of(log_.recover().blocks), (std::vector<std::uint64_t>{1, 2}));
    log_.append({BlockRecord{chain_[2]}});
    log_.reopen();
    EXPECT_EQ(test::heights_of(log_.recover().blocks), (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST_F(LogDamage, a_committed_block_that_is_damaged_is_listed_and_may_be_stored_again) {
    for (const bool whole_record : {false, true}) {
        if (whole_record) {
            erase(2);
            erase(6);  // of the first round
        } else {
            rot(2, 60);  // its header
        }
        log_.reopen();
        EXPECT_EQ(log_.recover().voting, voting_for(chain_[2]));
        EXPECT_EQ(log_->committed(), Height(0)) << "the parent's id is in what rotted";
        EXPECT_EQ(log_->damaged_blocks(), (std::vector<consensus::BlockRef>{{Height(1), {}}, chain_[1]->ref()}));
        // A state that is complete for it needs it no more.
        EXPECT_EQ(must(log_->recover(chain_[1]->ref())).committed, chain_[1]->ref());
        EXPECT_EQ(must(log_->recover({Height(0), {}})).committed, test::genesis());
        log_.append({BlockRecord{chain_[1]}});
        EXPECT_EQ(log_->committed(), Height(2));
        EXPECT_TRUE(log_->damaged_blocks().empty());
        log_.append({voting_for(chain_[2])});
    }
}

// Bits all over every record, one at a time: what is given back is what was appended, or named as damaged.
TEST_F(LogDamage, a_flipped_bit_anywhere_in_a_record_is_never_served) {
    for (LogSequence sequence = 1; sequence <= 4; ++sequence) {
        const Bytes key = sequence_key(sequence);
        const Bytes intact = log_.stored(records_table, key);
        for (std::size_t at = 0; at < intact.size(); at += 31) {
            rot(sequence, at);
            log_.reopen();
            const auto recovered = log_.recover();
            EXPECT_EQ(recovered.voting, voting_for(chain_[2]));
            EXPECT_TRUE(log_.damage_names(name_of_record(sequence))) << "record " << sequence << " byte " << at;
            // Where the header of block 2 is lost, nobody knows its parent.
            EXPECT_GE(recovered.blocks.size(), sequence == 4 ? 3U : sequence == 2 ? 1U : 2U);
            for (const auto& block : recovered.blocks) {
                EXPECT_EQ(block->id, chain_.at(block->header.height.value - 1)->id);
                EXPECT_EQ(*block->body, *chain_.at(block->header.height.value - 1)->body);
            }
            EXPECT_LE(recovered.committed.height, sequence == 3 ? Height(2) : sequence == 2 ? Height(1) : Height(0));
            log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, key, intact)); });
        }
    }
    log_.reopen();
    EXPECT_TRUE(log_->damage().empty());
}

TEST_F(LogDamage, a_damaged_body_is_refused_by_name_and_may_be_stored_again) {
    const std::size_t bytes = log_.stored(records_table, sequence_key(2)).size();
    rot(2, bytes - 40);
    log_.reopen();
    EXPECT_TRUE(log_->damage().empty()) << "bodies are read when they are needed";
    for (int round = 0; round < 2; ++round) {
        const auto block = log_->block(chain_[1]->id);
        ASSERT_FALSE(block);
        EXPECT_EQ(block.error().code, Errc::corrupted);
        const auto committed = log_->committed_block(Height(2));
        ASSERT_FALSE(committed);
        EXPECT_EQ(committed.error().code, Errc::corrupted);
    }
    EXPECT_TRUE(log_.damage_names("log record 2"));
    EXPECT_EQ(log_->damage().size(), 1U);
    EXPECT_EQ(log_->damaged_blocks(), (std::vector<consensus::BlockRef>{chain_[1]->ref()}));
    // Ranges stop in front of it.
    EXPECT_EQ(must(log_->committed_range(Height(1), Height(2), 1U << 20U)).blocks.size(), 1U);
    EXPECT_EQ(log_->committed_range(Height(2), Height(2), 1U << 20U).error().code, Errc::corrupted);
    log_.append({BlockRecord{chain_[1]}});
    EXPECT_EQ((*must(log_->block(chain_[1]->id)))->id, chain_[1]->id);
    EXPECT_EQ((*must(log_->committed_block(Height(2))))->id, chain_[1]->id);
    EXPECT_EQ(must(log_->committed_range(Height(1), Height(2), 1U << 20U)).blocks.size(), 2U);
    EXPECT_TRUE(log_->damaged_blocks().empty());
}

// What the voting state leans on: records 5 (lock), 6 (NEWVIEW), 7 (own VIEW-CHANGE) and the state that needs them.
class LogSupport : public LogDamage {
 protected:
    void lean(bool at_home) {
        consensus::NewView new_view;
        new_view.view = consensus::View(1);
        new_view.base = {consensus::LockView(consensus::View(0)), chain_[1]->ref()};
        consensus::ViewChange change;
        change.new_view = consensus::View(2);
        change.lock.block = test::genesis();
        auto certificate = test::certificate_of(consensus::CertKind::prepare, chain_[1]);
        voting_ = voting_for(chain_[2], chain_[1]);
        voting_.entered = consensus::View(1);
        voting_.promised = consensus::View(2);
        if (at_home) {
            certificate.view = voting_.prep.view = voting_.entered;
            voting_.lock.view = consensus::LockView(voting_.entered);
        }
        log_.append({consensus::LockRecord{certificate}, consensus::NewViewRecord{new_view},
                     consensus::ViewChangeRecord{change}, voting_});
        log_.reopen();
        ASSERT_EQ(log_.recover().voting, voting_);
        ASSERT_TRUE(log_.recover().lock_certificate && log_.recover().new_view && log_.recover().view_change);
    }
    consensus::VotingState voting_;
};

TEST_F(LogSupport, a_lock_whose_certificate_rotted_cannot_be_proved) {
    lean(true);
    rot(5, 30);
    expect_amnesia("certificate of its lock");
    EXPECT_TRUE(log_.recover().voting.lock.view.is_genesis());
    EXPECT_EQ(log_.recover().voting.promised, voting_.promised) << "what is known is kept";
}

TEST_F(LogSupport, a_lock_whose_certificate_is_missing_cannot_be_proved) {
    lean(false);
    erase(5);
    expect_amnesia("certificate of its lock");
}

// Pitfall 9, second variant: without the base a read target would be genesis.
TEST_F(LogSupport, a_lost_new_view_makes_amnesiac_when_nothing_stands_in_for_the_base) {
    lean(false);
    rot(6, 20);
    expect_amnesia("NEWVIEW");
}

TEST_F(LogSupport, a_lost_new_view_is_made_up_for_by_a_lock_of_its_view) {
    lean(true);
    erase(6);
    log_.reopen();
    EXPECT_EQ(log_.recover().voting, voting_);
    EXPECT_FALSE(log_.recover().new_view);
}

// It is silent until a higher view; nothing that it may sign then contradicts what it forgot.
TEST_F(LogSupport, a_lost_view_change_is_no_lost_vote) {
    lean(false);
    rot(7, 20);
    log_.reopen();
    EXPECT_EQ(log_.recover().voting, voting_);
    EXPECT_FALSE(log_.recover().view_change);
    EXPECT_TRUE(log_.damage_names("log record 7"));
}

TEST_F(LogSupport, what_rots_after_the_start_is_known_until_the_next_start) {
    lean(false);
    rot(5, 30);
    EXPECT_TRUE(log_.recover().lock_certificate);
    expect_amnesia("certificate of its lock");
}

TEST(LogDamageInCrashMode, a_damaged_record_beside_a_lock_is_no_lost_certificate) {
    Log log;
    const auto chain = chain_on(nullptr, 2);
    log.append({BlockRecord{chain[0]}, voting_for(chain[0], chain[0])});
    log.append({BlockRecord{chain[1]}, commit_of(chain[0], false), voting_for(chain[1], chain[1])});
    log.tamper([](WriteTxn& txn) { must(txn.erase(records_table, sequence_key(1))); });
    log.reopen();
    EXPECT_FALSE(log.recover().voting.amnesiac);
}

}  // namespace
}  // namespace loyal::kvstore
