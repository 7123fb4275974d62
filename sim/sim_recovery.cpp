// Checkpoints, state transfer and repair of a simulated replica.
#include "sim/sim_replica.h"

namespace loyal::sim {

void SimReplica::stable(const consensus::Stable& /*stable*/) {}

void SimReplica::fetch_state(const consensus::FetchState& /*target*/) {}

void SimReplica::serve_state(consensus::ReplicaId /*to*/, consensus::StateRequest /*request*/) {}

void SimReplica::state_chunk(consensus::ReplicaId /*from*/, consensus::StateChunk /*chunk*/) {}

}  // namespace loyal::sim
