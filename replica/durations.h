// Durations: a histogram of how long something took, filled by one thread and read by another (Prometheus buckets).
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

namespace loyal::replica {

class Durations {
 public:
    static constexpr std::array<std::uint64_t, 14> bounds_us = {
        50, 100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000, 5'000'000};

    void add(std::chrono::steady_clock::duration took) {
        const auto us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
        std::size_t bucket = 0;
        while (bucket < bounds_us.size() && us > bounds_us[bucket]) {
            ++bucket;
        }
        counts_[bucket].fetch_add(1, std::memory_order_relaxed);
        sum_us_.fetch_add(us, std::memory_order_relaxed);
    }
    // The last one counts what exceeds every bound.
    [[nodiscard]] std::uint64_t count(std::size_t bucket) const {
        return counts_[bucket].load(std::memory_order_relaxed);
    }
    [[nodiscard]] std::uint64_t sum_us() const { return sum_us_.load(std::memory_order_relaxed); }

 private:
    std::array<std::atomic<std::uint64_t>, bounds_us.size() + 1> counts_{};
    std::atomic<std::uint64_t> sum_us_{0};
};

}  // namespace loyal::replica
