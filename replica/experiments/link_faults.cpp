#include "replica/experiments/link_faults.h"

#include <algorithm>

namespace loyal::replica {
namespace {

// splitmix64 (Steele, Lea, Flood, OOPSLA'14): a fixed function, so that a link with a seed repeats everywhere.
std::uint64_t next(std::uint64_t& state) {
    state += 0x9E3779B97F4A7C15ULL;
    std::uint64_t value = state;
    value = (value ^ (value >> 30U)) * 0xBF58476D1CE4E5B9ULL;
    value = (value ^ (value >> 27U)) * 0x94D049BB133111EBULL;
    return value ^ (value >> 31U);
}

constexpr std::uint64_t reorder_ms_min = 5;

}  // namespace

bool LinkFaults::chance(double probability) {
    constexpr double unit = 1.0 / 9007199254740992.0;  // 2^-53
    return probability > 0 && static_cast<double>(next(state_) >> 11U) * unit < probability;
}

std::uint64_t LinkFaults::below(std::uint64_t bound) {
    return next(state_) % bound;  // bounds are far below 2^64: the bias does not matter
}

bool LinkFaults::is_backed_up(std::uint64_t now_us) const {
    return fault_.rate_bytes_s != 0 && busy_until_us_ > now_us &&
           static_cast<double>(busy_until_us_ - now_us) * 1e-6 * static_cast<double>(fault_.rate_bytes_s) >
               static_cast<double>(held_bytes_max);
}

std::uint64_t LinkFaults::departure(std::uint64_t now_us, std::size_t bytes) {
    std::uint64_t begin_us = now_us;
    if (fault_.rate_bytes_s != 0) {
        begin_us = std::max(begin_us, busy_until_us_) + bytes * 1'000'000 / fault_.rate_bytes_s;
        busy_until_us_ = begin_us;
    }
    const std::uint64_t jitter_us = fault_.jitter_ms == 0 ? 0 : below(fault_.jitter_ms * 1'000 + 1);
    const std::uint64_t at_us = begin_us + fault_.delay_ms * 1'000 + jitter_us;
    if (chance(fault_.reorder)) {
        return at_us + 1 + below(2'000 * (fault_.delay_ms + fault_.jitter_ms + reorder_ms_min));
    }
    last_us_ = std::max(last_us_, at_us);
    return last_us_;
}

std::vector<std::uint64_t> LinkFaults::depart(std::uint64_t now_us, std::size_t bytes) {
    ++counters_.frames;
    if (fault_.cut || chance(fault_.drop) || is_backed_up(now_us)) {
        ++counters_.lost;
        return {};
    }
    std::vector<std::uint64_t> departures{departure(now_us, bytes)};
    if (chance(fault_.duplicate)) {
        ++counters_.duplicated;
        departures.push_back(departure(now_us, 0));
    }
    counters_.delayed += departures.front() > now_us ? 1 : 0;
    return departures;
}

}  // namespace loyal::replica
