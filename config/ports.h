// Inside config/ only: ports that are free now, for `cluster init --base-port 0`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/result.h"

namespace loyal::config {

// One free TCP port for each of `addresses` (literal IPv4 or IPv6), no two alike. All stay bound until the last one is
// found. Nothing keeps them free afterwards; they are taken from outside the range from which the system serves
// outgoing connections, so that only another listener can get in between.
[[nodiscard]] Result<std::vector<std::uint16_t>> find_free_ports(const std::vector<std::string>& addresses);

// An IPv4 or IPv6 address, as opposed to a host name.
[[nodiscard]] bool is_address(const std::string& host);

}  // namespace loyal::config
