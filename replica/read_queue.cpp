#include "replica/read_queue.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "config/limits.h"

namespace loyal::replica {

ReadQueue::ReadQueue(std::size_t reads_max, std::uint64_t wait_ticks_max, Ready ready, Busy busy)
    : reads_max_(reads_max), wait_ticks_max_(wait_ticks_max), ready_(std::move(ready)), busy_(std::move(busy)) {}

consensus::Height ReadQueue::needed(const Waiting& read) {
    return std::max(read.target.block.height, read.request.min_executed);
}

bool ReadQueue::answerable(const Waiting& read, const ReadView& view) {
    return needed(read) <= view.executed() && view.contains(read.target.block);
}

bool ReadQueue::submit(std::uint64_t link, wire::Read request, const ReadView& view) {
    Waiting read{link, std::move(request), view.target(), now_};
    if (read.request.stale || answerable(read, view)) {
        ready_(link, std::move(read.request), read.target.block.height);
        return false;
    }
    if (waiting_.size() >= reads_max_ || count_of(link) >= limits::pending_reads_of_link_max) {
        busy_(link, read.request);
        return true;
    }
    const consensus::Height at = needed(read);
    ++of_link_[link];
    waiting_.emplace(at, std::move(read));
    return true;
}

std::size_t ReadQueue::count_of(std::uint64_t link) const {
    const auto found = of_link_.find(link);
    return found == of_link_.end() ? 0 : found->second;
}

void ReadQueue::leaves(std::uint64_t link) {
    if (const auto found = of_link_.find(link); --found->second == 0) {
        of_link_.erase(found);
    }
}

void ReadQueue::progress(const ReadView& view) {
    const auto end = waiting_.upper_bound(view.executed());
    for (auto it = waiting_.begin(); it != end;) {
        // A target that lost to another block of its height stays until the next view replaces it.
        if (!answerable(it->second, view)) {
            ++it;
            continue;
        }
        Waiting read = std::move(it->second);
        it = waiting_.erase(it);
        leaves(read.link);
        ready_(read.link, std::move(read.request), read.target.block.height);
    }
}

void ReadQueue::view_entered(const ReadView& view) {
    auto old = std::move(waiting_);
    waiting_.clear();
    for (auto& [height, read] : old) {
        read.target = view.target();
        const consensus::Height at = needed(read);
        waiting_.emplace(at, std::move(read));
    }
    progress(view);
}

void ReadQueue::tick() {
    ++now_;
    std::vector<Waiting> late;
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        if (now_ - it->second.since_tick < wait_ticks_max_) {
            ++it;
            continue;
        }
        leaves(it->second.link);
        late.push_back(std::move(it->second));
        it = waiting_.erase(it);
    }
    for (const Waiting& read : late) {
        busy_(read.link, read.request);
    }
}

void ReadQueue::drop_link(std::uint64_t link) {
    std::erase_if(waiting_, [link](const auto& entry) { return entry.second.link == link; });
    of_link_.erase(link);
}

}  // namespace loyal::replica
