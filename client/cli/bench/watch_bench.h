// Load for watches: N watches, each on a prefix of its own, and writes at a fixed rate, each of which matters to one of
// them. Counts what was lost, told twice or told out of order; latency is from the intended start of a write to the
// moment at which its watch was told.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/cli/bench/histogram.h"
#include "client/cli/failure.h"
#include "client/client.h"

namespace loyal::cli {

struct WatchBenchPlan {
    std::size_t watches = 1'000;
    double rate_per_s = 1'000.0;
    double seconds = 10.0;
    std::size_t value_bytes = 256;
    std::string prefix;
    std::uint64_t drain_ms = 10'000;  // for what is under way at the end
};
struct WatchBenchReport {
    double begun_seconds = 0.0;  // until all watches had begun
    double seconds = 0.0;        // of writing
    std::uint64_t written = 0, failed = 0, unknown = 0;
    std::uint64_t told = 0;
    std::uint64_t lost = 0;        // written, and never told
    std::uint64_t repeated = 0;    // told more than once
    std::uint64_t disordered = 0;  // told behind a later one of the same watch
    std::uint64_t strange = 0;     // never written, or told to another watch
    std::uint64_t behind = 0;      // times that a watch was fed from the history
    Histogram write_ns, told_ns;
};

// The watches are spread over `watchers`; all clients outlive the call.
[[nodiscard]] Answer<WatchBenchReport> run_watch_bench(const WatchBenchPlan& plan,
                                                       const std::vector<client::Client*>& watchers,
                                                       client::Client& writer,
                                                       const std::function<void(const std::string&)>& progress,
                                                       const std::atomic<bool>& stop);
[[nodiscard]] std::string watch_bench_text(const WatchBenchPlan& plan, const WatchBenchReport& report);
[[nodiscard]] std::string watch_bench_json(const WatchBenchPlan& plan, const WatchBenchReport& report);

}  // namespace loyal::cli
