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
    Log log_;
    std::vector<consensus::BlockPtr> chain_;
    Bytes older_;  // copy a, before the last transaction
};

TEST_F(LogDamage, one_damaged_copy_is_survived_by_the_other_and_repaired_by_the_next_append) {
    for (const TableIndex table : {vote_a_table, vote_b_table}) {
        Bytes copy = log_.stored(table, view_of(vote_key));
        flip(copy, 20);
        put_copy(log_, table, copy);
        log_.reopen();
        EXPECT_EQ(log_.recover().voting, voting_for(chain_[2]));
        log_.append({voting_for(chain_[2])});
    }
    log_.reopen();
    EXPECT_EQ(log_.recover().voting, voting_for(chain_[2]));
}

// Pitfall 24: the newest copy rots, the other one is a promise that was rolled back. It must not be taken for the
// truth.
TEST_F(LogDamage, an_older_survivor_is_refused_pitfall_24) {
    put_copy(log_, vote_b_table, Bytes(200, 7));
    put_copy(log_, vote_a_table, older_);
    const Error error = log_.reopen_error();
    EXPECT_EQ(error.code, Errc::corrupted);
    EXPECT_NE(error.message.find("must not vote again"), std::string::npos) << error.message;
}

TEST_F(LogDamage, two_copies_that_differ_or_are_both_old_are_refused) {
    put_copy(log_, vote_a_table, older_);
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);

    const auto old = must(open_vote_copy(vote_a_table_name, older_));
    put_copy(log_, vote_b_table, seal_vote_copy(vote_b_table_name, old));
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
}

TEST_F(LogDamage, a_copy_in_the_place_of_the_other_is_refused) {
    const Bytes a = log_.stored(vote_a_table, view_of(vote_key));
    put_copy(log_, vote_b_table, a);  // sealed for table a
    log_.reopen();                    // a alone is intact
    put_copy(log_, vote_a_table, Bytes(50, 1));
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
}

TEST_F(LogDamage, lost_copies_beside_records_are_refused) {
    log_.tamper([&](WriteTxn& txn) {
        must(txn.erase(vote_a_table, view_of(vote_key)));
        must(txn.erase(vote_b_table, view_of(vote_key)));
    });
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
}

TEST_F(LogDamage, a_voting_state_written_alone_moves_the_last_record_too) {
    const Bytes before = log_.stored(vote_a_table, view_of(vote_key));
    auto promised = voting_for(chain_[2]);
    promised.promised = consensus::View(5);
    log_.append({promised});
    put_copy(log_, vote_b_table, Bytes(50, 1));
    put_copy(log_, vote_a_table, before);
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
}

TEST_F(LogDamage, a_missing_record_is_named) {
    log_.tamper([](WriteTxn& txn) { must(txn.erase(records_table, sequence_key(2))); });
    const Error error = log_.reopen_error();
    EXPECT_EQ(error.code, Errc::corrupted);
    EXPECT_NE(error.message.find("log record 2"), std::string::npos);
}

TEST_F(LogDamage, a_missing_last_record_is_noticed) {
    log_.tamper([](WriteTxn& txn) { must(txn.erase(records_table, sequence_key(4))); });
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
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
    EXPECT_EQ(log_.reopen_error().code, Errc::corrupted);
}

// Bits all over every record, one at a time: the log either refuses or gives back what was appended.
TEST_F(LogDamage, a_flipped_bit_anywhere_in_a_record_is_never_served) {
    const auto expected = log_.recover();
    for (LogSequence sequence = 1; sequence <= 4; ++sequence) {
        const Bytes key = sequence_key(sequence);
        const Bytes intact = log_.stored(records_table, key);
        for (std::size_t at = 0; at < intact.size(); at += 31) {
            Bytes damaged = intact;
            flip(damaged, at);
            log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, key, damaged)); });
            const Error error = log_.reopen_error();
            if (error.message == "it opened") {
                log_.reopen();
                const auto recovered = log_->recover(consensus::BlockRef());
                ASSERT_FALSE(recovered) << "record " << sequence << " byte " << at;
                EXPECT_EQ(recovered.error().code, Errc::corrupted);
                EXPECT_NE(recovered.error().message.find(name_of_record(sequence)), std::string::npos);
            } else {
                EXPECT_EQ(error.code, Errc::corrupted);
                EXPECT_NE(error.message.find(name_of_record(sequence)), std::string::npos) << error.message;
            }
            log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, key, intact)); });
        }
    }
    log_.reopen();
    EXPECT_EQ(log_.recover().voting, expected.voting);
}

TEST_F(LogDamage, a_damaged_body_is_refused_by_name_and_may_be_stored_again) {
    const Bytes key = sequence_key(2);
    Bytes damaged = log_.stored(records_table, key);
    flip(damaged, damaged.size() - 40);
    log_.tamper([&](WriteTxn& txn) { must(txn.put(records_table, key, damaged)); });
    log_.reopen();
    const auto block = log_->block(chain_[1]->id);
    ASSERT_FALSE(block);
    EXPECT_EQ(block.error().code, Errc::corrupted);
    EXPECT_FALSE(log_->committed_range(Height(1), Height(2), 1U << 20U));
    log_.append({BlockRecord{chain_[1]}});
    EXPECT_EQ((*must(log_->block(chain_[1]->id)))->id, chain_[1]->id);
    EXPECT_EQ(must(log_->committed_range(Height(1), Height(2), 1U << 20U)).blocks.size(), 2U);
}

}  // namespace
}  // namespace loyal::kvstore
