// Records as real runs leave them, for tests of what is made from them: small worlds, computed from a seed.
#pragma once

#include "client/lab/verdict.h"

namespace loyal::lab {

// Four replicas; replica 0, the primary, tells different replicas different things from 1.5 s on and is deposed at
// 2.3 s; replica 2 holds proof. 8 s, some 2000 operations.
[[nodiscard]] Run equivocating_primary();
// Three replicas of the crash model and the same traitor: two replicas execute different blocks at height 57, and a
// read misses a write that was acknowledged before it was asked for.
[[nodiscard]] Run lie_among_crash_tolerant();
// Replica 0 dies at 2 s and is started again at 4 s; replicas 1 and 2 are cut off one after the other, again and again.
[[nodiscard]] Run crash_and_flapping();
// Nothing at all, not even a replica.
[[nodiscard]] Run empty_run();

}  // namespace loyal::lab
