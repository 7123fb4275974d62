#include "kvstore/operation_applier.h"

#include <algorithm>

#include "config/limits.h"
#include "kvstore/queries.h"

namespace loyal::kvstore {

namespace {

constexpr std::size_t block_result_bytes_max = 4 * (limits::range_bytes_max + 64);
constexpr std::uint64_t block_scan_max = 4 * range_count_max;

bool equal_bytes(ByteView a, ByteView b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

Applied refused(Status status) {
    return {status, {}, false};
}

}  // namespace

OperationApplier::OperationApplier(StateWriter& writer, std::uint64_t history_revisions)
    : writer_(writer), history_revisions_(history_revisions), result_bytes_left_(block_result_bytes_max) {}

Result<Applied> OperationApplier::apply(Caller& caller, const Operation& operation) {
    writer_.begin_operation();
    struct Dispatch {
        OperationApplier& applier;
        Caller& caller;
        Result<Applied> operator()(const Put& each) const { return applier.put(caller, each); }
        Result<Applied> operator()(const Delete& each) const { return applier.erase(each); }
        Result<Applied> operator()(const CompareAndSet& each) const { return applier.compare_and_set(each); }
        Result<Applied> operator()(const Range& each) const { return applier.query(caller, each); }
        Result<Applied> operator()(const Txn& each) const { return applier.txn(caller, each); }
        Result<Applied> operator()(const LeaseGrant& each) const { return applier.grant(caller, each); }
        Result<Applied> operator()(const LeaseRevoke& each) const { return applier.revoke(caller, each); }
        Result<Applied> operator()(const LeaseKeepAlive& each) const { return applier.keep_alive(caller, each); }
        Result<Applied> operator()(const LockAcquire& each) const { return applier.acquire(caller, each); }
        Result<Applied> operator()(const LockRelease& each) const { return applier.release(caller, each); }
        Result<Applied> operator()(const Compact& each) const { return applier.compact(each); }
        Result<Applied> operator()(const LeaseQuery& each) const { return applier.query(caller, each); }
        Result<Applied> operator()(const LockQuery& each) const { return applier.query(caller, each); }
        Result<Applied> operator()(const ClientAdd& each) const { return applier.add(each); }
        Result<Applied> operator()(const ClientRemove& each) const { return applier.remove(each); }
        Result<Applied> operator()(const RightGrant& each) const { return applier.grant(each); }
        Result<Applied> operator()(const RightRevoke& each) const { return applier.revoke(each); }
        Result<Applied> operator()(const ClientQuery& each) const { return applier.query(caller, each); }
    };
    return std::visit(Dispatch{*this, caller}, operation);
}

// ---- Keys

Result<Applied> OperationApplier::put(Caller& caller, const Put& put) {
    auto status = check_fence(writer_.view(), put.fence);
    if (status && *status == Status::ok && put.lease.value != 0) {
        status = check_lease(caller, put.lease, true);
    }
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status == Status::ok && put.ttl_ms != 0) {
        *status = may_grant(caller);
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    LeaseId lease = put.lease;
    if (put.ttl_ms != 0) {
        const auto granted = writer_.grant(caller.client, put.ttl_ms);
        if (!granted) {
            return tl::unexpected(granted.error());
        }
        lease = *granted;
    }
    return writer_.put_key(put.key, put.value, lease).map([&] {
        return Applied{Status::ok, put.ttl_ms != 0 ? encode_count(lease.value) : Bytes{}, false};
    });
}

Result<std::optional<std::vector<Bytes>>> OperationApplier::keys_of(const Delete& erase) {
    std::vector<Bytes> keys;
    if (!erase.end) {
        keys.push_back(erase.key);
        return std::optional(std::move(keys));
    }
    bool too_many = false;
    auto walked = writer_.reader().walk(erase.key, *erase.end, false, [&](ByteView key, const KeyView&) {
        too_many = keys.size() == limits::delete_keys_max;
        if (!too_many) {
            keys.emplace_back(key.begin(), key.end());
        }
        return !too_many;
    });
    if (!walked) {
        return tl::unexpected(walked.error());
    }
    return too_many ? std::nullopt : std::optional(std::move(keys));
}

Result<Applied> OperationApplier::erase(const Delete& erase) {
    const auto status = check_fence(writer_.view(), erase.fence);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    if (erase.end && writer_.view().scanned() >= block_scan_max) {
        return refused(Status::too_large);
    }
    const auto keys = keys_of(erase);
    if (!keys) {
        return tl::unexpected(keys.error());
    }
    if (!*keys) {
        return refused(Status::too_large);
    }
    std::uint64_t deleted = 0;
    for (const Bytes& key : **keys) {
        const auto done = writer_.delete_key(key);
        if (!done) {
            return tl::unexpected(done.error());
        }
        deleted += *done ? 1 : 0;
    }
    if (!erase.end) {
        return Applied{deleted == 0 ? Status::not_found : Status::ok, {}, false};
    }
    return Applied{Status::ok, encode_count(deleted), false};
}

Result<Applied> OperationApplier::compare_and_set(const CompareAndSet& cas) {
    const auto status = check_fence(writer_.view(), cas.fence);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    const auto previous = writer_.reader().find(cas.key);
    if (!previous) {
        return tl::unexpected(previous.error());
    }
    const bool matches = cas.expect ? *previous && equal_bytes((*previous)->value, *cas.expect) : !*previous;
    if (!matches) {
        return refused(Status::mismatch);
    }
    if (cas.value) {
        return writer_.put_key(cas.key, *cas.value, LeaseId()).map([] { return Applied{}; });
    }
    // Absent as expected and to stay so: nothing changes.
    return *previous ? writer_.delete_key(cas.key).map([](bool) { return Applied{}; }) : Result<Applied>(Applied{});
}

// ---- Queries

Result<Applied> OperationApplier::query(Caller& caller, const Query& query) {
    // A refused one empties the allowance: later ones are refused without being read.
    std::size_t& left = caller.result_bytes_left;
    const Applied no_room{Status::too_large, {}, true};
    if (left == 0 || result_bytes_left_ == 0 || writer_.view().scanned() >= block_scan_max) {
        return no_room;
    }
    writer_.flush_history();
    auto answer = answer_query({writer_.reader(), writer_.view(), writer_.meta(), writer_.clients()}, query,
                               limits::range_bytes_max);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    const std::size_t size = answer->result.size();
    if (size > std::min(left, result_bytes_left_)) {
        (size > left ? left : result_bytes_left_) = 0;
        return no_room;
    }
    left -= size;
    result_bytes_left_ -= size;
    return Applied{answer->status, std::move(answer->result), true};
}

// ---- Leases and locks

bool OperationApplier::may_use(const Caller& caller, const LeaseRecord& lease) const {
    const ClientRecord* client = writer_.clients().find(caller.client);
    return lease.owner == caller.client || (client != nullptr && is_operator(*client));
}

Result<Status> OperationApplier::check_lease(const Caller& caller, LeaseId id, bool for_item, std::size_t more_items) {
    const auto lease = writer_.lease(id);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    if (!*lease || !may_use(caller, **lease)) {
        return Status::no_lease;
    }
    return for_item && (*lease)->items + more_items > limits::lease_keys_max ? Status::exhausted : Status::ok;
}

Result<Applied> OperationApplier::grant(const Caller& caller, const LeaseGrant& grant) {
    if (const Status status = may_grant(caller); status != Status::ok) {
        return refused(status);
    }
    return writer_.grant(caller.client, grant.ttl_ms).map([](LeaseId id) {
        return Applied{Status::ok, encode_count(id.value), false};
    });
}

Result<Applied> OperationApplier::revoke(const Caller& caller, const LeaseRevoke& revoke) {
    const auto status = check_lease(caller, revoke.lease, false);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    return end_lease(revoke.lease).map([](std::uint64_t keys) {
        return Applied{Status::ok, encode_count(keys), false};
    });
}

Result<std::uint64_t> OperationApplier::end_lease(LeaseId id) {
    const auto keys = writer_.items_of(id, LeaseItem::key);
    const auto locks = writer_.items_of(id, LeaseItem::lock);
    if (!keys || !locks) {
        return tl::unexpected(keys ? locks.error() : keys.error());
    }
    for (const Bytes& key : *keys) {
        if (auto done = writer_.delete_key(key); !done) {
            return tl::unexpected(done.error());
        }
    }
    for (const Bytes& name : *locks) {
        if (auto done = release_lock(writer_, name, id); !done) {
            return tl::unexpected(done.error());
        }
    }
    writer_.remove_lease(id);
    return keys->size();
}

Result<Applied> OperationApplier::keep_alive(const Caller& caller, const LeaseKeepAlive& keep) {
    auto lease = writer_.lease(keep.lease);
    if (!lease) {
        return tl::unexpected(lease.error());
    }
    if (!*lease || !may_use(caller, **lease)) {
        return refused(Status::no_lease);
    }
    (*lease)->expires_ms = writer_.meta().lease_clock_ms + (*lease)->ttl_ms;
    writer_.put_lease(keep.lease, **lease);
    return Applied{Status::ok, encode_count((*lease)->ttl_ms), false};
}

Result<Applied> OperationApplier::acquire(const Caller& caller, const LockAcquire& acquire) {
    const auto status = check_lease(caller, acquire.lease, true);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    return acquire_lock(writer_, acquire, caller.client).map([](const LockAnswer& answer) {
        return answer.status == Status::ok ? Applied{Status::ok, encode_lock_place(answer.place), false}
                                           : refused(answer.status);
    });
}

Result<Applied> OperationApplier::release(const Caller& caller, const LockRelease& release) {
    const auto status = check_lease(caller, release.lease, false);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        return refused(*status);
    }
    return release_lock(writer_, release.name, release.lease).map([](Status done) { return refused(done); });
}

// ---- The past

Result<Applied> OperationApplier::compact(const Compact& compact) {
    const StateMeta& meta = writer_.meta();
    if (compact.revision > meta.revision) {
        return refused(Status::future_revision);
    }
    if (compact.revision <= meta.compacted) {
        return Applied{Status::compacted, encode_count(meta.compacted.value), false};
    }
    writer_.flush_history();
    const auto time = writer_.reader().time_of(compact.revision);
    if (!time) {
        return tl::unexpected(time.error());
    }
    writer_.forget_before(compact.revision, *time);
    return Applied{};
}

Result<void> OperationApplier::end_block() {
    std::uint64_t deleted = 0;
    const LeaseDirectory& leases = writer_.leases();
    for (auto next = leases.next(); next && next->first <= writer_.meta().lease_clock_ms; next = leases.next()) {
        if (deleted >= limits::delete_keys_max) {
            break;  // the rest in the next block
        }
        writer_.begin_operation();
        const auto keys = end_lease(next->second);
        if (!keys) {
            return tl::unexpected(keys.error());
        }
        deleted += *keys + 1;
    }
    return writer_.trim_history(history_revisions_);
}

Status OperationApplier::may_grant(const Caller& caller) const {
    return writer_.leases().count_of(caller.client) < limits::leases_per_client_max ? Status::ok : Status::exhausted;
}

}  // namespace loyal::kvstore
