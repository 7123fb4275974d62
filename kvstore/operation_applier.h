// Applies single operations to the state: what each does, and with what status (operation.h, outcome.h). Sessions, time
// and repetition are the block executor's. One object a block; deterministic; one thread. Errors are the store's.
#pragma once

#include "kvstore/locks.h"
#include "kvstore/operation.h"
#include "kvstore/state_writer.h"

namespace loyal::kvstore {

struct Applied {
    Status status = Status::ok;
    Bytes result;
    bool repeatable = false;  // a query: executed again for a retry
};

// Who asks, and what its reply still has room for: a reply carries one full page, a block a few of them. Beyond that
// ranges answer too_large, so that no client can make every replica copy gigabytes within one block.
struct Caller {
    consensus::ClientId client;
    std::size_t result_bytes_left = 0;
};

class OperationApplier {
 public:
    // `writer` outlives it.
    OperationApplier(StateWriter& writer, std::uint64_t history_revisions);

    [[nodiscard]] Result<Applied> apply(Caller& caller, const Operation& operation);
    // Behind the last envelope: leases end, and what the history is not to keep goes.
    [[nodiscard]] Result<void> end_block();

 private:
    [[nodiscard]] Result<Applied> put(Caller& caller, const Put& put);
    [[nodiscard]] Result<Applied> erase(const Delete& erase);
    [[nodiscard]] Result<Applied> compare_and_set(const CompareAndSet& cas);
    [[nodiscard]] Result<Applied> query(Caller& caller, const Query& query);
    [[nodiscard]] Result<Applied> grant(const Caller& caller, const LeaseGrant& grant);
    [[nodiscard]] Result<Applied> revoke(const Caller& caller, const LeaseRevoke& revoke);
    [[nodiscard]] Result<Applied> keep_alive(const Caller& caller, const LeaseKeepAlive& keep);
    [[nodiscard]] Result<Applied> acquire(const Caller& caller, const LockAcquire& acquire);
    [[nodiscard]] Result<Applied> release(const Caller& caller, const LockRelease& release);
    [[nodiscard]] Result<Applied> compact(const Compact& compact);

    // Clients and their rights (client_applier.cpp)
    [[nodiscard]] Result<Applied> add(const ClientAdd& add);
    [[nodiscard]] Result<Applied> remove(const ClientRemove& remove);
    [[nodiscard]] Result<Applied> grant(const RightGrant& grant);
    [[nodiscard]] Result<Applied> revoke(const RightRevoke& revoke);

    // Transactions (txn_applier.cpp)
    [[nodiscard]] Result<Applied> txn(Caller& caller, const Txn& txn);
    [[nodiscard]] Result<bool> holds(const Compare& compare);
    [[nodiscard]] Result<Status> check_branch(const Caller& caller, const std::vector<TxnOperation>& branch);
    [[nodiscard]] Result<TxnPart> apply_part(const Caller& caller, const TxnOperation& operation,
                                             std::size_t& bytes_left);

    // ---- Parts of them
    // Not there, or somebody else's: Status::no_lease.
    [[nodiscard]] Result<Status> check_lease(const Caller& caller, LeaseId id, bool for_item,
                                             std::size_t more_items = 1);
    [[nodiscard]] Status may_grant(const Caller& caller) const;
    // Its owner, or an operator.
    [[nodiscard]] bool may_use(const Caller& caller, const LeaseRecord& lease) const;
    [[nodiscard]] Result<std::uint64_t> end_lease(LeaseId id);
    // The keys of a delete, or nothing when there are more than limits::delete_keys_max.
    [[nodiscard]] Result<std::optional<std::vector<Bytes>>> keys_of(const Delete& erase);

    StateWriter& writer_;
    std::uint64_t history_revisions_;
    std::size_t result_bytes_left_;
};

}  // namespace loyal::kvstore
