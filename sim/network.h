// Network: directed links between the processes of a run (replicas first, then clients). Decides whether, when and how
// often a message arrives; knows nothing of what messages are. Single-threaded.
#pragma once

#include <functional>
#include <vector>

#include "replica/control.h"
#include "sim/random.h"
#include "sim/scheduler.h"

namespace loyal::sim {

using ProcessIndex = std::size_t;

struct LinkQuality {
    TimeUs delay_min_us = 50;
    TimeUs delay_spread_us = 200;
    std::uint32_t slow_ppm = 0;  // so many messages take slow_us longer (a retransmission, a full queue)
    TimeUs slow_us = 0;
    std::uint32_t loss_ppm = 0;
    std::uint32_t duplicate_ppm = 0;
    std::uint32_t corrupt_ppm = 0;  // one or more bytes change on the way
    bool ordered = true;            // as over TCP; otherwise each message takes its own time
};

struct Arrival {
    bool corrupted = false;
    std::uint64_t entropy = 0;  // for the receiver's side of the simulation: which byte changes, and the like
};

struct NetworkCounters {
    std::uint64_t sent = 0, lost = 0, blocked = 0, duplicated = 0, corrupted = 0;
    TimeUs slowest_us = 0;  // the longest delay that any message got
};

class Network {
 public:
    Network(Scheduler& scheduler, Random random, std::size_t processes)
        : scheduler_(scheduler), random_(random), processes_(processes), links_(processes * processes) {}

    // Calls `deliver` when a copy arrives: not at all, once or twice. False when the link itself lost it, which breaks
    // a stream; what a LinkFault swallows goes unnoticed. `bytes` count on a link with a rate.
    bool send(ProcessIndex from, ProcessIndex to, std::function<void(const Arrival&)> deliver, std::size_t bytes = 0);

    void set_quality(const LinkQuality& quality) { quality_ = quality; }
    [[nodiscard]] const LinkQuality& quality() const { return quality_; }
    // Messages on a blocked link are lost, those under way included.
    void block(ProcessIndex from, ProcessIndex to) { link(from, to).blocked = true; }
    void unblock(ProcessIndex from, ProcessIndex to) { link(from, to).blocked = false; }
    [[nodiscard]] bool blocked(ProcessIndex from, ProcessIndex to) const {
        return links_[from * processes_ + to].blocked;
    }
    // On top of the quality that all links have; replaces what was in force on this one.
    void set_fault(ProcessIndex from, ProcessIndex to, const replica::LinkFault& fault) {
        link(from, to).fault = fault;
    }
    [[nodiscard]] bool has_rate(ProcessIndex from, ProcessIndex to) const {
        return links_[from * processes_ + to].fault.rate_bytes_s != 0;
    }
    void heal();  // every block and every fault; the quality stays
    [[nodiscard]] const NetworkCounters& counters() const { return counters_; }

 private:
    struct Link {
        bool blocked = false;
        replica::LinkFault fault;
        TimeUs last_arrival = 0;
        TimeUs busy_until = 0;  // with a rate: when what was sent before has left
    };
    [[nodiscard]] Link& link(ProcessIndex from, ProcessIndex to) { return links_[from * processes_ + to]; }
    [[nodiscard]] bool likely(double probability) {
        return random_.chance(static_cast<std::uint32_t>(probability * 1'000'000));
    }
    [[nodiscard]] TimeUs arrival_time(Link& link, std::size_t bytes);

    Scheduler& scheduler_;
    Random random_;
    std::size_t processes_;
    std::vector<Link> links_;
    LinkQuality quality_;
    NetworkCounters counters_;
};

}  // namespace loyal::sim
