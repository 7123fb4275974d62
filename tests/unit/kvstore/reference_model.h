// A second way to say what the data model means, for tests: everything that ever happened in one list, looked through
// from the beginning for each answer. Slow, plain, and knows nothing of blocks' storage.
#pragma once

#include <map>
#include <set>
#include <vector>

#include "kvstore/operation.h"

namespace loyal::kvstore::test {

class ReferenceModel {
 public:
    struct Answer {
        Status status = Status::ok;
        Bytes result;
        friend bool operator==(const Answer&, const Answer&) = default;
    };

    void begin_block(consensus::Hlc now);
    [[nodiscard]] Answer apply(const Operation& operation, const consensus::ClientId& client);
    void end_block();
    [[nodiscard]] Answer query(const Query& query) const;

    [[nodiscard]] Revision revision() const { return Revision(revision_); }
    [[nodiscard]] std::size_t leases() const { return leases_.size(); }

 private:
    struct Event {
        std::uint64_t revision = 0;
        Item item;  // version 0: deleted
    };
    struct Lease {
        consensus::ClientId owner;
        std::uint64_t ttl = 0;
        std::uint64_t ends = 0;
    };

    [[nodiscard]] const Item* at(const Bytes& key, std::uint64_t revision) const;
    [[nodiscard]] std::vector<Item> live(const Bytes& begin, const std::optional<Bytes>& end,
                                         std::uint64_t revision) const;
    [[nodiscard]] Status refusal(const Range& range) const;
    [[nodiscard]] RangeResult range(const Range& range) const;
    [[nodiscard]] Answer answer(const Range& query) const;
    [[nodiscard]] Status fence(const std::optional<Fence>& fence) const;
    [[nodiscard]] Status lease_status(LeaseId id, const consensus::ClientId& client) const;
    [[nodiscard]] std::uint64_t keys_of(LeaseId id) const;
    void step();
    void set(const Bytes& key, const Bytes& value, LeaseId lease);
    bool remove(const Bytes& key);
    LeaseId grant(const consensus::ClientId& client, std::uint64_t ttl);
    std::uint64_t end(LeaseId id);
    Status leave(const Bytes& name, LeaseId id);

    [[nodiscard]] Answer apply_one(const Put& put, const consensus::ClientId& client);
    [[nodiscard]] Answer apply_one(const Delete& erase);
    [[nodiscard]] Answer apply_one(const CompareAndSet& cas);
    [[nodiscard]] Answer apply_one(const Txn& txn, const consensus::ClientId& client);
    [[nodiscard]] Answer apply_one(const LockAcquire& acquire, const consensus::ClientId& client);

    std::vector<Event> events_;
    std::uint64_t revision_ = 0;
    bool stepped_ = false;
    consensus::Hlc now_;
    std::uint64_t clock_ = 0;
    std::uint64_t compacted_ = 0;
    consensus::Hlc compacted_at_;
    std::uint64_t granted_ = 0;
    std::map<LeaseId, Lease> leases_;
    std::map<Bytes, LockReport> locks_;
};

}  // namespace loyal::kvstore::test
