// SlewedClock: physical time for the hybrid logical clock (docs/PROTOCOL.md §12): wall time at start plus
// CLOCK_BOOTTIME elapsed since, slewed toward the wall clock by at most `slew_divisor`-th of the time that passes, so
// that an operator's step of an hour neither freezes nor jumps a cluster. Never goes back. This is the only reader of
// the wall clock. Single-threaded.
#pragma once

#include <cstdint>
#include <functional>

namespace loyal::replica {

// Microseconds; replaceable in tests.
struct ClockSource {
    std::function<std::int64_t()> boot_us;  // runs on during suspension, never steps
    std::function<std::int64_t()> wall_us;  // may step
    [[nodiscard]] static ClockSource system();
};

class SlewedClock {
 public:
    static constexpr std::int64_t slew_divisor = 50;  // 20 ms a second

    explicit SlewedClock(ClockSource source = ClockSource::system());

    // Milliseconds since 1970.
    [[nodiscard]] std::uint64_t now_ms() { return now_us() / 1'000; }
    [[nodiscard]] std::uint64_t now_us();
    // How far the wall clock was ahead of this one at the last reading.
    [[nodiscard]] std::int64_t behind_wall_us() const { return error_us_; }

 private:
    ClockSource source_;
    std::int64_t last_boot_us_;
    std::int64_t time_us_;
    std::int64_t error_us_ = 0;
};

}  // namespace loyal::replica
