// LogRelease: up to where the own log may be forgotten (PROTOCOL.md S5): below the newest stable checkpoint for which
// the own state is durably complete, but not above a checkpoint that a peer fetches. When its state is whole that peer
// needs the blocks above it; had they been forgotten, it would have to fetch the next state, for ever under load.
// Bounded in time and blocks, so that a peer that only asks holds up nothing for long. Pure; single-threaded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

#include "consensus/types.h"

namespace loyal::replica {

class LogRelease {
 public:
    static constexpr std::uint64_t kept_ms = 10'000;     // after the last question
    static constexpr std::uint64_t kept_blocks = 2'048;  // below the stable checkpoint

    void stable(consensus::Height checkpoint) { stable_ = std::max(stable_, checkpoint); }
    // `peer` asked for a part of that checkpoint. `now_ms`: monotonic.
    void asked(consensus::ReplicaId peer, consensus::Height checkpoint, std::uint64_t now_ms) {
        asked_[peer] = {checkpoint, now_ms};
    }
    // The height to forget below; never lower than before. `durable`: what the own state is durably complete for.
    // Without `room` nothing is kept for others.
    [[nodiscard]] consensus::Height below(consensus::Height durable, bool room, std::uint64_t now_ms);

 private:
    struct Asked {
        consensus::Height checkpoint;
        std::uint64_t at_ms = 0;
    };
    consensus::Height stable_, released_;
    std::map<consensus::ReplicaId, Asked> asked_;
};

}  // namespace loyal::replica
