#include "kvstore/operation.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::between;
using test::cas;
using test::del;
using test::get;
using test::put;

Bytes some_bytes(std::size_t min, std::size_t max) {
    const auto size = *rc::gen::inRange<std::size_t>(min, max + 1);
    return *rc::gen::container<Bytes>(size, rc::gen::arbitrary<std::uint8_t>());
}

LeaseId some_lease() {
    return LeaseId(*rc::gen::inRange<std::uint64_t>(1, 1'000));
}

Put some_put() {
    Put put{some_bytes(1, 40), some_bytes(0, 200)};
    switch (*rc::gen::inRange(0, 3)) {
        case 0: put.lease = some_lease(); break;
        case 1: put.ttl_ms = limits::lease_ttl_ms_min; break;
        default: break;
    }
    if (*rc::gen::arbitrary<bool>()) {
        put.fence = Fence{some_bytes(1, 40), 3};
    }
    return put;
}

Txn some_txn() {
    Txn txn;
    txn.compares.push_back({some_bytes(1, 40), CompareTarget::version, Relation::greater, 5, {}});
    txn.compares.push_back({some_bytes(1, 40), CompareTarget::value, Relation::less, 0, some_bytes(0, 40)});
    txn.then.emplace_back(some_put());
    txn.then.emplace_back(Range{some_bytes(1, 40)});
    txn.otherwise.emplace_back(Delete{some_bytes(1, 40), some_bytes(0, 40)});
    return txn;
}

Operation some_operation() {
    switch (*rc::gen::inRange(0, 13)) {
        case 0: return some_put();
        case 1: return Delete{some_bytes(1, 40)};
        case 2: {
            CompareAndSet operation;
            operation.key = some_bytes(1, 40);
            if (*rc::gen::arbitrary<bool>()) {
                operation.expect = some_bytes(0, 50);
            }
            if (*rc::gen::arbitrary<bool>()) {
                operation.value = some_bytes(0, 50);
            }
            return operation;
        }
        case 3: return some_txn();
        case 4: return LeaseGrant{*rc::gen::inRange(limits::lease_ttl_ms_min, limits::lease_ttl_ms_max)};
        case 5: return LeaseRevoke{some_lease()};
        case 6: return LeaseKeepAlive{some_lease()};
        case 7: return LockAcquire{some_bytes(1, 40), some_lease(), some_bytes(0, 40)};
        case 8: return LockRelease{some_bytes(1, 40), some_lease()};
        case 9: return Compact{Revision(*rc::gen::inRange<std::uint64_t>(1, 1'000))};
        case 10: return LeaseQuery{some_lease(), {}, 7};
        case 11: return LockQuery{some_bytes(1, 40)};
        default: {
            Range range;
            const bool has_end = *rc::gen::arbitrary<bool>();
            range.begin = some_bytes(has_end ? 0 : 1, 40);
            if (has_end) {
                range.end = some_bytes(0, 40);
            }
            range.limit = *rc::gen::arbitrary<std::uint32_t>();
            range.reverse = *rc::gen::arbitrary<bool>();
            range.keys_only = *rc::gen::arbitrary<bool>();
            range.count_only = *rc::gen::arbitrary<bool>();
            return range;
        }
    }
}

RC_GTEST_PROP(Operations, decode_to_what_was_encoded, ()) {
    std::vector<Operation> operations(*rc::gen::inRange<std::size_t>(1, 10));
    for (Operation& operation : operations) {
        operation = some_operation();
    }
    const Bytes bytes = encode_operations(operations);
    const auto decoded = decode_operations(bytes, operations.size());
    RC_ASSERT(decoded.has_value());
    RC_ASSERT(encode_operations(*decoded) == bytes);
    RC_ASSERT(!decode_operations(bytes, operations.size() + 1).has_value());
    RC_ASSERT(!decode_operations(ByteView(bytes).first(bytes.size() - 1), operations.size()).has_value());
}

// Whatever is accepted re-encodes to itself: there is one encoding of each value.
RC_GTEST_PROP(Operations, accept_one_encoding_only, ()) {
    Bytes bytes = encode_operations({some_operation()});
    const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
    bytes[at] = *rc::gen::arbitrary<std::uint8_t>();
    if (const auto decoded = decode_operations(bytes, 1)) {
        RC_ASSERT(encode_operations(*decoded) == bytes);
    }
}

TEST(Operations, an_empty_key_is_refused) {
    for (const Operation& operation : std::vector<Operation>{put("", "v"), del(""), cas("", "a", "b"), get("")}) {
        EXPECT_FALSE(decode_operations(encode_operations({operation}), 1));
    }
    EXPECT_TRUE(decode_operations(encode_operations({between("", "")}), 1));
}

TEST(Operations, keys_and_values_have_their_limits) {
    const std::string key(limits::key_bytes_max, 'k');
    const std::string value(limits::value_bytes_max, 'v');
    EXPECT_TRUE(decode_operations(encode_operations({put(key, value)}), 1));
    EXPECT_TRUE(decode_operations(encode_operations({cas(key, value, value)}), 1));
    EXPECT_FALSE(decode_operations(encode_operations({put("k", value + "v")}), 1));

    Bytes long_key = encode_operations({put(key, "")});
    long_key[2] = static_cast<std::uint8_t>(long_key[2] + 1);  // one byte more, taken from the value's length
    EXPECT_FALSE(decode_operations(long_key, 1));
}

TEST(Operations, the_count_is_bounded_before_anything_is_read) {
    const Bytes bytes = encode_operations({del("k")});
    EXPECT_FALSE(decode_operations(bytes, 0));
    EXPECT_FALSE(decode_operations(bytes, limits::envelope_ops_max + 1));
}

TEST(Operations, unknown_kinds_and_flags_are_refused) {
    for (const Operation& operation : std::vector<Operation>{put("k", "v"), del("k"), cas("k", {}, "v"), get("k")}) {
        Bytes bytes = encode_operations({operation});
        bytes[1] = static_cast<std::uint8_t>(bytes[1] | 0x80U);
        EXPECT_FALSE(decode_operations(bytes, 1));
        bytes[1] = static_cast<std::uint8_t>(bytes[1] & 0x7FU);
        bytes[0] = 99;
        EXPECT_FALSE(decode_operations(bytes, 1));
    }
}

TEST(Operations, a_query_decodes_alone_and_nothing_else_as_a_query) {
    Range range = between("a", "z");
    range.limit = 7;
    range.reverse = true;
    const auto decoded = decode_query(encode_query(range));
    ASSERT_TRUE(decoded);
    EXPECT_EQ(encode_query(*decoded), encode_query(range));
    EXPECT_FALSE(decode_query(encode_operations({put("k", "v")})));
}

TEST(Operations, transactions_do_not_nest_and_have_their_limits) {
    Txn txn;
    txn.then.resize(limits::txn_parts_max, put("k", "v"));
    EXPECT_TRUE(decode_operations(encode_operations({txn}), 1));
    txn.then.emplace_back(put("k", "v"));
    EXPECT_FALSE(decode_operations(encode_operations({txn}), 1));
    EXPECT_FALSE(check_operation(txn));

    Bytes nested = encode_operations({Txn{}});
    nested[4] = 1;  // one operation in the first branch: another transaction
    const Bytes inner = encode_operations({Txn{}});
    nested.insert(nested.end(), inner.begin(), inner.end());
    EXPECT_FALSE(decode_operations(nested, 1));
}

RangeResult some_result() {
    RangeResult result;
    for (int i = 0; i < 3; ++i) {
        Item item;
        item.key = bytes_of("key" + std::to_string(i));
        item.value = bytes_of("value");
        item.revision = Revision(7);
        item.created = Revision(3);
        item.version = 2;
        item.timestamp = consensus::Hlc(123);
        result.items.push_back(item);
    }
    result.count = 3;
    result.more = true;
    return result;
}

TEST(RangeResults, decode_to_what_was_encoded_and_refuse_what_is_cut) {
    const RangeResult result = some_result();
    const Bytes bytes = encode_range_result(result);
    const auto decoded = decode_range_result(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, result);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(decode_range_result(ByteView(bytes).first(size)));
    }
}

TEST(RangeResults, a_huge_count_of_items_is_refused_before_it_is_allocated) {
    Bytes bytes = encode_range_result(RangeResult{});
    bytes[9] = bytes[10] = bytes[11] = bytes[12] = 0xFF;
    EXPECT_FALSE(decode_range_result(bytes));
}

TEST(Outcomes, every_field_is_under_the_digest) {
    Outcome outcome;
    outcome.result = bytes_of("r");
    const auto digest = outcome_digest(outcome);
    const auto changed = [&](auto change) {
        Outcome other = outcome;
        change(other);
        return outcome_digest(other);
    };
    EXPECT_NE(digest, changed([](Outcome& o) { o.seq = consensus::Seq(1); }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.height = consensus::Height(1); }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.view = consensus::View(1); }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.hlc = consensus::Hlc(1); }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.revision = Revision(1); }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.status = Status::mismatch; }));
    EXPECT_NE(digest, changed([](Outcome& o) { o.result.clear(); }));
}

}  // namespace
}  // namespace loyal::kvstore
