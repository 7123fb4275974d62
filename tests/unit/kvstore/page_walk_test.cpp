// The walk over LMDB's pages: what it calls sound, LMDB can read and write without harm.
#include "kvstore/page_walk.h"

#include <gtest/gtest.h>

#include <fstream>
#include <random>

#include "kvstore/store_check.h"
#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using test::must;
using test::TemporaryFolder;

const std::vector<std::string> walked_tables = {"small", "large"};

std::string walked_key(std::uint32_t number) {
    return "key-" + std::to_string(1'000'000 + number);
}

// Puts, erases and overwrites, also of records that lie in pages of their own.
void write_some(LmdbStore& store, std::mt19937& random, std::uint32_t keys, int records) {
    auto txn = must(store.begin_write());
    for (int i = 0; i < records; ++i) {
        const std::string key = walked_key(static_cast<std::uint32_t>(random()) % keys);
        const TableIndex table = random() % 16 == 0 ? 1 : 0;
        if (random() % 4 == 0) {
            must(txn->erase(table, view_of(key)));
        } else {
            must(txn->put(table, view_of(key), Bytes(table == 1 ? random() % 20'000 : random() % 200, 'v')));
        }
    }
    must(txn->commit(Durability::synced));
}

std::optional<std::string> walked(const std::filesystem::path& folder) {
    return must(walk_pages({folder / "env" / "data.mdb", walked_tables, {}}));
}

// The numbers of pages, records and lists that LMDB keeps are exact, whatever was done before.
TEST(PageWalk, whatever_was_written_is_sound) {
    for (const bool lazy : {false, true}) {
        const TemporaryFolder folder;
        std::mt19937 random(lazy ? 1 : 2);
        for (int opening = 0; opening < 4; ++opening) {
            const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, lazy}));
            for (int round = 0; round < 40; ++round) {
                const auto held = round % 8 < 4 ? must(store->begin_read()) : nullptr;  // keeps pages from reuse
                write_some(*store, random, round % 3 == 0 ? 200 : 20'000, static_cast<int>(random() % 600));
                ASSERT_EQ(walked(folder.path()), std::nullopt) << "opening " << opening << ", round " << round;
            }
        }
        {
            const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, lazy}));
            auto txn = must(store->begin_write());
            for (std::uint32_t i = 0; i < 20'000; ++i) {
                must(txn->erase(0, view_of(walked_key(i))));
                must(txn->erase(1, view_of(walked_key(i))));
            }
            must(txn->commit(Durability::synced));
        }
        EXPECT_EQ(walked(folder.path()), std::nullopt) << "empty again";
    }
}

// What a process does with a store that was called sound: reads all, overwrites, erases, adds.
std::optional<std::string> use_it(const std::filesystem::path& folder, std::uint32_t seed) {
    const auto end = must(run_in_child(
        [&](const Say&) {
            std::mt19937 random(seed);
            const auto store = must(LmdbStore::open({folder / "env", walked_tables, true}));
            for (int round = 0; round < 4; ++round) {
                write_some(*store, random, 1'000, 300);
                const auto txn = must(store->begin_read());
                for (std::uint32_t i = 0; i < 1'000; ++i) {
                    for (const TableIndex table : {0U, 1U}) {
                        const auto value = must(txn->get(table, view_of(walked_key(i))));
                        const Bytes copy = value ? Bytes(value->begin(), value->end()) : Bytes();
                        ASSERT_LE(copy.size(), 20'000U);
                    }
                }
            }
        },
        [](std::string_view) {}));
    return end.finished ? std::nullopt : std::optional(end.how);
}

// Single bits, in pages' headers, nodes' headers, lists of free pages, meta pages: noticed, or of no consequence, now
// and after many commits.
TEST(PageWalk, what_is_called_sound_neither_kills_nor_decays) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "env" / "data.mdb";
    {
        std::mt19937 random(5);
        const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, true}));
        for (int round = 0; round < 12; ++round) {
            write_some(*store, random, 1'000, 400);
        }
    }
    const std::string intact = test::read_file(path);
    const std::size_t pages = intact.size() / 4096;
    std::mt19937 random(11);
    int noticed = 0;
    constexpr int flips = 200;
    for (int flip = 0; flip < flips; ++flip) {
        const std::size_t page = flip % 10 == 0 ? random() % 2 : random() % pages;
        const std::size_t at = page * 4096 + random() % (page < 2 ? 152U : random() % 4 > 0 ? 24U : 4096U);
        std::string damaged = intact;
        damaged[at] = static_cast<char>(damaged[at] ^ static_cast<char>(1U << random() % 8));
        std::ofstream(path, std::ios::binary) << damaged;
        if (walked(folder.path())) {
            ++noticed;
            continue;
        }
        ASSERT_EQ(use_it(folder.path(), static_cast<std::uint32_t>(flip)), std::nullopt)
            << "byte " << at % 4096 << " of page " << page;
        ASSERT_EQ(walked(folder.path()), std::nullopt) << "byte " << at % 4096 << " of page " << page;
    }
    EXPECT_GE(noticed, flips / 10);
    RecordProperty("noticed", noticed);
}

struct Damage {
    const char* name;
    std::size_t at;       // in the newest meta page, from the page's begin
    std::uint64_t value;  // 8 bytes
    const char* finding;  // part of it
};

TEST(PageWalk, meta_pages_say_what_is_wrong) {
    const TemporaryFolder folder;
    const auto path = folder.path() / "env" / "data.mdb";
    {
        std::mt19937 random(5);
        const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, false}));
        write_some(*store, random, 3'000, 1'000);
        write_some(*store, random, 3'000, 1'000);
    }
    const std::string intact = test::read_file(path);
    const auto transaction = [&](std::size_t page) {
        std::uint64_t number = 0;
        std::memcpy(&number, intact.data() + page * 4096 + 16 + 128, sizeof number);
        return number;
    };
    const std::size_t newest = transaction(0) > transaction(1) ? 0 : 1;
    for (const Damage& damage :
         {Damage{"an older transaction", 16 + 128, transaction(newest) - 2, "a commit would be lost"},
          Damage{"a far newer transaction", 16 + 128, transaction(newest) + 64, "contradict each other"},
          Damage{"the last page too far", 16 + 120, intact.size() / 4096 + 100'000, "in use or free"},
          Damage{"the last page too near", 16 + 120, 3, "there is no page"},
          Damage{"the main table's root", 16 + 24 + 48 + 40, 1, "there is no page 1"},
          Damage{"a list of free pages of a kind that cannot be", 16 + 24 + 4, 0, "a meta page cannot be right"},
          Damage{"no meta page", 8, 0, "is no meta page"}}) {
        std::string damaged = intact;
        std::memcpy(damaged.data() + newest * 4096 + damage.at, &damage.value, sizeof damage.value);
        std::ofstream(path, std::ios::binary) << damaged;
        const auto found = walked(folder.path());
        ASSERT_TRUE(found) << damage.name;
        EXPECT_NE(found->find(damage.finding), std::string::npos) << damage.name << ": " << *found;
    }

    // A wrong number is noticed although a page that only this commit has is damaged, too.
    std::string twice = intact;
    const std::uint64_t older = transaction(newest) - 2;
    std::memcpy(twice.data() + newest * 4096 + 16 + 128, &older, sizeof older);
    std::uint64_t root = 0;
    std::memcpy(&root, intact.data() + newest * 4096 + 16 + 24 + 48 + 40, sizeof root);
    twice[root * 4096 + 10] ^= 1;
    std::ofstream(path, std::ios::binary) << twice;
    const auto found = walked(folder.path());
    ASSERT_TRUE(found);
    EXPECT_NE(found->find("a commit would be lost"), std::string::npos) << *found;
}

// A commit ends with one write into the older meta page, its number last. A process that dies in it loses the commit,
// which nobody was told of, and nothing else: no damage is found, whatever part was written before the root of the main
// tree. From there on it looks like a commit with a wrong number, which is taken for lost.
TEST(PageWalk, a_commit_that_died_in_its_last_write_is_no_damage) {
    constexpr std::size_t written_at = 16 + 16, main_root_at = 16 + 24 + 48 + 40, meta_end = 16 + 136;
    const TemporaryFolder folder;
    const auto path = folder.path() / "env" / "data.mdb";
    std::mt19937 random(3);
    std::size_t torn = 0;
    for (int round = 0; round < 6; ++round) {
        {
            const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, false}));
            write_some(*store, random, 300, 60);
            write_some(*store, random, 300, 60);
        }
        const std::string before = test::read_file(path);
        {
            const auto store = must(LmdbStore::open({folder.path() / "env", walked_tables, false}));
            write_some(*store, random, 300, 60);
        }
        const std::string after = test::read_file(path);
        const std::size_t page = before.compare(0, 4096, after, 0, 4096) != 0 ? 0 : 4096;
        for (std::size_t cut = written_at; cut <= main_root_at; ++cut) {
            std::string file = after;
            file.replace(page + cut, meta_end - cut, before, page + cut, meta_end - cut);
            std::ofstream(path, std::ios::binary) << file;
            ASSERT_EQ(walked(folder.path()), std::nullopt) << "round " << round << ", cut at " << cut;
            ++torn;
        }
        // The next round goes on from the last of them: the commit is lost, and LMDB writes that page anew.
        ASSERT_EQ(walked(folder.path()), std::nullopt) << "round " << round;
    }
    EXPECT_GT(torn, 6U * 40);
}

}  // namespace
}  // namespace loyal::kvstore
