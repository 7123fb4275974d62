// A process on a terminal of its own (a pseudo terminal): what a person would type, and what a person would see.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace loyal::system_test {

class Terminal {
 public:
    Terminal(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment);
    ~Terminal();  // kills the process if it still runs
    Terminal(const Terminal&) = delete;
    Terminal& operator=(const Terminal&) = delete;

    // As from the keyboard: "\r" is Enter, "\x03" Ctrl-C, "\x04" Ctrl-D, "\t" Tab.
    void type(const std::string& keys);
    // Waits until `text` has appeared behind what earlier calls found; false when it does not within `limit`.
    [[nodiscard]] bool shows(const std::string& text, std::chrono::seconds limit = std::chrono::seconds(20));
    // Its exit code, 128 + signal, or -1 when it does not end within `limit`.
    [[nodiscard]] int finish(std::chrono::seconds limit = std::chrono::seconds(20));
    // Everything so far, byte for byte.
    [[nodiscard]] const std::string& screen() const { return screen_; }

 private:
    // False at the end of what comes.
    bool receive(std::chrono::milliseconds limit);

    pid_t pid_ = -1;
    int descriptor_ = -1;
    std::string screen_;
    std::size_t seen_ = 0;
};

}  // namespace loyal::system_test
