// What happens to states in random schedules with checkpoints: roots that come late, states that are lost, transfers,
// and traitors that offer checkpoints. Part of run_chaos.
#pragma once

#include <random>
#include <vector>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {

class StateTrouble {
 public:
    // References outlive the object.
    StateTrouble(TestCluster& cluster, std::mt19937_64& random, const std::vector<std::size_t>& honest)
        : cluster_(cluster), random_(random), honest_(honest) {}

    void disturb();  // once a round
    void heal();     // whoever waits for a root or for a state gets it
    // What a traitor claims in the header of a block on `parent`, to `replica`.
    [[nodiscard]] StateRoot claim(std::size_t replica, const BlockRef& parent);
    // Throws TestCluster::Unsafe when a quorum certified a root that is not the state's, or a replica whose state is in
    // order thinks that it is not.
    void check() const;
    [[nodiscard]] std::uint64_t transfers() const { return transfers_; }

 private:
    [[nodiscard]] bool chance(double probability) {
        return static_cast<double>(random_() % 10'000) < probability * 10'000;
    }
    [[nodiscard]] std::size_t anybody() { return honest_[static_cast<std::size_t>(random_() % honest_.size())]; }
    void offer_checkpoint();

    TestCluster& cluster_;
    std::mt19937_64& random_;
    const std::vector<std::size_t>& honest_;
    std::uint64_t transfers_ = 0;
};

}  // namespace loyal::consensus::test
