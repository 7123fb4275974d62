// ClockSteps: notices that the wall clock was stepped, from how far SlewedClock is behind it. A change that slewing
// does not explain must be seen twice, for a process may be suspended between its readings of two clocks.
// Single-threaded.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <optional>

namespace loyal::replica {

class ClockSteps {
 public:
    // `behind_us`: SlewedClock::behind_wall_us at the latest reading; `now_us` of a clock that never steps. How far the
    // wall clock was stepped, if it was.
    std::optional<std::int64_t> observe(std::int64_t behind_us, std::uint64_t now_us) {
        const std::int64_t change_us = behind_us - last_us_;
        // Twice what SlewedClock moves by, and what a time service's slewing adds.
        const auto explained_us = static_cast<std::int64_t>(step_min_us + (now_us - last_at_us_) / 25);
        const bool stepped = known_ && std::abs(change_us) > explained_us;
        if (stepped && !suspected_) {
            suspected_ = true;
            return std::nullopt;
        }
        suspected_ = false;
        known_ = true;
        last_us_ = behind_us;
        last_at_us_ = now_us;
        if (!stepped) {
            return std::nullopt;
        }
        ++count_;
        return change_us;
    }
    [[nodiscard]] std::uint64_t count() const { return count_; }

 private:
    static constexpr std::uint64_t step_min_us = 50'000;

    std::int64_t last_us_ = 0;
    std::uint64_t last_at_us_ = 0;
    bool known_ = false;
    bool suspected_ = false;
    std::uint64_t count_ = 0;
};

}  // namespace loyal::replica
