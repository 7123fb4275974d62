// One state machine of this store and one etcd that start empty and are told the same. Whatever they answer differently
// is thrown as Difference, with everything that both were told before it.
#pragma once

#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

#include "tests/compare/etcd_client.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::compare {

struct Difference : std::runtime_error {
    using runtime_error::runtime_error;
};

class Pair {
 public:
    // Empties the etcd.
    explicit Pair(EtcdClient& etcd);

    // An operation of in_common (differences.h).
    void apply(const kvstore::Operation& operation);
    // The same of what changes nothing, answered without being ordered.
    void ask(const kvstore::Query& query);
    // All keys, as they are and as of `revision`, and all leases with their keys. Unordered.
    void compare_everything(kvstore::Revision revision);
    // This store's data goes to its disk, and is read from there afterwards; nobody should notice.
    void flush() { store_.flush(); }
    void restart() {
        flush();
        store_.reopen();
    }

    [[nodiscard]] kvstore::Revision revision() { return store_->revision(); }
    // Since the beginning.
    [[nodiscard]] std::uint64_t operations() const { return operations_; }
    [[nodiscard]] std::uint64_t answers() const { return answers_; }

 private:
    void empty_etcd();
    [[nodiscard]] nlohmann::json told_by_etcd(const kvstore::Operation& operation);
    void compare(const kvstore::Operation& operation, const kvstore::Outcome& outcome);

    EtcdClient& etcd_;
    kvstore::test::Machine store_;
    kvstore::Revision empty_;  // translation.h
    kvstore::LeaseId next_lease_{1};
    std::string told_;
    std::uint64_t operations_ = 0;
    std::uint64_t answers_ = 0;
};

}  // namespace loyal::compare
