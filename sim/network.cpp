#include "sim/network.h"

namespace loyal::sim {

bool Network::send(ProcessIndex from, ProcessIndex to, std::function<void(const Arrival&)> deliver, std::size_t bytes) {
    ++counters_.sent;
    Link& on = link(from, to);
    if (on.blocked) {
        ++counters_.blocked;
        return false;
    }
    if (random_.chance(quality_.loss_ppm)) {
        ++counters_.lost;
        return false;
    }
    if (on.fault.cut || likely(on.fault.drop)) {
        ++counters_.lost;
        return true;
    }
    const bool twice = random_.chance(quality_.duplicate_ppm) || likely(on.fault.duplicate);
    counters_.duplicated += twice ? 1 : 0;
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy) {
        Arrival arrival{random_.chance(quality_.corrupt_ppm), random_.next()};
        counters_.corrupted += arrival.corrupted ? 1 : 0;
        const TimeUs at = arrival_time(on, copy == 0 ? bytes : 0);
        counters_.slowest_us = std::max(counters_.slowest_us, at - scheduler_.now());
        scheduler_.at(at, [this, from, to, arrival, deliver] {
            if (blocked(from, to)) {
                ++counters_.blocked;
            } else {
                deliver(arrival);
            }
        });
    }
    return true;
}

TimeUs Network::arrival_time(Link& link, std::size_t bytes) {
    TimeUs delay = quality_.delay_min_us + random_.below(quality_.delay_spread_us + 1);
    if (random_.chance(quality_.slow_ppm)) {
        delay += random_.below(quality_.slow_us + 1);
    }
    const replica::LinkFault& fault = link.fault;
    delay += fault.delay_ms * ms;
    if (fault.jitter_ms != 0) {
        delay += random_.below(fault.jitter_ms * ms + 1);
    }
    TimeUs begin = scheduler_.now();
    if (fault.rate_bytes_s != 0) {
        begin = std::max(begin, link.busy_until) + bytes * second / fault.rate_bytes_s;
        link.busy_until = begin;
    }
    TimeUs time = begin + delay;
    if (likely(fault.reorder)) {
        // Overtaken by what is sent in the next moments; what it passes itself is not held up by it.
        return time + random_.below(2 * (fault.delay_ms + fault.jitter_ms + 5) * ms);
    }
    if (quality_.ordered) {
        time = std::max(time, link.last_arrival);
        link.last_arrival = time;
    }
    return time;
}

void Network::heal() {
    for (Link& link : links_) {
        link.blocked = false;
        link.fault = {};
    }
}

}  // namespace loyal::sim
