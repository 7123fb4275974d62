// FaultSpec: what a replica is told to do, as a line of text: of cluster.toml, `loyald --fault`, `loyal fault set`, a
// lab scenario, or the simulator's plan.
//
//     none
//     crash-stop [--after 5s]                  ends at once or after so long, as by kill -9
//     crash-recovery [--every 10s] [--down 3s] dies again and again and comes back from its disk
//     byzantine BEHAVIOUR...                   equivocate, mute-to=1,2, corrupt-bits=0.001, ...
//     BEHAVIOUR...                             short for byzantine
//
// Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "config/result.h"

namespace loyal::replica {

struct BehaviourSpec {
    std::string name;
    std::string argument;  // after '='; empty: none
    friend bool operator==(const BehaviourSpec&, const BehaviourSpec&) = default;
};

struct FaultSpec {
    enum class Kind : std::uint8_t { none, crash_stop, crash_recovery, byzantine };
    Kind kind = Kind::none;
    std::uint64_t after_ms = 0;             // crash_stop
    std::uint64_t every_ms = 10'000;        // crash_recovery: time up
    std::uint64_t down_ms = 3'000;          // crash_recovery
    std::vector<BehaviourSpec> behaviours;  // byzantine
    friend bool operator==(const FaultSpec&, const FaultSpec&) = default;
};

// What is known of a behaviour without making one: for help texts, validation and docs.
struct BehaviourInfo {
    std::string_view name;
    std::string_view argument;  // "IDS", "OFFSET", ...; empty: takes none; in brackets: may be left out
    std::string_view what;      // one line
};
[[nodiscard]] const std::vector<BehaviourInfo>& behaviours();

// Checks names, arguments' form and that behaviours do not repeat; not ids, which need a cluster. Errors name the word
// and list what is known.
[[nodiscard]] Result<FaultSpec> parse_fault(std::string_view line);
// parse_fault(to_string(spec)) == spec.
[[nodiscard]] std::string to_string(const FaultSpec& spec);
// The words of an order, and one of them for a message.
[[nodiscard]] std::vector<std::string_view> words_of_line(std::string_view line);
[[nodiscard]] std::string quoted(std::string_view word);
// "5s", "250ms", "1m"; Errc::invalid_argument.
[[nodiscard]] Result<std::uint64_t> parse_duration_ms(std::string_view text);

}  // namespace loyal::replica
