// Many writes under way at once, within bounds, for `import`. Operations on one key never overlap,
// so that they take effect in the order in which they were submitted. Used by one thread; completions come on the
// client's.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "client/cli/failure.h"
#include "client/client.h"

namespace loyal::cli {

struct PipelineSummary {
    std::uint64_t done = 0;          // applied
    std::uint64_t negative = 0;      // answered with no: an absent key, a failed comparison
    std::uint64_t unknown = 0;       // may have been applied
    std::uint64_t refused = 0;       // definitely not applied
    std::optional<Failure> failure;  // why the first one failed; what may have been applied comes first
    std::uint64_t failed_tag = 0;    // the smallest of the failed ones
};

class WritePipeline {
 public:
    explicit WritePipeline(client::Client& client, std::size_t operations_max = 512, std::size_t bytes_max = 8U << 20U);
    ~WritePipeline();  // finish()
    WritePipeline(const WritePipeline&) = delete;
    WritePipeline& operator=(const WritePipeline&) = delete;

    // Once `stop` is true, submit() waits for nothing any more and says no.
    void stop_when(const std::atomic<bool>& stop);
    // A put, or a delete of one key (asserted). Waits for room. False, and not sent, once an operation has failed.
    bool submit(kvstore::Operation operation, std::uint64_t tag);
    [[nodiscard]] bool failed() const;
    // Answered so far.
    [[nodiscard]] std::uint64_t answered() const;
    // Of tags that were submitted in ascending order, all below this one are done; UINT64_MAX: all of them.
    [[nodiscard]] std::uint64_t done_below() const;
    // Waits for everything that is under way, at most so long; false when something still is.
    bool settle(std::chrono::milliseconds limit);
    // Waits for everything that is under way.
    PipelineSummary finish();

 private:
    struct State;
    client::Client& client_;
    std::shared_ptr<State> state_;
};

}  // namespace loyal::cli
