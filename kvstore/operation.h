// Operations of the replicated state machine and read requests, with canonical encodings. Decoders check every bound of
// config/limits.h and accept exactly one encoding of each value. What comes back: outcome.h and answers.h.
//
// An envelope's operations are the concatenation of (kind u8 | flags u8 | fields of the kind); a key is u16+bytes:
//    1 put         flags 1: lease, 2: time to live, 4: fence  | key | value u32+bytes | [lease u64] | [ttl ms u64] |
//                  [fence]
//    2 delete      flags 1: has end, 4: fence                 | key | [end] | [fence]
//    3 cas         flags 1: has expect, 2: has value, 4: fence  | key | [expect u32+bytes] | [value u32+bytes] |
//    [fence] 4 range       flags 1: has end, 2: reverse, 4: keys only, 8: count only, 16: at a revision, 32: at a time,
//                  64: history                                | key | [end] | limit u32 | [revision u64] | [hlc u64]
//    5 txn         compares u16, then u16, else u16, and these; of operations put, delete and range only
//                  compare: target u8 | relation u8 | key | number u64 or, of a value, u32+bytes
//    6 grant       ttl ms u64                 a lease
//    7 revoke      lease u64
//    8 keep alive  lease u64
//    9 acquire     name (as a key) | lease u64 | value u32+bytes
//   10 release     name | lease u64
//   11 compact     revision u64
//   12 lease query lease u64 | limit u32      0: the list of leases, from `after` on
//   13 lock query  name
//   14 add client     client name u8+bytes | key 32
//   15 remove client  client name
//   16 grant right    client name | prefix u16+bytes | rights u8
//   17 revoke right   as 16
//   18 client query   after: a client name, or nothing | limit u32
//   fence: name | token u64
// Keys and names are never empty, but for the bounds of a range that has an end. Pure and thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/answers.h"
#include "kvstore/history.h"
#include "kvstore/outcome.h"
#include "kvstore/rights.h"

namespace loyal::kvstore {

// "Only while no newer token of that lock was given out": what a lock's holder sends along with its writes, so that a
// holder that slept through the end of its lease changes nothing (Kleppmann, "How to do distributed locking", 2016).
struct Fence {
    Bytes lock;
    std::uint64_t token = 0;
};
struct Put {
    Bytes key;
    Bytes value;
    LeaseId lease{};           // 0: none; a put without one detaches the key from the one it had
    std::uint64_t ttl_ms = 0;  // not 0: a new lease of its own, whose id is the result (encode_lease_id)
    std::optional<Fence> fence{};
};
// Of one key, or of all in [key, end) at one revision, at most limits::delete_keys_max of them.
struct Delete {
    Bytes key;
    std::optional<Bytes> end{};  // exclusive; empty means "to the end"
    std::optional<Fence> fence{};
};
// Compare and set: `expect` absent means the key must not exist; `value` absent means delete.
struct CompareAndSet {
    Bytes key;
    std::optional<Bytes> expect{};
    std::optional<Bytes> value{};
    std::optional<Fence> fence{};
};
// A read; as an operation it takes its place in the order of writes (rule R4).
struct Range {
    Bytes begin;                 // a single key when `end` is absent
    std::optional<Bytes> end{};  // exclusive; empty means "to the end"
    std::uint32_t limit = 0;     // 0: as many as one page holds; with count_only it bounds nothing
    bool reverse = false;
    bool keys_only = false;
    bool count_only = false;
    // The state as of a revision, or of the newest one whose timestamp is not later than a time; not both.
    std::optional<Revision> revision{};
    std::optional<consensus::Hlc> at{};
    // Of a single key: its versions, newest first, also those that say that it was deleted; with `revision` from there.
    bool history = false;
};

enum class CompareTarget : std::uint8_t { value = 1, version = 2, created = 3, modified = 4, lease = 5 };
enum class Relation : std::uint8_t { equal = 1, not_equal = 2, less = 3, greater = 4 };
// Of an absent key every number is 0; a comparison with its value is false, whatever the relation (etcd's rules).
struct Compare {
    Bytes key;
    CompareTarget target = CompareTarget::value;
    Relation relation = Relation::equal;
    std::uint64_t number = 0;
    Bytes value;
};
using TxnOperation = std::variant<Put, Delete, Range>;
// All of `then` when every comparison holds, otherwise all of `otherwise`, one after the other at one revision. Within
// a branch no key is put twice, or put and deleted (Status::invalid). All or nothing.
struct Txn {
    std::vector<Compare> compares;
    std::vector<TxnOperation> then;
    std::vector<TxnOperation> otherwise;
};

// Time to live by the cluster's own clock (leases.h).
struct LeaseGrant {
    std::uint64_t ttl_ms = 0;
};
// Deletes the keys that are attached to it, and gives up its locks.
struct LeaseRevoke {
    LeaseId lease;
};
struct LeaseKeepAlive {
    LeaseId lease;
};
// Queues up for a lock, or says how it stands when the lease is in the queue already. `value` is what a leader that
// campaigns shows to others.
struct LockAcquire {
    Bytes name;
    LeaseId lease;
    Bytes value{};
};
struct LockRelease {
    Bytes name;
    LeaseId lease;
};
// Forgets what was before `revision`.
struct Compact {
    Revision revision;
};

struct LeaseQuery {
    LeaseId lease{};          // 0: which leases there are
    LeaseId after{};          // of the list: from the one behind this on
    std::uint32_t limit = 0;  // of leases, or of the keys attached to one; 0: as many as a page holds
};
struct LockQuery {
    Bytes name;
};

// A client without any right yet; operators only. Status::exists when the name or the key is known.
struct ClientAdd {
    std::string name;
    crypto::PublicKey key;
};
// Not of the last operator (Status::last_operator).
struct ClientRemove {
    std::string name;
};
// By who is admin of the prefix.
struct RightGrant {
    std::string client;
    Bytes prefix;  // empty: all keys
    std::uint8_t rights = 0;
};
struct RightRevoke {
    std::string client;
    Bytes prefix;
    std::uint8_t rights = 0;
};
// By operators.
struct ClientQuery {
    std::string after{};  // from the name behind this on
    std::uint32_t limit = 0;
};

using Operation = std::variant<Put, Delete, CompareAndSet, Range, Txn, LeaseGrant, LeaseRevoke, LeaseKeepAlive,
                               LockAcquire, LockRelease, Compact, LeaseQuery, LockQuery, ClientAdd, ClientRemove,
                               RightGrant, RightRevoke, ClientQuery>;
// What changes nothing, and may be answered without being ordered.
using Query = std::variant<Range, LeaseQuery, LockQuery, ClientQuery>;
[[nodiscard]] bool is_query(const Operation& operation);
[[nodiscard]] Operation to_operation(Query query);
// `operation` is one (asserted).
[[nodiscard]] Query to_query(const Operation& operation);

[[nodiscard]] Bytes encode_operation(const Operation& operation);
[[nodiscard]] Bytes encode_operations(const std::vector<Operation>& operations);
[[nodiscard]] Result<std::vector<Operation>> decode_operations(ByteView bytes, std::size_t count);
[[nodiscard]] Bytes encode_query(const Query& query);
[[nodiscard]] Result<Query> decode_query(ByteView bytes);

// What it looks at, as a read.
[[nodiscard]] Range range_of(const ChangeQuery& query);

// Whether the client's rights are enough for it; for a transaction they are for both of its branches.
[[nodiscard]] bool allows(const ClientRecord& client, const Operation& operation);
[[nodiscard]] bool allows(const ClientRecord& client, const Query& query);

// What a client checks before it sends: a bound of an operation that is broken, in words.
[[nodiscard]] Result<void> check_operation(const Operation& operation);

}  // namespace loyal::kvstore
