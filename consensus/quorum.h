// Quorum arithmetic, in one place (PROTOCOL.md §1). Two quorums of q replicas share more than fb replicas, so at least
// one correct one; w equal answers contain one from a correct replica.
#pragma once

#include <cstddef>
#include <cstdint>

#include "consensus/types.h"

namespace loyal::consensus {

struct Quorum {
    std::size_t n = 0;
    std::size_t f = 0;   // faults tolerated
    std::size_t fb = 0;  // of them, how many may lie
    std::size_t q = 0;   // votes of a certificate
    std::size_t w = 0;   // equal answers that a client believes

    [[nodiscard]] static constexpr Quorum of(FaultModel model, std::size_t n) {
        Quorum quorum;
        quorum.n = n;
        quorum.f = model == FaultModel::byzantine ? (n - 1) / 3 : (n - 1) / 2;
        quorum.fb = model == FaultModel::byzantine ? quorum.f : 0;
        quorum.q = (n + quorum.fb) / 2 + 1;
        quorum.w = quorum.fb + 1;
        return quorum;
    }
    // Safety: two quorums meet in a correct replica. Liveness: the correct replicas alone are a quorum.
    [[nodiscard]] constexpr bool is_sound() const { return 2 * q - n > fb && q <= n - f; }
};

static_assert(Quorum::of(FaultModel::byzantine, 4).q == 3 && Quorum::of(FaultModel::byzantine, 5).q == 4);
static_assert(Quorum::of(FaultModel::byzantine, 6).q == 4 && Quorum::of(FaultModel::byzantine, 7).q == 5);
static_assert(Quorum::of(FaultModel::byzantine, 31).q == 21);
static_assert(Quorum::of(FaultModel::crash, 3).q == 2 && Quorum::of(FaultModel::crash, 5).q == 3);

[[nodiscard]] inline ReplicaId leader_of(View view, std::size_t n) {
    return ReplicaId(static_cast<std::uint16_t>(view.value % n));
}

}  // namespace loyal::consensus
