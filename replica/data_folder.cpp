#include "replica/data_folder.h"

#include <chrono>
#include <optional>
#include <system_error>
#include <utility>

#include "config/files.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/store_check.h"
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

bool may_not_return(const config::Cluster& cluster) {
    return cluster.fault_model == consensus::FaultModel::crash && cluster.crash_mode == config::CrashMode::stop;
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

// The folder of this name with `suffix` is made to hold what is there now.
StartResult<void> move_aside(const fs::path& path, const char* suffix) {
    fs::path aside = path;
    aside += suffix;
    std::error_code error;
    fs::remove_all(aside, error);
    fs::rename(path, aside, error);
    if (error) {
        return refuse(FatalCode::io, "cannot move " + path.string() + " aside: " + error.message());
    }
    return {};
}

// A folder for a replica that has been before. It appears whole, with the mark that says so: a crash on the way leaves
// no folder, and never one that looks like a new replica's.
StartResult<void> make_anew(const config::Cluster& cluster, std::uint16_t id, const fs::path& path) {
    fs::path fresh = path;
    fresh += ".new";
    std::error_code error;
    fs::remove_all(fresh, error);
    fs::create_directories(path.parent_path(), error);
    if (error) {
        return refuse(FatalCode::io, "cannot create " + path.parent_path().string() + ": " + error.message());
    }
    if (const Result<void> born = config::write_birth(fresh, {cluster.cluster_id, id}); !born) {
        return refuse(born.error());
    }
    if (auto marked = set_mark(fresh, "opened"); !marked) {
        return marked;
    }
    if (fs::exists(path, error) && !fs::is_empty(path, error)) {
        if (auto moved = move_aside(path, ".damaged"); !moved) {
            return moved;
        }
    }
    fs::rename(fresh, path, error);
    if (error) {
        return refuse(FatalCode::io, "cannot create " + path.string() + ": " + error.message());
    }
    if (const Result<void> synced = sync_folder(path.parent_path()); !synced) {
        return refuse(synced.error());
    }
    return {};
}

StartResult<void> check_identity(const config::Cluster& cluster, std::uint16_t id, const fs::path& path,
                                 std::vector<std::string>& warnings) {
    const Result<void> birth = config::check_birth(path, {cluster.cluster_id, id});
    if (birth) {
        return {};
    }
    switch (birth.error().code) {
        case Errc::not_found: break;
        case Errc::conflict: return refuse(FatalCode::data_foreign, birth.error().message);
        default: return refuse(birth.error());
    }
    if (may_not_return(cluster)) {
        return refuse(FatalCode::data_missing,
                      birth.error().message +
                          "; if this replica never ran on this machine, create the folder once with --init; if it "
                          "did, its disk was lost, and under crash_mode = \"stop\" it may not return");
    }
    warnings.push_back(birth.error().message +
                       "; the folder is made anew, and the replica recovers from its peers: until then it takes no "
                       "part (a replica that never ran anywhere is begun with --init instead)");
    return make_anew(cluster, id, path);
}

StartResult<void> check_marks(const config::Cluster& cluster, const fs::path& path, bool& crashed_before) {
    std::error_code error;
    crashed_before = fs::exists(path / "running", error);
    if (crashed_before && may_not_return(cluster)) {
        return refuse(FatalCode::crash_stop,
                      "this replica crashed (" + (path / "running").string() +
                          " is left of it), and under crash_mode = \"stop\" a replica that crashed may not return; "
                          "the cluster goes on without it");
    }
    return {};
}

// LMDB trusts its pages: what is wrong in them is found by a child process, which may die of it. Empty: sound, or not
// there at all.
StartResult<std::string> structure_of(const fs::path& environment, std::vector<std::string> tables) {
    std::error_code error;
    if (!fs::exists(environment / "data.mdb", error)) {
        return std::string();
    }
    const auto found = kvstore::check_store({environment, std::move(tables), {}});
    if (!found) {
        return refuse(found.error());
    }
    return found->value_or("");
}

// ---- The log

StartResult<bool> log_is_lost(const config::Cluster& cluster, const fs::path& path,
                              std::vector<std::string>& warnings) {
    std::error_code error;
    const bool opened = fs::exists(path / "opened", error);
    if (!opened || fs::exists(path / "log" / "data.mdb", error)) {
        return false;
    }
    const std::string gone = "the environment " + (path / "log").string() +
                             " is gone although this replica has run before: its log was lost";
    if (may_not_return(cluster)) {
        return refuse(FatalCode::data_missing, gone + ", and under crash_mode = \"stop\" it may not return");
    }
    warnings.push_back(gone + "; it is made anew, and the replica takes no part until it has recovered from its peers");
    return true;
}

StartResult<void> read_log(const config::Cluster& cluster, OpenedData& data, bool lost) {
    kvstore::LogOptions options;
    options.lost = lost;
    options.checkpoint_interval = cluster.checkpoint_interval;
    options.fault_model = cluster.fault_model;
    data.log.reset();
    auto log = kvstore::ConsensusLog::open(*data.log_store, cluster.membership().context, options);
    if (!log) {
        return refuse(log.error());
    }
    data.log = std::move(*log);
    return {};
}

StartResult<void> open_log(const config::Cluster& cluster, OpenedData& data) {
    const auto lost = log_is_lost(cluster, data.path, data.warnings);
    if (!lost) {
        return tl::unexpected<StartError>(lost.error());
    }
    const auto damage = structure_of(data.path / "log", kvstore::ConsensusLog::log_tables());
    if (!damage) {
        return tl::unexpected<StartError>(damage.error());
    }
    if (!damage->empty()) {
        if (may_not_return(cluster)) {
            return refuse(FatalCode::corrupted, "the consensus log is damaged: " + *damage);
        }
        data.warnings.push_back("the consensus log is damaged and moved to " + (data.path / "log.damaged").string() +
                                ": " + *damage);
        if (auto moved = move_aside(data.path / "log", ".damaged"); !moved) {
            return moved;
        }
    }
    kvstore::LmdbOptions options;
    options.path = data.path / "log";
    options.tables = kvstore::ConsensusLog::log_tables();
    auto store = kvstore::LmdbStore::open(options);
    if (!store) {
        return refuse(store.error());
    }
    data.log_store = std::move(*store);
    if (data.disk_faults) {
        data.log_store = std::make_unique<FaultyStore>(std::move(data.log_store), data.disk_faults, true);
    }
    return read_log(cluster, data, *lost || !damage->empty());
}

// ---- The state

// Damage, and what a transfer left half done, is no reason not to start; a disk that cannot be read or written is.
StartResult<void> lose_state(OpenedData& data, const Error& why) {
    if (why.code != Errc::corrupted && why.code != Errc::unavailable) {
        return refuse(why);
    }
    data.recovered.state_lost = why.message;
    data.state.machine.reset();
    data.state.checkpoints.reset();
    return {};
}

// The generation in force, if it can be told which; a new replica's first one.
StartResult<void> choose_generation(OpenedData& data) {
    const auto named = generation_in_force(data.path);
    if (!named && named.error().code != Errc::corrupted) {
        return refuse(named.error());
    }
    std::error_code error;
    const bool opened = fs::exists(data.path / "opened", error);
    if (named && *named) {
        data.state.generation = **named;
        if (opened && !fs::exists(generation_path(data.path, **named) / "data.mdb", error)) {
            data.recovered.state_lost = "the state in " + generation_path(data.path, **named).string() + " is gone";
        }
        return {};
    }
    const std::optional<std::uint64_t> newest = newest_generation(data.path);
    data.state.generation = newest.value_or(first_generation);
    if (opened) {
        data.recovered.state_lost = named ? "the file that names the state in force is gone" : named.error().message;
        if (const auto marked = mark_lost(data.path, data.state.generation, data.recovered.state_lost); !marked) {
            return refuse(marked.error());
        }
    }
    if (const Result<void> put = put_in_force(data.path, data.state.generation); !put) {
        return refuse(put.error());
    }
    return {};
}

// An earlier process found the state wrong, and ended before there was another one.
StartResult<void> heed_lost_mark(OpenedData& data) {
    auto why = lost_mark(data.path, data.state.generation);
    if (!why) {
        return refuse(why.error());
    }
    if (*why && data.recovered.state_lost.empty()) {
        data.recovered.state_lost = std::move(**why);
    } else if (!*why) {
        forget_lost_mark(data.path);
    }
    return {};
}

// As far as it can be: a damaged one may still be of use to the transfer that replaces it.
StartResult<void> open_state(const StateSetup& setup, OpenedData& data) {
    std::error_code error;
    const bool there = fs::exists(generation_path(data.path, data.state.generation) / "data.mdb", error);
    if (!data.recovered.state_lost.empty() && !there) {
        return {};
    }
    const auto damage =
        structure_of(generation_path(data.path, data.state.generation), kvstore::StateMachine::state_tables());
    if (!damage) {
        return tl::unexpected<StartError>(damage.error());
    }
    if (!damage->empty()) {
        data.recovered.state_lost = "its pages are damaged: " + *damage;  // not even of use to the transfer
        return {};
    }
    auto store = open_generation(setup, data.state.generation);
    if (!store) {
        return lose_state(data, store.error());
    }
    data.state.store = std::move(*store);
    if (Result<void> opened = open_machine(setup, data.state); !opened) {
        return lose_state(data, opened.error());
    }
    if (!data.recovered.state_lost.empty()) {
        data.state.machine.reset();
        return {};
    }
    const auto again = execute_again(*data.state.machine, *data.log);
    if (!again) {
        return lose_state(data, again.error());
    }
    data.executed_again = *again;
    return {};
}

StartResult<void> recover(const config::Cluster& cluster, OpenedData& data) {
    if (cluster.experiments) {
        data.disk_faults = std::make_shared<DiskFaults>();
    }
    if (auto opened = open_log(cluster, data); !opened) {
        return opened;
    }
    if (auto chosen = choose_generation(data); !chosen) {
        return chosen;
    }
    if (auto heeded = heed_lost_mark(data); !heeded) {
        return heeded;
    }
    remove_other_generations(data.path, data.state.generation);
    if (auto opened = open_state(state_setup(cluster, data.path, data.disk_faults), data); !opened) {
        return opened;
    }
    const std::string lost = data.recovered.state_lost;
    if (data.state.machine && data.state.machine->executed().value > 0) {
        const auto found = data.log->recover(data.state.machine->executed_block());
        if (found && found->fresh) {  // a state that was executed, and a log that knows of nothing
            if (auto read = read_log(cluster, data, true); !read) {
                return read;
            }
        }
    }
    if (data.state.machine && lost.empty()) {
        if (auto begun = data.log->begin_above(data.state.machine->executed_block()); !begun) {
            return refuse(begun.error());
        }
    }
    auto recovered = data.state.machine ? recover_with(data.state, *data.log) : recover_without_state(*data.log);
    if (!recovered) {
        return refuse(recovered.error());
    }
    data.recovered = std::move(*recovered);
    if (!lost.empty()) {
        data.recovered.state_lost = lost;
    }
    if (!data.recovered.state_lost.empty()) {
        data.state.machine.reset();
        data.warnings.push_back("the state cannot be used and is fetched from the other replicas: " +
                                data.recovered.state_lost);
    }
    if (!data.recovered.votes_lost.empty()) {
        data.warnings.push_back("this replica may have forgotten votes and takes no part until it has recovered: " +
                                data.recovered.votes_lost);
    }
    for (const std::string& damage : data.log->damage()) {
        data.warnings.push_back("damage in the consensus log: " + damage);
    }
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
    const auto begun = std::chrono::steady_clock::now();
    std::vector<std::string> warnings;
    if (auto checked = check_identity(cluster, id, path, warnings); !checked) {
        return tl::unexpected<StartError>(checked.error());
    }
    auto lock = kvstore::DataLock::acquire(path);
    if (!lock) {
        return refuse(lock.error().code == Errc::conflict ? FatalCode::data_in_use : fatal_code_of(lock.error().code),
                      lock.error().message);
    }
    OpenedData data{path, std::move(*lock)};
    data.warnings = std::move(warnings);
    if (const auto checked = check_marks(cluster, path, data.crashed_before); !checked) {
        return tl::unexpected<StartError>(checked.error());
    }
    if (auto recovered = recover(cluster, data); !recovered) {
        return tl::unexpected<StartError>(recovered.error());
    }
    for (const char* mark : {"opened", "running"}) {
        if (auto set = set_mark(path, mark); !set) {
            return tl::unexpected<StartError>(set.error());
        }
    }
    const auto took = std::chrono::steady_clock::now() - begun;
    data.opened_in_ms = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(took).count());
    return data;
}

void mark_stopped(const fs::path& path) {
    std::error_code ignored;
    fs::remove(path / "running", ignored);
    (void)sync_folder(path);
}

}  // namespace loyal::replica
