// SimClock: what one replica's wall clock shows. Offset and drift stay within what the protocol assumes (PRECISION of
// H2); a jump is a fault and goes beyond it until it is undone.
#pragma once

#include <cstdint>

#include "sim/scheduler.h"

namespace loyal::sim {

class SimClock {
 public:
    // Virtual time zero, in ms since 1970; any fixed date will do.
    static constexpr std::int64_t epoch_ms = 1'750'000'000'000;

    SimClock() = default;
    SimClock(std::int64_t offset_ms, std::int64_t drift_ppm) : offset_ms_(offset_ms), drift_ppm_(drift_ppm) {}

    [[nodiscard]] std::uint64_t wall_us(TimeUs now) const {
        const auto elapsed_us = static_cast<std::int64_t>(now);
        const std::int64_t drifted_us = elapsed_us + elapsed_us * drift_ppm_ / 1'000'000;
        return static_cast<std::uint64_t>((epoch_ms + offset_ms_ + jump_ms_) * 1'000 + drifted_us);
    }
    [[nodiscard]] std::uint64_t wall_ms(TimeUs now) const { return wall_us(now) / 1'000; }
    void jump(std::int64_t by_ms) { jump_ms_ += by_ms; }
    void mend() { jump_ms_ = 0; }

 private:
    std::int64_t offset_ms_ = 0;
    std::int64_t drift_ppm_ = 0;
    std::int64_t jump_ms_ = 0;
};

}  // namespace loyal::sim
