#include "sim/network.h"

namespace loyal::sim {

bool Network::send(ProcessIndex from, ProcessIndex to, std::function<void(const Arrival&)> deliver) {
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
    const bool twice = random_.chance(quality_.duplicate_ppm);
    counters_.duplicated += twice ? 1 : 0;
    for (int copy = 0; copy < (twice ? 2 : 1); ++copy) {
        Arrival arrival{random_.chance(quality_.corrupt_ppm), random_.next()};
        counters_.corrupted += arrival.corrupted ? 1 : 0;
        scheduler_.at(arrival_time(on), [this, from, to, arrival, deliver] {
            if (blocked(from, to)) {
                ++counters_.blocked;
            } else {
                deliver(arrival);
            }
        });
    }
    return true;
}

TimeUs Network::arrival_time(Link& link) {
    TimeUs delay = quality_.delay_min_us + random_.below(quality_.delay_spread_us + 1);
    if (random_.chance(quality_.slow_ppm)) {
        delay += random_.below(quality_.slow_us + 1);
    }
    TimeUs time = scheduler_.now() + delay;
    if (quality_.ordered) {
        time = std::max(time, link.last_arrival);
        link.last_arrival = time;
    }
    return time;
}

void Network::heal() {
    for (Link& link : links_) {
        link.blocked = false;
    }
}

}  // namespace loyal::sim
