// What stands after '=' in a behaviour. Errors are Errc::invalid_argument and say what is expected. Pure. Private to
// replica/faults.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "config/result.h"
#include "consensus/types.h"
#include "replica/faults/fault_model.h"

namespace loyal::replica::faults {

// ---- The form alone, without a cluster
[[nodiscard]] Result<void> check_ids(const std::string& argument);      // "1" or "1,2,3", none twice
[[nodiscard]] Result<void> check_clients(const std::string& argument);  // "all", or names and ids between commas
[[nodiscard]] Result<void> check_offset(const std::string& argument);
[[nodiscard]] Result<void> check_probability(const std::string& argument);
[[nodiscard]] Result<void> check_victim(const std::string& argument);    // censor's
[[nodiscard]] Result<void> check_transfer(const std::string& argument);  // bad-state-transfer's

// ---- In a cluster
// Each a replica of it, and another than the one that is told.
[[nodiscard]] Result<std::set<consensus::ReplicaId>> ids_of(const FaultContext& context, const std::string& argument);
// "+10s", "-1h": with its sign.
[[nodiscard]] Result<std::int64_t> parse_offset_ms(std::string_view text);
// Above 0, at most 1.
[[nodiscard]] Result<double> parse_probability(std::string_view text);
// The clients that a word means: a name of cluster.toml, or the first hexadecimal digits of an id.
[[nodiscard]] Result<std::set<consensus::ClientId>> clients_named(const FaultContext& context, std::string_view word);

class ClientSet {
 public:
    // Empty or "all": everybody.
    [[nodiscard]] static Result<ClientSet> parse(const FaultContext& context, const std::string& argument);
    [[nodiscard]] bool contains(const consensus::ClientId& client) const { return all_ || some_.contains(client); }

 private:
    bool all_ = true;
    std::set<consensus::ClientId> some_;
};

}  // namespace loyal::replica::faults
