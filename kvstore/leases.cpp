#include "kvstore/leases.h"

#include <cstring>

#include "config/limits.h"
#include "crypto/canonical.h"
#include "kvstore/big_endian.h"

namespace loyal::kvstore {

namespace {

constexpr std::size_t lease_key_bytes = 8;

tl::unexpected<Error> malformed_lease(const char* what) {
    return fail(Errc::corrupted, std::string("malformed ") + what);
}

}  // namespace

Bytes lease_key(LeaseId id) {
    Bytes key;
    key.reserve(lease_key_bytes);
    append_big_endian(key, id.value);
    return key;
}

Result<LeaseId> parse_lease_key(ByteView key) {
    if (key.size() != lease_key_bytes) {
        return malformed_lease("key in the leases table");
    }
    return LeaseId(read_big_endian<std::uint64_t>(key));
}

Bytes encode_lease(const LeaseRecord& lease) {
    crypto::CanonicalWriter out(40);
    return out.raw(lease.owner.bytes).number(lease.ttl_ms).number(lease.expires_ms).number(lease.items).take();
}

Result<LeaseRecord> decode_lease(ByteView content) {
    crypto::CanonicalReader in(content);
    LeaseRecord lease;
    const ByteView owner = in.raw(lease.owner.bytes.size());
    lease.ttl_ms = in.number<std::uint64_t>();
    lease.expires_ms = in.number<std::uint64_t>();
    lease.items = in.number<std::uint64_t>();
    if (!in.finish()) {
        return malformed_lease("lease");
    }
    std::memcpy(lease.owner.bytes.data(), owner.data(), owner.size());
    return lease;
}

Bytes lease_item_key(LeaseId id, LeaseItem kind, ByteView name) {
    Bytes key = lease_key(id);
    key.push_back(static_cast<std::uint8_t>(kind));
    key.insert(key.end(), name.begin(), name.end());
    return key;
}

Result<LeaseItemKey> parse_lease_item_key(ByteView key) {
    const bool long_enough = key.size() > lease_key_bytes + 1;
    const std::uint8_t kind = long_enough ? key[lease_key_bytes] : 0;
    if (kind != static_cast<std::uint8_t>(LeaseItem::key) && kind != static_cast<std::uint8_t>(LeaseItem::lock)) {
        return malformed_lease("key in the table of what is attached to leases");
    }
    return LeaseItemKey{LeaseId(read_big_endian<std::uint64_t>(key)), static_cast<LeaseItem>(kind),
                        key.subspan(lease_key_bytes + 1)};
}

void LeaseDirectory::put(LeaseId id, const consensus::ClientId& owner, std::uint64_t expires_ms) {
    const auto [entry, added] = leases_.try_emplace(id, Entry{owner, expires_ms});
    if (added) {
        ++counts_[owner];
    } else {
        by_end_.erase({entry->second.expires_ms, id});
        entry->second.expires_ms = expires_ms;
    }
    by_end_.emplace(expires_ms, id);
}

void LeaseDirectory::remove(LeaseId id) {
    const auto entry = leases_.find(id);
    if (entry == leases_.end()) {
        return;
    }
    by_end_.erase({entry->second.expires_ms, id});
    if (const auto count = counts_.find(entry->second.owner); --count->second == 0) {
        counts_.erase(count);
    }
    leases_.erase(entry);
}

std::optional<std::pair<std::uint64_t, LeaseId>> LeaseDirectory::next() const {
    return by_end_.empty() ? std::nullopt : std::optional(*by_end_.begin());
}

std::size_t LeaseDirectory::count_of(const consensus::ClientId& owner) const {
    const auto count = counts_.find(owner);
    return count == counts_.end() ? 0 : count->second;
}

}  // namespace loyal::kvstore
