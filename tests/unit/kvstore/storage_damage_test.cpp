// Flipped bits in the state's data file: a key is answered as it was written or not at all.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "kvstore/kv_tables.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::Machine;
using test::must;
using test::put;

// Where `needle` lies in the file; it is written once.
std::vector<std::size_t> places_of(const std::string& file, std::string_view needle) {
    std::vector<std::size_t> places;
    for (std::size_t at = file.find(needle); at != std::string::npos; at = file.find(needle, at + 1)) {
        places.push_back(at);
    }
    return places;
}

void flip_bit(const std::filesystem::path& path, std::size_t at, unsigned bit) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(at));
    file.put(static_cast<char>(static_cast<unsigned>(byte) ^ (1U << bit)));
}

// The link and 44 bytes of revision, part, created, version, timestamp and lease precede a value, the seal follows it.
constexpr std::size_t head_bytes = link_bytes + 44;
constexpr std::size_t seal_bytes = 16;

RC_GTEST_PROP(StorageDamage, a_flipped_bit_in_a_stored_record_is_never_served, ()) {
    const auto value_bytes = *rc::gen::elementOf(std::vector<std::size_t>{1, 100, 3000, 20'000});
    const std::string value = "the value with a name " + std::string(value_bytes, 'v');
    Machine machine;
    machine.one(put("before", "1"));
    machine.one(put("key", value));
    machine.one(put("zz", "2"));
    machine.flush();
    machine.close();

    // In the key's record, and in that of its change, which follows no lease but the length of the value.
    const std::string file = test::read_file(machine.data_file());
    auto places = places_of(file, value);
    RC_ASSERT(places.size() == 2U);
    const std::string length{static_cast<char>(value.size() & 0xFFU), static_cast<char>(value.size() >> 8U), 0, 0};
    std::erase_if(places, [&](std::size_t at) { return file.compare(at - length.size(), length.size(), length) == 0; });
    RC_ASSERT(places.size() == 1U);
    const auto offset = *rc::gen::inRange<std::size_t>(0, head_bytes + value.size() + seal_bytes);
    flip_bit(machine.data_file(), places[0] - head_bytes + offset, *rc::gen::inRange(0U, 8U));

    machine.open();
    for (const Range& range : {test::get("key"), test::between("", "")}) {
        const auto answer = machine->read(range);
        RC_ASSERT(!answer.has_value());
        RC_ASSERT(answer.error().code == Errc::corrupted);
    }
    RC_ASSERT(machine.value("before") == "1");
    RC_ASSERT(machine.value("zz") == "2");
}

TEST(StorageDamage, a_record_under_another_key_is_refused) {
    Machine machine;
    machine.one(put("a", "of a"));
    machine.one(put("b", "of b"));
    machine.flush();
    Bytes of_a;
    {
        const auto txn = must(machine.store().begin_read());
        const auto found = must(txn->get(keys_table, view_of("a")));
        of_a.assign(found->begin(), found->end());
    }
    auto txn = must(machine.store().begin_write());
    must(txn->put(keys_table, view_of("b"), of_a));
    must(txn->commit(Durability::synced));
    const auto answer = machine->read(test::get("b"));
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, Errc::corrupted);
}

TEST(StorageDamage, a_damaged_record_stops_the_execution_that_needs_it) {
    Machine machine;
    machine.one(put("a", "1"));
    machine.flush();
    auto txn = must(machine.store().begin_write());
    must(txn->put(keys_table, view_of("a"), bytes_of("rotten")));
    must(txn->commit(Durability::synced));
    test::Submission submission;
    submission.operations = {put("b", "2"), put("a", "2")};
    const auto block = test::block_on(machine.chain().back(), {test::envelope_of(submission)}, test::start_ms + 100);
    const auto executed = machine->execute(*block);
    ASSERT_FALSE(executed);
    EXPECT_EQ(executed.error().code, Errc::corrupted);
    // The half executed block never reaches the store.
    EXPECT_FALSE(machine->execute(*block));
    EXPECT_FALSE(machine->freeze());
}

TEST(StorageDamage, damaged_sessions_and_meta_records_stop_the_start) {
    for (const TableIndex table : {sessions_table, meta_table}) {
        Machine machine;
        machine.one(put("a", "1"));
        machine.flush();
        {
            auto txn = must(machine.store().begin_write());
            const auto entry = must(txn->seek(table, {}));
            const Bytes key(entry->key.begin(), entry->key.end());
            Bytes value(entry->value.begin(), entry->value.end());
            value[5] = static_cast<std::uint8_t>(value[5] ^ 1U);
            must(txn->put(table, key, value));
            must(txn->commit(Durability::synced));
        }
        const auto opened = StateMachine::open(machine.store(), test::two_clients());
        ASSERT_FALSE(opened);
        EXPECT_EQ(opened.error().code, Errc::corrupted);
    }
}

TEST(StorageDamage, records_without_their_meta_record_are_refused) {
    Machine machine;
    machine.one(put("a", "1"));
    machine.flush();
    auto txn = must(machine.store().begin_write());
    must(txn->erase(meta_table, view_of(meta_key)));
    must(txn->commit(Durability::synced));
    const auto opened = StateMachine::open(machine.store(), test::two_clients());
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::corrupted);
}

}  // namespace
}  // namespace loyal::kvstore
