// Leases: time to live by the cluster's own clock, never by one replica's (PROTOCOL.md H5, B5; Gray and Cheriton,
// "Leases", SOSP'89). The clock is StateMeta::lease_clock_ms: the sum of the steps of the blocks' hlc, in which a gap
// counts as limits::lease_step_ms_max at most, so that a cluster that stalled expires nobody early. While there are
// leases the leader makes a block when one is due and nobody writes; what is due ends behind the envelopes of a block,
// so that a keep-alive in it is in time.
//
// Tables, under the root:
//   leases        id u64 big-endian  ->  owner 16 | ttl u64 | expires u64 | items u64
//   lease_items   id u64 big-endian | kind u8 | key or name  ->  nothing     kind 1: a key, 2: a lock
// LeaseDirectory is derived from the first when a state is opened. No threads: values of the executor's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/outcome.h"

namespace loyal::kvstore {

struct LeaseRecord {
    consensus::ClientId owner;
    std::uint64_t ttl_ms = 0;
    std::uint64_t expires_ms = 0;  // by the cluster's clock
    std::uint64_t items = 0;       // keys and locks that are attached to it
};
[[nodiscard]] Bytes lease_key(LeaseId id);
[[nodiscard]] Result<LeaseId> parse_lease_key(ByteView key);
[[nodiscard]] Bytes encode_lease(const LeaseRecord& lease);
[[nodiscard]] Result<LeaseRecord> decode_lease(ByteView content);

enum class LeaseItem : std::uint8_t { key = 1, lock = 2 };
[[nodiscard]] Bytes lease_item_key(LeaseId id, LeaseItem kind, ByteView name);
struct LeaseItemKey {
    LeaseId id;
    LeaseItem kind = LeaseItem::key;
    ByteView name;  // into the key
};
[[nodiscard]] Result<LeaseItemKey> parse_lease_item_key(ByteView key);

// Every lease by when it ends, and how many each client has.
class LeaseDirectory {
 public:
    void put(LeaseId id, const consensus::ClientId& owner, std::uint64_t expires_ms);
    void remove(LeaseId id);
    // The one that ends first; at the same time the one that was granted first.
    [[nodiscard]] std::optional<std::pair<std::uint64_t, LeaseId>> next() const;
    [[nodiscard]] std::size_t count_of(const consensus::ClientId& owner) const;
    [[nodiscard]] std::size_t size() const { return leases_.size(); }

 private:
    struct Entry {
        consensus::ClientId owner;
        std::uint64_t expires_ms = 0;
    };
    std::map<LeaseId, Entry> leases_;
    std::set<std::pair<std::uint64_t, LeaseId>> by_end_;
    std::map<consensus::ClientId, std::size_t> counts_;
};

}  // namespace loyal::kvstore
