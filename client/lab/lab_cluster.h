// LabCluster: a fresh cluster of real loyald processes in a folder of its own, on free ports of this machine, with
// experiments allowed. Whatever happens, its processes end with this object, by pid; the folder goes, too, unless it is
// to be kept. Single-threaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/client.h"
#include "client/lab/run.h"
#include "client/lab/scenario.h"
#include "client/process.h"
#include "config/cluster.h"
#include "config/result.h"

namespace loyal::lab {

// A replica's process that ended, and whether the lab ended it.
struct Death {
    std::uint16_t replica = 0;
    bool expected = false;
    std::string how;  // "exit code 64", "signal 9 (Killed)"
};

class LabCluster {
 public:
    // Writes the folder; starts nothing. Errors: no loyald, no folder, no port.
    [[nodiscard]] static Result<std::unique_ptr<LabCluster>> create(const Scenario& scenario,
                                                                    const RunOptions& options);
    ~LabCluster();
    LabCluster(const LabCluster&) = delete;
    LabCluster& operator=(const LabCluster&) = delete;

    [[nodiscard]] const config::Cluster& cluster() const { return cluster_; }
    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    // A client that signs in with the key of this name: "default", "lab" (read, write) or "admin".
    [[nodiscard]] Result<std::unique_ptr<client::Client>> open_client(const std::string& name,
                                                                      std::uint64_t timeout_ms) const;

    [[nodiscard]] Result<void> start(std::uint16_t id);
    // SIGKILL; gone when this returns.
    void kill(std::uint16_t id);
    void kill_at_once(const std::vector<std::uint16_t>& ids);
    // ---- The disk of a replica: its data folder
    // The replica stands still meanwhile, if it runs: what is copied is what a power cut would leave.
    [[nodiscard]] Result<void> save_disk(std::uint16_t id);
    // Of replicas that do not run.
    [[nodiscard]] Result<void> lose_disk(std::uint16_t id);
    [[nodiscard]] Result<void> roll_back_disk(std::uint16_t id);
    [[nodiscard]] bool running(std::uint16_t id) const { return processes_.contains(id); }
    // Processes that ended since the last call, as far as they were not killed here.
    [[nodiscard]] std::vector<Death> take_deaths();
    // True and how it ended, if the process ends within the time.
    [[nodiscard]] std::optional<std::string> wait_for_end(std::uint16_t id, int timeout_ms);
    [[nodiscard]] std::vector<std::string> last_words(std::uint16_t id, std::size_t lines) const;
    // SIGTERM to all, SIGKILL to who is still there after a while.
    void stop();

 private:
    LabCluster(std::filesystem::path folder, bool keep, config::Cluster cluster, std::filesystem::path loyald)
        : folder_(std::move(folder)), keep_(keep), cluster_(std::move(cluster)), loyald_(std::move(loyald)) {}

    [[nodiscard]] std::filesystem::path saved_path(std::uint16_t id) const;

    std::filesystem::path folder_;
    bool keep_;
    config::Cluster cluster_;
    std::filesystem::path loyald_;
    std::map<std::uint16_t, client::ProcessHandle> processes_;
};

}  // namespace loyal::lab
