// SimClock: what one replica's wall clock shows. Offset and drift stay within what the protocol assumes (PRECISION of
// H2); a jump, a wrong rate and a stop are faults and go beyond it until they are mended.
#pragma once

#include <cstdint>
#include <optional>

#include "sim/scheduler.h"

namespace loyal::sim {

class SimClock {
 public:
    // Virtual time zero, in ms since 1970; any fixed date will do.
    static constexpr std::int64_t epoch_ms = 1'750'000'000'000;

    SimClock() = default;
    SimClock(std::int64_t offset_ms, std::int64_t drift_ppm)
        : offset_ms_(offset_ms), usual_drift_ppm_(drift_ppm), drift_ppm_(drift_ppm) {}

    [[nodiscard]] std::uint64_t wall_us(TimeUs now) const {
        const std::int64_t shown = frozen_us_.value_or(running_us(now));
        return static_cast<std::uint64_t>((epoch_ms + offset_ms_ + jump_ms_) * 1'000 + shown);
    }
    [[nodiscard]] std::uint64_t wall_ms(TimeUs now) const { return wall_us(now) / 1'000; }

    // ---- Faults
    void jump(std::int64_t by_ms) { jump_ms_ += by_ms; }
    void set_offset(std::int64_t by_ms) { jump_ms_ = by_ms; }  // beside its usual one
    void drift(std::int64_t ppm, TimeUs now) {                 // besides its usual one, from now on
        set_rate(usual_drift_ppm_ + ppm, now);
    }
    void freeze(TimeUs now) { frozen_us_ = running_us(now); }
    // Shows again what it would have shown without any fault.
    void mend() {
        jump_ms_ = 0;
        frozen_us_.reset();
        drift_ppm_ = usual_drift_ppm_;
        rate_since_ = 0;
        before_us_ = 0;
    }

 private:
    [[nodiscard]] std::int64_t running_us(TimeUs now) const {
        const auto elapsed_us = static_cast<std::int64_t>(now - rate_since_);
        return before_us_ + elapsed_us + elapsed_us * drift_ppm_ / 1'000'000;
    }
    void set_rate(std::int64_t ppm, TimeUs now) {
        before_us_ = running_us(now);
        rate_since_ = now;
        drift_ppm_ = ppm;
    }

    std::int64_t offset_ms_ = 0;
    std::int64_t usual_drift_ppm_ = 0;
    std::int64_t drift_ppm_ = 0;
    std::int64_t jump_ms_ = 0;
    TimeUs rate_since_ = 0;
    std::int64_t before_us_ = 0;  // shown, without offset and jump, at rate_since_
    std::optional<std::int64_t> frozen_us_;
};

}  // namespace loyal::sim
