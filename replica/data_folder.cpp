#include "replica/data_folder.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "config/files.h"
#include "kvstore/lmdb_store.h"
#include "replica/fatal_of.h"

namespace loyal::replica {
namespace {

namespace fs = std::filesystem;

tl::unexpected<StartError> refuse(FatalCode code, std::string message) {
    return tl::unexpected<StartError>(StartError{code, std::move(message)});
}
tl::unexpected<StartError> refuse(const Error& error) {
    return refuse(fatal_code_of(error.code), error.message);
}

StartResult<void> check_identity(const config::Cluster& cluster, std::uint16_t id, const fs::path& path) {
    const Result<void> birth = config::check_birth(path, {cluster.cluster_id, id});
    if (birth) {
        return {};
    }
    switch (birth.error().code) {
        case Errc::not_found:
            return refuse(FatalCode::data_missing,
                          birth.error().message +
                              "; if this replica never ran on this machine, create the folder once with --init; if it "
                              "did, its disk was lost: do not start it as new");
        case Errc::conflict: return refuse(FatalCode::data_foreign, birth.error().message);
        default: return refuse(birth.error());
    }
}

// Both environments are there, or neither was ever made.
StartResult<void> check_environments(const fs::path& path) {
    std::error_code error;
    const bool opened = fs::exists(path / "opened", error);
    for (const char* name : {"log", "kv"}) {
        const bool there = fs::exists(path / name / "data.mdb", error);
        if (opened && !there) {
            return refuse(FatalCode::data_missing,
                          "the environment " + (path / name).string() +
                              " is gone although this replica has run before: its disk was lost, so it must not start "
                              "as new; restore the folder, or give the replica a new key and a new cluster file");
        }
    }
    return {};
}

StartResult<void> check_marks(const config::Cluster& cluster, const fs::path& path, bool& crashed_before) {
    std::error_code error;
    crashed_before = fs::exists(path / "running", error);
    const bool may_not_return =
        cluster.fault_model == consensus::FaultModel::crash && cluster.crash_mode == config::CrashMode::stop;
    if (crashed_before && may_not_return) {
        return refuse(FatalCode::crash_stop,
                      "this replica crashed (" + (path / "running").string() +
                          " is left of it), and under crash_mode = \"stop\" a replica that crashed may not return; "
                          "the cluster goes on without it");
    }
    return {};
}

StartResult<void> set_mark(const fs::path& path, const char* name) {
    std::error_code error;
    if (fs::exists(path / name, error)) {
        return {};
    }
    if (const Result<void> written = write_new_file(path / name, {}, 0600); !written) {
        return refuse(written.error());
    }
    return {};
}

StartResult<std::unique_ptr<kvstore::Store>> open_store(const fs::path& path, std::vector<std::string> tables,
                                                        bool lazy, const std::shared_ptr<DiskFaults>& faults) {
    kvstore::LmdbOptions options;
    options.path = path;
    options.tables = std::move(tables);
    options.lazy = lazy;
    auto store = kvstore::LmdbStore::open(options);
    if (!store) {
        return refuse(store.error());
    }
    if (faults) {
        return std::unique_ptr<kvstore::Store>(std::make_unique<FaultyStore>(std::move(*store), faults, !lazy));
    }
    return std::move(*store);
}

kvstore::StateMachineOptions machine_options(const config::Cluster& cluster) {
    kvstore::StateMachineOptions options;
    for (const config::ClientEntry& client : cluster.clients) {
        options.rights[config::client_id_of(client.public_key)] = client.rights;
    }
    return options;
}

StartResult<void> recover(const config::Cluster& cluster, OpenedData& data) {
    if (cluster.experiments) {
        data.disk_faults = std::make_shared<DiskFaults>();
    }
    auto log_store = open_store(data.path / "log", kvstore::ConsensusLog::log_tables(), false, data.disk_faults);
    if (!log_store) {
        return refuse(log_store.error().code, log_store.error().message);
    }
    data.log_store = std::move(*log_store);
    auto kv_store = open_store(data.path / "kv", kvstore::StateMachine::state_tables(), true, data.disk_faults);
    if (!kv_store) {
        return refuse(kv_store.error().code, kv_store.error().message);
    }
    data.kv_store = std::move(*kv_store);

    auto machine = kvstore::StateMachine::open(*data.kv_store, machine_options(cluster));
    if (!machine) {
        return refuse(machine.error());
    }
    data.machine = std::move(*machine);
    auto log = kvstore::ConsensusLog::open(*data.log_store, cluster.membership().context);
    if (!log) {
        return refuse(log.error());
    }
    data.log = std::move(*log);
    auto recovered = data.log->recover(data.machine->executed_block());
    if (!recovered) {
        return refuse(recovered.error());
    }
    data.recovered = std::move(*recovered);
    if (data.recovered.fresh && data.machine->durable_height().value > 0) {
        return refuse(FatalCode::corrupted,
                      "the consensus log in " + (data.path / "log").string() +
                          " is empty although the state next to it is not: the log was lost, so this replica must not "
                          "vote; restore the folder");
    }
    data.recovered.executed_digests = data.machine->recent_digests();
    return {};
}

}  // namespace

StartResult<void> create_data_folder(const config::Cluster& cluster, std::uint16_t id, const fs::path& path) {
    std::error_code error;
    if (fs::exists(path, error) && !fs::is_empty(path, error)) {
        return refuse(FatalCode::data_foreign, "the data folder " + path.string() +
                                                   " exists and is not empty; --init creates a new one only (start "
                                                   "without --init to use what is there)");
    }
    fs::create_directories(path.parent_path(), error);
    if (error) {
        return refuse(FatalCode::io, "cannot create " + path.parent_path().string() + ": " + error.message());
    }
    if (!fs::exists(path, error)) {
        if (const Result<void> made = make_folder(path, 0700); !made) {
            return refuse(made.error());
        }
    }
    if (const Result<void> born = config::write_birth(path, {cluster.cluster_id, id}); !born) {
        return refuse(born.error());
    }
    return {};
}

StartResult<OpenedData> open_data_folder(const config::Cluster& cluster, std::uint16_t id, const fs::path& path) {
    if (auto checked = check_identity(cluster, id, path); !checked) {
        return tl::unexpected<StartError>(checked.error());
    }
    auto lock = kvstore::DataLock::acquire(path);
    if (!lock) {
        return refuse(lock.error().code == Errc::conflict ? FatalCode::data_in_use : fatal_code_of(lock.error().code),
                      lock.error().message);
    }
    OpenedData data{path, std::move(*lock), {}, {}, {}, {}, {}, false, {}};
    for (const auto& check : {check_environments(path), check_marks(cluster, path, data.crashed_before)}) {
        if (!check) {
            return tl::unexpected<StartError>(check.error());
        }
    }
    if (auto recovered = recover(cluster, data); !recovered) {
        return tl::unexpected<StartError>(recovered.error());
    }
    for (const char* mark : {"opened", "running"}) {
        if (auto set = set_mark(path, mark); !set) {
            return tl::unexpected<StartError>(set.error());
        }
    }
    return data;
}

void mark_stopped(const fs::path& path) {
    std::error_code ignored;
    fs::remove(path / "running", ignored);
    (void)sync_folder(path);
}

}  // namespace loyal::replica
