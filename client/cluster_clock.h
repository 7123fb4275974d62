// ClusterClock: the cluster's hybrid time as a client may believe it (PROTOCOL.md C4: not_after never comes from the
// client's own wall clock, which may be hours off). Every replica's latest report is carried forward with the owner's
// monotonic clock; the w-th highest of them is believed.
//
// Why the w-th highest: at most fb = w-1 replicas lie. Liars who report too much take at most the places above, so the
// w-th highest is not above the highest honest report. Once w honest replicas have reported, it is not below all honest
// reports either, for liars who report too little only fall behind. So it lies between two honest reports. With fewer
// reports it may be too low, never too high: an envelope then expires, surely unexecuted, and is signed again.
//
// No threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "consensus/types.h"

namespace loyal::client {

class ClusterClock {
 public:
    ClusterClock(std::size_t replicas, std::size_t w) : reports_(replicas), w_(w) {}

    // `now_ms` is monotonic. A report below what the replica's earlier one has grown to is ignored: it is the time of a
    // block that lies back, and time does not go backwards.
    void report(consensus::ReplicaId replica, consensus::Hlc hlc, std::uint64_t now_ms);
    // A block time that w replicas vouch for: the truth was at least this.
    void at_least(consensus::Hlc hlc, std::uint64_t now_ms);
    // A block time that w replicas vouch for proves that what is believed is far ahead: begin again from it.
    void restart(consensus::Hlc hlc, std::uint64_t now_ms);
    // Milliseconds since 1970; nothing before w replicas have reported.
    [[nodiscard]] std::optional<std::uint64_t> believed_ms(std::uint64_t now_ms) const;

 private:
    struct Report {
        bool given = false;
        std::uint64_t wall_ms = 0;
        std::uint64_t at_ms = 0;
        [[nodiscard]] std::uint64_t carried_to(std::uint64_t now_ms) const {
            return wall_ms + (now_ms > at_ms ? now_ms - at_ms : 0);
        }
    };
    std::vector<Report> reports_;
    Report agreed_;
    std::size_t w_;
};

}  // namespace loyal::client
