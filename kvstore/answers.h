// What operations and queries give back besides their status, with canonical encodings: decoders accept exactly one
// encoding of each value and check every bound (Errc::invalid_argument). Which operation has which result:
//
//   put with a time to live, grant   the lease: id u64
//   delete of a range, revoke        keys deleted: u64
//   keep alive                       what is left of the lease, ms: u64
//   acquire                          LockPlace
//   range, lease query, lock query   RangeResult, LeaseReport, LockReport
//   client query                     ClientReport
//   txn                              TxnResult
//   compacted (any)                  the oldest revision that may be read: u64
//   others                           empty
//
// Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/outcome.h"
#include "kvstore/rights.h"

namespace loyal::kvstore {

struct Item {
    Bytes key;
    Bytes value;                // empty with keys_only
    Revision revision;          // of the last change of this key
    Revision created;           // of the put that created it
    std::uint64_t version = 0;  // number of changes since it was created, from 1; 0 in a history: it was deleted
    consensus::Hlc timestamp;
    LeaseId lease{};
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

[[nodiscard]] Bytes encode_count(std::uint64_t count);  // also of ids, revisions and durations
[[nodiscard]] Result<std::uint64_t> decode_count(ByteView bytes);

// How a lease stands in the queue of a lock.
struct LockPlace {
    std::uint64_t token = 0;  // 0: it waits
    std::uint32_t ahead = 0;  // who is before it in the queue
    friend bool operator==(const LockPlace&, const LockPlace&) = default;
};
[[nodiscard]] Bytes encode_lock_place(const LockPlace& place);
[[nodiscard]] Result<LockPlace> decode_lock_place(ByteView bytes);

struct LeaseState {
    LeaseId id;
    consensus::ClientId owner;
    std::uint64_t ttl_ms = 0;   // as granted
    std::uint64_t left_ms = 0;  // by the cluster's clock
    std::uint64_t keys = 0;     // attached to it
    friend bool operator==(const LeaseState&, const LeaseState&) = default;
};
// Of one lease: itself and a page of its keys. Of the list: a page of leases.
struct LeaseReport {
    std::vector<LeaseState> leases;
    std::vector<Bytes> keys;
    bool more = false;
    friend bool operator==(const LeaseReport&, const LeaseReport&) = default;
};
[[nodiscard]] Bytes encode_lease_report(const LeaseReport& report);
[[nodiscard]] Result<LeaseReport> decode_lease_report(ByteView bytes);

struct LockWaiter {
    LeaseId lease;
    consensus::ClientId client;
    Bytes value;
    friend bool operator==(const LockWaiter&, const LockWaiter&) = default;
};
// Nobody has it when the queue is empty; its first one has it, under `token`.
struct LockReport {
    std::uint64_t token = 0;  // the newest that was given out; 0: the lock was never held
    std::vector<LockWaiter> queue;
    friend bool operator==(const LockReport&, const LockReport&) = default;
};
[[nodiscard]] Bytes encode_lock_report(const LockReport& report);
[[nodiscard]] Result<LockReport> decode_lock_report(ByteView bytes);

// A page of clients, by name.
struct ClientReport {
    std::vector<ClientRecord> clients;
    bool more = false;
    friend bool operator==(const ClientReport&, const ClientReport&) = default;
};
[[nodiscard]] Bytes encode_client_report(const ClientReport& report);
[[nodiscard]] Result<ClientReport> decode_client_report(ByteView bytes);

struct PutDone {
    friend bool operator==(const PutDone&, const PutDone&) = default;
};
struct DeleteDone {
    std::uint64_t keys = 0;
    friend bool operator==(const DeleteDone&, const DeleteDone&) = default;
};
using TxnPart = std::variant<PutDone, DeleteDone, RangeResult>;
// A result that is larger than what a session remembers is answered once; a retry is told only which branch was taken.
struct TxnResult {
    bool succeeded = false;
    std::optional<std::vector<TxnPart>> parts;  // nothing: they were not kept
    friend bool operator==(const TxnResult&, const TxnResult&) = default;
};
[[nodiscard]] Bytes encode_txn_result(const TxnResult& result);
[[nodiscard]] Result<TxnResult> decode_txn_result(ByteView bytes);

// Answer to a query that was not ordered: status u8 | result.
struct QueryAnswer {
    Status status = Status::ok;
    Bytes result;
};
[[nodiscard]] Bytes encode_query_answer(const QueryAnswer& answer);
[[nodiscard]] Result<QueryAnswer> decode_query_answer(ByteView bytes);

}  // namespace loyal::kvstore
