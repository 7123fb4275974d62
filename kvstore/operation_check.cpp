// Bounds of operations in words, for who makes them: the codec asserts or refuses without telling why.
#include <string>

#include "config/limits.h"
#include "crypto/identity.h"
#include "kvstore/operation.h"

namespace loyal::kvstore {

namespace {

tl::unexpected<Error> out_of_bounds(std::string why) {
    return fail(Errc::invalid_argument, std::move(why));
}

Result<void> check_key(ByteView key, const char* what = "key", bool may_be_empty = false) {
    if (key.empty() && !may_be_empty) {
        return out_of_bounds(std::string("the ") + what + " is empty; give one of 1 to " +
                             std::to_string(limits::key_bytes_max) + " bytes");
    }
    if (key.size() > limits::key_bytes_max) {
        return out_of_bounds(std::string("the ") + what + " has " + std::to_string(key.size()) + " bytes; at most " +
                             std::to_string(limits::key_bytes_max) + " are allowed");
    }
    return {};
}

Result<void> check_value(ByteView value, std::size_t bytes_max = limits::value_bytes_max) {
    return value.size() <= bytes_max
               ? Result<void>()
               : Result<void>(out_of_bounds("the value has " + std::to_string(value.size()) + " bytes; at most " +
                                            std::to_string(bytes_max) + " are allowed"));
}

Result<void> check_ttl(std::uint64_t ttl_ms) {
    if (ttl_ms < limits::lease_ttl_ms_min || ttl_ms > limits::lease_ttl_ms_max) {
        return out_of_bounds("a time to live of " + std::to_string(ttl_ms) + " ms; give one from 1 s to 366 days");
    }
    return {};
}

Result<void> check_lease(LeaseId lease) {
    return lease.value != 0 ? Result<void>() : Result<void>(out_of_bounds("0 is no lease; they count from 1"));
}

Result<void> check_fence(const std::optional<Fence>& fence) {
    if (!fence) {
        return {};
    }
    if (fence->token == 0) {
        return out_of_bounds("0 is no fencing token; they count from 1");
    }
    return check_key(fence->lock, "name of the fence's lock");
}

Result<void> check_name(const std::string& name) {
    return crypto::is_valid_key_name(name)
               ? Result<void>()
               : Result<void>(out_of_bounds("\"" + name + "\" is no name of a client; use 1 to " +
                                            std::to_string(limits::client_name_bytes_max) +
                                            " letters, digits, dots, dashes and underscores"));
}

template <class Right>
Result<void> check_right(const Right& right) {
    if (right.rights == 0 || right.rights > rights_all) {
        return out_of_bounds("no such right; there are read, write and admin");
    }
    return check_name(right.client).and_then([&] { return check_key(right.prefix, "prefix", true); });
}

struct Checker {
    Result<void> operator()(const Put& put) const {
        if (put.lease.value != 0 && put.ttl_ms != 0) {
            return out_of_bounds("a put has a lease or a time to live, not both");
        }
        return check_key(put.key)
            .and_then([&] { return check_value(put.value); })
            .and_then([&] { return put.ttl_ms == 0 ? Result<void>() : check_ttl(put.ttl_ms); })
            .and_then([&] { return check_fence(put.fence); });
    }
    Result<void> operator()(const Delete& erase) const {
        return check_key(erase.key, "key", erase.end.has_value())
            .and_then([&] { return erase.end ? check_key(*erase.end, "end of the range", true) : Result<void>(); })
            .and_then([&] { return check_fence(erase.fence); });
    }
    Result<void> operator()(const CompareAndSet& cas) const {
        return check_key(cas.key)
            .and_then([&] { return cas.expect ? check_value(*cas.expect) : Result<void>(); })
            .and_then([&] { return cas.value ? check_value(*cas.value) : Result<void>(); })
            .and_then([&] { return check_fence(cas.fence); });
    }
    Result<void> operator()(const Range& range) const {
        if (range.revision && range.revision->value == 0) {
            return out_of_bounds("0 is no revision; they count from 1");
        }
        if (range.revision && range.at) {
            return out_of_bounds("a read is as of a revision or as of a time, not both");
        }
        if (range.history && (range.end || range.reverse || range.count_only || range.at)) {
            return out_of_bounds("a history is of one key, newest first, and may begin at a revision");
        }
        return check_key(range.begin, range.end ? "beginning of the range" : "key", range.end.has_value())
            .and_then([&] { return range.end ? check_key(*range.end, "end of the range", true) : Result<void>(); });
    }
    Result<void> operator()(const Txn& txn) const {
        const std::size_t most = std::max({txn.compares.size(), txn.then.size(), txn.otherwise.size()});
        if (most > limits::txn_parts_max) {
            return out_of_bounds("a transaction has at most " + std::to_string(limits::txn_parts_max) +
                                 " comparisons and as many operations in each branch, not " + std::to_string(most));
        }
        for (const Compare& compare : txn.compares) {
            if (auto checked = check_key(compare.key).and_then([&] { return check_value(compare.value); }); !checked) {
                return checked;
            }
        }
        for (const auto* branch : {&txn.then, &txn.otherwise}) {
            for (const TxnOperation& operation : *branch) {
                if (auto checked = std::visit(*this, operation); !checked) {
                    return checked;
                }
            }
        }
        return {};
    }
    Result<void> operator()(const LeaseGrant& grant) const { return check_ttl(grant.ttl_ms); }
    Result<void> operator()(const LeaseRevoke& revoke) const { return check_lease(revoke.lease); }
    Result<void> operator()(const LeaseKeepAlive& keep) const { return check_lease(keep.lease); }
    Result<void> operator()(const LockAcquire& acquire) const {
        return check_key(acquire.name, "name of the lock")
            .and_then([&] { return check_lease(acquire.lease); })
            .and_then([&] { return check_value(acquire.value, limits::lock_value_bytes_max); });
    }
    Result<void> operator()(const LockRelease& release) const {
        return check_key(release.name, "name of the lock").and_then([&] { return check_lease(release.lease); });
    }
    Result<void> operator()(const Compact& compact) const {
        return compact.revision.value != 0 ? Result<void>()
                                           : Result<void>(out_of_bounds("0 is no revision; they count from 1"));
    }
    Result<void> operator()(const LeaseQuery& query) const {
        return query.lease.value == 0 || query.after.value == 0
                   ? Result<void>()
                   : Result<void>(out_of_bounds("a query is for one lease or for the list"));
    }
    Result<void> operator()(const LockQuery& query) const { return check_key(query.name, "name of the lock"); }
    Result<void> operator()(const ClientAdd& add) const { return check_name(add.name); }
    Result<void> operator()(const ClientRemove& remove) const { return check_name(remove.name); }
    Result<void> operator()(const RightGrant& grant) const { return check_right(grant); }
    Result<void> operator()(const RightRevoke& revoke) const { return check_right(revoke); }
    Result<void> operator()(const ClientQuery& query) const {
        return query.after.empty() ? Result<void>() : check_name(query.after);
    }
};

}  // namespace

Result<void> check_operation(const Operation& operation) {
    return std::visit(Checker{}, operation);
}

}  // namespace loyal::kvstore
