// Linearizability of a register's history (Herlihy and Wing, TOPLAS'90), decided by search: Wing and Gong's algorithm
// with Lowe's memory of visited (set of linearized operations, state) pairs (Lowe, CPE'17). Keys are independent
// (locality), so each key's history is checked alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace loyal::sim {

struct RegisterOp {
    enum class Kind : std::uint8_t { put, get, del, cas };
    static constexpr std::uint64_t never = ~std::uint64_t{0};

    Kind kind = Kind::get;
    std::uint64_t call = 0;             // any one clock
    std::uint64_t ret = never;          // never: nobody knows whether it took effect; it may at any time after `call`
    std::optional<std::string> value;   // put, cas: to write (cas: absent deletes)
    std::optional<std::string> expect;  // cas: absent means that the key must not exist
    std::optional<std::string> out;     // get: what was read; absent: no such key
    bool applied = true;                // cas, del: what the answer said
    std::string who;                    // for messages
};

enum class Linearizable : std::uint8_t { yes, no, unknown };

struct LinearizabilityResult {
    Linearizable verdict = Linearizable::yes;
    std::uint64_t states = 0;
    // With `no`: the longest prefix that could be explained, and what could not follow it.
    std::string why;
};

// `states_max` bounds memory and time: beyond it the verdict is `unknown`.
[[nodiscard]] LinearizabilityResult check_register(const std::vector<RegisterOp>& history,
                                                   std::uint64_t states_max = 2'000'000);

}  // namespace loyal::sim
