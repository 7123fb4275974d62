// A replica that may have forgotten votes (PROTOCOL.md §14, A1 to A5; VR recovery, with PBFT-PR's estimation).
#include "consensus/core_state.h"

namespace loyal::consensus {

void Core::State::on_echo(ReplicaId /*from*/, const Echo& /*message*/) {}

std::optional<Echo> Core::echo_for(ReplicaId /*peer*/) const {
    return std::nullopt;
}

void Core::State::on_recover(ReplicaId /*from*/, const Recover& /*message*/) {}

void Core::State::on_recover_ack(ReplicaId /*from*/, const RecoverAck& /*message*/) {}

}  // namespace loyal::consensus
