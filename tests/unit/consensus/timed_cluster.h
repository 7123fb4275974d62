// A TestCluster in which time passes by itself: a network that delays and loses what a test says, clients that send at
// a rate or wait for their answers, and cores that tick. For schedules about timers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {

class TimedCluster {
 public:
    explicit TimedCluster(const Shape& shape) : cluster(shape) {}

    // Each envelope goes to `to`. Open loop: one every `every_ms`. Closed loop: each of `callers` sends its next one
    // when R`watcher` has executed the last.
    struct Load {
        std::uint64_t every_ms = 0;
        std::size_t callers = 0;
        Members to;
        std::size_t watcher = 0;
    };
    Load load;
    // Delay of a packet in ms; none: it is lost. Absent: nothing is.
    std::function<std::optional<std::uint64_t>(const Packet&)> network;
    Members down;  // these neither tick nor hear

    void run(std::uint64_t ms);
    // True as soon as `done`, at most after `ms`.
    bool run_until(const std::function<bool()>& done, std::uint64_t ms);
    [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }
    [[nodiscard]] bool all_in(View view) const;  // who is up has entered it and wants no other
    [[nodiscard]] View highest_view() const;     // promised by anybody
    [[nodiscard]] std::uint64_t executed_envelopes(std::size_t replica);

    TestCluster cluster;

 private:
    void step();
    void send_load();
    void settle();
    void observe(std::size_t replica);

    std::uint64_t now_ms_ = 0;
    std::uint64_t sent_ = 0;
    std::multimap<std::uint64_t, Packet> under_way_;                   // by time of arrival
    std::map<std::uint64_t, std::uint64_t> open_;                      // session -> sequence number, closed loop
    std::map<std::size_t, std::pair<std::uint64_t, Height>> counted_;  // replica -> envelopes executed up to a height
    std::map<std::uint64_t, std::uint64_t> answered_;  // session -> highest executed number at `watcher`
};

}  // namespace loyal::consensus::test
