// Real processes for the system tests: started with posix_spawn, waited for through pidfds, always with a limit, and
// ended by pid. Nothing of a test outlives it.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace loyal::system_test {

struct Ran {
    int exit = -1;  // 128 + signal when a signal ended it; -1 when it had to be killed because it took too long
    std::string out;
    std::string error;
};

// A process with its standard output and error in files.
class Process {
 public:
    struct Options {
        std::string input;  // all of standard input
        std::map<std::string, std::string> environment;
    };
    Process(const std::vector<std::string>& command, const Options& options);
    explicit Process(const std::vector<std::string>& command) : Process(command, Options{}) {}
    ~Process();  // kills it if it still runs
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    // Waits for its end, at most `limit`; after that it is killed.
    Ran finish(std::chrono::seconds limit = std::chrono::seconds(60));
    void signal(int number) const;
    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool running() const;

 private:
    pid_t pid_ = -1;
    int pidfd_ = -1;
    int out_ = -1;
    int error_ = -1;
    bool reaped_ = false;
};

[[nodiscard]] Ran run(const std::vector<std::string>& command, const Process::Options& options = {},
                      std::chrono::seconds limit = std::chrono::seconds(60));

// Sends SIGKILL to a process that need not be a child, and waits until it is gone.
void kill_and_wait(pid_t pid);

// Asks again and again, a little apart, until it says yes or the time is over.
[[nodiscard]] bool eventually(const std::function<bool()>& condition,
                              std::chrono::seconds limit = std::chrono::seconds(30));

// The folder of this program, where loyal and loyald are, too.
[[nodiscard]] std::filesystem::path program_folder();

}  // namespace loyal::system_test
