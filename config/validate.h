// Inside config/ only: what a cluster must be beyond the type and range of each field.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "config/cluster.h"

namespace loyal::config {

inline constexpr std::uint64_t timer_ms_max = 3'600'000;
inline constexpr double phi_threshold_min = 1, phi_threshold_max = 50;
inline constexpr std::uint64_t tenure_ms_max = 24 * timer_ms_max;
inline constexpr std::uint64_t tenure_blocks_max = 1'000'000'000;

[[nodiscard]] inline tl::unexpected<Error> invalid(std::string message) {
    return fail(Errc::invalid_argument, std::move(message));
}

// Whether `n` replicas can form a cluster of this model at all.
[[nodiscard]] Result<void> check_replica_count(consensus::FaultModel model, std::size_t n);
// That n is allowed, but not wise.
[[nodiscard]] std::vector<std::string> warnings_about(consensus::FaultModel model, std::size_t n);
// 32 lower-case hexadecimal digits.
[[nodiscard]] bool is_valid_instance(std::string_view instance) noexcept;
// A host name or an address, without brackets and port.
[[nodiscard]] bool is_valid_host(std::string_view host) noexcept;
// Everything that concerns more than one field, but not the cluster id. Expects replicas in order of id.
[[nodiscard]] Result<void> check_cluster(const Cluster& cluster);

[[nodiscard]] std::string_view name_of(consensus::FaultModel model) noexcept;

}  // namespace loyal::config
