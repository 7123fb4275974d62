// What `status` makes of the replicas' answers (contract, "JSON"). Pure.
#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "client/client.h"
#include "config/cluster.h"

namespace loyal::cli {

// The document of `status -w json`. A replica that did not answer has a row with its id, "reachable": false, why, and
// nulls; fields that a replica left out are null.
[[nodiscard]] nlohmann::ordered_json status_document(const config::Cluster& cluster,
                                                     const std::vector<client::ReplicaStatus>& answers);
// A row a replica that fits a terminal of 120 columns; alarms, long faults and why somebody is unreachable are below.
[[nodiscard]] std::string status_table(const nlohmann::ordered_json& document);

}  // namespace loyal::cli
