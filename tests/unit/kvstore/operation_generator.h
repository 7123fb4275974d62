// Random operations and queries that have something to do with each other, for RapidCheck properties. Whoever wants
// other kinds of them, or other keys, adds them here, so that every comparison of the data model gets them.
#pragma once

#include <rapidcheck.h>

#include <functional>
#include <initializer_list>
#include <vector>

#include "kvstore/operation.h"

namespace loyal::kvstore::test {

template <class T>
T pick(std::initializer_list<T> from) {
    return *rc::gen::elementOf(std::vector<T>(from));
}
inline bool maybe() {
    return *rc::gen::arbitrary<bool>();
}
// From 0; small in small test cases.
inline std::uint64_t up_to(std::uint64_t most) {
    return *rc::gen::inRange<std::uint64_t>(0, most + 1);
}
// From 0, below `cases`; all are as likely in every test case. Shrinks to 0.
inline std::uint64_t one_of(std::uint64_t cases) {
    return *rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint64_t>(0, cases));
}

class OperationGenerator {
 public:
    // `revision` is that of the store whose operations they are to be, at any time.
    explicit OperationGenerator(std::function<Revision()> revision) : revision_of_store_(std::move(revision)) {}

    [[nodiscard]] Operation operation() const;
    [[nodiscard]] Query query() const;
    // From 1 to one that is not there yet.
    [[nodiscard]] Revision revision() const;

 private:
    [[nodiscard]] Bytes key() const;
    [[nodiscard]] Bytes value() const;
    [[nodiscard]] Bytes name() const;
    [[nodiscard]] LeaseId lease() const;
    [[nodiscard]] std::optional<Fence> fence() const;
    [[nodiscard]] Put put() const;
    [[nodiscard]] Delete erase() const;
    [[nodiscard]] CompareAndSet compare_and_set() const;
    [[nodiscard]] Range range() const;
    [[nodiscard]] Compare compare() const;
    [[nodiscard]] std::vector<TxnOperation> branch() const;
    [[nodiscard]] Txn txn() const;

    std::function<Revision()> revision_of_store_;
};

}  // namespace loyal::kvstore::test
