// ReferenceModel: what the data model means (docs/DATA_MODEL.md), written a second time and as simply as possible:
// every version of every key, in memory. It shares no code with kvstore's state machine but types and the forms of
// answers. The simulator executes each block on it too and compares outcomes, and looks up what a read at some revision
// had to see; RapidCheck drives both with random operations. Rights, and the bounds that it takes thousands of keys,
// leases or bytes to reach, are not modelled.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "kvstore/operation.h"

namespace loyal::sim {

class ReferenceModel {
 public:
    struct Answer {
        kvstore::Status status = kvstore::Status::ok;
        Bytes result;
        friend bool operator==(const Answer&, const Answer&) = default;
    };

    // A block: its time, its operations in order, and what ends with it.
    void begin_block(consensus::Hlc now);
    [[nodiscard]] Answer apply(const kvstore::Operation& operation, const consensus::ClientId& client);
    void end_block();

    [[nodiscard]] Answer query(const kvstore::Query& query) const;
    // The answer to `range` in the state of `revision`.
    [[nodiscard]] kvstore::RangeResult read(kvstore::Range range, kvstore::Revision revision) const;

    [[nodiscard]] kvstore::Revision revision() const { return kvstore::Revision(times_.size() - 1); }
    [[nodiscard]] std::size_t leases() const { return leases_.size(); }

 private:
    struct Lease {
        consensus::ClientId owner;
        std::uint64_t ttl = 0;
        std::uint64_t ends = 0;
    };

    [[nodiscard]] const kvstore::Item* at(const Bytes& key, kvstore::Revision revision) const;
    [[nodiscard]] std::vector<kvstore::Item> live(const Bytes& begin, const std::optional<Bytes>& end,
                                                  kvstore::Revision revision) const;
    [[nodiscard]] std::vector<kvstore::Item> versions(const Bytes& key, kvstore::Revision revision) const;
    [[nodiscard]] std::vector<Bytes> keys_of(kvstore::LeaseId id) const;
    [[nodiscard]] kvstore::Status refusal(const kvstore::Range& range) const;
    [[nodiscard]] kvstore::RangeResult range(const kvstore::Range& range) const;
    [[nodiscard]] Answer answer(const kvstore::Range& query) const;
    [[nodiscard]] Answer answer(const kvstore::LockQuery& query) const;
    [[nodiscard]] Answer answer(const kvstore::LeaseQuery& query) const;
    [[nodiscard]] kvstore::Status fence(const std::optional<kvstore::Fence>& fence) const;
    [[nodiscard]] kvstore::Status lease_status(kvstore::LeaseId id, const consensus::ClientId& client) const;
    [[nodiscard]] bool holds(const kvstore::Compare& compare) const;
    [[nodiscard]] kvstore::Status refusal(const kvstore::TxnOperation& operation,
                                          const consensus::ClientId& client) const;
    void step();
    void add(kvstore::Item item);
    void set(const Bytes& key, const Bytes& value, kvstore::LeaseId lease);
    bool remove(const Bytes& key);
    kvstore::LeaseId grant(const consensus::ClientId& client, std::uint64_t ttl);
    std::uint64_t end(kvstore::LeaseId id);
    kvstore::Status leave(const Bytes& name, kvstore::LeaseId id);

    [[nodiscard]] Answer apply_one(const kvstore::Put& put, const consensus::ClientId& client);
    [[nodiscard]] Answer apply_one(const kvstore::Delete& erase);
    [[nodiscard]] Answer apply_one(const kvstore::CompareAndSet& cas);
    [[nodiscard]] Answer apply_one(const kvstore::Txn& txn, const consensus::ClientId& client);
    [[nodiscard]] Answer apply_one(const kvstore::LockAcquire& acquire, const consensus::ClientId& client);
    [[nodiscard]] Answer apply_one(const kvstore::Compact& compact);

    std::map<Bytes, std::vector<kvstore::Item>> keys_;     // all versions, by revision; version 0: deleted
    std::vector<consensus::Hlc> times_{consensus::Hlc()};  // of each revision
    bool stepped_ = false;
    consensus::Hlc now_;
    std::uint64_t clock_ = 0;  // the cluster's, in ms
    kvstore::Revision compacted_;
    std::uint64_t granted_ = 0;
    std::map<kvstore::LeaseId, Lease> leases_;
    std::map<Bytes, kvstore::LockReport> locks_;
};

}  // namespace loyal::sim
