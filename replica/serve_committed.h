// The answer to FETCH of committed blocks (rule N10): a range of the durable log under its certificate and, when all of
// that fitted, the uncommitted chain of the sender's view. When the log does not reach down to what was asked for, the
// answer is the proof of its newest checkpoint alone; an empty answer when there is none. Any thread that may read the
// log.
#pragma once

#include "config/result.h"
#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"

namespace loyal::replica {

[[nodiscard]] Result<consensus::Blocks> read_committed(const kvstore::ConsensusLog& log,
                                                       const consensus::ServeCommitted& request);

}  // namespace loyal::replica
