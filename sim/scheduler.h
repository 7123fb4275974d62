// Scheduler: virtual time and the queue of what happens next. Events of one instant run in the order in which they were
// asked for, so a run depends on nothing but its inputs.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace loyal::sim {

using TimeUs = std::uint64_t;  // virtual microseconds since the start of the run
inline constexpr TimeUs ms = 1'000;
inline constexpr TimeUs second = 1'000'000;

class Scheduler {
 public:
    using Action = std::function<void()>;

    [[nodiscard]] TimeUs now() const { return now_; }
    [[nodiscard]] std::uint64_t now_ms() const { return now_ / ms; }
    [[nodiscard]] std::uint64_t events() const { return events_; }
    [[nodiscard]] bool empty() const { return queue_.empty(); }

    void after(TimeUs delay, Action action) { at(now_ + delay, std::move(action)); }
    void at(TimeUs time, Action action) {
        queue_.push_back(Entry{std::max(time, now_), sequence_++, std::move(action)});
        std::push_heap(queue_.begin(), queue_.end());
    }
    // Runs the next event. False when there is none.
    bool step() {
        if (queue_.empty()) {
            return false;
        }
        std::pop_heap(queue_.begin(), queue_.end());
        const Entry entry = std::move(queue_.back());
        queue_.pop_back();
        now_ = entry.time;
        ++events_;
        entry.action();
        return true;
    }

 private:
    struct Entry {
        TimeUs time = 0;
        std::uint64_t sequence = 0;
        Action action;
        // The heap keeps the largest first: the earliest is the largest.
        friend bool operator<(const Entry& a, const Entry& b) {
            return a.time != b.time ? a.time > b.time : a.sequence > b.sequence;
        }
    };

    std::vector<Entry> queue_;
    TimeUs now_ = 0;
    std::uint64_t sequence_ = 0;
    std::uint64_t events_ = 0;
};

}  // namespace loyal::sim
