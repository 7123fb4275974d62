// What clients and replicas say to each other about watches (docs/WATCH.md). Nothing of it is signed; a client believes
// an event when w replicas told the same.
//
// Above the link messages may be lost, overtaken or told twice, so each says where it belongs: a client numbers its
// askings (`nonce`, growing on a link), a replica numbers what it tells on a link (`number`, from 1), and a run of
// events names the position that it continues. Nothing stands between `after` and `upto` but the changes in it.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "config/bytes.h"
#include "kvstore/history.h"

namespace loyal::wire {

// Chosen by the client, one for each watch on a link.
using WatchId = consensus::Number<struct WatchTag, std::uint64_t>;

// Behind every change of this revision, and before those of the next one.
[[nodiscard]] constexpr kvstore::ChangeId end_of(kvstore::Revision revision) {
    return {revision, std::numeric_limits<std::uint32_t>::max()};
}

// ---- Client to replica
// Asking again under the same id replaces what was asked before; an asking that is older than one already heard is
// ignored.
struct Watch {
    WatchId id;
    std::uint64_t nonce = 0;
    kvstore::ChangeId after;   // tell what stands behind it
    Bytes begin;               // a single key when `end` is absent
    std::optional<Bytes> end;  // exclusive; empty means "to the end"
    bool want_previous = false;
};
struct Unwatch {
    WatchId id;
    std::uint64_t nonce = 0;  // askings up to this one
};

// ---- Replica to client
struct WatchEvents {
    WatchId id;
    std::uint64_t nonce = 0;
    std::uint64_t number = 0;
    kvstore::ChangeId after, upto;
    // From here on the watch is told every change at once, and WatchProgress speaks for it too. False: it is fed from
    // the history, because it begins there or because the client reads too slowly.
    bool live = false;
    std::vector<kvstore::Change> changes;  // ascending, behind `after`, not behind `upto`
};
// Everything up to `upto` was told to the watches that are live by the messages 1 to `sent`.
struct WatchProgress {
    kvstore::ChangeId upto;
    std::uint64_t sent = 0;
};
enum class WatchEndReason : std::uint8_t {
    compacted = 1,  // `oldest`: the oldest revision that is kept; changes behind it are known
    denied = 2,
    too_many = 3,
    invalid = 4,
};
struct WatchEnd {
    WatchId id;
    std::uint64_t nonce = 0;
    std::uint64_t number = 0;
    WatchEndReason reason = WatchEndReason::compacted;
    kvstore::Revision oldest;
};

[[nodiscard]] const char* name_of(WatchEndReason reason);

}  // namespace loyal::wire
