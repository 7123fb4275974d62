// What the callers of `bench` ask for: the mix of operations, the choice of keys (uniform or Zipf) and the texts of
// keys and values. Everything comes from a seed. One Workload is used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "client/cli/failure.h"

namespace loyal::cli {

struct Mix {
    bool cas = false;
    unsigned read_percent = 0;  // of the rest, which is puts
};
// write, read, cas, or READS/WRITES that add up to 100.
[[nodiscard]] Answer<Mix> parse_mix(const std::string& text);

// Ranks 0 .. keys-1 with probability proportional to 1 / (rank+1)^theta, by inversion of the exact distribution.
class KeyChooser {
 public:
    // theta 0 is uniform.
    KeyChooser(std::uint64_t keys, double theta);
    template <class Random>
    [[nodiscard]] std::uint64_t operator()(Random& random) const {
        return at(std::uniform_real_distribution<double>(0.0, 1.0)(random));
    }
    // The rank at `position` of the cumulative distribution, 0 <= position < 1.
    [[nodiscard]] std::uint64_t at(double position) const;

 private:
    std::uint64_t keys_;
    std::vector<double> cumulative_;
};

struct WorkloadShape {
    std::string prefix;
    std::uint64_t keys = 10'000;
    std::size_t key_bytes = 64;
    std::size_t value_bytes = 256;
};
// The prefix, then the index padded with zeros to key_bytes.
[[nodiscard]] std::string key_text(const WorkloadShape& shape, std::uint64_t index);
// Different for every (caller, count), as long as value_bytes leaves room for both (unique_value_bytes_min).
[[nodiscard]] std::string value_text(const WorkloadShape& shape, std::uint64_t caller, std::uint64_t count);
inline constexpr std::size_t unique_value_bytes_min = 24;

}  // namespace loyal::cli
