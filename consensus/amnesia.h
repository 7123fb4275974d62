// What the rules A1 to A5 remember (PROTOCOL.md §14). Volatile: a restart asks anew. Private to consensus/.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "consensus/types.h"

namespace loyal::consensus {

// Of a replica that may have forgotten votes.
struct Recovery {
    explicit Recovery(std::size_t replicas) : proven(replicas) {}

    std::uint64_t nonce = 0;                  // of the own question; 0: not asked yet in this run
    std::uint64_t asked_tick = 0;             // when it was sent last
    std::vector<std::optional<View>> proven;  // by each other replica's first answer
    std::optional<View> highest;              // M: of enough answers; what was forgotten is of M+2 or below
};

// A peer's question (A3), at the replica that is asked; one of each peer.
struct RecoverQuestion {
    std::uint64_t nonce = 0;
    std::optional<std::uint64_t> heard_tick;     // last
    std::optional<std::uint64_t> answered_tick;  // last
    bool open = false;                           // to be answered when there is a proof
};

}  // namespace loyal::consensus
