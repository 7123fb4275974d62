// The progress of an import or an export on a terminal: a bar when the whole is known, records, throughput, and how
// long it will still take at the rate of this run. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace loyal::cli {

struct TransferProgress {
    std::uint64_t records = 0;         // of this run
    std::uint64_t bytes = 0;           // of this run
    std::uint64_t done = 0;            // of the whole, in the unit of `all`, with what earlier runs did
    std::uint64_t done_before = 0;     // of that, by earlier runs
    std::optional<std::uint64_t> all;  // the whole, when it is known
    double seconds = 0.0;              // of this run
};

// "[######........]  42 %  1200 records, 13260/s, 1.2 MiB/s, 0:07 left"
[[nodiscard]] std::string transfer_text(const TransferProgress& progress);
// "0:07", "12:00", "1:02:03"; "-" beyond 99 hours.
[[nodiscard]] std::string duration_text(double seconds);
// "412 B", "1.2 KiB", "3.0 MiB", ...
[[nodiscard]] std::string bytes_text(double bytes);

}  // namespace loyal::cli
