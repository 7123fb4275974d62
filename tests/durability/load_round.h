// LoadRound: concurrent callers on keys of their own while something bad happens to the replicas, and then the
// judgement: every acknowledged write can be read (linearizably), every key's history is linearizable, no write took
// effect twice. The load, the history and the checkers are the lab's and the simulator's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client/lab/load.h"
#include "client/lab/record.h"
#include "tests/durability/fleet.h"

namespace loyal::durability {

struct RoundCounts {
    std::uint64_t acknowledged = 0;  // writes
    std::uint64_t refused = 0;       // surely not applied
    std::uint64_t unknown = 0;
    std::uint64_t reads = 0;
    std::uint64_t lost = 0;        // acknowledged, and not there
    std::uint64_t violations = 0;  // of linearizability and of execution once
    std::uint64_t undecided = 0;
    std::vector<std::string> texts;

    RoundCounts& operator+=(const RoundCounts& more);
};

// Keys and what was read of them at the end of their round: they must stay so.
using Kept = std::map<std::string, std::string>;

// Pure. Public so that a test can show that it finds what is wrong.
[[nodiscard]] RoundCounts judge_round(const lab::Record& record);

class LoadRound {
 public:
    // Keys begin with `prefix`. Starts at once.
    LoadRound(const Fleet& fleet, std::string prefix, std::uint64_t seed, std::size_t callers = 8,
              std::size_t keys = 12, std::uint64_t pause_ms = 2);
    ~LoadRound();
    LoadRound(const LoadRound&) = delete;
    LoadRound& operator=(const LoadRound&) = delete;

    [[nodiscard]] std::uint64_t answered() const { return load_->counts().ok; }
    // Ends the load, reads every key back and judges. Adds what it read to `kept`.
    [[nodiscard]] RoundCounts finish(Kept& kept);

 private:
    class Prefixed;

    const Fleet& fleet_;
    std::string prefix_;
    std::unique_ptr<Prefixed> service_;
    std::unique_ptr<lab::Load> load_;
    std::atomic<bool> pumping_{true};
    std::thread pump_;
};

// Reads all of them again, through a quorum; one text for each that is not as it was.
[[nodiscard]] std::vector<std::string> compare(const Fleet& fleet, const Kept& kept);

}  // namespace loyal::durability
