// Operations of the replicated state machine, their results and read requests, with canonical encodings. Decoders check
// every bound of config/limits.h and accept exactly one encoding of each value.
//
// An envelope's operations are the concatenation of (kind u8 | flags u8 | key u16+bytes | fields of the kind):
//   1 put     flags 0                                         | value u32+bytes
//   2 delete  flags 0
//   3 cas     flags 1: has expect, 2: has value               | [expect u32+bytes] | [value u32+bytes]
//   4 range   flags 1: has end, 2: reverse, 4: keys only, 8: count only | [end u16+bytes] | limit u32
// Keys are never empty, but for the bounds of a range that has an end. All functions are pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"

namespace loyal::kvstore {

using Revision = consensus::Number<struct RevisionTag, std::uint64_t>;  // counts changes of the whole store, from 1

struct Put {
    Bytes key;
    Bytes value;
};
struct Delete {
    Bytes key;
};
// Compare and set: `expect` absent means the key must not exist; `value` absent means delete.
struct CompareAndSet {
    Bytes key;
    std::optional<Bytes> expect;
    std::optional<Bytes> value;
};
// A read that takes its place in the order of writes (rule R4).
struct Range {
    Bytes begin;               // a single key when `end` is absent
    std::optional<Bytes> end;  // exclusive; empty means "to the end"
    std::uint32_t limit = 0;   // 0: as many as one page holds; with count_only it bounds nothing
    bool reverse = false;
    bool keys_only = false;
    bool count_only = false;
};
using Operation = std::variant<Put, Delete, CompareAndSet, Range>;

[[nodiscard]] Bytes encode_operation(const Operation& operation);
[[nodiscard]] Bytes encode_operations(const std::vector<Operation>& operations);
[[nodiscard]] Result<std::vector<Operation>> decode_operations(ByteView bytes, std::size_t count);
[[nodiscard]] Bytes encode_range(const Range& range);
[[nodiscard]] Result<Range> decode_range(ByteView bytes);

enum class Status : std::uint8_t {
    ok = 0,
    not_found = 1,       // del of an absent key
    mismatch = 2,        // cas: the comparison failed
    invalid = 3,         // the operations of the envelope do not parse, or break a limit
    expired = 4,         // block hlc > not_after: surely not executed
    beyond_horizon = 5,  // not_after too far ahead: surely not executed
    window = 6,          // seq >= low + session_window: surely not executed
    no_session = 7,      // too many sessions of this client, none of them idle: surely not executed
    denied = 8,          // the client lacks the right
    too_large = 9,       // a range whose answer no longer fits the reply to its envelope or block: ask again alone
};
[[nodiscard]] std::string_view to_string(Status status);

struct Item {
    Bytes key;
    Bytes value;                // empty with keys_only
    Revision revision;          // of the last change of this key
    Revision created;           // of the put that created it
    std::uint64_t version = 0;  // number of changes since it was created, from 1
    consensus::Hlc timestamp;
    friend bool operator==(const Item&, const Item&) = default;
};
// Most keys that one count_only request counts. When the range holds more, `more` is set and the only item is the last
// key counted (without its value), so that the caller goes on from there: `begin` := that key and a zero byte (with
// `reverse`, `end` := that key).
inline constexpr std::uint64_t range_count_max = 50'000;

// Answer to a Range: items in order (reversed with `reverse`).
struct RangeResult {
    std::vector<Item> items;
    bool more = false;        // the page or limit ended before the range did
    std::uint64_t count = 0;  // items in this answer; with count_only, keys counted (see range_count_max)
    friend bool operator==(const RangeResult&, const RangeResult&) = default;
};
[[nodiscard]] Bytes encode_range_result(const RangeResult& result);
[[nodiscard]] Result<RangeResult> decode_range_result(ByteView bytes);

// Outcome of one executed operation, identical at every correct replica, now and when a retry asks again (C4, P2).
struct Outcome {
    consensus::Seq seq;
    consensus::Height height;  // of the block that executed it first
    consensus::View view;      // of that block
    consensus::Hlc hlc;        // of that block; the operation's timestamp
    Revision revision;         // of the store after the operation
    Status status = Status::ok;
    Bytes result;  // Range: encoded RangeResult; writes: empty
    friend bool operator==(const Outcome&, const Outcome&) = default;
};
// H("outcome", every field): what w replicas must agree on.
[[nodiscard]] crypto::Digest outcome_digest(const Outcome& outcome);

}  // namespace loyal::kvstore
