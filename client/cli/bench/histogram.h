// Latencies in logarithmic buckets with 128 linear steps to each power of two, so that a reported percentile is within
// 0.4 % of the true one at any scale (HdrHistogram's layout, G. Tene). Fixed size; the maximum is exact. One thread at
// a time.
#pragma once

#include <array>
#include <cstdint>

namespace loyal::cli {

class Histogram {
 public:
    void record(std::uint64_t value_ns) noexcept;
    void merge(const Histogram& other) noexcept;

    [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
    [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
    // The smallest recorded value that at least `percent` (0..100] of all values do not exceed; 0 when empty.
    [[nodiscard]] std::uint64_t percentile(double percent) const noexcept;

 private:
    static constexpr unsigned step_bits = 7;
    static constexpr std::size_t linear = std::size_t{1} << (step_bits + 1);  // values below are exact
    static constexpr std::size_t buckets = linear + (64 - step_bits - 1) * (std::size_t{1} << step_bits);

    [[nodiscard]] static std::size_t bucket_of(std::uint64_t value) noexcept;
    [[nodiscard]] static std::uint64_t middle_of(std::size_t bucket) noexcept;

    std::array<std::uint64_t, buckets> counts_{};
    std::uint64_t count_ = 0;
    std::uint64_t max_ = 0;
};

}  // namespace loyal::cli
