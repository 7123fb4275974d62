#include "client/cli/transfer_progress.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "client/cli/progress.h"

namespace loyal::cli {

std::string duration_text(double seconds) {
    constexpr double shown_max_s = 99.0 * 3'600.0;
    if (!(seconds >= 0.0 && seconds < shown_max_s)) {
        return "-";
    }
    const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
    const std::uint64_t hours = whole / 3'600;
    return hours > 0 ? fmt::format("{}:{:02}:{:02}", hours, whole / 60 % 60, whole % 60)
                     : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string bytes_text(double bytes) {
    constexpr std::array<const char*, 5> units = {"B", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    while (bytes >= 1'024.0 && unit + 1 < units.size()) {
        bytes /= 1'024.0;
        ++unit;
    }
    return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 1, units[unit]);
}

std::string transfer_text(const TransferProgress& progress) {
    const bool moving = progress.seconds > 0.0 && progress.done > progress.done_before;
    const double rate = progress.seconds > 0.0 ? 1.0 / progress.seconds : 0.0;
    std::string text =
        fmt::format("{} records, {:.0f}/s, {}/s", progress.records, static_cast<double>(progress.records) * rate,
                    bytes_text(static_cast<double>(progress.bytes) * rate));
    if (!progress.all || *progress.all == 0) {
        return text;
    }
    const auto done = static_cast<double>(progress.done);
    const auto all = static_cast<double>(*progress.all);
    const double left_s = moving ? std::max(all - done, 0.0) * progress.seconds /
                                       static_cast<double>(progress.done - progress.done_before)
                                 : -1.0;
    return fmt::format("{}  {}, {} left", ProgressLine::bar(done / all), text, duration_text(left_s));
}

}  // namespace loyal::cli
