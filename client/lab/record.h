// Record: everything that was seen in one run of a scenario, by a runner of real processes or of the simulator. The
// judge and the report know nothing else, so both kinds of runs are judged and shown alike. Plain values.
// Times are seconds from the start of the run: real ones of CLOCK_MONOTONIC, or virtual ones.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace loyal::lab {

// What one replica said of itself at a moment (several times a second), or that it could not be reached.
struct Sample {
    double at_s = 0;
    std::uint16_t replica = 0;
    bool up = false;
    std::string role;  // primary, backup, recovering, diverged, halted; empty when down
    std::uint64_t view = 0;
    std::uint64_t executed = 0;
    std::string digest;                         // of the state after `executed`
    std::string fault = "none";                 // in force, as fault_spec.h prints it
    std::map<std::uint16_t, double> suspicion;  // phi of each peer
    std::string time_out = "";                  // that last made it ask for another view; empty: none yet
    std::map<std::uint64_t, std::string> recent_digests = {};  // after the heights before it, and it; not in the record
};

// Something that happened or was done.
struct Event {
    enum class Kind : std::uint8_t {
        phase,   // the workload's or the scenario's: "before", "during", "after"
        inject,  // a fault was put in force
        mend,    // and taken away
        crash,   // a process ended
        restart,
        view,       // a new view was entered somewhere first
        evidence,   // somebody holds proof against `replica`
        stall,      // no client operation completed for longer than the scenario allows
        violation,  // a checker's finding
        note,
    };
    double at_s = 0;
    Kind kind = Kind::note;
    std::optional<std::uint16_t> replica;
    std::string text;
};

// One protocol message between replicas, or between a replica and a client (ids from 1000).
struct Message {
    double sent_s = 0;
    std::optional<double> received_s;  // absent: lost, or not seen arriving
    std::uint16_t from = 0, to = 0;
    std::string kind;  // PROPOSE, VOTE, ...
    std::uint64_t view = 0, height = 0;
    std::string detail;  // first bytes of block ids, "commit 12", ...
};

// As in the contract's history files.
struct Operation {
    enum class Status : std::uint8_t { ok, fail, unknown };
    std::uint64_t client = 0;
    std::string op;  // put, get, del, cas
    std::string key;
    std::optional<std::string> value, expect, out;
    std::optional<bool> applied;
    Status status = Status::unknown;
    std::uint64_t call_ns = 0, ret_ns = 0;  // of the clock of `Record::start_ns`
};

struct EvidenceFound {
    double at_s = 0;
    std::uint16_t by = 0, culprit = 0;
    std::string kind;  // E1 ...
    std::string id;    // hex
    std::string explanation;
    std::vector<std::string> statements;  // what the culprit signed, in plain words: one or two
    bool verified = false;                // offline, with the cluster's keys alone
};

// Sums over the correct replicas of what the run cost.
struct Costs {
    std::uint64_t messages = 0, bytes = 0, signatures = 0, verifications = 0, syncs = 0;
};

struct Record {
    std::string scenario;
    std::uint64_t seed = 0;
    bool simulated = false;
    std::string fault_model;  // byzantine, crash
    std::uint16_t n = 0, f = 0, q = 0;
    std::vector<std::uint16_t> traitors;  // told to misbehave at any time, environment faults not counted
    std::uint64_t start_ns = 0;           // of the clock that operations' times are of
    double during_from_s = 0, during_to_s = 0, end_s = 0;  // faults are in force in between
    double load_until_s = 0;      // operations were begun until then, later than planned when recovery was waited for
    std::vector<Sample> samples;  // in order of time
    std::vector<Event> events;
    std::vector<Message> messages;  // of the interesting moment only, bounded
    std::vector<Operation> operations;
    // Digest of the state at each height that a replica was seen at, to compare at equal heights.
    std::map<std::uint64_t, std::map<std::uint16_t, std::string>> digests;
    // What was read back at the end: key -> value or absent; unreadable keys are not in it.
    std::map<std::string, std::optional<std::string>> read_back;
    // Of the keys of read_back that exist: how often each was changed since it was created.
    std::map<std::string, std::uint64_t> versions;
    std::vector<EvidenceFound> evidence;
    Costs costs;
    std::vector<std::string> failures;  // of the runner: a process that did not start, ...
};

}  // namespace loyal::lab
