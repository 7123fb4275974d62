#include "tests/unit/consensus/timed_cluster.h"

#include <algorithm>

namespace loyal::consensus::test {

void TimedCluster::run(std::uint64_t ms) {
    (void)run_until([] { return false; }, ms);
}

bool TimedCluster::run_until(const std::function<bool()>& done, std::uint64_t ms) {
    for (const std::uint64_t end = now_ms_ + ms; now_ms_ < end;) {
        step();
        if (done()) {
            return true;
        }
    }
    return false;
}

void TimedCluster::step() {
    now_ms_ += cluster.tick_ms;
    cluster.wall_ms += cluster.tick_ms;
    for (std::size_t replica = 0; replica < cluster.shape.n; ++replica) {
        if (!down.contains(replica)) {
            cluster.set_clock(replica, cluster.wall_ms);
            cluster.tick(replica);
        }
    }
    send_load();
    settle();
    cluster.history.clear();
}

void TimedCluster::send_load() {
    if (load.every_ms != 0 && now_ms_ % load.every_ms < cluster.tick_ms) {
        ++sent_;
        for (const std::size_t replica : load.to) {
            cluster.submit(replica, "open" + std::to_string(sent_), sent_, 1);
        }
    }
    if (load.callers == 0) {
        return;
    }
    observe(load.watcher);
    for (std::uint64_t session = 100; session < 100 + load.callers; ++session) {
        std::uint64_t& next = open_[session];
        if (next != 0 && answered_[session] < next) {
            continue;
        }
        ++next;
        for (const std::size_t replica : load.to) {
            cluster.submit(replica, "closed" + std::to_string(next), next, session);
        }
    }
}

// What is due arrives, and whatever that brings.
void TimedCluster::settle() {
    while (true) {
        std::vector<Packet> fresh;
        fresh.swap(cluster.bag);
        for (Packet& packet : fresh) {
            const auto delay = network ? network(packet) : std::optional<std::uint64_t>(0);
            if (delay) {
                under_way_.emplace(now_ms_ + *delay, std::move(packet));
            }
        }
        const auto next = under_way_.begin();
        if (next == under_way_.end() || next->first > now_ms_) {
            return;
        }
        const Packet packet = std::move(next->second);
        under_way_.erase(next);
        if (!down.contains(packet.to.value) && !down.contains(packet.from.value)) {
            cluster.inject(packet.from.value, packet.to.value, packet.message);
        }
    }
}

void TimedCluster::observe(std::size_t replica) {
    auto& [count, height] = counted_[replica];
    const auto& executed = cluster.replicas[replica].executed_ever;
    for (auto block = executed.upper_bound(height); block != executed.end(); ++block) {
        height = block->first;
        count += block->second->envelopes.size();
        for (const Envelope& envelope : block->second->envelopes) {
            std::uint64_t& highest = answered_[envelope.session.value];
            highest = std::max(highest, envelope.seq0.value);
        }
    }
}

std::uint64_t TimedCluster::executed_envelopes(std::size_t replica) {
    observe(replica);
    return counted_[replica].first;
}

bool TimedCluster::all_in(View view) const {
    for (std::size_t replica = 0; replica < cluster.shape.n; ++replica) {
        if (!down.contains(replica) &&
            (cluster.status(replica).entered != view || cluster.status(replica).promised != view)) {
            return false;
        }
    }
    return true;
}

View TimedCluster::highest_view() const {
    View highest;
    for (std::size_t replica = 0; replica < cluster.shape.n; ++replica) {
        highest = std::max(highest, cluster.status(replica).promised);
    }
    return highest;
}

}  // namespace loyal::consensus::test
