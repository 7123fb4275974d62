#include "client/cli/held_command.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include <fmt/format.h>

#include "client/cli/output.h"

namespace loyal::cli {

namespace {

constexpr std::chrono::milliseconds look_every(10);

std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& variables) {
    std::vector<std::string> all;
    for (char** entry = ::environ; *entry != nullptr; ++entry) {
        const std::string_view text = *entry;
        const bool replaced = std::any_of(variables.begin(), variables.end(),
                                          [&](const auto& variable) { return text.starts_with(variable.first + "="); });
        if (!replaced) {
            all.emplace_back(text);
        }
    }
    for (const auto& [name, value] : variables) {
        all.push_back(fmt::format("{}={}", name, value));
    }
    return all;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts) {
        pointers.push_back(text.data());
    }
    pointers.push_back(nullptr);
    return pointers;
}

}  // namespace

Answer<HeldCommand> HeldCommand::start(const std::vector<std::string>& words,
                                       const std::vector<std::pair<std::string, std::string>>& variables) {
    std::vector<std::string> arguments = words;
    std::vector<std::string> environment = environment_with(variables);
    const bool group = !input_is_terminal();
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    if (group) {
        ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
        ::posix_spawnattr_setpgroup(&attributes, 0);
    }
    pid_t pid = -1;
    const int error = ::posix_spawnp(&pid, arguments.front().c_str(), nullptr, &attributes,
                                     pointers_to(arguments).data(), pointers_to(environment).data());
    ::posix_spawnattr_destroy(&attributes);
    if (error != 0) {
        return refuse_input(fmt::format("{} cannot be run: {}", words.front(), std::strerror(error)));
    }
    return HeldCommand(pid, group);
}

HeldCommand::~HeldCommand() {
    if (pid_ > 0) {
        (void)end(std::chrono::milliseconds(0));
    }
}

std::optional<int> HeldCommand::wait(std::chrono::milliseconds time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (true) {
        int status = 0;
        const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
        if (ended == pid_ || (ended < 0 && errno != EINTR)) {
            pid_ = -1;
            return ended < 0 ? 127 : WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
        if (std::chrono::steady_clock::now() >= until) {
            return std::nullopt;
        }
        std::this_thread::sleep_for(look_every);
    }
}

bool HeldCommand::has_ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == pid_;
}

void HeldCommand::signal(int number) const {
    (void)::kill(group_ ? -pid_ : pid_, number);
}

void HeldCommand::pass_on(int number) const {
    if (group_ || number == SIGTERM) {
        signal(number);
    }
}

int HeldCommand::end(std::chrono::milliseconds patience) {
    signal(SIGTERM);
    const auto until = std::chrono::steady_clock::now() + patience;
    while (!has_ended() && std::chrono::steady_clock::now() < until) {
        std::this_thread::sleep_for(look_every);
    }
    signal(SIGKILL);  // of its group whatever is left: while it is not reaped, its number means nothing else
    while (true) {
        if (const std::optional<int> code = wait(std::chrono::milliseconds(1'000))) {
            return *code;
        }
    }
}

}  // namespace loyal::cli
