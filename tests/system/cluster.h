// A cluster of real replicas in a temporary folder, driven through `loyal` as a user would.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "tests/system/process.h"

namespace loyal::system_test {

class ClusterOfProcesses {
 public:
    // `init`: further options of `cluster init`. Ports are free ones.
    explicit ClusterOfProcesses(const std::vector<std::string>& init = {});
    ~ClusterOfProcesses();  // stops everything and removes the folder
    ClusterOfProcesses(const ClusterOfProcesses&) = delete;
    ClusterOfProcesses& operator=(const ClusterOfProcesses&) = delete;

    [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
    // A path beside the cluster for files of the test.
    [[nodiscard]] std::string path(const std::string& name) const { return (scratch_ / name).string(); }

    // Fails the test unless a quorum serves.
    void up(const std::vector<std::string>& options = {});
    Ran down(const std::vector<std::string>& options = {}) const;

    // `loyal --cluster FOLDER WORDS...`
    Ran loyal(const std::vector<std::string>& words, const std::string& input = "",
              std::chrono::seconds limit = std::chrono::seconds(60)) const;
    [[nodiscard]] std::unique_ptr<Process> start_loyal(const std::vector<std::string>& words) const;
    // In the foreground, as a supervisor would start it.
    [[nodiscard]] std::unique_ptr<Process> start_loyald(int id) const;

    [[nodiscard]] nlohmann::json status() const;
    [[nodiscard]] nlohmann::json status_of(int id) const;
    // The replica that calls itself primary in the highest view, if any.
    [[nodiscard]] std::optional<int> primary() const;
    [[nodiscard]] int await_primary() const;
    // True when all reachable replicas have executed the same height and `id` is among them.
    [[nodiscard]] bool caught_up(int id) const;
    [[nodiscard]] pid_t pid_of(int id) const;
    void kill(int id) const;

    // The value, or "<exit code>" when it could not be read.
    [[nodiscard]] std::string get(const std::string& key) const;
    [[nodiscard]] std::string log_of(int id) const;
    // For a failure's message: what the replicas said.
    [[nodiscard]] std::string all_logs() const;

 private:
    std::filesystem::path scratch_;
    std::filesystem::path folder_;
};

[[nodiscard]] std::string read_text(const std::filesystem::path& path);
void write_text(const std::filesystem::path& path, const std::string& text);

}  // namespace loyal::system_test
