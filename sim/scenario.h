// Scenario: everything that a seed stands for: the shape of the cluster, timers, network, clocks, disks, clients, who
// is a traitor, and the plan of faults. Made from the seed alone; may be edited afterwards (a shrunk plan, a rule
// switched off) and is then run as it is. A new kind of fault is one more FaultKind and its case in World::apply.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "consensus/core.h"
#include "sim/network.h"

namespace loyal::sim {

// How messages and clocks behave. Partial synchrony (Dwork, Lynch, Stockmeyer, JACM'88): anything until the faults end.
enum class Timing : std::uint8_t { synchronous, partial, asynchronous };

enum class FaultKind : std::uint8_t {
    partition,  // replicas of `mask` | the rest, both ways
    one_way,    // replicas of `mask` are not heard by the rest
    cut_links,  // `a` and `b` do not hear each other (partial partition)
    heal_network,
    storm,          // the network's bad quality; `arg` 0: back to the usual one
    crash,          // replica `a`, now
    crash_midway,   // `a` dies after `arg` more calls to the outside: in the middle of a step
    crash_in_sync,  // `a` dies between its next persist request and the answer
    power_cut,      // all at once
    restart,        // `a`
    restart_all,
    pause,       // `a` gets no events for `arg` us
    clock_jump,  // of `a`, by `arg` ms, signed
    clock_mend,
    slow_disk,   // syncs of `a` take `arg` times as long; 0: as usual
    behave,      // traitor `a` does what `text` says (replica/faults/fault_spec.h)
    cut_client,  // client `a` loses its link to replica `b` until heal_clients; `arg` 1: to all of `mask`
    heal_clients,
};
[[nodiscard]] const char* name_of(FaultKind kind);

struct FaultEvent {
    TimeUs at = 0;
    FaultKind kind = FaultKind::heal_network;
    std::uint16_t a = 0, b = 0;
    std::uint32_t mask = 0;
    std::int64_t arg = 0;
    std::string text = {};
};
[[nodiscard]] std::string text_of(const FaultEvent& event);

struct ClockShape {
    std::int64_t offset_ms = 0;
    std::int64_t drift_ppm = 0;
};
struct DiskShape {
    TimeUs sync_min_us = 100, sync_spread_us = 400;
    TimeUs write_back_us = 50'000;  // how often the overlay is written to the state store
    bool write_back_synced = false;
};
struct WorkloadShape {
    std::size_t clients = 2;
    bool shared_key = false;          // the first two sessions use one client key
    std::size_t operations = 20;      // of each client during the faults
    std::size_t last_operations = 3;  // of each client once the faults are over: all of them must succeed
    std::size_t outstanding = 2;
    std::size_t keys = 3;
    TimeUs think_us = 20'000;           // mean pause between operations
    std::uint64_t timeout_ms = 60'000;  // an operation's; long: none may time out
    std::uint64_t retry_ms = 100;
};

struct Scenario {
    std::uint64_t seed = 0;
    Timing timing = Timing::partial;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    std::size_t n = 4;
    std::uint64_t window = 8;
    consensus::Options core;           // self is filled in per replica
    LinkQuality quality, storm, calm;  // usual, in a storm, after the faults
    std::vector<ClockShape> clocks;    // of each replica
    DiskShape disk;
    TimeUs execute_us = 20;  // an executor job
    TimeUs batch_us = 30;    // how long a replica goes on collecting inputs before it ends a batch
    WorkloadShape workload;
    std::vector<std::uint16_t> traitors;
    std::vector<FaultEvent> plan;  // in order of time
    TimeUs faults_end_us = 2 * second;
    TimeUs recovery_max_us = 60 * second;  // everything completes within this time after the faults
    std::uint32_t codec_ppm = 1'000'000;   // so many messages go through encode, decode and all signature checks
    std::vector<std::string> state_rules_off;

    [[nodiscard]] consensus::Quorum quorum() const { return consensus::Quorum::of(fault_model, n); }
};

[[nodiscard]] Scenario make_scenario(std::uint64_t seed);
// A few lines for a human.
[[nodiscard]] std::string describe(const Scenario& scenario);

}  // namespace loyal::sim
