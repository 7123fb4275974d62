// What an operation is in etcd's words, and what the two answers are in common ones: JSON objects that are equal when the
// answers mean the same (differences.h). Keys and values in base64, revisions as this store counts them.
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
// gets that is granted by it. The operation has a counterpart in etcd (asserted).
[[nodiscard]] std::vector<EtcdRequest> to_etcd(const kvstore::Operation& operation, kvstore::LeaseId next_lease);

[[nodiscard]] nlohmann::json said_by_etcd(const kvstore::Operation& operation, const nlohmann::json& answer);
[[nodiscard]] nlohmann::json said_by_us(const kvstore::Operation& operation, const kvstore::Outcome& outcome);

// Of an answer in common words.
[[nodiscard]] bool is_refusal(const nlohmann::json& said);

}  // namespace loyal::compare
