// Transactions: comparisons, then all of one branch at one revision, or nothing (operation.h; etcd's order of effects:
// one operation after the other, reads see what was written before them).
#include <algorithm>
#include <map>
#include <set>

#include "config/limits.h"
#include "kvstore/operation_applier.h"

namespace loyal::kvstore {

namespace {

template <class T>
bool related(Relation relation, const T& a, const T& b) {
    switch (relation) {
        case Relation::equal: return a == b;
        case Relation::not_equal: return a != b;
        case Relation::less: return a < b;
        case Relation::greater: return b < a;
    }
    return false;
}

std::uint64_t number_of(CompareTarget target, const std::optional<KeyView>& view) {
    if (!view) {
        return 0;
    }
    switch (target) {
        case CompareTarget::version: return view->version;
        case CompareTarget::created: return view->created.value;
        case CompareTarget::modified: return view->id.revision.value;
        case CompareTarget::lease: return view->lease.value;
        case CompareTarget::value: break;
    }
    return 0;
}

bool deletes(const Delete& erase, ByteView key) {
    const BytesLess less;
    if (!erase.end) {
        return !less(key, erase.key) && !less(erase.key, key);
    }
    return !less(key, erase.key) && (erase.end->empty() || less(key, *erase.end));
}

// No key is put twice, or put and deleted, in one branch.
bool is_consistent(const std::vector<TxnOperation>& branch) {
    std::set<ByteView, BytesLess> keys;
    for (const TxnOperation& operation : branch) {
        if (const auto* put = std::get_if<Put>(&operation); put != nullptr && !keys.insert(put->key).second) {
            return false;
        }
    }
    return std::none_of(branch.begin(), branch.end(), [&](const TxnOperation& operation) {
        const auto* erase = std::get_if<Delete>(&operation);
        if (erase == nullptr) {
            return false;
        }
        const auto first = keys.lower_bound(erase->key);
        return first != keys.end() && deletes(*erase, *first);
    });
}

}  // namespace

Result<bool> OperationApplier::holds(const Compare& compare) {
    const auto found = writer_.reader().find(compare.key);
    if (!found) {
        return tl::unexpected(found.error());
    }
    if (compare.target != CompareTarget::value) {
        return related(compare.relation, number_of(compare.target, *found), compare.number);
    }
    return *found && related(compare.relation, text_of((*found)->value), text_of(compare.value));
}

// Everything that could refuse one of the operations, so that none is applied then.
Result<Status> OperationApplier::check_branch(const Caller& caller, const std::vector<TxnOperation>& branch) {
    std::map<LeaseId, std::size_t> attached;
    std::size_t grants = 0;
    for (const TxnOperation& operation : branch) {
        Result<Status> status = Status::ok;
        if (const auto* put = std::get_if<Put>(&operation)) {
            status = check_fence(writer_.view(), put->fence);
            if (status && *status == Status::ok && put->lease.value != 0) {
                status = check_lease(caller, put->lease, true, ++attached[put->lease]);
            }
            grants += put->ttl_ms != 0 ? 1 : 0;
        } else if (const auto* erase = std::get_if<Delete>(&operation)) {
            status = check_fence(writer_.view(), erase->fence);
            if (status && *status == Status::ok) {
                status = keys_of(*erase).map([](const auto& keys) { return keys ? Status::ok : Status::too_large; });
            }
        } else {
            status = writer_.reader().check(std::get<Range>(operation));
        }
        if (!status || *status != Status::ok) {
            return status;
        }
    }
    const bool too_many = writer_.leases().count_of(caller.client) + grants > limits::leases_per_client_max;
    return grants > 0 && too_many ? Status::exhausted : Status::ok;
}

Result<TxnPart> OperationApplier::apply_part(const Caller& caller, const TxnOperation& operation,
                                             std::size_t& bytes_left) {
    if (const auto* put = std::get_if<Put>(&operation)) {
        const Result<LeaseId> lease =
            put->ttl_ms != 0 ? writer_.grant(caller.client, put->ttl_ms) : Result<LeaseId>(put->lease);
        if (!lease) {
            return tl::unexpected(lease.error());
        }
        return writer_.put_key(put->key, put->value, *lease).map([]() -> TxnPart { return PutDone{}; });
    }
    if (const auto* erase = std::get_if<Delete>(&operation)) {
        const auto keys = keys_of(*erase);
        if (!keys) {
            return tl::unexpected(keys.error());
        }
        DeleteDone done;
        for (const Bytes& key : keys->value_or(std::vector<Bytes>{})) {
            const auto deleted = writer_.delete_key(key);
            if (!deleted) {
                return tl::unexpected(deleted.error());
            }
            done.keys += *deleted ? 1 : 0;
        }
        return TxnPart(done);
    }
    writer_.flush_history();
    auto answer = writer_.reader().range(std::get<Range>(operation), bytes_left, false);
    if (!answer) {
        return tl::unexpected(answer.error());
    }
    bytes_left -= std::min(bytes_left, encode_range_result(answer->range).size());
    return TxnPart(std::move(answer->range));
}

Result<Applied> OperationApplier::txn(Caller& caller, const Txn& txn) {
    if (!is_consistent(txn.then) || !is_consistent(txn.otherwise)) {
        return Applied{Status::invalid, {}, false};
    }
    bool succeeded = true;
    for (const Compare& compare : txn.compares) {
        const auto held = holds(compare);
        if (!held) {
            return tl::unexpected(held.error());
        }
        succeeded = succeeded && *held;
    }
    const std::vector<TxnOperation>& branch = succeeded ? txn.then : txn.otherwise;
    const auto status = check_branch(caller, branch);
    if (!status) {
        return tl::unexpected(status.error());
    }
    if (*status != Status::ok) {
        Bytes result = *status == Status::compacted ? encode_count(writer_.meta().compacted.value) : Bytes{};
        return Applied{*status, std::move(result), false};
    }
    TxnResult result;
    result.succeeded = succeeded;
    result.parts.emplace();
    std::size_t bytes_left = std::min(caller.result_bytes_left, result_bytes_left_);
    const std::size_t bytes_before = bytes_left;
    for (const TxnOperation& operation : branch) {
        auto part = apply_part(caller, operation, bytes_left);
        if (!part) {
            return tl::unexpected(part.error());
        }
        result.parts->push_back(std::move(*part));
    }
    caller.result_bytes_left -= bytes_before - bytes_left;
    result_bytes_left_ -= bytes_before - bytes_left;
    return Applied{Status::ok, encode_txn_result(result), false};
}

}  // namespace loyal::kvstore
