#include "replica/clock.h"

#include <algorithm>
#include <ctime>
#include <utility>

namespace loyal::replica {
namespace {

std::int64_t read_us(clockid_t clock) {
    timespec now{};
    ::clock_gettime(clock, &now);
    return static_cast<std::int64_t>(now.tv_sec) * 1'000'000 + now.tv_nsec / 1'000;
}

}  // namespace

ClockSource ClockSource::system() {
    return {[] { return read_us(CLOCK_BOOTTIME); }, [] { return read_us(CLOCK_REALTIME); }};
}

SlewedClock::SlewedClock(ClockSource source)
    : source_(std::move(source)),
      last_boot_us_(source_.boot_us()),
      time_us_(std::max<std::int64_t>(0, source_.wall_us())) {}

std::uint64_t SlewedClock::now_us() {
    const std::int64_t boot = source_.boot_us();
    const std::int64_t elapsed = std::max<std::int64_t>(0, boot - last_boot_us_);
    last_boot_us_ = std::max(last_boot_us_, boot);
    time_us_ += elapsed;
    error_us_ = source_.wall_us() - time_us_;
    const std::int64_t slew_max = elapsed / slew_divisor;
    time_us_ += std::clamp(error_us_, -slew_max, slew_max);
    return static_cast<std::uint64_t>(time_us_);
}

}  // namespace loyal::replica
