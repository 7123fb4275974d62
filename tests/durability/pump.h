// Pump: as many puts at a time as it is told, one after the other, for figures: no history. Thread-safe inside; made
// and ended by one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "client/client.h"

namespace loyal::durability {

class Pump {
 public:
    // The i-th operation; called on the client's thread.
    using Next = std::function<kvstore::Operation(std::uint64_t)>;
    // Starts at once; ends after `count` operations (0: never).
    Pump(std::unique_ptr<client::Client> client, std::size_t width, std::uint64_t count, Next next);
    ~Pump();
    Pump(const Pump&) = delete;
    Pump& operator=(const Pump&) = delete;

    [[nodiscard]] std::uint64_t done() const { return done_; }
    [[nodiscard]] std::uint64_t failed() const { return failed_; }
    // Waits until all `count` have ended.
    void wait();
    // No more; waits for what is under way.
    void stop();

 private:
    void one();
    void ended(const client::WriteResult& result);

    std::unique_ptr<client::Client> client_;
    std::uint64_t count_;
    Next next_;
    std::mutex mutex_;
    std::condition_variable idle_;
    std::size_t under_way_ = 0;
    bool open_ = true;
    std::uint64_t started_ = 0;
    std::atomic<std::uint64_t> done_{0}, failed_{0};
};

// A key of 64 bytes and a value of 256, of the i-th record; `round` tells its versions apart.
[[nodiscard]] Bytes bulk_key(std::uint64_t i);
[[nodiscard]] Bytes bulk_value(std::uint64_t i, std::uint64_t round);

}  // namespace loyal::durability
