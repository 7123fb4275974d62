#include "client/cluster_clock.h"

#include <algorithm>
#include <functional>

namespace loyal::client {

void ClusterClock::report(consensus::ReplicaId replica, consensus::Hlc hlc, std::uint64_t now_ms) {
    if (replica.value >= reports_.size()) {
        return;
    }
    Report& report = reports_[replica.value];
    if (!report.given || hlc.wall_ms() > report.carried_to(now_ms)) {
        report = {true, hlc.wall_ms(), now_ms};
    }
}

void ClusterClock::at_least(consensus::Hlc hlc, std::uint64_t now_ms) {
    if (!agreed_.given || hlc.wall_ms() > agreed_.carried_to(now_ms)) {
        agreed_ = {true, hlc.wall_ms(), now_ms};
    }
}

void ClusterClock::restart(consensus::Hlc hlc, std::uint64_t now_ms) {
    std::fill(reports_.begin(), reports_.end(), Report{});
    agreed_ = {true, hlc.wall_ms(), now_ms};
}

std::optional<std::uint64_t> ClusterClock::believed_ms(std::uint64_t now_ms) const {
    std::vector<std::uint64_t> carried;
    carried.reserve(reports_.size());
    for (const Report& report : reports_) {
        if (report.given) {
            carried.push_back(report.carried_to(now_ms));
        }
    }
    std::optional<std::uint64_t> believed;
    if (carried.size() >= w_) {
        const auto nth = carried.begin() + static_cast<std::ptrdiff_t>(w_ - 1);
        std::nth_element(carried.begin(), nth, carried.end(), std::greater<>());
        believed = *nth;
    }
    if (agreed_.given) {
        believed = std::max(believed.value_or(0), agreed_.carried_to(now_ms));
    }
    return believed;
}

}  // namespace loyal::client
