// Checkpoints and state transfer, the core's part (rules S1, S3 to S6): when a header carries a root, when a checkpoint
// is stable, and when this replica needs the state from others.
#include "consensus/core_state.h"

namespace loyal::consensus {

void Core::State::on_checkpoint_ready(const StateRoot& root) {
    roots[root.height] = root.root;
}

void Core::State::on_state_lost(const std::string& why) {
    state_lost = why;
}

}  // namespace loyal::consensus
