// The data folder of a replica (contract: "A cluster on disk"): birth record, lock, LMDB environments `log` and `kv`,
// and two marks:
//
//   opened    the environments were made once. If they are gone later, the disk was lost, and the replica must not
//   start
//             as if it were new: it would vote against its own promises (PROTOCOL.md A1)
//   running   there while a process serves; what is left of a crash. Under crash_mode = stop a replica that crashed may
//             not return
//
// Every failure to open is a StartError with the exit code of its kind.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "config/cluster.h"
#include "config/fatal.h"
#include "kvstore/consensus_log.h"
#include "kvstore/data_lock.h"
#include "kvstore/state_machine.h"
#include "kvstore/store.h"
#include "replica/experiments/faulty_store.h"

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
    std::unique_ptr<kvstore::Store> log_store;
    std::unique_ptr<kvstore::Store> kv_store;
    std::unique_ptr<kvstore::StateMachine> machine;
    std::unique_ptr<kvstore::ConsensusLog> log;
    consensus::Recovered recovered;
    bool crashed_before = false;                   // the last process did not stop in order
    std::shared_ptr<DiskFaults> disk_faults = {};  // of both stores; null unless the cluster allows experiments
};

// `--init`: makes the folder (0700) and its birth record. An error when it is there already.
[[nodiscard]] StartResult<void> create_data_folder(const config::Cluster& cluster, std::uint16_t id,
                                                   const std::filesystem::path& path);
[[nodiscard]] StartResult<OpenedData> open_data_folder(const config::Cluster& cluster, std::uint16_t id,
                                                       const std::filesystem::path& path);
// An orderly stop: removes the mark `running`.
void mark_stopped(const std::filesystem::path& path);

}  // namespace loyal::replica
