// FaultyClock: the physical clock of the hybrid logical clock, which experiments may set wrong (replica/control.h,
// `clock`). What a badly set or badly running machine shows lies above the slewing, what an operator does to the wall
// clock below it:
//
//     offset, drift, freeze   above SlewedClock: the replica's time is wrong by so much at once, runs fast or slow, or
//                             stands still, as on a machine without a time service
//     jump                    below SlewedClock: the wall clock is stepped. The replica's time follows at 20 ms a
//                             second, by design, and the step raises the alarm `clock_step`
//     mend                    all of it ends; a wall clock that jumped jumps back
//
// Unlike SlewedClock this one goes back when it is told to; the core's clock then stands still until it is made up for
// (PROTOCOL.md H1), as after a restart with a corrected clock. Without a fault: SlewedClock. Single-threaded.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "replica/clock.h"
#include "replica/control.h"

namespace loyal::replica {

class FaultyClock {
 public:
    explicit FaultyClock(ClockSource source = ClockSource::system());
    FaultyClock(const FaultyClock&) = delete;  // what it reads from points into it
    FaultyClock& operator=(const FaultyClock&) = delete;

    // Since 1970.
    [[nodiscard]] std::uint64_t now_ms() { return now_us() / 1'000; }
    [[nodiscard]] std::uint64_t now_us();
    // How far the wall clock was ahead of the slewed one at the last reading.
    [[nodiscard]] std::int64_t behind_wall_us() const { return slewed_.behind_wall_us(); }

    // Offset and drift replace an earlier one of their kind, jumps add up.
    void set(const ClockFault& fault);
    // "clock offset=-5000ms drift=200ppm"; empty: none.
    [[nodiscard]] std::string in_force() const;

 private:
    [[nodiscard]] std::int64_t drifted_us() const;
    void set_drift(std::int64_t ppm);

    ClockSource source_;
    std::int64_t jumped_us_ = 0;  // of the wall clock
    SlewedClock slewed_;
    bool faulty_ = false;
    std::int64_t offset_us_ = 0;
    std::int64_t drift_ppm_ = 0;
    std::int64_t drift_from_us_ = 0;      // of boot_us
    std::int64_t drifted_before_us_ = 0;  // with earlier rates
    std::optional<std::uint64_t> frozen_us_;
};

}  // namespace loyal::replica
