// Fleet: a cluster of real loyald processes, each with a data folder wherever a part of the test wants it (a disk of
// its own, say) and with variables of its own (a library that kills). Asked through the client library. All processes
// end with this object, and with the thread that made it however that ends. Single-threaded but for `open_client`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "client/client.h"
#include "config/cluster.h"
#include "config/limits.h"
#include "config/result.h"
#include "tests/system/process.h"

namespace loyal::durability {

struct FleetOptions {
    std::size_t replicas = 4;
    consensus::FaultModel fault_model = consensus::FaultModel::byzantine;
    std::uint64_t checkpoint_interval = 64;
    std::uint64_t history_revisions = limits::history_revisions_default;
    std::uint64_t log_quota_bytes = 0;
    // As the defaults, but that a primary stays until it is deposed.
    std::uint64_t heartbeat_ms = 50, order_latency_ms = 50, progress_min_ms = 400, tenure_ms = 0,
                  recovery_rotation_ms = 10'000;
    // Where the data folder of a replica goes; empty: below the cluster's folder.
    std::function<std::filesystem::path(std::uint16_t)> data;
};

using Environment = std::map<std::string, std::string>;

class Fleet {
 public:
    // Throws std::runtime_error when the cluster cannot be made: nothing can be tested then.
    Fleet(const std::filesystem::path& folder, FleetOptions options);
    ~Fleet();
    Fleet(const Fleet&) = delete;
    Fleet& operator=(const Fleet&) = delete;

    [[nodiscard]] std::uint16_t size() const { return static_cast<std::uint16_t>(cluster_.replicas.size()); }
    [[nodiscard]] const config::Cluster& cluster() const { return cluster_; }
    [[nodiscard]] std::filesystem::path data(std::uint16_t id) const;

    void start(std::uint16_t id, const Environment& environment = {});
    void start_all();
    // SIGKILL, or it has ended already. Its exit code is in `last_exit`.
    void kill(std::uint16_t id);
    // SIGTERM; false when it had to be killed, or did not end with 0.
    [[nodiscard]] bool stop(std::uint16_t id, std::chrono::seconds limit = std::chrono::seconds(20));
    [[nodiscard]] bool running(std::uint16_t id) const;
    // Waits for its end. Exit code, 128 + signal, or -1 when it had to be killed for the time.
    int wait_for_end(std::uint16_t id, std::chrono::seconds limit);
    [[nodiscard]] pid_t pid(std::uint16_t id) const;
    // The last lines that it wrote, of the running or the last process.
    [[nodiscard]] std::string last_words(std::uint16_t id, std::size_t lines = 5) const;

    [[nodiscard]] std::unique_ptr<client::Client> open_client(const std::string& name, std::uint64_t timeout_ms,
                                                              bool fail_fast = false) const;
    // One object a replica as in `status -w json`; null for who does not answer.
    [[nodiscard]] std::vector<nlohmann::json> status();
    [[nodiscard]] std::optional<std::uint16_t> primary();
    // All that run have executed the same height to the same state, and do not move; empty: they have. Otherwise why
    // not: a difference of states at one height is told at once, whatever the time.
    [[nodiscard]] std::string settle(std::chrono::milliseconds limit = std::chrono::seconds(30));
    // One line about all replicas, for a report of what went wrong.
    [[nodiscard]] std::string describe();
    // What replicas can prove against each other; -1 for who could not be asked.
    [[nodiscard]] std::vector<int> proofs();
    [[nodiscard]] Result<std::string> control(std::uint16_t id, const std::string& line);

 private:
    config::Cluster cluster_;
    FleetOptions options_;
    std::filesystem::path loyald_;
    std::map<std::uint16_t, std::unique_ptr<system_test::Process>> processes_;
    std::map<std::uint16_t, std::string> words_;  // of those that ended
    std::unique_ptr<client::Client> operator_;
};

}  // namespace loyal::durability
