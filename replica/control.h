// Control: the lines that an operator may send to a running replica (wire::Control), and what they do to it. Fault
// lines are those of faults/fault_spec.h; the rest are the network's, the clock's, the disk's and the process' faults,
// and questions. All but `evidence` need a cluster made with --experiments.
//
//     fault LINE                        fault now in force
//     net show | net heal               faults of this replica's outgoing links
//     net to=IDS|all|clients [drop=0.3] [delay=20ms] [jitter=5ms] [duplicate=0.1] [reorder=0.1] [rate=65536] [cut]
//                                       replaces what was in force for these links; `to=clients` are answers to clients
//     clock offset=-5s | drift=200ppm | jump=10s | freeze | mend
//     pause 15s                         the whole process stops (SIGSTOP) and goes on by itself
//     disk slow=20ms | full | fail-sync | rot[=N] | mend
//     trace since=US                    messages seen since then (CLOCK_MONOTONIC), JSON, see docs/EXPERIMENTS.md
//     evidence                          what this replica holds against others, JSON
//
// Every line is checked whole before any of it takes effect. Pure; no Asio: `loyal` and the lab link it, too.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/result.h"
#include "replica/faults/fault_spec.h"

namespace loyal::replica {

struct LinkFault {  // of one outgoing link; probabilities 0..1
    double drop = 0, duplicate = 0, reorder = 0;
    std::uint64_t delay_ms = 0, jitter_ms = 0;
    std::uint64_t rate_bytes_s = 0;  // 0: unbounded
    bool cut = false;
    // Nothing is wrong with the link.
    [[nodiscard]] bool none() const { return *this == LinkFault{}; }
    friend bool operator==(const LinkFault&, const LinkFault&) = default;
};
struct NetShow {};
struct NetHeal {};
struct NetSet {
    std::vector<std::uint16_t> peers;  // empty and not clients: all peers
    bool clients = false;
    LinkFault fault;
};
struct ClockFault {
    enum class Kind : std::uint8_t { offset, drift, jump, freeze, mend };
    Kind kind = Kind::mend;
    std::int64_t value = 0;  // ms; drift: ppm
};
struct Pause {
    std::uint64_t ms = 0;
};
struct DiskFault {
    enum class Kind : std::uint8_t { slow, full, fail_sync, rot, mend };
    Kind kind = Kind::mend;
    std::uint64_t value = 0;  // slow: ms a sync; rot: how many bits
};
struct TraceSince {
    std::uint64_t us = 0;
};
struct EvidenceList {};

using ControlCommand =
    std::variant<FaultSpec, NetShow, NetHeal, NetSet, ClockFault, Pause, DiskFault, TraceSince, EvidenceList>;

// Errc::invalid_argument names the word and what would be right. Ids are checked against `replicas`.
[[nodiscard]] Result<ControlCommand> parse_control(std::string_view line, std::size_t replicas);
[[nodiscard]] bool is_experiment(const ControlCommand& command);

// The words of `net to=...` after the target, such as "drop=0.3 delay=20ms"; empty: no fault.
[[nodiscard]] std::string to_string(const LinkFault& fault);
[[nodiscard]] Result<LinkFault> parse_link_fault(std::string_view words);
// "-5s", "+250ms", "10s".
[[nodiscard]] Result<std::int64_t> parse_signed_duration_ms(std::string_view text);

}  // namespace loyal::replica
