// The parts of the durability test. Each makes its clusters below `folder`, says what it did and what it measured, and
// leaves nothing behind. Single-threaded: one at a time.
#pragma once

#include <cstdint>
#include <filesystem>

#include "tests/durability/report.h"

namespace loyal::durability {

struct Settings {
    bool full = false;  // the figures of the documentation, not CI's few
    std::uint64_t seed = 1;
    std::filesystem::path folder;
};

void power_cuts(const Settings& settings, Report& report);
void kill_points(const Settings& settings, Report& report);
void full_disks(const Settings& settings, Report& report);
void churn(const Settings& settings, Report& report);
void bit_flips(const Settings& settings, Report& report);
void catch_up(const Settings& settings, Report& report);

}  // namespace loyal::durability
