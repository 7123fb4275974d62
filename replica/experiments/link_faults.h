// LinkFaults: what becomes of the frames of one outgoing link that an experiment made bad (replica/control.h, `net`):
// the decision alone, without sockets and timers; faulty_links.h carries it out. The same line means the same in the
// simulator (sim/network.cpp):
//
//     cut, drop      the frame is lost
//     rate           frames leave one after the other at so many bytes a second; what finds more than held_bytes_max
//                    waiting is lost, as behind a full router
//     delay, jitter  each frame is late by the delay and 0 to jitter more; order is kept
//     reorder        so likely, a frame is held back a while longer and those behind it overtake it
//     duplicate      so likely, it leaves twice
//
// A fixed function of the seed and the calls. Times are microseconds of any clock that never goes back.
// Single-threaded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "replica/control.h"

namespace loyal::replica {

struct LinkFaultCounters {  // monotone
    std::uint64_t frames = 0, lost = 0, duplicated = 0, delayed = 0;
};

class LinkFaults {
 public:
    explicit LinkFaults(std::uint64_t seed) : state_(seed) {}

    // What was held back before keeps its moment; what comes now does not wait for it.
    void set(const LinkFault& fault) {
        fault_ = fault;
        busy_until_us_ = last_us_ = 0;
    }
    [[nodiscard]] const LinkFault& in_force() const { return fault_; }
    // When the copies of a frame leave: none, one or two times, each `now_us` or later.
    [[nodiscard]] std::vector<std::uint64_t> depart(std::uint64_t now_us, std::size_t bytes);
    [[nodiscard]] const LinkFaultCounters& counters() const { return counters_; }

    static constexpr std::uint64_t held_bytes_max = std::uint64_t{4} << 20U;

 private:
    [[nodiscard]] bool chance(double probability);
    [[nodiscard]] std::uint64_t below(std::uint64_t bound);
    [[nodiscard]] std::uint64_t departure(std::uint64_t now_us, std::size_t bytes);
    [[nodiscard]] bool is_backed_up(std::uint64_t now_us) const;

    LinkFault fault_;
    std::uint64_t state_;
    std::uint64_t busy_until_us_ = 0;  // with a rate: when what was sent before has left
    std::uint64_t last_us_ = 0;        // what keeps order leaves no earlier
    LinkFaultCounters counters_;
};

}  // namespace loyal::replica
