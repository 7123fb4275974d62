// Ctrl-C for commands that have something to tidy up: the first one asks them to end.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace loyal::cli {

enum class SecondInterrupt : std::uint8_t {
    ends_program,
    is_ignored,  // for what must not leave its processes behind
};

// True from the first SIGINT, SIGTERM or SIGHUP on. To be called once by a command.
[[nodiscard]] std::atomic<bool>& catch_interrupt(SecondInterrupt second);
// Which one came last; 0: none.
[[nodiscard]] int interrupt_signal();

// For a program that runs one command after the other: Ctrl-C ends the command, not the program. While a command runs,
// SIGINT sets the flag of catch_interrupt and `on_interrupt` is called, on a thread of its own; the third one ends the
// program, unless the command asked that to be ignored. SIGTERM and SIGHUP set the flag too, and are told by ended().
// One at a time in a process.
class CommandInterrupts {
 public:
    explicit CommandInterrupts(std::function<void()> on_interrupt);
    ~CommandInterrupts();
    CommandInterrupts(const CommandInterrupts&) = delete;
    CommandInterrupts& operator=(const CommandInterrupts&) = delete;

    void begin_command();
    void end_command();
    // The program was asked to end while a command ran.
    [[nodiscard]] bool ended() const;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::cli
