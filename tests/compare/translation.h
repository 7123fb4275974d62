// What an operation is in etcd's words, and what the two answers are in common ones: JSON objects that are equal when
// the answers mean the same (differences.h). Keys and values in base64, revisions as this store counts them.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kvstore/operation.h"

namespace loyal::compare {

struct EtcdRequest {
    std::string method;  // such as "kv/put"
    nlohmann::json body;
};
// More than one when etcd needs several; the last one's answer is the operation's. `next_lease` is the id that a lease
// gets that is granted by it. The operation is one of in_common (differences.h), otherwise std::logic_error.
//
// `empty` is etcd's revision at which both stores were empty: 1 when it is new, later when it was emptied. It is this
// store's 0.
[[nodiscard]] std::vector<EtcdRequest> to_etcd(const kvstore::Operation& operation, kvstore::LeaseId next_lease,
                                               kvstore::Revision empty);

[[nodiscard]] nlohmann::json said_by_etcd(const kvstore::Operation& operation, const nlohmann::json& answer,
                                          kvstore::Revision empty);
[[nodiscard]] nlohmann::json said_by_us(const kvstore::Operation& operation, const kvstore::Outcome& outcome);

// A refusal in common words, and whether an answer is one.
[[nodiscard]] nlohmann::json refused(kvstore::Status status);
[[nodiscard]] bool is_refusal(const nlohmann::json& said);

}  // namespace loyal::compare
