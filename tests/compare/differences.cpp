#include "tests/compare/differences.h"

#include <algorithm>

namespace loyal::compare {

using kvstore::CompareAndSet;
using kvstore::Delete;
using kvstore::Operation;
using kvstore::Put;
using kvstore::Range;
using kvstore::Txn;
using kvstore::TxnOperation;

namespace {

template <class Predicate>
bool any_branch(const kvstore::Operation& operation, const Predicate& predicate) {
    const auto* txn = std::get_if<Txn>(&operation);
    return txn != nullptr && (predicate(txn->then) || predicate(txn->otherwise));
}

bool asks_for_a_lease(const TxnOperation& operation) {
    const auto* put = std::get_if<Put>(&operation);
    return put != nullptr && put->lease.value != 0;
}

bool asks_for_a_revision(const TxnOperation& operation) {
    const auto* range = std::get_if<Range>(&operation);
    return range != nullptr && range->revision.has_value();
}

// Nothing passes of a thousand times a time to live of seconds: blocks are a millisecond apart, and etcd lives for
// less. Whole seconds, because etcd knows no others.
std::uint64_t long_enough(std::uint64_t ttl_ms) {
    return ttl_ms / 1000 * 1'000'000;
}

bool is_in_common(const Range& range) {
    return !range.history;
}
void reduce(Put& put) {
    put.fence.reset();
    put.ttl_ms = long_enough(put.ttl_ms);
}
void reduce(Range& range) {
    range.at.reset();
}
void reduce(std::vector<TxnOperation>& branch) {
    std::erase_if(branch, [](const TxnOperation& each) {
        const auto* range = std::get_if<Range>(&each);
        return range != nullptr && !is_in_common(*range);
    });
    for (TxnOperation& each : branch) {
        if (auto* put = std::get_if<Put>(&each)) {
            reduce(*put);
            put->ttl_ms = 0;
        } else if (auto* erase = std::get_if<Delete>(&each)) {
            erase->fence.reset();
        } else {
            reduce(std::get<Range>(each));
        }
    }
}

}  // namespace

std::optional<Operation> in_common(Operation operation) {
    if (auto* put = std::get_if<Put>(&operation)) {
        reduce(*put);
    } else if (auto* erase = std::get_if<Delete>(&operation)) {
        erase->fence.reset();
    } else if (auto* cas = std::get_if<CompareAndSet>(&operation)) {
        cas->fence.reset();
    } else if (auto* range = std::get_if<Range>(&operation)) {
        reduce(*range);
        return is_in_common(*range) ? std::optional(operation) : std::nullopt;
    } else if (auto* txn = std::get_if<Txn>(&operation)) {
        reduce(txn->then);
        reduce(txn->otherwise);
    } else if (auto* grant = std::get_if<kvstore::LeaseGrant>(&operation)) {
        grant->ttl_ms = long_enough(grant->ttl_ms);
    } else if (!std::holds_alternative<kvstore::LeaseRevoke>(operation) &&
               !std::holds_alternative<kvstore::LeaseKeepAlive>(operation) &&
               !std::holds_alternative<kvstore::LeaseQuery>(operation) &&
               !std::holds_alternative<kvstore::Compact>(operation)) {
        return std::nullopt;
    }
    return operation;
}

bool may_have_several_reasons(const kvstore::Operation& operation) {
    return any_branch(operation, [](const std::vector<TxnOperation>& branch) {
        return std::any_of(branch.begin(), branch.end(), asks_for_a_lease) &&
               std::any_of(branch.begin(), branch.end(), asks_for_a_revision);
    });
}

bool overlaps_to_the_end(const kvstore::Operation& operation) {
    return any_branch(operation, [](const std::vector<TxnOperation>& branch) {
        return std::any_of(branch.begin(), branch.end(), [&](const TxnOperation& each) {
            const auto* erase = std::get_if<Delete>(&each);
            return erase != nullptr && erase->end && erase->end->empty() &&
                   std::any_of(branch.begin(), branch.end(), [&](const TxnOperation& other) {
                       const auto* put = std::get_if<Put>(&other);
                       return put != nullptr && text_of(put->key) >= text_of(erase->key);
                   });
        });
    });
}

}  // namespace loyal::compare
