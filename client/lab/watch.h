// Watch: what the lab sees of a running cluster: status of every replica about ten times a second, changes of view,
// deaths, evidence, and the messages around the moment of the first fault. It asks as any operator would and never
// waits; answers come on the client's thread. The owner calls `look` often.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/lab/record.h"
#include "consensus/verifier.h"

namespace loyal::lab {

// Seconds of the run's clock, which began at `start_ns` of CLOCK_MONOTONIC.
struct RunClock {
    std::uint64_t start_ns = 0;
    [[nodiscard]] static std::uint64_t now_ns();
    [[nodiscard]] double now_s() const;
    [[nodiscard]] double seconds_of(std::uint64_t ns) const;
};

class Watch {
 public:
    // `admin` outlives it and is closed before it.
    Watch(client::Client& admin, const consensus::Membership& membership, RunClock clock);

    // Asks when it is time to; cheap.
    void look();
    // Asks who holds proof against whom, at all replicas.
    void ask_evidence();
    // Fetches the messages between two moments.
    void ask_trace(double from_s, double to_s);
    void add_event(Event event);

    // The newest word of each replica that answered lately.
    [[nodiscard]] std::map<std::uint16_t, Sample> latest() const;
    // The replica that calls itself primary in the highest view; the one that would be by its number when none does.
    [[nodiscard]] std::uint16_t primary() const;
    // Every replica of `ids` answers and has executed the same height.
    [[nodiscard]] bool level(const std::vector<std::uint16_t>& ids) const;
    // Moves everything seen into the record.
    void finish(Record& record);

 private:
    struct Shared;
    client::Client& admin_;
    std::uint16_t replicas_;
    RunClock clock_;
    std::shared_ptr<Shared> shared_;  // answers may come late
};

}  // namespace loyal::lab
