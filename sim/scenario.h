// Scenario: everything that a seed stands for: the shape of the cluster, timers, network, clocks, disks, clients, who
// is a traitor, and the plan of faults. Made from the seed alone; may be edited afterwards (a shrunk plan, a rule
// switched off) and is then run as it is. A new kind of fault is one more FaultKind and its case in World::apply.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "consensus/core.h"
#include "replica/control.h"
#include "sim/network.h"

namespace loyal::sim {

// How messages and clocks behave.
enum class Timing : std::uint8_t {
    // A known bound always holds (Lamport and Fischer's model): nothing is lost, delays stay far below the time-outs,
    // clocks are within PRECISION; only processes fail.
    synchronous,
    // Partial synchrony (Dwork, Lynch, Stockmeyer, JACM'88): anything until the faults end, then a bound holds.
    partial,
    // No bound, ever: an adversary schedules (sim/adversary.h). Liveness cannot be had (Fischer, Lynch, Paterson,
    // JACM'85) and is not asked for.
    asynchronous,
};
[[nodiscard]] const char* name_of(Timing timing);

// How processes fail.
enum class Failures : std::uint8_t {
    crash_stop,      // crash fault model; up to f crash and never return
    crash_recovery,  // crash fault model; they come back from their disks
    byzantine,       // byzantine fault model; up to f lie, crash, or crash for good
};
[[nodiscard]] const char* name_of(Failures failures);

enum class FaultKind : std::uint8_t {
    partition,  // replicas of `mask` | the rest, both ways
    one_way,    // replicas of `mask` are not heard by the rest
    cut_links,  // `a` and `b` do not hear each other (partial partition)
    link,       // what `a` sends to each of `mask` meets `link`; `arg` 1: what it answers to clients instead
    heal_network,
    storm,          // the network's bad quality; `arg` 0: back to the usual one
    crash,          // replica `a`, now
    crash_midway,   // `a` dies after `arg` more calls to the outside: in the middle of a step
    crash_in_sync,  // `a` dies between its next persist request and the answer
    fail_sync,      // the next sync of `a` fails, of its log (`arg` 0) or its state (1), which ends the process
    crash_stop,     // `a`, now; it never returns
    power_cut,      // all at once; with a mask, those of it
    restart,        // `a`
    restart_all,
    pause,       // `a` gets no events for `arg` us
    clock_jump,  // of `a`, by `arg` ms, signed
    clock_offset,
    clock_drift,  // of `a`, by `arg` ppm, signed, from now on
    clock_freeze,
    clock_mend,
    slow_disk,      // syncs of `a` take `arg` times as long; 0: as usual
    disk_delay,     // syncs of `a` take `arg` us longer
    refuse_writes,  // `a` behaves as with a full disk; `arg` 0: no more
    bad_disk,       // each operation of `a`'s disk fails or rots with `arg` ppm, as the bits of `mask` say; 0: no more
    rot,        // one record on `a`'s disk, now; `arg`: of which part; `b` 0: a bit of it flips, 1: it is found no more
    lose_disk,  // `a` dies, and part `arg` of its disk is empty when it comes back
    keep_image,  // of `a`'s disk, as it is now
    roll_back,   // `a` dies, and part `arg` of its disk is as in the image when it comes back
    diverge,     // a value in `a`'s state changes as if it had been written so (bad memory)
    behave,      // traitor `a` does what `text` says (replica/faults/fault_spec.h)
    cut_client,  // client `a` loses its link to replica `b` until heal_clients; `arg` 1: to all of `mask`
    heal_clients,
    heal_all,  // networks, clocks, disks
};
[[nodiscard]] const char* name_of(FaultKind kind);

// What of a disk: FaultEvent::arg.
enum class DiskPart : std::uint8_t { all = 0, state = 1, log = 2 };
// Kinds of failures of a bad disk: FaultEvent::mask.
enum DiskTrouble : std::uint32_t {
    trouble_error = 1,
    trouble_full = 2,
    trouble_sync = 4,
    trouble_flip = 8,
    trouble_hide = 16,
    trouble_all = 31,
};

// In FaultEvent::a: who it is, is looked up when it happens.
inline constexpr std::uint16_t the_primary = 0xFFFF, a_backup = 0xFFFE;

struct FaultEvent {
    TimeUs at = 0;
    FaultKind kind = FaultKind::heal_network;
    std::uint16_t a = 0, b = 0;
    std::uint32_t mask = 0;
    std::int64_t arg = 0;
    std::string text;
    replica::LinkFault link;
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
// Percent of the operations; the rest are reads of one key.
struct OperationMix {
    std::uint32_t puts = 35, cas = 20, deletes = 8, ranges = 10;
    bool cas_deletes = true;           // some of the cas write nothing but delete
    std::uint32_t ordered_one_in = 8;  // reads that take their place among the writes; 0: none
    // Percent of all operations, drawn before the others; leases and locks are on keys of their own.
    std::uint32_t txns = 0, leases = 0;
};
struct WorkloadShape {
    std::size_t clients = 2;
    bool shared_key = false;          // the first two sessions use one client key
    bool one_key = false;             // all of them do
    std::size_t operations = 20;      // of each client during the faults
    std::size_t last_operations = 3;  // of each client once the faults are over: all of them must succeed
    std::size_t outstanding = 2;
    std::size_t watches = 0;  // of each client, one after the other as long as the faults last
    std::size_t keys = 3;
    std::string key_prefix = "k";  // k0, k1, ...
    std::size_t key_digits = 1;
    OperationMix mix;
    std::size_t value_bytes = 0;        // at least; values are short otherwise
    TimeUs think_us = 20'000;           // mean pause between operations
    std::optional<TimeUs> pause_us;     // closed loop instead: from an answer to the next question
    std::uint64_t timeout_ms = 60'000;  // an operation's; long: none may time out
    std::uint64_t retry_ms = 100;

    [[nodiscard]] std::string key(std::size_t number) const {
        const std::string digits = std::to_string(number);
        return key_prefix + std::string(key_digits - std::min(key_digits, digits.size()), '0') + digits;
    }
};

// What the adversary of the asynchronous model wants (sim/adversary.h).
enum class Scheming : std::uint8_t {
    none,
    starve,   // nothing may ever be decided
    shuffle,  // every order of messages may occur, with delays of all lengths
};

// What happens at faults_end_us.
enum class Ending : std::uint8_t {
    recover,    // everything is mended; all that was asked and the last operations must complete
    stop,       // the run is over; what is under way stays unanswered
    read_back,  // everything is mended, traitors are told to stop, and every key is read once; unreadable ones are no
                // failure
};

struct Scenario {
    std::uint64_t seed = 0;
    Timing timing = Timing::partial;
    Failures failures = Failures::byzantine;
    Scheming scheming = Scheming::none;
    Ending ending = Ending::recover;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    std::size_t n = 4;
    std::uint64_t window = 8;
    std::uint64_t checkpoint_interval = 0;  // C; 0: no checkpoints
    consensus::Options core;                // self is filled in per replica
    LinkQuality quality, storm, calm;       // usual, in a storm, after the faults
    std::vector<ClockShape> clocks;         // of each replica
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
    std::map<std::string, std::size_t> client_names;  // besides c0, c1, ...: for behaviours that single some out

    [[nodiscard]] consensus::Quorum quorum() const { return consensus::Quorum::of(fault_model, n); }
};

// What a seed may not choose freely.
struct Mix {
    std::optional<Timing> timing;
    std::optional<Failures> failures;
    // f = 1, the default timers and the same workload for every seed, so that runs can be compared (the matrix).
    bool uniform = false;
    // Beyond the model: as many colluding equivocators as can break it, f+1 where n = 3f+1, to see that the checkers
    // notice.
    bool too_many_traitors = false;
    // Every seed has replicas, at most f with the traitors, whose disks fail, rot, vanish or come back from the past.
    bool disk_faults = false;
    std::optional<std::size_t> watches;  // of each client
};

[[nodiscard]] Scenario make_scenario(std::uint64_t seed, const Mix& mix = {});
// A few lines for a human.
[[nodiscard]] std::string describe(const Scenario& scenario);

}  // namespace loyal::sim
