// LeaseKeeper: keeps a lease alive from a thread of its own, and says when it may no longer be counted on: when the
// cluster says that it ended, or when its time to live has passed on this machine's monotonic clock since the last
// renewal that succeeded was sent. The cluster's clock for leases never runs ahead of that by more than the clocks
// differ; what must be excluded for certain is excluded by the fencing token.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "client/client.h"

namespace loyal::cli {

class LeaseKeeper {
 public:
    using Clock = std::chrono::steady_clock;

    // `granted`: when the grant, or the last renewal, was sent. `client` outlives the keeper.
    LeaseKeeper(client::Client& client, kvstore::LeaseId lease, std::uint64_t ttl_ms, Clock::time_point granted);
    ~LeaseKeeper();
    LeaseKeeper(const LeaseKeeper&) = delete;
    LeaseKeeper& operator=(const LeaseKeeper&) = delete;

    // Any thread.
    [[nodiscard]] bool is_lost() const;
    // Why, for people; of a lease that is lost.
    [[nodiscard]] std::string why() const;
    // No renewals from here on.
    void stop();

 private:
    void run();
    [[nodiscard]] bool renew();
    // False when it is to end.
    [[nodiscard]] bool pause(std::chrono::milliseconds time);

    client::Client& client_;
    const kvstore::LeaseId lease_;
    const std::chrono::milliseconds ttl_;
    std::atomic<Clock::rep> good_until_;
    std::atomic<bool> ended_ = false;  // the cluster says so
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    bool stopping_ = false;
    std::string last_error_;
    std::thread thread_;
};

}  // namespace loyal::cli
