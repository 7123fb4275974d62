// HeldCommand: a program that runs while something is held, and is ended when it is lost: SIGTERM, then SIGKILL. With
// no terminal it has a process group of its own, so that its children end with it; on one it stays in the foreground
// group, to which the terminal itself sends Ctrl-C. For one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cli/failure.h"

namespace loyal::cli {

class HeldCommand {
 public:
    // `words`: the program, found as a shell finds it, and its arguments. `variables` are added to the environment.
    [[nodiscard]] static Answer<HeldCommand> start(const std::vector<std::string>& words,
                                                   const std::vector<std::pair<std::string, std::string>>& variables);
    HeldCommand(HeldCommand&& other) noexcept : pid_(std::exchange(other.pid_, -1)), group_(other.group_) {}
    HeldCommand& operator=(HeldCommand&&) = delete;
    ~HeldCommand();  // kills what still runs

    // Its exit code as a shell has it (128 + signal); nothing: it still runs after that time.
    [[nodiscard]] std::optional<int> wait(std::chrono::milliseconds time);
    // What this program was told by a signal; what came from the terminal has reached the command already.
    void pass_on(int signal) const;
    // SIGTERM, after `patience` SIGKILL.
    int end(std::chrono::milliseconds patience);

 private:
    HeldCommand(pid_t pid, bool group) : pid_(pid), group_(group) {}
    void signal(int number) const;
    [[nodiscard]] bool has_ended() const;

    pid_t pid_;
    bool group_;
};

}  // namespace loyal::cli
