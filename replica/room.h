// Room: where threads wait that found the disk full. One thread looks after the disk (Background) and wakes them all to
// try again: that there is room is known only when the write that failed succeeds. Thread-safe.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

namespace loyal::replica {

class Room {
 public:
    // Until told, or until `over` is true: whoever makes it true tells.
    void wait(const std::function<bool()>& over) {
        std::unique_lock lock(mutex_);
        if (waiting_++ == 0 && wanted_) {
            wanted_();
        }
        told_.wait(lock, [&, seen = times_] { return times_ != seen || over(); });
        --waiting_;
    }
    // Everybody who waits tries again.
    void tell() {
        {
            const std::lock_guard lock(mutex_);
            ++times_;
        }
        told_.notify_all();
    }
    [[nodiscard]] bool awaited() const {
        const std::lock_guard lock(mutex_);
        return waiting_ > 0;
    }
    // Called, under the lock, when the first one waits. Empty: by nobody any more.
    void on_wanted(std::function<void()> wanted) {
        const std::lock_guard lock(mutex_);
        wanted_ = std::move(wanted);
    }

 private:
    mutable std::mutex mutex_;
    std::condition_variable told_;
    std::uint64_t times_ = 0;
    std::size_t waiting_ = 0;
    std::function<void()> wanted_;
};

}  // namespace loyal::replica
