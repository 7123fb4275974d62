// When a client may believe the answers to a linearizable read (PROTOCOL.md R3). Pure.
//
// A1  q replies carry the same result.
// A2  for some set of q replies, idx is its largest lock_h, and w replies with the same result have exec_h >= idx.
//
// Why: a finished write has a durable lock at q-fb honest replicas, and any q replies contain one of them, j. A1: j
// answered from a state with the write, and all q agree with it. A2: idx is at least j's lock, and one honest replica
// of the w has executed that far. For A2 the q replies with the smallest lock_h are the best choice, so that one set is
// enough to try.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "consensus/quorum.h"
#include "consensus/types.h"
#include "crypto/digest.h"

namespace loyal::client {

struct ReadVote {
    consensus::ReplicaId replica;
    crypto::Digest digest;       // of the result
    consensus::Height executed;  // exec_h
    consensus::Height lock;      // lock_h
};

// `votes` has at most one element a replica. The digest that may be believed, if any.
[[nodiscard]] std::optional<crypto::Digest> accepted_result(const std::vector<ReadVote>& votes,
                                                            const consensus::Quorum& quorum);

// The w-th highest exec_h: a height that w replicas claim, so one that some honest replica has executed (R4's min_h).
[[nodiscard]] consensus::Height executed_claim(const std::vector<ReadVote>& votes, const consensus::Quorum& quorum);

}  // namespace loyal::client
