// Which rights an operation needs, and where (rights.h).
#include <algorithm>

#include "kvstore/operation.h"

namespace loyal::kvstore {

namespace {

const KeySpan all_keys{{}, ByteView{}};

std::optional<ByteView> end_of(const std::optional<Bytes>& end) {
    return end ? std::optional<ByteView>(*end) : std::nullopt;
}

KeySpan below(const Bytes& prefix) {
    // The rights below a prefix are given by who has them for each key there: for the prefix as a range of its own.
    return {prefix, std::nullopt};
}

struct Needs {
    const ClientRecord& client;

    bool operator()(const Put& put) const { return may(client, {put.key, {}}, right_write); }
    bool operator()(const Delete& erase) const { return may(client, {erase.key, end_of(erase.end)}, right_write); }
    bool operator()(const CompareAndSet& cas) const { return may(client, {cas.key, {}}, right_write); }
    bool operator()(const Range& range) const { return may(client, {range.begin, end_of(range.end)}, right_read); }
    bool operator()(const Txn& txn) const {
        const auto branch_ok = [&](const std::vector<TxnOperation>& branch) {
            return std::all_of(branch.begin(), branch.end(),
                               [&](const TxnOperation& each) { return std::visit(*this, each); });
        };
        const bool compares = std::all_of(txn.compares.begin(), txn.compares.end(), [&](const Compare& compare) {
            return may(client, {compare.key, {}}, right_read);
        });
        return compares && branch_ok(txn.then) && branch_ok(txn.otherwise) &&
               may_anything(client, right_read | right_write);
    }
    bool operator()(const LeaseGrant&) const { return may_anything(client, right_write); }
    bool operator()(const LeaseRevoke&) const { return may_anything(client, right_write); }
    bool operator()(const LeaseKeepAlive&) const { return may_anything(client, right_write); }
    bool operator()(const LockAcquire& acquire) const { return may(client, {acquire.name, {}}, right_write); }
    bool operator()(const LockRelease& release) const { return may(client, {release.name, {}}, right_write); }
    bool operator()(const Compact&) const { return may(client, all_keys, right_write); }
    bool operator()(const LeaseQuery&) const { return may_anything(client, right_read); }
    bool operator()(const LockQuery& query) const { return may(client, {query.name, {}}, right_read); }
    bool operator()(const ClientAdd&) const { return is_operator(client); }
    bool operator()(const ClientRemove&) const { return is_operator(client); }
    bool operator()(const RightGrant& grant) const { return may(client, below(grant.prefix), right_admin); }
    bool operator()(const RightRevoke& revoke) const { return may(client, below(revoke.prefix), right_admin); }
    bool operator()(const ClientQuery&) const { return is_operator(client); }
};

}  // namespace

Range range_of(const ChangeQuery& query) {
    Range range;
    range.begin = query.begin;
    range.end = query.end;
    return range;
}

bool allows(const ClientRecord& client, const Operation& operation) {
    return std::visit(Needs{client}, operation);
}

bool allows(const ClientRecord& client, const Query& query) {
    return std::visit(Needs{client}, query);
}

}  // namespace loyal::kvstore
