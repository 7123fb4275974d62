// WorkQueue: what the event loop hands to one worker thread. The loop asks size() and stops reading sockets before the
// queue grows too long, so push never blocks it.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

namespace loyal::replica {

template <class T>
class WorkQueue {
 public:
    void push(T value) {
        {
            const std::lock_guard lock(mutex_);
            values_.push_back(std::move(value));
            size_.store(values_.size(), std::memory_order_relaxed);
        }
        ready_.notify_one();
    }
    // Everything that waits, in order. Empty after stop(), or when `deadline` passed.
    [[nodiscard]] std::deque<T> take_until(std::chrono::steady_clock::time_point deadline) {
        std::unique_lock lock(mutex_);
        const auto something = [this] { return stopped_ || !values_.empty(); };
        if (deadline == std::chrono::steady_clock::time_point::max()) {
            ready_.wait(lock, something);
        } else {
            ready_.wait_until(lock, deadline, something);
        }
        size_.store(0, std::memory_order_relaxed);
        return std::exchange(values_, {});
    }
    [[nodiscard]] std::deque<T> take() { return take_until(std::chrono::steady_clock::time_point::max()); }
    // What was pushed before is still handed out; afterwards take() returns nothing, at once.
    void stop() {
        {
            const std::lock_guard lock(mutex_);
            stopped_ = true;
        }
        ready_.notify_all();
    }
    [[nodiscard]] bool stopped() {
        const std::lock_guard lock(mutex_);
        return stopped_ && values_.empty();
    }
    [[nodiscard]] std::size_t size() const { return size_.load(std::memory_order_relaxed); }

 private:
    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<T> values_;
    std::atomic<std::size_t> size_{0};
    bool stopped_ = false;
};

}  // namespace loyal::replica
