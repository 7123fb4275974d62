// The data folder of a replica (contract: "A cluster on disk"): birth record, lock, the consensus log (LMDB environment
// `log`), the state (generations, state_folder.h) and two marks:
//
//   opened    the environments were made once. If they are gone later, the disk was lost
//   running   there while a process serves; what is left of a crash. Under crash_mode = stop a replica that crashed may
//             not return
//
// Only --init makes a folder for a new replica. Whatever is lost later, the folder or the log in it, is made anew here
// for a replica that may have forgotten votes: AMNESIAC (PROTOCOL.md A1), durably, before it says a word. A state that
// is lost, damaged or under construction is fetched from the other replicas while the process runs
// (Recovered.state_lost).
//
// Every failure to open is a StartError with the exit code of its kind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/cluster.h"
#include "config/fatal.h"
#include "kvstore/consensus_log.h"
#include "kvstore/data_lock.h"
#include "kvstore/state_machine.h"
#include "kvstore/store.h"
#include "replica/experiments/faulty_store.h"
#include "replica/state_folder.h"

namespace loyal::replica {

struct StartError {
    FatalCode code = FatalCode::internal;
    std::string message;
};
template <class T>
using StartResult = tl::expected<T, StartError>;

struct OpenedData {
    std::filesystem::path path;
    kvstore::DataLock lock;
    std::shared_ptr<DiskFaults> disk_faults = {};  // of all stores; null unless the cluster allows experiments
    std::unique_ptr<kvstore::Store> log_store = {};
    std::unique_ptr<kvstore::ConsensusLog> log = {};
    OpenState state = {};  // without a machine when recovered.state_lost is not empty
    consensus::Recovered recovered = {};
    bool crashed_before = false;  // the last process did not stop in order
    std::uint64_t opened_in_ms = 0;
    std::uint64_t executed_again = 0;        // blocks above the state on disk
    std::vector<std::string> warnings = {};  // worth a line each in the log of the process
};

// `--init`: makes the folder (0700) and its birth record. An error when it is there already.
[[nodiscard]] StartResult<void> create_data_folder(const config::Cluster& cluster, std::uint16_t id,
                                                   const std::filesystem::path& path);
// What was lost is made anew, except under crash_mode = stop (FatalCode::data_missing).
[[nodiscard]] StartResult<OpenedData> open_data_folder(const config::Cluster& cluster, std::uint16_t id,
                                                       const std::filesystem::path& path);
// An orderly stop: removes the mark `running`.
void mark_stopped(const std::filesystem::path& path);

}  // namespace loyal::replica
