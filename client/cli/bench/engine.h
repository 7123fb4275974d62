// The engine of `bench`: C concurrent callers over I clients. A caller is a small state machine that goes on in the
// completion of its last operation; there is no thread a caller. Closed loop by default; with a rate, operations have
// intended start times and latency counts from these, so that a stall of the cluster is seen by everything that should
// have started meanwhile (no coordinated omission).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "client/cli/bench/histogram.h"
#include "client/cli/bench/history.h"
#include "client/cli/bench/workload.h"
#include "client/client.h"

namespace loyal::cli {

struct BenchPlan {
    WorkloadShape shape;
    Mix mix;
    double zipf = 0.0;
    std::size_t callers = 64;
    double seconds = 10.0;
    double rate_per_s = 0.0;  // 0: closed loop
    std::uint64_t seed = 0;
    std::uint64_t drain_ms = 7'000;  // after the end, for what is under way: the operations' timeout and some more
};

enum class BenchOp : std::uint8_t { put, get, cas };
inline constexpr std::size_t bench_ops = 3;
[[nodiscard]] const char* name_of(BenchOp op);

struct BenchTally {
    Histogram latency_ns;          // of operations with an answer
    std::uint64_t failed = 0;      // surely not applied
    std::uint64_t unknown = 0;     // may have been applied
    std::uint64_t mismatched = 0;  // cas that compared unequal: an answer, not an error
};
struct BenchProgress {
    double seconds = 0.0;
    std::uint64_t answered = 0;
    std::uint64_t errors = 0;
};
struct BenchReport {
    double seconds = 0.0;
    std::vector<BenchTally> by_op = std::vector<BenchTally>(bench_ops);
    std::string last_error;
    bool drained = true;  // false: some operation had not been answered when the wait for it ended
};

// Clients and history outlive the engine.
class BenchEngine {
 public:
    BenchEngine(BenchPlan plan, std::vector<client::Client*> clients, HistoryFile* history);
    ~BenchEngine();

    // Puts every key once, so that reads and comparisons find something.
    [[nodiscard]] Answer<void> load(const std::atomic<bool>& stop);
    // `progress` is called about once a second from the calling thread. `stop` ends the run early. A refusal that more
    // tries cannot change (this client may not) ends it with that Failure.
    [[nodiscard]] Answer<BenchReport> run(const std::function<void(const BenchProgress&)>& progress,
                                          const std::atomic<bool>& stop);

 private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace loyal::cli
