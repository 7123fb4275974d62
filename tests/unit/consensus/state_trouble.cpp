#include "tests/unit/consensus/state_trouble.h"

namespace loyal::consensus::test {

void StateTrouble::disturb() {
    const std::uint64_t interval = cluster_.shape.checkpoint_interval;
    if (interval == 0) {
        return;
    }
    if (chance(0.2)) {
        const std::size_t replica = anybody();
        cluster_.replicas[replica].auto_root = false;
    }
    if (chance(0.5)) {
        const std::size_t replica = anybody();
        cluster_.replicas[replica].auto_root = true;
        cluster_.root_all(replica);
    }
    if (chance(0.02)) {
        cluster_.lose_state(anybody(), "a record is damaged");
    }
    if (chance(0.8)) {
        transfers_ += cluster_.install(anybody()) ? 1 : 0;
    }
    if (!cluster_.shape.traitors.empty() && chance(0.3)) {
        offer_checkpoint();
    }
}

void StateTrouble::heal() {
    for (const std::size_t replica : honest_) {
        cluster_.replicas[replica].auto_root = true;
        cluster_.root_all(replica);
        transfers_ += cluster_.install(replica) ? 1 : 0;
    }
}

// Something certified, perhaps old, perhaps with a false header of the checkpoint's own block.
void StateTrouble::offer_checkpoint() {
    Blocks answer;
    answer.checkpoint = cluster_.newest_checkpoint(anybody());
    if (!answer.checkpoint) {
        return;
    }
    if (chance(0.5)) {
        answer.checkpoint->block.view = answer.checkpoint->block.view.next();
    }
    cluster_.inject(*cluster_.shape.traitors.begin(), anybody(), answer);
}

StateRoot StateTrouble::claim(std::size_t replica, const BlockRef& parent) {
    const std::uint64_t interval = cluster_.shape.checkpoint_interval;
    const Height height = parent.height.next();
    if (interval == 0 || height.value % interval != 0 || height.value < 2 * interval) {
        return {};
    }
    const Height checkpoint = height.minus(interval);
    const auto& digests = cluster_.replicas[replica].digests;
    if (checkpoint.value >= digests.size() || chance(0.3)) {
        return {checkpoint, crypto::digest_of("lie", {})};
    }
    return {checkpoint, TestCluster::root_of(digests[checkpoint.value])};
}

void StateTrouble::check() const {
    if (cluster_.shape.checkpoint_interval == 0) {
        return;
    }
    for (const std::size_t replica : honest_) {
        if (cluster_.status(replica).state_lost.starts_with("diverged")) {
            throw TestCluster::Unsafe("a correct replica thinks that it diverged");
        }
        const auto& self = cluster_.replicas[replica];
        for (const auto& [height, block] : self.executed_ever) {
            const Header& header = block->header;
            if (header.checkpoint.value == 0 || header.checkpoint.value >= self.digests.size()) {
                continue;
            }
            if (header.checkpoint_root != TestCluster::root_of(self.digests[header.checkpoint.value])) {
                throw TestCluster::Unsafe("a false root is certified at height " + std::to_string(height.value));
            }
        }
    }
}

}  // namespace loyal::consensus::test
