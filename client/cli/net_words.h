// The words of `loyal net`: which directed links are meant, and how bad they are to be. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "client/cli/failure.h"
#include "client/cli/operator.h"
#include "replica/control.h"

namespace loyal::cli {

// From one replica to another, or to all clients (none).
struct NetLink {
    std::uint16_t from = 0;
    std::optional<std::uint16_t> to;
    friend bool operator==(const NetLink&, const NetLink&) = default;
    friend bool operator<(const NetLink& a, const NetLink& b) {
        return a.from != b.from ? a.from < b.from : a.to < b.to;
    }
};

// The links between A and B ("0", "0,1", "all"; B also "clients"), both ways unless `one_way`. Exit 2 when there is
// none.
[[nodiscard]] Answer<std::vector<NetLink>> links_between(const std::string& a, const std::string& b, bool one_way,
                                                         std::size_t replicas);
// Groups between slashes: "0,1 / 2,3". Links between different groups; with `one_way` only from an earlier group to a
// later one. Replicas in no group keep their links to all.
[[nodiscard]] Answer<std::vector<NetLink>> links_of_partition(const std::vector<std::string>& words, bool one_way,
                                                              std::size_t replicas);
// "30%" or "0.3".
[[nodiscard]] Answer<double> parse_share(const std::string& text);
// Bytes a second: "65536", "64kB/s", "64KiB/s", "1.5MB/s"; 0 or "unlimited": no bound.
[[nodiscard]] Answer<std::uint64_t> parse_rate(const std::string& text);

using NetFaults = std::map<NetLink, replica::LinkFault>;
// The lines that put these in force, one for the links of a sender that get the same.
[[nodiscard]] std::vector<Order> orders_for(const NetFaults& faults);
// What a replica answered to `net show`; nothing when it makes no sense.
[[nodiscard]] std::optional<NetFaults> faults_of_answer(std::uint16_t from, const std::string& json);
// "0 -> 1", "2 -> clients"
[[nodiscard]] std::string link_text(const NetLink& link);

}  // namespace loyal::cli
