#include "tests/system/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>
#include <thread>

namespace loyal::system_test {

namespace {

constexpr int exit_not_started = 127;  // as a shell says it

int memory_file(const char* name) {
    const int descriptor = ::memfd_create(name, MFD_CLOEXEC);
    if (descriptor < 0) {
        throw std::runtime_error("memfd_create");
    }
    return descriptor;
}

std::string content_of(int descriptor) {
    struct stat status {};
    ::fstat(descriptor, &status);
    std::string text(static_cast<std::size_t>(status.st_size), '\0');
    const ssize_t got = ::pread(descriptor, text.data(), text.size(), 0);
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
}

int open_pid(pid_t pid) {
    return static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
}

// In the child, between fork and exec: only what a signal handler may call. The kernel forgets the death signal at a
// fork, so it cannot be asked for earlier; a parent that died before is noticed by who is the parent now.
[[noreturn]] void become(char** arguments, char** environment, const std::array<int, 3>& standard, pid_t parent) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) {
        for (int i = 0; i < 3; ++i) {
            ::dup2(standard[static_cast<std::size_t>(i)], i);
        }
        ::execve(arguments[0], arguments, environment);
    }
    ::_exit(exit_not_started);
}

pid_t start(char** arguments, char** environment, const std::array<int, 3>& standard) {
    if (::access(arguments[0], X_OK) != 0) {
        return -1;
    }
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child == 0) {
        become(arguments, environment, standard, parent);
    }
    return child;
}

bool ended_within(int pidfd, std::chrono::milliseconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (;;) {
        const auto left =
            std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
        pollfd entry{pidfd, POLLIN, 0};
        const int result = ::poll(&entry, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (result != -1 || errno != EINTR) {
            return result > 0;
        }
    }
}

}  // namespace

Process::Process(const std::vector<std::string>& command, const Options& options)
    : out_(memory_file("out")), error_(memory_file("error")) {
    const int input = memory_file("input");
    for (std::size_t done = 0; done < options.input.size();) {
        const ssize_t wrote = ::write(input, options.input.data() + done, options.input.size() - done);
        if (wrote <= 0) {
            throw std::runtime_error("cannot write the input of a process");
        }
        done += static_cast<std::size_t>(wrote);
    }
    ::lseek(input, 0, SEEK_SET);

    std::map<std::string, std::string> variables = options.environment;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const std::string name = text.substr(0, text.find('='));
        if (!name.starts_with("LOYAL_")) {
            variables.emplace(name, text.substr(std::min(text.size(), name.size() + 1)));
        }
    }
    std::vector<std::string> assignments;
    for (const auto& [name, value] : variables) {
        assignments.push_back(name + "=" + value);
    }
    std::vector<char*> environment;
    for (std::string& assignment : assignments) {
        environment.push_back(assignment.data());
    }
    environment.push_back(nullptr);
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    for (std::string& word : words) {
        arguments.push_back(word.data());
    }
    arguments.push_back(nullptr);

    pid_ = start(arguments.data(), environment.data(), {input, out_, error_});
    ::close(input);
    if (pid_ < 0) {
        throw std::runtime_error("cannot start " + words[0]);
    }
    pidfd_ = open_pid(pid_);
}

Process::~Process() {
    if (!reaped_) {
        signal(SIGKILL);
        int status = 0;
        ::waitpid(pid_, &status, 0);
    }
    for (const int descriptor : {pidfd_, out_, error_}) {
        ::close(descriptor);
    }
}

Ran Process::finish(std::chrono::seconds limit) {
    Ran ran;
    const bool ended = ended_within(pidfd_, limit);
    if (!ended) {
        signal(SIGKILL);
    }
    int status = 0;
    ::waitpid(pid_, &status, 0);
    reaped_ = true;
    if (ended) {
        ran.exit = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    ran.out = content_of(out_);
    ran.error = content_of(error_);
    return ran;
}

void Process::signal(int number) const {
    if (!reaped_) {
        ::kill(pid_, number);  // a child that was not waited for: its pid cannot be another's
    }
}

bool Process::running() const {
    return !reaped_ && !ended_within(pidfd_, std::chrono::milliseconds(0));
}

Ran run(const std::vector<std::string>& command, const Process::Options& options, std::chrono::seconds limit) {
    Process process(command, options);
    return process.finish(limit);
}

void kill_and_wait(pid_t pid) {
    const int pidfd = open_pid(pid);
    if (pidfd < 0) {
        return;
    }
    ::syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
    (void)ended_within(pidfd, std::chrono::seconds(10));
    ::close(pidfd);
}

bool eventually(const std::function<bool()>& condition, std::chrono::seconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!condition()) {
        if (std::chrono::steady_clock::now() > deadline) {
            return false;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
}

std::filesystem::path program_folder() {
    return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}

}  // namespace loyal::system_test
