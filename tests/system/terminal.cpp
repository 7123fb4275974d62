#include "tests/system/terminal.h"

#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "tests/system/process.h"

namespace loyal::system_test {

namespace {

// The environment of this process without what would change how `loyal` works, and with `more`.
std::vector<std::string> environment_with(const std::map<std::string, std::string>& more) {
    std::vector<std::string> all = {"TERM=xterm"};
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string text = *entry;
        const std::string name = text.substr(0, text.find('='));
        if (!name.starts_with("LOYAL_") && name != "TERM" && !more.contains(name)) {
            all.push_back(text);
        }
    }
    for (const auto& [name, value] : more) {
        all.push_back(name + "=" + value);
    }
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& words) {
    std::vector<char*> pointers;
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

}  // namespace

Terminal::Terminal(const std::vector<std::string>& command, const std::map<std::string, std::string>& environment) {
    std::vector<std::string> words = command;
    std::vector<std::string> assignments = environment_with(environment);
    const std::vector<char*> arguments = pointers_to(words);
    const std::vector<char*> variables = pointers_to(assignments);
    winsize size{};
    size.ws_row = 40;
    size.ws_col = 120;
    pid_ = ::forkpty(&descriptor_, nullptr, nullptr, &size);
    if (pid_ == 0) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        ::execve(arguments[0], arguments.data(), variables.data());
        ::_exit(127);
    }
    if (pid_ < 0) {
        throw std::runtime_error("forkpty");
    }
}

Terminal::~Terminal() {
    if (pid_ > 0) {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }
    ::close(descriptor_);
}

void Terminal::type(const std::string& keys) {
    for (std::size_t done = 0; done < keys.size();) {
        const ssize_t wrote = ::write(descriptor_, keys.data() + done, keys.size() - done);
        if (wrote <= 0) {
            throw std::runtime_error("cannot write to a terminal");
        }
        done += static_cast<std::size_t>(wrote);
    }
}

bool Terminal::receive(std::chrono::milliseconds limit) {
    pollfd entry{descriptor_, POLLIN, 0};
    if (::poll(&entry, 1, static_cast<int>(limit.count())) <= 0) {
        return true;
    }
    std::array<char, 4096> buffer{};
    const ssize_t got = ::read(descriptor_, buffer.data(), buffer.size());
    if (got <= 0) {  // the other side is closed
        return false;
    }
    screen_.append(buffer.data(), static_cast<std::size_t>(got));
    return true;
}

bool Terminal::shows(const std::string& text, std::chrono::seconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    for (bool open = true;;) {
        if (const std::size_t found = screen_.find(text, seen_); found != std::string::npos) {
            seen_ = found + text.size();
            return true;
        }
        if (!open || std::chrono::steady_clock::now() >= deadline) {
            return false;
        }
        open = receive(std::chrono::milliseconds(50));
    }
}

int Terminal::finish(std::chrono::seconds limit) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (receive(std::chrono::milliseconds(50)) && std::chrono::steady_clock::now() < deadline) {
    }
    int status = 0;
    const bool ended = eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; }, limit);
    if (!ended) {
        return -1;
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace loyal::system_test
