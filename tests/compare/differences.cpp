#include "tests/compare/differences.h"

#include <algorithm>

namespace loyal::compare {

using kvstore::Delete;
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

}  // namespace

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
