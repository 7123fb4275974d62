#include "client/process.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "config/files.h"

namespace loyal::client {

namespace fs = std::filesystem;

namespace {

std::optional<ProcessHandle> open_process(pid_t pid) {
    const long fd = ::syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0) {
        return std::nullopt;
    }
    return ProcessHandle(pid, static_cast<int>(fd));
}

fs::path config_path_of(const config::Cluster& cluster) {
    std::error_code ignored;
    const fs::path path = fs::weakly_canonical(cluster.directory / "cluster.toml", ignored);
    return ignored ? cluster.directory / "cluster.toml" : path;
}

std::vector<std::string> command_line_of(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{}/cmdline", pid), std::ios::binary);
    std::vector<std::string> words;
    for (std::string word; std::getline(file, word, '\0');) {
        words.push_back(word);
    }
    return words;
}

// A zombie still has a pid and, on some kernels, a command line, but is no running replica.
bool is_loyald_of(pid_t pid, const fs::path& config, std::uint16_t id) {
    const std::vector<std::string> words = command_line_of(pid);
    if (words.empty() || fs::path(words[0]).filename() != "loyald") {
        return false;
    }
    const auto follows = [&](const std::string& option, const std::string& value) {
        const auto found =
            std::adjacent_find(words.begin(), words.end(),
                               [&](const std::string& a, const std::string& b) { return a == option && b == value; });
        return found != words.end() || std::find(words.begin(), words.end(), option + "=" + value) != words.end();
    };
    return follows("--config", config.string()) && follows("--id", std::to_string(id));
}

std::optional<pid_t> read_pid(const fs::path& path) {
    std::ifstream file(path);
    std::string text;
    if (!std::getline(file, text)) {
        return std::nullopt;
    }
    pid_t pid = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || pid <= 1) {
        return std::nullopt;
    }
    return pid;
}

tl::unexpected<Error> system_refusal(const std::string& what, int error) {
    return fail(Errc::internal, fmt::format("{}: {}", what, std::strerror(error)));
}

}  // namespace

ProcessHandle::~ProcessHandle() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}
ProcessHandle::ProcessHandle(ProcessHandle&& other) noexcept : pid_(other.pid_), fd_(std::exchange(other.fd_, -1)) {}
ProcessHandle& ProcessHandle::operator=(ProcessHandle&& other) noexcept {
    std::swap(pid_, other.pid_);
    std::swap(fd_, other.fd_);
    return *this;
}

bool ProcessHandle::signal(int number) const {
    return ::syscall(SYS_pidfd_send_signal, fd_, number, nullptr, 0) == 0;
}

bool ProcessHandle::wait_for_end(int timeout_ms) const {
    pollfd entry{fd_, POLLIN, 0};
    int result = 0;
    do {
        result = ::poll(&entry, 1, timeout_ms);
    } while (result < 0 && errno == EINTR);
    return result > 0;
}

std::string ProcessHandle::how_it_ended() const {
    siginfo_t info{};
    if (::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
        return "unknown cause";
    }
    if (info.si_code == CLD_EXITED) {
        return fmt::format("exit code {}", info.si_status);
    }
    return fmt::format("signal {} ({})", info.si_status, ::strsignal(info.si_status));
}

Result<ClusterLock> ClusterLock::take(const config::Cluster& cluster) {
    const fs::path folder = cluster.directory / "run";
    std::error_code error;
    fs::create_directories(folder, error);
    const fs::path path = folder / "lock";
    const int fd = error ? -1 : ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return system_refusal(path.string(), error ? error.value() : errno);
    }
    // Held for as long as an `up` or `down` takes, which is bounded; a second one waits for its turn.
    while (::flock(fd, LOCK_EX) != 0) {
        if (errno != EINTR) {
            const int why = errno;
            ::close(fd);
            return system_refusal(path.string(), why);
        }
    }
    return ClusterLock(fd);
}
ClusterLock::~ClusterLock() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}
ClusterLock::ClusterLock(ClusterLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Result<fs::path> find_loyald() {
    std::error_code error;
    const fs::path self = fs::read_symlink("/proc/self/exe", error);
    if (!error) {
        const fs::path beside = self.parent_path() / "loyald";
        if (::access(beside.c_str(), X_OK) == 0) {
            return beside;
        }
    }
    const char* path = std::getenv("PATH");
    const std::string folders = path == nullptr ? "" : path;
    for (std::size_t begin = 0; begin < folders.size();) {
        const std::size_t end = std::min(folders.find(':', begin), folders.size());
        const fs::path candidate = fs::path(folders.substr(begin, end - begin)) / "loyald";
        if (::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
        begin = end + 1;
    }
    return fail(Errc::invalid_argument, "loyald is neither beside this program nor in PATH");
}

std::optional<ProcessHandle> find_replica(const config::Cluster& cluster, std::uint16_t id) {
    const std::optional<pid_t> pid = read_pid(cluster.pid_path(id));
    if (!pid) {
        return std::nullopt;
    }
    // First the handle, then the question who it is: in this order a recycled pid cannot slip in between.
    std::optional<ProcessHandle> process = open_process(*pid);
    if (!process || process->wait_for_end(0) || !is_loyald_of(*pid, config_path_of(cluster), id)) {
        return std::nullopt;
    }
    return process;
}

Result<ProcessHandle> start_replica(const fs::path& loyald, const config::Cluster& cluster, std::uint16_t id) {
    const fs::path log = cluster.log_path(id);
    std::error_code error;
    fs::create_directories(log.parent_path(), error);
    if (error) {
        return system_refusal(log.parent_path().string(), error.value());
    }
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
    ::posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    // Whatever else the caller left open (a pipe, say) must not stay open for as long as the replica lives.
    ::posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1);
    // Signals as in a fresh process, whatever this one's caller blocked or ignored.
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);

    std::vector<std::string> words = {loyald.string(), "--config", config_path_of(cluster).string(), "--id",
                                      std::to_string(id)};
    std::vector<char*> arguments;
    std::transform(words.begin(), words.end(), std::back_inserter(arguments),
                   [](std::string& word) { return word.data(); });
    arguments.push_back(nullptr);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, loyald.c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (failed != 0) {
        return system_refusal(
            fmt::format("replica {} cannot be started ({}, log {})", id, loyald.string(), log.string()), failed);
    }
    std::optional<ProcessHandle> process = open_process(pid);
    if (!process) {
        return system_refusal("pidfd_open", errno);
    }
    remove_pid_file(cluster, id);  // of an earlier life; the cluster's lock is held
    const Result<void> written = write_new_file(cluster.pid_path(id), view_of(fmt::format("{}\n", pid)), 0644);
    if (!written) {
        (void)process->signal(SIGTERM);  // nobody could find it again
        return tl::unexpected(written.error());
    }
    return std::move(*process);
}

void remove_pid_file(const config::Cluster& cluster, std::uint16_t id) {
    std::error_code ignored;
    fs::remove(cluster.pid_path(id), ignored);
}

std::vector<std::string> last_lines(const fs::path& file, std::size_t count) {
    std::ifstream input(file, std::ios::binary);
    // Logs grow without end; lines are short.
    const std::streamoff window = static_cast<std::streamoff>(count + 1) * 1024;
    input.seekg(0, std::ios::end);
    const std::streamoff size = input.tellg();
    const bool cut = size > window;
    input.seekg(cut ? size - window : 0);
    std::vector<std::string> lines;
    for (std::string line; std::getline(input, line);) {
        lines.push_back(line);
    }
    if (cut && !lines.empty()) {
        lines.erase(lines.begin());
    }
    if (lines.size() > count) {
        lines.erase(lines.begin(), lines.end() - static_cast<std::ptrdiff_t>(count));
    }
    return lines;
}

bool is_local(const config::ReplicaEntry& replica) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(replica.advertise.c_str(), nullptr, &hints, &found) != 0) {
        return false;
    }
    bool local = false;
    for (const addrinfo* entry = found; entry != nullptr && !local; entry = entry->ai_next) {
        const int fd = ::socket(entry->ai_family, entry->ai_socktype | SOCK_CLOEXEC, entry->ai_protocol);
        if (fd >= 0) {
            local = ::bind(fd, entry->ai_addr, entry->ai_addrlen) == 0;  // with port 0: any free one
            ::close(fd);
        }
    }
    ::freeaddrinfo(found);
    return local;
}

}  // namespace loyal::client
