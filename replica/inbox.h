// Doorbell and Inbox: how other threads hand results to the event loop. Results of one producer arrive in its order;
// the loop is woken once for whatever came together.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace loyal::replica {

class Doorbell {
 public:
    // `wake` posts a call of answered() and of the owner's work to the loop; called from any thread.
    explicit Doorbell(std::function<void()> wake) : wake_(std::move(wake)) {}

    void ring() {
        if (!rung_.exchange(true)) {
            wake_();
        }
    }
    // By the loop, before it looks into the inboxes.
    void answered() { rung_.store(false); }

 private:
    std::function<void()> wake_;
    std::atomic<bool> rung_{false};
};

template <class T>
class Inbox {
 public:
    explicit Inbox(Doorbell& bell) : bell_(bell) {}

    void push(T value) {
        {
            const std::lock_guard lock(mutex_);
            values_.push_back(std::move(value));
        }
        bell_.ring();
    }
    [[nodiscard]] std::vector<T> take() {
        const std::lock_guard lock(mutex_);
        return std::exchange(values_, {});
    }

 private:
    Doorbell& bell_;
    std::mutex mutex_;
    std::vector<T> values_;
};

}  // namespace loyal::replica
