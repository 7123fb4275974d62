// A replica's HTTP port, asked as a monitoring system would: no client library, no waiting for who is down.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loyal::durability {

// The body of GET `path` from 127.0.0.1:`port`; empty when there is no answer within two seconds.
[[nodiscard]] std::string http_get(std::uint16_t port, const std::string& path);
// The value of a metric without labels.
[[nodiscard]] std::optional<double> metric(std::uint16_t port, const std::string& name);
// /health says that it serves.
[[nodiscard]] bool serves(std::uint16_t port);

}  // namespace loyal::durability
