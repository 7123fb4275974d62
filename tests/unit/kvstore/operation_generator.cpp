#include "tests/unit/kvstore/operation_generator.h"

#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore::test {

Operation OperationGenerator::operation() const {
    switch (one_of(16)) {
        case 0:
        case 1: return erase();
        case 2: return compare_and_set();
        case 3:
        case 4: return range();
        case 5:
        case 6: return txn();
        case 7: return LeaseGrant{pick<std::uint64_t>({1'000, 3'000, 60'000})};
        case 8: return maybe() ? Operation(LeaseRevoke{lease()}) : Operation(LeaseKeepAlive{lease()});
        case 9: return LockAcquire{name(), lease(), maybe() ? bytes_of("me") : Bytes{}};
        case 10: return LockRelease{name(), lease()};
        case 11: return one_of(4) == 0 ? Operation(Compact{revision()}) : Operation(put());
        default: return put();
    }
}
Query OperationGenerator::query() const {
    switch (one_of(5)) {
        case 0: return LockQuery{name()};
        case 1: return LeaseQuery{maybe() ? lease() : LeaseId(), {}, 0};
        default: return range();
    }
}

// Few keys, so that they meet; some are prefixes of others, some have a zero byte.
Bytes OperationGenerator::key() const {
    return bytes_of(pick<std::string>({std::string("\0", 1), std::string("\0a", 2), "a", "aa", "ab", "b",
                                       std::string("b\0", 2), "ba", "c", "\xff", "\xff\xff"}));
}
// One is stored apart in the history, one fills a record of it.
Bytes OperationGenerator::value() const {
    return bytes_of(pick<std::string>({"", "1", "2", "2", std::string(3000, 'x'), std::string(20'000, 'y')}));
}
Bytes OperationGenerator::name() const {
    return bytes_of(pick<std::string>({"lock", "a"}));
}
LeaseId OperationGenerator::lease() const {
    return LeaseId(1 + one_of(6));
}
Revision OperationGenerator::revision() const {
    return Revision(1 + one_of(revision_of_store_().value + 2));
}
std::optional<Fence> OperationGenerator::fence() const {
    return one_of(8) == 0 ? std::optional(Fence{name(), 1 + up_to(3)}) : std::nullopt;
}
Put OperationGenerator::put() const {
    Put put{key(), value(), {}, 0, fence()};
    switch (one_of(6)) {
        case 0: put.lease = lease(); break;
        case 1: put.ttl_ms = 1'000 + up_to(3'000); break;
        default: break;
    }
    return put;
}
Delete OperationGenerator::erase() const {
    Delete erase{key(), {}, fence()};
    if (one_of(4) == 0) {
        erase.end = maybe() ? key() : Bytes();
        erase.key = one_of(4) == 0 ? Bytes() : erase.key;
    }
    return erase;
}
CompareAndSet OperationGenerator::compare_and_set() const {
    CompareAndSet cas;
    cas.key = key();
    if (maybe()) {
        cas.expect = value();
    }
    if (maybe()) {
        cas.value = value();
    }
    cas.fence = fence();
    return cas;
}
Range OperationGenerator::range() const {
    Range range;
    range.begin = key();
    range.keys_only = maybe();
    range.limit = static_cast<std::uint32_t>(up_to(4));
    if (one_of(4) == 0) {
        range.revision = revision();
    }
    if (one_of(5) == 0) {
        range.history = true;
        return range;
    }
    if (!range.revision && one_of(5) == 0) {
        range.at = consensus::Hlc(test::start_ms + up_to(20'000), 0);
    }
    if (one_of(4) != 0) {
        range.end = maybe() ? key() : Bytes();
        range.begin = maybe() ? range.begin : Bytes();
    }
    range.reverse = maybe();
    range.count_only = one_of(5) == 0;
    return range;
}
Compare OperationGenerator::compare() const {
    Compare compare;
    compare.key = key();
    compare.target = pick({CompareTarget::value, CompareTarget::version, CompareTarget::created,
                           CompareTarget::modified, CompareTarget::lease});
    compare.relation = pick({Relation::equal, Relation::not_equal, Relation::less, Relation::greater});
    const bool of_revisions = compare.target == CompareTarget::created || compare.target == CompareTarget::modified;
    if (compare.target == CompareTarget::value) {
        compare.value = value();
    } else {
        compare.number = of_revisions && one_of(4) != 0 ? revision().value : up_to(3);
    }
    return compare;
}
std::vector<TxnOperation> OperationGenerator::branch() const {
    std::vector<TxnOperation> branch;
    for (std::uint64_t left = up_to(4); left > 0; --left) {
        switch (one_of(4)) {
            case 0: branch.emplace_back(erase()); break;
            case 1: branch.emplace_back(range()); break;
            default: branch.emplace_back(put()); break;
        }
    }
    return branch;
}
Txn OperationGenerator::txn() const {
    Txn txn;
    for (std::uint64_t left = one_of(3); left > 0; --left) {
        txn.compares.push_back(compare());
    }
    txn.then = branch();
    txn.otherwise = branch();
    return txn;
}

}  // namespace loyal::kvstore::test
