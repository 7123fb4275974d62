#include "kvstore/lmdb_store.h"

#include <gtest/gtest.h>
#include <sys/mount.h>

#include <map>
#include <random>
#include <thread>

#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::must;
using test::TemporaryFolder;

std::unique_ptr<LmdbStore> open(const TemporaryFolder& folder, bool lazy = false) {
    return must(LmdbStore::open({folder.path() / "env", {"one", "two"}, lazy}));
}
void put(Store& store, TableIndex table, std::string_view key, std::string_view value,
         Durability durability = Durability::synced) {
    auto txn = must(store.begin_write());
    must(txn->put(table, view_of(key), view_of(value)));
    must(txn->commit(durability));
}
std::optional<std::string> get(Store& store, TableIndex table, std::string_view key) {
    const auto txn = must(store.begin_read());
    const auto found = must(txn->get(table, view_of(key)));
    return found ? std::optional(string_of(*found)) : std::nullopt;
}

TEST(LmdbStore, keeps_what_was_committed_over_a_reopen) {
    const TemporaryFolder folder;
    for (const bool lazy : {false, true}) {
        {
            const auto store = open(folder, lazy);
            put(*store, 0, "k", "v");
            put(*store, 1, "k", "other", Durability::lazy);
        }
        const auto store = open(folder, lazy);
        EXPECT_EQ(get(*store, 0, "k"), "v");
        EXPECT_EQ(get(*store, 1, "k"), "other");
        EXPECT_EQ(get(*store, 0, "absent"), std::nullopt);
    }
}

TEST(LmdbStore, forgets_what_was_not_committed) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    {
        auto txn = must(store->begin_write());
        must(txn->put(0, view_of("k"), view_of("v")));
        EXPECT_TRUE(must(txn->get(0, view_of("k"))).has_value());
    }
    EXPECT_EQ(get(*store, 0, "k"), std::nullopt);
}

TEST(LmdbStore, seeks_in_both_directions) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    put(*store, 0, "b", "1");
    put(*store, 0, "d", "2");
    const auto txn = must(store->begin_read());
    const auto key = [](const Result<std::optional<RawEntry>>& entry) {
        return must(Result<std::optional<RawEntry>>(entry)) ? string_of((*entry)->key) : std::string("none");
    };
    EXPECT_EQ(key(txn->seek(0, {})), "b");
    EXPECT_EQ(key(txn->seek(0, view_of("b"))), "b");
    EXPECT_EQ(key(txn->seek(0, view_of("b"), true)), "d");
    EXPECT_EQ(key(txn->seek(0, view_of("c"), true)), "d");
    EXPECT_EQ(key(txn->seek(0, view_of("d"), true)), "none");
    EXPECT_EQ(key(txn->seek_before(0, {})), "d");
    EXPECT_EQ(key(txn->seek_before(0, view_of("d"))), "b");
    EXPECT_EQ(key(txn->seek_before(0, view_of("z"))), "d");
    EXPECT_EQ(key(txn->seek_before(0, view_of("b"))), "none");
    EXPECT_EQ(key(txn->seek_before(1, {})), "none");
    EXPECT_EQ(key(txn->seek(1, {})), "none");
}

TEST(LmdbStore, a_read_sees_the_state_at_its_beginning) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    put(*store, 0, "k", "old");
    const auto before = must(store->begin_read());
    std::thread writer([&] { put(*store, 0, "k", "new"); });
    writer.join();
    EXPECT_EQ(string_of(*must(before->get(0, view_of("k")))), "old");
    EXPECT_EQ(get(*store, 0, "k"), "new");
}

TEST(LmdbStore, appends_only_above_the_last_key) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    auto txn = must(store->begin_write());
    must(txn->append(0, view_of("b"), view_of("1")));
    EXPECT_FALSE(txn->append(0, view_of("a"), view_of("2")));
}

TEST(LmdbStore, erasing_an_absent_key_is_no_error) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    auto txn = must(store->begin_write());
    EXPECT_TRUE(txn->erase(0, view_of("k")));
}

TEST(LmdbStore, a_transaction_is_of_no_use_after_its_commit) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    auto txn = must(store->begin_write());
    must(txn->commit(Durability::synced));
    EXPECT_DEATH((void)txn->put(0, view_of("k"), view_of("v")), "committed transaction");
}

TEST(LmdbStoreDeathTest, opening_an_environment_twice_in_a_process_is_a_bug) {
    const TemporaryFolder folder;
    const auto store = open(folder);
    EXPECT_DEATH((void)open(folder), "at most once a process");
}

TEST(LmdbStore, a_full_map_is_a_full_disk_and_loses_nothing) {
    const TemporaryFolder folder;
    LmdbOptions options{folder.path() / "env", {"one"}, false};
    options.map_bytes = 1U << 20U;
    const auto store = must(LmdbStore::open(options));
    put(*store, 0, "before", "here");
    auto txn = must(store->begin_write());
    const auto written = txn->put(0, view_of("k"), Bytes(2U << 20U));
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::disk_full);
    EXPECT_NE(written.error().message.find("env"), std::string::npos);
    txn.reset();
    put(*store, 0, "after", "too");
    EXPECT_EQ(get(*store, 0, "before"), "here");
}

TEST(LmdbStore, a_file_that_is_no_environment_is_corrupted) {
    const TemporaryFolder folder;
    std::filesystem::create_directory(folder.path() / "env");
    std::ofstream(folder.path() / "env" / "data.mdb") << std::string(16384, 'x');
    const auto store = LmdbStore::open({folder.path() / "env", {"one"}, false});
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, Errc::corrupted);
}

TEST(LmdbStore, a_data_file_cut_short_is_an_error_and_no_crash) {
    const TemporaryFolder folder;
    std::uint64_t used_bytes = 0;
    {
        const auto store = open(folder);
        for (int i = 0; i < 64; ++i) {
            put(*store, 0, "key" + std::to_string(i), std::string(8000, 'v'));
        }
        used_bytes = store->used_bytes();
    }
    std::filesystem::resize_file(folder.path() / "env" / "data.mdb", used_bytes / 2);
    const auto store = LmdbStore::open({folder.path() / "env", {"one", "two"}, false});
    if (!store) {
        EXPECT_EQ(store.error().code, Errc::corrupted);
        return;
    }
    const auto txn = must((*store)->begin_read());
    int intact = 0;
    for (int i = 0; i < 64; ++i) {
        const auto found = txn->get(0, view_of("key" + std::to_string(i)));
        intact += found && *found && string_of(**found) == std::string(8000, 'v') ? 1 : 0;
    }
    EXPECT_LT(intact, 64);
}

TEST(LmdbStore, a_synced_store_writes_zeros_ahead_and_overwrites_nothing) {
    const TemporaryFolder folder;
    std::mt19937 random(1);
    std::map<std::string, std::string> expected;
    for (int round = 0; round < 3; ++round) {
        const auto store = open(folder);
        for (int i = 0; i < 60; ++i) {
            const std::string key = "key" + std::to_string(random() % 50);
            expected[key] = std::string(1 + random() % 200'000, static_cast<char>('a' + random() % 26));
            put(*store, 0, key, expected[key]);
        }
        EXPECT_GT(std::filesystem::file_size(folder.path() / "env" / "data.mdb"), store->used_bytes());
        for (const auto& [key, value] : expected) {
            ASSERT_EQ(get(*store, 0, key), value);
        }
    }
}

// A file system of 2 MiB that ends when the test does.
class SmallDisk {
 public:
    explicit SmallDisk(const std::filesystem::path& path) : path_(path) {
        std::filesystem::create_directory(path_);
        mounted_ = ::geteuid() == 0 && ::mount("tmpfs", path_.c_str(), "tmpfs", 0, "size=2m") == 0;
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;
    ~SmallDisk() {
        if (mounted_) {
            ::umount2(path_.c_str(), MNT_DETACH);
        }
    }
    [[nodiscard]] bool mounted() const { return mounted_; }

 private:
    std::filesystem::path path_;
    bool mounted_ = false;
};

TEST(LmdbStore, a_full_disk_refuses_the_write_and_keeps_what_is_there) {
    const TemporaryFolder folder;
    const SmallDisk disk(folder.path() / "small");
    if (!disk.mounted()) {
        GTEST_SKIP() << "needs root and the right to mount a tmpfs";
    }
    const LmdbOptions options{folder.path() / "small" / "env", {"one"}, false};
    std::vector<std::string> written;
    {
        const auto store = must(LmdbStore::open(options));
        Result<void> result;
        for (int i = 0; i < 100 && result; ++i) {
            const std::string key = "key" + std::to_string(i);
            auto txn = must(store->begin_write());
            result = txn->put(0, view_of(key), Bytes(64U << 10U, 'v'));
            if (result) {
                result = txn->commit(Durability::synced);
            }
            if (result) {
                written.push_back(key);
            }
        }
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, Errc::disk_full);
        for (const std::string& key : written) {
            EXPECT_EQ(get(*store, 0, key), std::string(64U << 10U, 'v'));
        }
    }
    ASSERT_FALSE(written.empty());
    const auto store = must(LmdbStore::open(options));
    EXPECT_EQ(get(*store, 0, written.back()), std::string(64U << 10U, 'v'));
}

}  // namespace
}  // namespace loyal::kvstore
