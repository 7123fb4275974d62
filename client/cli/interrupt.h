// Ctrl-C for commands that have something to tidy up: the first one asks them to end.
#pragma once

#include <atomic>
#include <cstdint>

namespace loyal::cli {

enum class SecondInterrupt : std::uint8_t {
    ends_program,
    is_ignored,  // for what must not leave its processes behind
};

// True from the first SIGINT, SIGTERM or SIGHUP on. To be called once, by the program's only command.
[[nodiscard]] std::atomic<bool>& catch_interrupt(SecondInterrupt second);
// Which one came last; 0: none.
[[nodiscard]] int interrupt_signal();

}  // namespace loyal::cli
