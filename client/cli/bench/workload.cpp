#include "client/cli/bench/workload.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <fmt/format.h>

namespace loyal::cli {

Answer<Mix> parse_mix(const std::string& text) {
    if (text == "write") {
        return Mix{false, 0};
    }
    if (text == "read") {
        return Mix{false, 100};
    }
    if (text == "cas") {
        return Mix{true, 0};
    }
    unsigned reads = 0;
    unsigned writes = 0;
    const char* end = text.data() + text.size();
    const auto first = std::from_chars(text.data(), end, reads);
    if (first.ec == std::errc() && first.ptr != end && *first.ptr == '/') {
        const auto second = std::from_chars(first.ptr + 1, end, writes);
        if (second.ec == std::errc() && second.ptr == end && reads <= 100 && writes <= 100 && reads + writes == 100) {
            return Mix{false, reads};
        }
    }
    return refuse_input(fmt::format(
        "--mix {}: known are write, read, cas, and READS/WRITES that add up to 100, such as 95/5 or 50/50", text));
}

KeyChooser::KeyChooser(std::uint64_t keys, double theta) : keys_(keys) {
    if (theta <= 0.0) {
        return;
    }
    cumulative_.reserve(keys);
    double sum = 0.0;
    for (std::uint64_t rank = 0; rank < keys; ++rank) {
        sum += std::pow(static_cast<double>(rank + 1), -theta);
        cumulative_.push_back(sum);
    }
}

std::uint64_t KeyChooser::at(double position) const {
    if (cumulative_.empty()) {
        return std::min(static_cast<std::uint64_t>(position * static_cast<double>(keys_)), keys_ - 1);
    }
    const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), position * cumulative_.back());
    return std::min(static_cast<std::uint64_t>(found - cumulative_.begin()), keys_ - 1);
}

std::string key_text(const WorkloadShape& shape, std::uint64_t index) {
    const std::size_t width = shape.key_bytes > shape.prefix.size() ? shape.key_bytes - shape.prefix.size() : 1;
    return fmt::format("{}{:0>{}}", shape.prefix, index, width);
}

std::string value_text(const WorkloadShape& shape, std::uint64_t caller, std::uint64_t count) {
    std::string value = fmt::format("{:x}.{:x}.", caller, count);
    value.resize(shape.value_bytes, 'x');
    return value;
}

}  // namespace loyal::cli
