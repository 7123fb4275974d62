// Scenario: an experiment as a person writes it, in TOML: a cluster, a workload, timed faults and what is expected of
// them (docs/EXPERIMENTS.md describes every field). Reading is strict: unknown fields, ids that are not in the cluster,
// behaviours that do not exist, more traitors than make sense and steps outside of the run are errors that name file,
// line, key and remedy.
// Plain values; the functions are pure but for load_scenario, which reads a file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/cluster.h"
#include "config/result.h"
#include "consensus/quorum.h"
#include "replica/faults/fault_spec.h"

namespace loyal::lab {

// What serves the workload.
enum class Store : std::uint8_t {
    loyal,            // a LoyalKV cluster
    last_write_wins,  // the lab's naive store: replicas that order writes by their own wall clocks (naive_store.h)
};
// What the simulator's network and clocks promise; real processes have what this machine gives.
enum class Timing : std::uint8_t { synchronous, partial, asynchronous };

struct ClusterShape {
    std::uint16_t replicas = 4;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    config::CrashMode crash_mode = config::CrashMode::recovery;
    Store store = Store::loyal;
    Timing timing = Timing::partial;
    std::uint64_t checkpoint_interval = 0;  // blocks; 0: as a new cluster has it
    config::Timers timers;  // tenure 0 unless the file says otherwise: the primary stays who it is until it is deposed

    [[nodiscard]] consensus::Quorum quorum() const { return consensus::Quorum::of(fault_model, replicas); }
};

// How a compare-and-set is done.
enum class CasBy : std::uint8_t {
    operation,    // as one operation of the store
    lock,         // by whoever holds the key's lock, who reads, compares and puts (lock_service.h)
    fenced_lock,  // the same, and the put carries the fencing token
};

// Concurrent callers that ask again as soon as they are answered (closed loop), or at a rate, in turn. All of them sign
// in with one key. Every value that is written is a new one, so that a read tells which write it saw.
struct Workload {
    std::uint16_t clients = 4;
    std::uint32_t keys = 8;
    std::uint32_t value_bytes = 32;
    // Percent of the operations; the rest are puts.
    std::uint8_t read_percent = 40, cas_percent = 20, delete_percent = 0;
    double rate_per_s = 0;            // of all callers together; 0: closed loop
    std::uint64_t pause_ms = 10;      // closed loop: between an answer and the next question
    std::uint64_t timeout_ms = 3000;  // of an operation
    CasBy cas_by = CasBy::operation;
    std::uint64_t lock_ttl_ms = 1000;  // of the leases that locks are held on
};

struct Times {  // s; faults are in force during `during`
    double before = 1.5, during = 4, after = 2.5;
    [[nodiscard]] double total() const { return before + during + after; }
};

// Who a step is about: ids, or a role that is looked up when the step is done.
struct Target {
    enum class Role : std::uint8_t { ids, primary, backup, dead };  // backup: any one; dead: all that are killed
    Role role = Role::ids;
    std::vector<std::uint16_t> ids;  // Role::ids: ascending, never empty
};

// Directed links: what `from` sends to `to`.
struct Links {
    Target from;
    std::vector<std::uint16_t> to;
    bool to_clients = false;  // answers to clients instead
};

struct Step {
    enum class Kind : std::uint8_t {
        fault,  // `target` does what `fault` says
        net,    // `links` are as bad as `line` says: "cut", "drop=0.3 delay=20ms", as in replica/control.h
        net_heal,
        clock,  // of `target`, `line` as in replica/control.h: "offset=-5s", "mend"
        disk,   // likewise: "slow=20ms", "fail-sync", "mend"
        pause,  // `target` stops for `pause_ms` and goes on
        kill,   // kill -9
        restart,
        power_cut,               // kill -9 of `target` at once
        lose_disk,               // likewise, and its data folder is gone
        save_disk,               // a copy of its data folder is taken, as it is in this moment
        roll_back_disk,          // killed, and its data folder is the saved copy again
        expect_restart_refused,  // `target` is started and must refuse to
        pause_holder,            // whoever holds a lock and is about to write sleeps for `pause_ms` first
        heal,                    // everything but dead processes: faults none, network, clocks and disks as they were
    };
    double at_s = 0;  // from the start of the run
    Kind kind = Kind::heal;
    Target target;
    replica::FaultSpec fault;
    std::vector<Links> links;
    std::string line;
    std::uint64_t pause_ms = 0;
    std::string text;  // for people: "replica 0: byzantine equivocate"
};
[[nodiscard]] const char* name_of(Step::Kind kind);
// True: puts something in force that was not; false: takes it away (none, mend, heal, restart).
[[nodiscard]] bool is_injection(const Step& step);
// Its target is dead afterwards, until something starts it.
[[nodiscard]] constexpr bool ends_processes(Step::Kind kind) {
    return kind == Step::Kind::kill || kind == Step::Kind::power_cut || kind == Step::Kind::lose_disk ||
           kind == Step::Kind::roll_back_disk;
}

enum class Property : std::uint8_t { agreement, linearizable, durable, once, live };
[[nodiscard]] const char* name_of(Property property);

struct Expectation {
    // Empty: every property holds. Otherwise at least one of these is found broken, and no other.
    std::vector<Property> violated;
    // True: operations go on within `recovery_max_s` after the last step. False: they do not, and that is expected.
    bool live = true;
    // True: no operation completes while the faults are in force (for at least half of that time).
    bool stalls = false;
    double recovery_max_s = 8;
    // Kinds of evidence (E1 ...), one of which must be held against `against`, or against any traitor when that is
    // empty.
    std::vector<std::string> evidence;
    std::vector<std::uint16_t> against;
    bool beyond_model = false;  // more traitors than the cluster tolerates, on purpose
    std::string text;           // in words, for people; made from the rest when the file has none
};

struct Scenario {
    std::string name;  // of the file, without .toml
    std::string title;
    std::string paragraph;  // what happens and why, in plain words
    std::string variant;    // which of `variants` this is; empty: the only one
    bool runs_real = true, runs_simulated = true;
    // What must be built first for it to go as expected; empty: nothing. It runs and is judged all the same.
    std::string waits_for;
    ClusterShape cluster;
    Workload workload;
    Times times;
    std::vector<Step> steps;  // in order of time; repeated ones are written out
    Expectation expect;
    // Runs of the same experiment that differ in something; each complete, none has variants itself. Empty: one run.
    std::vector<Scenario> variants;

    // Replicas that are ever told to lie, ascending. The primary of a step's role is not known here: traitors have ids.
    [[nodiscard]] std::vector<std::uint16_t> traitors() const;
    // The variants, or itself.
    [[nodiscard]] std::vector<Scenario> runs() const;
};

// `origin` names the text in messages; its stem is the scenario's name unless the text has one.
[[nodiscard]] Result<Scenario> parse_scenario(std::string_view text, const std::string& origin);
[[nodiscard]] Result<Scenario> load_scenario(const std::string& path);

// ---- What comes with the program: lab/scenarios/*.toml, embedded when it is built (library.cpp)
struct ShippedScenario {
    std::string_view name, text;
};
[[nodiscard]] const std::vector<ShippedScenario>& shipped_scenarios();  // in order of name
// A shipped name, or the path of a file. Errc::not_found lists what is close.
[[nodiscard]] Result<std::string> scenario_text(const std::string& name_or_path);

}  // namespace loyal::lab
