#include "replica/experiments/process_faults.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>

#include "config/fatal.h"

namespace loyal::replica {
namespace {

constexpr unsigned every_descriptor = ~0U;

// Only what POSIX calls async-signal-safe, and plain system calls, from here to stand_by: other threads of the process
// that was copied may have held any lock.
int open_process(pid_t pid) noexcept {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

void signal_process(int process, int number) noexcept {
    (void)::syscall(SYS_pidfd_send_signal, process, number, nullptr, 0);
}

// Stops the process behind the descriptor for `ms`, or until it is killed. By descriptor, so that no other process that
// got its number later is ever meant.
[[noreturn]] void stand_by(int process, int ms) noexcept {
    signal_process(process, SIGSTOP);
    timespec begin{};
    ::clock_gettime(CLOCK_MONOTONIC, &begin);
    int left_ms = ms;
    while (left_ms > 0) {
        pollfd ended{process, POLLIN, 0};
        if (::poll(&ended, 1, left_ms) > 0) {
            ::_exit(0);
        }
        timespec now{};
        ::clock_gettime(CLOCK_MONOTONIC, &now);
        const std::int64_t passed_ms =
            (now.tv_sec - begin.tv_sec) * std::int64_t{1'000} + (now.tv_nsec - begin.tv_nsec) / 1'000'000;
        left_ms = passed_ms >= ms ? 0 : ms - static_cast<int>(passed_ms);
    }
    signal_process(process, SIGCONT);
    ::_exit(0);
}

[[noreturn]] void leave_and_stand_by(pid_t target, int ms) noexcept {
    // Sockets, files and their locks are the other process' alone.
    (void)::close_range(0, every_descriptor, 0);
    const int process = open_process(target);
    if (process < 0) {
        ::_exit(1);
    }
    const pid_t keeper = ::_Fork();  // its parent ends at once, so that nobody has to wait for it
    if (keeper != 0) {
        ::_exit(keeper < 0 ? 1 : 0);
    }
    stand_by(process, ms);
}

bool is_ours(const std::string& argument, const std::string& option) {
    return argument == option || argument.starts_with(option + "=");
}

}  // namespace

void crash_now() noexcept {
    (void)::kill(::getpid(), SIGKILL);
    for (;;) {
        ::pause();  // SIGKILL is on its way
    }
}

void crash_and_return(const std::vector<std::string>& arguments) noexcept {
    std::vector<std::string> words = arguments;
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    (void)::close_range(STDERR_FILENO + 1, every_descriptor, CLOSE_RANGE_CLOEXEC);
    sigset_t none;
    ::sigemptyset(&none);
    ::pthread_sigmask(SIG_SETMASK, &none, nullptr);
    ::execve("/proc/self/exe", pointers.data(), environ);
    fatal(FatalCode::system, std::string("the process cannot start itself again: ") + std::strerror(errno));
}

std::vector<std::string> arguments_after_crash(const std::vector<std::string>& arguments, const std::string& fault,
                                               std::uint64_t down_ms) {
    std::vector<std::string> words;
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const bool own = is_ours(arguments[i], "--fault") || is_ours(arguments[i], "--start-after");
        if (!own) {
            words.push_back(arguments[i]);
        } else if (arguments[i].find('=') == std::string::npos) {
            ++i;  // its value
        }
    }
    words.insert(words.end(), {"--fault", fault, "--start-after", std::to_string(down_ms) + "ms"});
    return words;
}

Result<void> pause_process(std::uint64_t ms) {
    const int pause_ms = static_cast<int>(std::min<std::uint64_t>(ms, std::numeric_limits<int>::max()));
    const pid_t self = ::getpid();
    const pid_t child = ::_Fork();
    if (child == 0) {
        leave_and_stand_by(self, pause_ms);
    }
    int status = -1;
    if (child > 0) {
        while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
        }
    }
    if (status != 0) {
        return fail(Errc::internal, "this process cannot be paused: no process could be made that wakes it again");
    }
    return {};
}

}  // namespace loyal::replica
