#include "client/lab/lab_cluster.h"

#include <signal.h>
#include <stdlib.h>

#include <cstring>
#include <fstream>

#include <fmt/format.h>

#include "crypto/identity.h"

namespace loyal::lab {

namespace fs = std::filesystem;

namespace {

constexpr int stop_grace_ms = 3'000, kill_grace_ms = 5'000;

Result<fs::path> make_scratch() {
    std::error_code error;
    const fs::path temporaries = fs::temp_directory_path(error);
    std::string pattern = ((error ? fs::path("/tmp") : temporaries) / "loyal-lab.XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
        return fail(Errc::io, fmt::format("{} cannot be made: {}", pattern, std::strerror(errno)));
    }
    return fs::path(pattern);
}

// init writes the default timers and limits; the scenario's go in before any replica starts. They are no part of the
// cluster's id.
Result<void> write_settings(config::Cluster& cluster, const ClusterShape& shape) {
    cluster.timers = shape.timers;
    if (shape.checkpoint_interval != 0) {
        cluster.checkpoint_interval = shape.checkpoint_interval;
    }
    const fs::path path = cluster.directory / "cluster.toml";
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << config::render_cluster(cluster);
    file.close();
    if (!file) {
        return fail(Errc::io, fmt::format("{} cannot be written", path.string()));
    }
    const Result<config::Cluster> read = config::load_cluster(path);
    if (!read) {
        return tl::unexpected(read.error());
    }
    cluster = *read;
    return {};
}

}  // namespace

Result<std::unique_ptr<LabCluster>> LabCluster::create(const Scenario& scenario, const RunOptions& options) {
    Result<fs::path> loyald = client::find_loyald();
    if (!loyald) {
        return tl::unexpected(loyald.error());
    }
    Result<fs::path> folder = options.folder;
    if (options.folder.empty()) {
        folder = make_scratch();
        if (!folder) {
            return tl::unexpected(folder.error());
        }
    }
    config::InitOptions init;
    init.replicas = scenario.cluster.replicas;
    init.fault_model = scenario.cluster.fault_model;
    init.crash_mode = scenario.cluster.crash_mode;
    init.base_port = 0;
    init.experiments = true;
    init.clients = {{"lab", config::right_read | config::right_write}};
    Result<config::InitReport> made = config::init_cluster(*folder / "cluster", init);
    if (!made) {
        return tl::unexpected(made.error());
    }
    if (const auto written = write_settings(made->cluster, scenario.cluster); !written) {
        return tl::unexpected(written.error());
    }
    return std::unique_ptr<LabCluster>(
        new LabCluster(std::move(*folder), options.keep, std::move(made->cluster), std::move(*loyald)));
}

LabCluster::~LabCluster() {
    stop();
    if (!keep_) {
        std::error_code ignored;
        fs::remove_all(folder_ / "cluster", ignored);
        fs::remove(folder_, ignored);  // if nothing else is in it
    }
}

Result<std::unique_ptr<client::Client>> LabCluster::open_client(const std::string& name,
                                                                std::uint64_t timeout_ms) const {
    Result<crypto::KeyFile> key = crypto::read_key_file(cluster_.client_key_path(name));
    if (!key) {
        return tl::unexpected(key.error());
    }
    client::ClientOptions options;
    options.cluster = cluster_;
    options.identity = std::make_shared<crypto::Identity>(std::move(key->identity));
    options.timeout_ms = timeout_ms;
    options.backoff_max_ms = 200;  // replicas come and go here
    options.fail_fast = false;
    return client::Client::open(std::move(options));
}

Result<void> LabCluster::start(std::uint16_t id) {
    Result<client::ProcessHandle> started = client::start_replica(loyald_, cluster_, id);
    if (!started) {
        return tl::unexpected(started.error());
    }
    processes_.insert_or_assign(id, std::move(*started));
    return {};
}

void LabCluster::kill_at_once(const std::vector<std::uint16_t>& ids) {
    for (const std::uint16_t id : ids) {
        if (const auto found = processes_.find(id); found != processes_.end()) {
            (void)found->second.signal(SIGKILL);
        }
    }
    for (const std::uint16_t id : ids) {
        kill(id);
    }
}

fs::path LabCluster::saved_path(std::uint16_t id) const {
    return cluster_.directory / "saved" / std::to_string(id);
}

Result<void> LabCluster::save_disk(std::uint16_t id) {
    const auto process = processes_.find(id);
    if (process != processes_.end()) {
        (void)process->second.signal(SIGSTOP);
    }
    std::error_code error;
    fs::remove_all(saved_path(id), error);
    fs::create_directories(saved_path(id).parent_path(), error);
    fs::copy(cluster_.data_path(id), saved_path(id), fs::copy_options::recursive, error);
    if (process != processes_.end()) {
        (void)process->second.signal(SIGCONT);
    }
    return error ? Result<void>(fail(Errc::io, "its data folder cannot be copied: " + error.message()))
                 : Result<void>();
}

Result<void> LabCluster::lose_disk(std::uint16_t id) {
    std::error_code error;
    fs::remove_all(cluster_.data_path(id), error);
    return error ? Result<void>(fail(Errc::io, "its data folder cannot be removed: " + error.message()))
                 : Result<void>();
}

Result<void> LabCluster::roll_back_disk(std::uint16_t id) {
    std::error_code error;
    if (!fs::exists(saved_path(id), error)) {
        return fail(Errc::not_found, "no copy of its disk was taken before");
    }
    return lose_disk(id).and_then([&]() -> Result<void> {
        fs::copy(saved_path(id), cluster_.data_path(id), fs::copy_options::recursive, error);
        return error ? Result<void>(fail(Errc::io, "the copy cannot be put back: " + error.message())) : Result<void>();
    });
}

void LabCluster::kill(std::uint16_t id) {
    const auto found = processes_.find(id);
    if (found == processes_.end()) {
        return;
    }
    (void)found->second.signal(SIGKILL);
    (void)found->second.wait_for_end(kill_grace_ms);
    (void)found->second.how_it_ended();  // takes it out of the process table
    processes_.erase(found);
}

std::vector<Death> LabCluster::take_deaths() {
    std::vector<Death> deaths;
    for (auto entry = processes_.begin(); entry != processes_.end();) {
        if (!entry->second.wait_for_end(0)) {
            ++entry;
            continue;
        }
        deaths.push_back({entry->first, false, entry->second.how_it_ended()});
        entry = processes_.erase(entry);
    }
    return deaths;
}

std::optional<std::string> LabCluster::wait_for_end(std::uint16_t id, int timeout_ms) {
    const auto found = processes_.find(id);
    if (found == processes_.end()) {
        return "it did not run";
    }
    if (!found->second.wait_for_end(timeout_ms)) {
        return std::nullopt;
    }
    std::string how = found->second.how_it_ended();
    processes_.erase(found);
    return how;
}

std::vector<std::string> LabCluster::last_words(std::uint16_t id, std::size_t lines) const {
    return client::last_lines(cluster_.log_path(id), lines);
}

void LabCluster::stop() {
    for (auto& [id, process] : processes_) {
        (void)process.signal(SIGTERM);
        (void)process.signal(SIGCONT);  // one that is paused would not hear it
    }
    for (auto& [id, process] : processes_) {
        if (!process.wait_for_end(stop_grace_ms)) {
            (void)process.signal(SIGKILL);
            (void)process.wait_for_end(kill_grace_ms);
        }
        (void)process.how_it_ended();
        client::remove_pid_file(cluster_, id);
    }
    processes_.clear();
}

}  // namespace loyal::lab
