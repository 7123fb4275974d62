// Checkpoints, state transfer and repair of the running replica: the node's effects on the one side, the background
// thread's results on the other.
#include "replica/replica_state.h"

namespace loyal::replica {

void Replica::State::stable(const consensus::Stable& /*stable*/) {}

void Replica::State::fetch_state(const consensus::FetchState& /*target*/) {}

void Replica::State::serve_state(consensus::ReplicaId /*to*/, consensus::StateRequest /*request*/) {}

void Replica::State::state_chunk(consensus::ReplicaId /*from*/, consensus::StateChunk /*chunk*/) {}

}  // namespace loyal::replica
