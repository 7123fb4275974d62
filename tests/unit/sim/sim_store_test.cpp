#include "sim/sim_store.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace loyal::sim {
namespace {

using kvstore::Durability;

class SimStoreTest : public ::testing::Test {
 protected:
    void write(std::string_view key, std::string_view value, Durability durability) {
        auto txn = *store_.begin_write();
        ASSERT_TRUE(txn->put(0, view_of(key), view_of(value)));
        ASSERT_TRUE(txn->commit(durability));
    }
    [[nodiscard]] std::string read(std::string_view key) {
        auto txn = *store_.begin_read();
        const auto value = *txn->get(0, view_of(key));
        return value ? string_of(*value) : "(absent)";
    }
    void fill(std::size_t records) {
        for (std::size_t i = 0; i < records; ++i) {
            write("key" + std::to_string(i), "value", Durability::synced);
        }
    }
    [[nodiscard]] std::size_t intact() const {
        return static_cast<std::size_t>(
            std::count_if(store_.table(0).begin(), store_.table(0).end(),
                          [](const auto& row) { return string_of(row.second) == "value"; }));
    }
    SimStore store_{2};
};

TEST_F(SimStoreTest, a_crash_forgets_what_was_not_synced) {
    write("a", "1", Durability::synced);
    write("b", "1", Durability::lazy);
    store_.crash_keeping(0);
    EXPECT_EQ(read("a"), "1");
    EXPECT_EQ(read("b"), "(absent)");
}

TEST_F(SimStoreTest, a_crash_loses_a_suffix_of_the_lazy_commits) {
    write("a", "1", Durability::lazy);
    write("a", "2", Durability::lazy);
    write("b", "3", Durability::lazy);
    EXPECT_EQ(store_.unsynced_commits(), 3U);
    store_.crash_keeping(1);
    EXPECT_EQ(read("a"), "1");
    EXPECT_EQ(read("b"), "(absent)");
    store_.crash_keeping(0);
    EXPECT_EQ(read("a"), "1") << "what survived one crash is on disk";
}

TEST_F(SimStoreTest, a_synced_commit_makes_all_before_it_durable) {
    write("a", "1", Durability::lazy);
    write("b", "2", Durability::synced);
    store_.crash_keeping(0);
    EXPECT_EQ(read("a"), "1");
    EXPECT_EQ(read("b"), "2");
}

TEST_F(SimStoreTest, sync_makes_lazy_commits_durable) {
    write("a", "1", Durability::lazy);
    ASSERT_TRUE(store_.sync());
    store_.crash_keeping(0);
    EXPECT_EQ(read("a"), "1");
}

TEST_F(SimStoreTest, a_lost_commit_is_lost_as_a_whole) {
    write("a", "1", Durability::synced);
    auto txn = *store_.begin_write();
    ASSERT_TRUE(txn->put(0, view_of("a"), view_of("2")));
    ASSERT_TRUE(txn->erase(0, view_of("a")));
    ASSERT_TRUE(txn->put(1, view_of("x"), view_of("9")));
    ASSERT_TRUE(txn->commit(Durability::lazy));
    store_.crash_keeping(0);
    EXPECT_EQ(read("a"), "1");
    EXPECT_TRUE(store_.table(1).empty());
}

TEST_F(SimStoreTest, a_transaction_without_commit_leaves_nothing) {
    write("a", "1", Durability::synced);
    const auto used = store_.used_bytes();
    {
        auto txn = *store_.begin_write();
        ASSERT_TRUE(txn->put(0, view_of("a"), view_of("other")));
        ASSERT_TRUE(txn->put(0, view_of("b"), view_of("new")));
        EXPECT_EQ(string_of(**txn->get(0, view_of("a"))), "other") << "it sees its own writes";
    }
    EXPECT_EQ(read("a"), "1");
    EXPECT_EQ(read("b"), "(absent)");
    EXPECT_EQ(store_.used_bytes(), used);
}

TEST_F(SimStoreTest, a_failed_commit_applies_nothing) {
    store_.fail_commits(Error{Errc::disk_full, "full"});
    auto txn = *store_.begin_write();
    ASSERT_TRUE(txn->put(0, view_of("a"), view_of("1")));
    const auto done = txn->commit(Durability::synced);
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::disk_full);
    EXPECT_EQ(read("a"), "(absent)");
}

// ---- A bad disk

TEST_F(SimStoreTest, a_failed_sync_leaves_its_data_on_the_disk_or_not) {
    std::size_t kept = 0;
    Random random(1);
    for (int i = 0; i < 200; ++i) {
        SimStore store(1);
        store.set_faults({0, 0, 1'000'000, 0, 0});
        auto txn = *store.begin_write();
        ASSERT_TRUE(txn->put(0, view_of("a"), view_of("1")));
        const auto done = txn->commit(Durability::synced);
        ASSERT_FALSE(done);
        EXPECT_EQ(done.error().code, Errc::io);
        const bool all = store.crash(random);
        EXPECT_EQ(store.table(0).size(), all ? 1U : 0U);
        kept += all ? 1 : 0;
    }
    EXPECT_GT(kept, 50U);
    EXPECT_LT(kept, 150U);
}

TEST_F(SimStoreTest, errors_come_about_as_often_as_was_asked_for_and_apply_nothing) {
    store_.set_faults({100'000, 100'000, 0, 0, 0});
    std::size_t errors = 0, full = 0, written = 0;
    for (int i = 0; i < 2'000; ++i) {
        auto txn = store_.begin_write();
        if (!txn) {
            EXPECT_EQ(txn.error().code, Errc::io);
            ++errors;
            continue;
        }
        ASSERT_TRUE((*txn)->put(0, view_of("key" + std::to_string(i)), view_of("value")));
        const auto done = (*txn)->commit(Durability::synced);
        full += !done && done.error().code == Errc::disk_full ? 1 : 0;
        errors += !done && done.error().code == Errc::io ? 1 : 0;
        written += done ? 1 : 0;
    }
    EXPECT_EQ(store_.table(0).size(), written);
    EXPECT_NEAR(static_cast<double>(errors), 380, 80);  // a tenth when they begin, a tenth of the rest when they end
    EXPECT_NEAR(static_cast<double>(full), 162, 60);
    store_.set_faults({});
    EXPECT_TRUE(store_.begin_read()) << "a mended disk works";
}

TEST_F(SimStoreTest, a_flip_changes_one_bit_of_one_record_and_no_commit_notices) {
    fill(50);
    Random random(3);
    ASSERT_TRUE(store_.flip_bit(random));
    EXPECT_EQ(intact(), 49U);
    EXPECT_EQ(store_.table(0).size(), 50U);
}

TEST_F(SimStoreTest, a_hidden_record_is_found_by_no_lookup_and_no_walk) {
    fill(50);
    Random random(3);
    ASSERT_TRUE(store_.hide_record(random));
    EXPECT_EQ(store_.table(0).size(), 49U);
    EXPECT_EQ(intact(), 49U);
}

TEST_F(SimStoreTest, a_disk_that_rots_does_so_behind_commits) {
    store_.set_faults({0, 0, 0, 500'000, 500'000});
    fill(100);
    EXPECT_LT(store_.table(0).size(), 95U);
    EXPECT_LT(intact(), store_.table(0).size());
}

TEST_F(SimStoreTest, what_was_lost_is_gone_and_an_image_brings_an_old_state_back) {
    write("a", "1", Durability::synced);
    const auto used = store_.used_bytes();
    const SimStore::Image image = store_.image();
    write("a", "2", Durability::synced);
    write("b", "2", Durability::lazy);
    store_.lose();
    EXPECT_TRUE(store_.table(0).empty());
    EXPECT_EQ(store_.used_bytes(), 0U);
    store_.put_back(image);
    EXPECT_EQ(read("a"), "1");
    EXPECT_EQ(read("b"), "(absent)");
    EXPECT_EQ(store_.used_bytes(), used);
    EXPECT_EQ(store_.unsynced_commits(), 0U) << "nothing of it goes with a crash";
}

TEST_F(SimStoreTest, equal_disks_fail_alike) {
    const auto outcomes = [] {
        SimStore store(1, Random(7));
        store.set_faults({200'000, 200'000, 200'000, 0, 0});
        std::string text;
        for (int i = 0; i < 100; ++i) {
            auto txn = store.begin_write();
            text += !txn ? 'b' : (*txn)->commit(Durability::synced) ? '.' : 'c';
        }
        return text;
    };
    EXPECT_EQ(outcomes(), outcomes());
    EXPECT_NE(outcomes().find('c'), std::string::npos);
}

TEST_F(SimStoreTest, seeks_follow_the_order_of_bytes) {
    for (const char* key : {"a", "ab", "b", "c"}) {
        write(key, key, Durability::lazy);
    }
    auto txn = *store_.begin_read();
    const auto key_at = [](const Result<std::optional<kvstore::RawEntry>>& entry) {
        return *entry ? string_of((*entry)->key) : std::string("(end)");
    };
    EXPECT_EQ(key_at(txn->seek(0, view_of("aa"))), "ab");
    EXPECT_EQ(key_at(txn->seek(0, view_of("ab"), true)), "b");
    EXPECT_EQ(key_at(txn->seek(0, view_of("d"))), "(end)");
    EXPECT_EQ(key_at(txn->seek_before(0, view_of("b"))), "ab");
    EXPECT_EQ(key_at(txn->seek_before(0, {})), "c");
    EXPECT_EQ(key_at(txn->seek_before(0, view_of("a"))), "(end)");
}

}  // namespace
}  // namespace loyal::sim
