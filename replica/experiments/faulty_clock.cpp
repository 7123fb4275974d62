#include "replica/experiments/faulty_clock.h"

#include <algorithm>
#include <utility>

namespace loyal::replica {

FaultyClock::FaultyClock(ClockSource source)
    : source_(std::move(source)),
      slewed_(ClockSource{source_.boot_us, [this] { return source_.wall_us() + jumped_us_; }}) {}

std::uint64_t FaultyClock::now_us() {
    const std::uint64_t right_us = slewed_.now_us();
    if (!faulty_) {
        return right_us;
    }
    if (frozen_us_) {
        return *frozen_us_;
    }
    return static_cast<std::uint64_t>(
        std::max<std::int64_t>(0, static_cast<std::int64_t>(right_us) + offset_us_ + drifted_us()));
}

std::int64_t FaultyClock::drifted_us() const {
    const std::int64_t elapsed_us = std::max<std::int64_t>(0, source_.boot_us() - drift_from_us_);
    return drifted_before_us_ + elapsed_us / 1'000'000 * drift_ppm_ + elapsed_us % 1'000'000 * drift_ppm_ / 1'000'000;
}

void FaultyClock::set_drift(std::int64_t ppm) {
    drifted_before_us_ = drift_ppm_ == 0 ? drifted_before_us_ : drifted_us();
    drift_ppm_ = ppm;
    drift_from_us_ = source_.boot_us();
}

void FaultyClock::set(const ClockFault& fault) {
    switch (fault.kind) {
        case ClockFault::Kind::offset: offset_us_ = fault.value * 1'000; break;
        case ClockFault::Kind::drift: set_drift(fault.value); break;
        case ClockFault::Kind::jump: jumped_us_ += fault.value * 1'000; break;
        case ClockFault::Kind::freeze: frozen_us_ = now_us(); break;
        case ClockFault::Kind::mend:
            offset_us_ = drift_ppm_ = drifted_before_us_ = jumped_us_ = 0;
            frozen_us_.reset();
            break;
    }
    faulty_ = fault.kind != ClockFault::Kind::mend;
}

std::string FaultyClock::in_force() const {
    std::string text;
    const auto add = [&text](const std::string& word) { text += " " + word; };
    if (offset_us_ != 0) {
        add("offset=" + std::to_string(offset_us_ / 1'000) + "ms");
    }
    if (drift_ppm_ != 0) {
        add("drift=" + std::to_string(drift_ppm_) + "ppm");
    }
    if (jumped_us_ != 0) {
        add("jump=" + std::to_string(jumped_us_ / 1'000) + "ms");
    }
    if (frozen_us_) {
        add("freeze");
    }
    return text.empty() ? text : "clock" + text;
}

}  // namespace loyal::replica
