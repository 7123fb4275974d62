// Linked tables against a plain map, and what they are for: a record that the store hides is noticed by whoever looks
// at the place where it was.
#include "kvstore/linked_table.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "config/limits.h"
#include "kvstore/kv_tables.h"
#include "tests/unit/kvstore/memory_store.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::MemoryStore;
using test::must;
using Model = std::map<Bytes, Bytes, BytesLess>;

const LinkedTable& keys() {
    return linked_table(StateTable::keys);
}

struct LinkedStore {
    LinkedStore() {
        write([](WriteTxn& txn) { must(create_tables(txn)); });
    }
    template <class Change>
    void write(const Change& change) {
        const auto txn = must(store.begin_write());
        change(*txn);
        must(txn->commit(Durability::synced));
    }
    void put(const Bytes& key, const Bytes& content) {
        write([&](WriteTxn& txn) { must(keys().put(txn, key, content)); });
    }
    MemoryStore store;
};

LinkedStore store_of(const std::vector<std::string>& names) {
    LinkedStore linked;
    for (const std::string& name : names) {
        linked.put(bytes_of(name), bytes_of("of " + name));
    }
    return linked;
}

Result<std::optional<std::string>> find(MemoryStore& store, std::string_view key) {
    const auto txn = must(store.begin_read());
    return keys().find(*txn, view_of(key)).map([](const std::optional<ByteView>& content) {
        return content ? std::optional(string_of(*content)) : std::nullopt;
    });
}

Result<std::vector<std::string>> walk(MemoryStore& store, std::string_view from, bool reverse) {
    const auto txn = must(store.begin_read());
    LinkedCursor cursor(keys(), *txn, reverse);
    std::vector<std::string> seen;
    auto moved = cursor.start(view_of(from));
    for (; moved && cursor.entry(); moved = cursor.advance()) {
        seen.push_back(string_of(cursor.entry()->key));
    }
    if (!moved) {
        return tl::unexpected(moved.error());
    }
    return seen;
}

template <class T>
bool noticed(const Result<T>& result) {
    return !result && result.error().code == Errc::corrupted;
}

Bytes some_linked_key() {
    const auto key = *rc::gen::container<std::string>(rc::gen::elementOf(std::string("ab\xff")));
    return bytes_of(key.empty() ? "a" : key.substr(0, 4));
}

RC_GTEST_PROP(LinkedTables, behave_as_a_map, ()) {
    LinkedStore linked;
    Model model;
    const auto changes = *rc::gen::inRange(1, 60);
    for (int i = 0; i < changes; ++i) {
        const Bytes key = some_linked_key();
        if (*rc::gen::inRange(0, 3) == 0) {
            linked.write([&](WriteTxn& txn) { must(keys().erase(txn, key)); });
            model.erase(key);
        } else {
            const Bytes content = bytes_of(std::to_string(i));
            linked.put(key, content);
            model[key] = content;
        }
        const Bytes probe = some_linked_key();
        const auto txn = must(linked.store.begin_read());
        const auto found = must(keys().find(*txn, probe));
        const auto expected = model.find(probe);
        RC_ASSERT(found.has_value() == (expected != model.end()));
        if (found) {
            RC_ASSERT(string_of(*found) == string_of(expected->second));
        }

        LinkedCursor forward(keys(), *txn);
        must(forward.start(probe));
        for (auto at = model.lower_bound(probe); at != model.end(); ++at) {
            RC_ASSERT(forward.entry().has_value());
            RC_ASSERT(string_of(forward.entry()->key) == string_of(at->first));
            RC_ASSERT(string_of(forward.entry()->content) == string_of(at->second));
            must(forward.advance());
        }
        RC_ASSERT(!forward.entry().has_value());

        LinkedCursor reverse(keys(), *txn, true);
        must(reverse.start(probe));
        for (auto at = model.lower_bound(probe); at != model.begin();) {
            --at;
            RC_ASSERT(reverse.entry().has_value());
            RC_ASSERT(string_of(reverse.entry()->key) == string_of(at->first));
            must(reverse.advance());
        }
        RC_ASSERT(!reverse.entry().has_value());
    }
}

TEST(LinkedTables, a_hidden_record_is_noticed_wherever_somebody_looks_for_it) {
    const std::vector<std::string> names{"b", "d", "f", "h"};
    for (std::size_t hidden = 0; hidden < names.size(); ++hidden) {
        LinkedStore linked = store_of(names);
        linked.store.tables[keys_table].erase(bytes_of(names[hidden]));
        EXPECT_TRUE(noticed(find(linked.store, names[hidden])));
        for (const bool reverse : {false, true}) {
            EXPECT_TRUE(noticed(walk(linked.store, reverse ? "z" : "", reverse))) << hidden;
        }
        // Just beside it, too: nobody can say any more what else is gone there.
        const std::string after = names[hidden] + "a";
        EXPECT_TRUE(noticed(find(linked.store, after)));
        const auto txn = must(linked.store.begin_write());
        EXPECT_TRUE(noticed(keys().put(*txn, view_of(after), view_of("x"))));
        EXPECT_TRUE(noticed(keys().put(*txn, view_of(names[hidden]), view_of("x"))));
        EXPECT_TRUE(noticed(keys().erase(*txn, view_of(names[hidden]))));
        if (hidden > 0) {
            EXPECT_TRUE(noticed(keys().erase(*txn, view_of(names[hidden - 1]))));
        }
        for (const std::string& other : names) {
            if (other != names[hidden]) {
                EXPECT_EQ(find(linked.store, other).value(), "of " + other);
            }
        }
    }
}

TEST(LinkedTables, several_hidden_records_are_noticed_at_both_ends_of_the_table) {
    for (const auto& hidden : {std::vector<std::string>{"b", "d"}, {"f", "h"}, {"b", "d", "f", "h"}}) {
        LinkedStore linked = store_of({"b", "d", "f", "h"});
        for (const std::string& name : hidden) {
            linked.store.tables[keys_table].erase(bytes_of(name));
        }
        for (const std::string& name : hidden) {
            EXPECT_TRUE(noticed(find(linked.store, name)));
        }
        EXPECT_TRUE(noticed(walk(linked.store, "", false)));
        EXPECT_TRUE(noticed(walk(linked.store, "", true)));
    }
}

TEST(LinkedTables, a_range_notices_what_is_hidden_behind_its_last_record) {
    LinkedStore linked = store_of({"b", "d", "f"});
    linked.store.tables[keys_table].erase(bytes_of("d"));
    const auto txn = must(linked.store.begin_read());
    LinkedCursor cursor(keys(), *txn);
    ASSERT_TRUE(cursor.start(view_of("b")));  // "b" is there and in its place
    EXPECT_TRUE(noticed(cursor.advance()));   // "f" does not follow it
}

TEST(LinkedTables, without_its_end_a_table_proves_nothing_above_its_last_key) {
    LinkedStore linked = store_of({"b"});
    linked.store.tables[keys_table].erase(Bytes(end_key().begin(), end_key().end()));
    EXPECT_TRUE(noticed(find(linked.store, "c")));
    EXPECT_TRUE(noticed(walk(linked.store, "", false)));
    EXPECT_TRUE(noticed(walk(linked.store, "", true)));
    EXPECT_EQ(find(linked.store, "b").value(), "of b");
}

TEST(LinkedTables, a_table_that_is_gone_is_noticed_and_one_never_written_to_is_empty) {
    MemoryStore untouched;
    EXPECT_EQ(find(untouched, "a").value(), std::nullopt);
    EXPECT_TRUE(walk(untouched, "", false).value().empty());
    EXPECT_TRUE(walk(untouched, "", true).value().empty());
    LinkedStore linked = store_of({"b"});
    linked.store.tables[keys_table].clear();
    EXPECT_TRUE(noticed(find(linked.store, "b")));
    EXPECT_TRUE(noticed(walk(linked.store, "", false)));
    EXPECT_TRUE(noticed(walk(linked.store, "", true)));
}

TEST(LinkedTables, a_record_in_another_ones_place_is_refused) {
    LinkedStore linked = store_of({"b", "d"});
    auto& table = linked.store.tables[keys_table];
    table[bytes_of("d")] = table[bytes_of("b")];
    EXPECT_TRUE(noticed(find(linked.store, "d")));
}

TEST(LinkedTables, every_key_that_a_client_may_use_is_below_the_end) {
    LinkedStore linked;
    const Bytes highest(limits::key_bytes_max, 0xFF);
    linked.put(highest, bytes_of("top"));
    linked.put(bytes_of(std::string("\0", 1)), bytes_of("bottom"));
    EXPECT_EQ(find(linked.store, text_of(highest)).value(), "top");
    const auto seen = walk(linked.store, "", false);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->size(), 2U);
    EXPECT_EQ(walk(linked.store, text_of(highest), true)->size(), 1U);
}

// Also when whoever appends begins anew in the middle.
RC_GTEST_PROP(LinkedTables, are_the_same_whether_records_are_put_or_appended_in_order,
              (std::set<std::uint16_t> numbers)) {
    LinkedStore put;
    MemoryStore appended;
    std::optional<LinkedAppender> appender;
    for (const std::uint16_t number : numbers) {
        const Bytes key = bytes_of("key " + std::to_string(10'000U + number));
        put.put(key, bytes_of("content"));
        const auto txn = must(appended.begin_write());
        if (!appender || number % 5 == 0) {
            must(appender.emplace(keys()).start(*txn));
        }
        must(txn->append(keys_table, key, appender->next(key, bytes_of("content"))));
        must(txn->commit(Durability::synced));
    }
    const auto txn = must(appended.begin_write());
    must(appender.emplace(keys()).start(*txn));
    RC_ASSERT(!appender->ended());
    must(txn->append(keys_table, end_key(), appender->end()));
    must(appender->start(*txn));
    RC_ASSERT(appender->ended());
    must(txn->commit(Durability::synced));
    RC_ASSERT(appended.tables[keys_table] == put.store.tables[keys_table]);
}

TEST(LinkedTables, an_overwrite_changes_one_record_only) {
    LinkedStore linked = store_of({"b", "d", "f"});
    const auto before = linked.store.tables[keys_table];
    linked.put(bytes_of("d"), bytes_of("new"));
    for (const auto& [key, value] : linked.store.tables[keys_table]) {
        EXPECT_EQ(value == before.at(key), string_of(key) != "d");
    }
}

}  // namespace
}  // namespace loyal::kvstore
