#include "client/cli/bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace loyal::cli {

std::size_t Histogram::bucket_of(std::uint64_t value) noexcept {
    if (value < linear) {
        return static_cast<std::size_t>(value);
    }
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - (step_bits + 1);
    const std::size_t step = static_cast<std::size_t>(value >> shift) - (linear / 2);
    return linear + (shift - 1) * (linear / 2) + step;
}

std::uint64_t Histogram::middle_of(std::size_t bucket) noexcept {
    if (bucket < linear) {
        return bucket;
    }
    const std::size_t shift = (bucket - linear) / (linear / 2) + 1;
    const std::uint64_t step = (bucket - linear) % (linear / 2) + linear / 2;
    return (step << shift) + (std::uint64_t{1} << (shift - 1));
}

void Histogram::record(std::uint64_t value_ns) noexcept {
    ++counts_[bucket_of(value_ns)];
    ++count_;
    max_ = std::max(max_, value_ns);
}

void Histogram::merge(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        counts_[i] += other.counts_[i];
    }
    count_ += other.count_;
    max_ = std::max(max_, other.max_);
}

std::uint64_t Histogram::percentile(double percent) const noexcept {
    if (count_ == 0) {
        return 0;
    }
    const double exact = std::ceil(static_cast<double>(count_) * percent / 100.0);
    const std::uint64_t wanted = std::clamp<std::uint64_t>(static_cast<std::uint64_t>(exact), 1, count_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
        seen += counts_[i];
        if (seen >= wanted) {
            return std::min(middle_of(i), max_);
        }
    }
    return max_;
}

}  // namespace loyal::cli
