// Replica processes on this machine, for `loyal cluster` and the lab: started detached, found again through their pid
// files, signalled through pidfds so that a recycled pid is never hit (pidfd_open(2), Linux 5.3). No threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/cluster.h"
#include "config/result.h"

namespace loyal::client {

// A process that is held by a pidfd: while this object lives, the pid in it cannot come to mean another process for us.
class ProcessHandle {
 public:
    ProcessHandle(pid_t pid, int fd) : pid_(pid), fd_(fd) {}
    ~ProcessHandle();
    ProcessHandle(ProcessHandle&& other) noexcept;
    ProcessHandle& operator=(ProcessHandle&& other) noexcept;
    ProcessHandle(const ProcessHandle&) = delete;
    ProcessHandle& operator=(const ProcessHandle&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] int fd() const { return fd_; }
    [[nodiscard]] bool signal(int number) const;
    // True when it ended within the time.
    [[nodiscard]] bool wait_for_end(int timeout_ms) const;
    // Of a child of this process that has ended: "exit code 64", "signal 9 (Killed)".
    [[nodiscard]] std::string how_it_ended() const;

 private:
    pid_t pid_;
    int fd_;
};

// One lock for everything that starts, stops or wipes replicas of a cluster's folder; released with the object.
class ClusterLock {
 public:
    [[nodiscard]] static Result<ClusterLock> take(const config::Cluster& cluster);
    ~ClusterLock();
    ClusterLock(ClusterLock&& other) noexcept;
    ClusterLock& operator=(ClusterLock&&) = delete;

 private:
    explicit ClusterLock(int fd) : fd_(fd) {}
    int fd_;
};

// loyald beside this program, else in PATH.
[[nodiscard]] Result<std::filesystem::path> find_loyald();

// The replica's process as its pid file says, if that process lives and really is loyald for this cluster and id.
[[nodiscard]] std::optional<ProcessHandle> find_replica(const config::Cluster& cluster, std::uint16_t id);
// In a session of its own, with standard output and error appended to its log file, and its pid file written.
[[nodiscard]] Result<ProcessHandle> start_replica(const std::filesystem::path& loyald, const config::Cluster& cluster,
                                                  std::uint16_t id);
void remove_pid_file(const config::Cluster& cluster, std::uint16_t id);

[[nodiscard]] std::vector<std::string> last_lines(const std::filesystem::path& file, std::size_t count);

// True if this machine has the address that the replica is dialled at.
[[nodiscard]] bool is_local(const config::ReplicaEntry& replica);

}  // namespace loyal::client
