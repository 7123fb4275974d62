#include "sim/sim_store.h"

#include <gtest/gtest.h>

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
