// Looking at damaged environments without dying of them.
#include "kvstore/store_check.h"

#include <gtest/gtest.h>

#include <csignal>
#include <random>

#include "tests/unit/kvstore/log_support.h"

namespace loyal::kvstore {
namespace {

using test::must;
using test::TemporaryFolder;

const std::vector<std::string> two_tables = {"one", "two"};

std::string key_number(std::uint32_t number) {
    std::string key = "key-000000";
    for (std::size_t at = key.size(); number > 0; number /= 10) {
        key[--at] = static_cast<char>('0' + number % 10);
    }
    return key;
}

// Enough for branch pages, large values and a list of free pages.
void fill(const std::filesystem::path& folder) {
    const auto store = must(LmdbStore::open({folder / "env", two_tables, false}));
    for (int round = 0; round < 3; ++round) {
        auto txn = must(store->begin_write());
        for (std::uint32_t i = 0; i < 4'000; ++i) {
            must(txn->put(i % 7 == 0 ? 1 : 0, view_of(key_number(i)), Bytes(i % 500 == 0 ? 9'000 : 60, 'v')));
        }
        must(txn->commit(Durability::synced));
    }
}

std::optional<std::string> checked(const std::filesystem::path& folder) {
    return must(check_store({folder / "env", two_tables, {}}));
}

void change(const std::filesystem::path& file, std::size_t at, const std::string& bytes) {
    std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(at));
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

TEST(StoreCheck, a_sound_store_is_sound_and_is_not_changed) {
    const TemporaryFolder folder;
    fill(folder.path());
    const std::string before = test::read_file(folder.path() / "env" / "data.mdb");
    EXPECT_EQ(checked(folder.path()), std::nullopt);
    EXPECT_EQ(test::read_file(folder.path() / "env" / "data.mdb"), before);
    // It may be opened and written afterwards.
    fill(folder.path());
    EXPECT_EQ(checked(folder.path()), std::nullopt);
}

TEST(StoreCheck, what_was_never_written_is_sound_and_what_is_not_there_is_an_error) {
    const TemporaryFolder folder;
    EXPECT_EQ(check_store({folder.path() / "env", two_tables, {}}).error().code, Errc::not_found);
    { const auto store = must(LmdbStore::open({folder.path() / "env", two_tables, false})); }
    EXPECT_EQ(checked(folder.path()), std::nullopt);
    std::filesystem::resize_file(folder.path() / "env" / "data.mdb", 0);
    EXPECT_EQ(checked(folder.path()), std::nullopt);
}

TEST(StoreCheck, a_missing_table_is_named) {
    const TemporaryFolder folder;
    fill(folder.path());
    EXPECT_EQ(must(check_store({folder.path() / "env", {"one", "three"}, {}})), "the table three is missing");
}

TEST(StoreCheck, a_file_that_was_cut_kills_the_child_only) {
    const TemporaryFolder folder;
    fill(folder.path());
    std::filesystem::resize_file(folder.path() / "env" / "data.mdb", 5 * 4096);
    const auto found = checked(folder.path());
    ASSERT_TRUE(found);
}

TEST(StoreCheck, meta_pages_that_are_no_meta_pages_are_damage) {
    const TemporaryFolder folder;
    fill(folder.path());
    change(folder.path() / "env" / "data.mdb", 0, std::string(8192, '\x5a'));
    EXPECT_TRUE(checked(folder.path()));
}

// Kinds of pages of LMDB 0.9: flags at byte 10 of a page; 1 branch, 2 leaf.
std::vector<std::size_t> pages_of_kind(const std::string& file, unsigned kind) {
    std::vector<std::size_t> found;
    for (std::size_t page = 2; (page + 1) * 4096 <= file.size(); ++page) {
        std::uint64_t number = 0;
        std::memcpy(&number, file.data() + page * 4096, sizeof number);
        if (number == page && static_cast<unsigned char>(file[page * 4096 + 10]) == kind) {
            found.push_back(page * 4096);
        }
    }
    return found;
}

// What a record's own seal cannot notice: a search that is sent the wrong way.
TEST(StoreCheck, a_branch_key_that_hides_records_is_noticed) {
    const TemporaryFolder folder;
    fill(folder.path());
    const auto path = folder.path() / "env" / "data.mdb";
    const std::string intact = test::read_file(path);
    int noticed = 0;
    int hidden = 0;
    for (const std::size_t page : pages_of_kind(intact, 1)) {
        std::uint16_t node = 0;  // the second one's place; its key, behind 8 bytes, says where its page begins
        std::memcpy(&node, intact.data() + page + 16 + 2, sizeof node);
        const std::size_t at = page + node + 8;
        if (intact.compare(at, 6, "key-00") != 0) {
            continue;
        }
        std::string damaged = intact;
        damaged[at + 6] = 'z';
        change(path, 0, damaged);
        const auto store = must(open_read_only(folder.path() / "env", two_tables));
        const auto txn = must(store->begin_read());
        bool hides = false;
        for (std::uint32_t i = 0; i < 4'000; ++i) {
            hides = hides || !must(txn->get(i % 7 == 0 ? 1 : 0, view_of(key_number(i))));
        }
        hidden += hides ? 1 : 0;
        const bool found = checked(folder.path()).has_value();
        EXPECT_TRUE(found || !hides) << "page " << page / 4096;
        noticed += found ? 1 : 0;
    }
    EXPECT_GE(hidden, 1) << "else this test shows nothing";
    EXPECT_GE(noticed, hidden);
}

// Bad page pointers: whatever LMDB makes of them, the caller lives.
TEST(StoreCheck, bytes_that_are_wrong_anywhere_in_the_pages_never_kill_the_caller) {
    const TemporaryFolder folder;
    fill(folder.path());
    const auto path = folder.path() / "env" / "data.mdb";
    const std::string intact = test::read_file(path);
    const auto branches = pages_of_kind(intact, 1);
    ASSERT_FALSE(branches.empty());
    std::mt19937 random(7);
    int noticed = 0;
    int deaths = 0;
    for (int round = 0; round < 100; ++round) {
        const std::size_t page = branches[random() % branches.size()];
        change(path, page + 8 + random() % 200, std::string(1, static_cast<char>(random() % 256)));
        change(path, page + 8 + random() % 200, std::string(1, static_cast<char>(random() % 256)));
        const auto found = checked(folder.path());
        noticed += found ? 1 : 0;
        deaths += found && found->find("died of signal") != std::string::npos ? 1 : 0;
        change(path, 0, intact);
    }
    EXPECT_GE(noticed, 5);
    RecordProperty("deaths", deaths);
    EXPECT_EQ(checked(folder.path()), std::nullopt);
}

TEST(StoreCheck, a_free_list_that_cannot_be_is_noticed) {
    const TemporaryFolder folder;
    fill(folder.path());
    const auto path = folder.path() / "env" / "data.mdb";
    std::string file = test::read_file(path);
    // A leaf of the free list: 8-byte keys that are transaction numbers; its content are page numbers.
    int noticed = 0;
    for (const std::size_t page : pages_of_kind(file, 2)) {
        std::uint16_t offset = 0;
        std::memcpy(&offset, file.data() + page + 16, 2);
        if (offset < 16 || offset + 32U > 4096 || file[page + offset + 6] != 8 || file[page + offset + 7] != 0) {
            continue;  // no node with a key of 8 bytes
        }
        std::string damaged = file;
        damaged[page + offset + 8 + 8 + 8 + 6] = '\x7f';  // high byte of the first page number
        change(path, 0, damaged);
        noticed += checked(folder.path()) ? 1 : 0;
        change(path, 0, file);
    }
    EXPECT_GE(noticed, 1);
}

TEST(StoreCheck, a_store_that_is_only_looked_at_reads_like_another_and_refuses_writes) {
    const TemporaryFolder folder;
    fill(folder.path());
    const auto looked = must(open_read_only(folder.path() / "env", two_tables));
    EXPECT_EQ(looked->begin_write().error().code, Errc::permission);
    const auto a = must(looked->begin_read());
    const auto store = must(LmdbStore::open({folder.path() / "env", two_tables, false}));
    const auto b = must(store->begin_read());
    for (const std::uint32_t i : {0U, 7U, 3'000U, 3'999U}) {
        for (const TableIndex table : {0U, 1U}) {
            const std::string key = key_number(i);
            EXPECT_EQ(must(a->get(table, view_of(key))).has_value(), must(b->get(table, view_of(key))).has_value());
            for (const bool after : {false, true}) {
                const auto x = must(a->seek(table, view_of(key), after));
                const auto y = must(b->seek(table, view_of(key), after));
                ASSERT_EQ(x.has_value(), y.has_value());
                EXPECT_TRUE(!x || string_of(x->key) == string_of(y->key));
            }
            const auto x = must(a->seek_before(table, view_of(key)));
            const auto y = must(b->seek_before(table, view_of(key)));
            ASSERT_EQ(x.has_value(), y.has_value());
            EXPECT_TRUE(!x || string_of(x->key) == string_of(y->key));
        }
    }
}

TEST(RunInChild, hears_what_is_said_and_how_it_ended) {
    std::vector<std::string> lines;
    const auto heard = [&](std::string_view line) { lines.emplace_back(line); };
    auto end = must(run_in_child(
        [](const Say& say) {
            say("one");
            say("two\nlines");
        },
        heard));
    EXPECT_TRUE(end.finished);
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two lines"}));
    end = must(run_in_child([](const Say&) { ::raise(SIGKILL); }, heard));
    EXPECT_FALSE(end.finished);
    EXPECT_NE(end.how.find("signal 9"), std::string::npos);
    end = must(run_in_child([](const Say&) { throw std::runtime_error("no"); }, heard));
    EXPECT_FALSE(end.finished);
}

}  // namespace
}  // namespace loyal::kvstore
