// What a backup file proves, found out offline: that it is whole, and that a quorum of the cluster that it names has
// signed for exactly this state. Which cluster that is, its id says; whether it is the right one, the user knows.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "config/cluster.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "kvstore/kv_tables.h"
#include "kvstore/state_digest.h"

namespace loyal::backup {

struct BackupFacts {
    config::Cluster cluster;  // as it was then; `directory` means nothing
    consensus::CheckpointProof proof;
    kvstore::StateMeta meta;  // height, revision and HLC time of the state
    std::uint64_t keys = 0;
    std::uint64_t sessions = 0;
    std::uint64_t value_bytes = 0;
    std::uint64_t file_bytes = 0;
    // In the crash fault model nobody signs: then the file is whole and agrees with itself, and that is all.
    [[nodiscard]] bool proved_by_signatures() const { return cluster.fault_model == consensus::FaultModel::byzantine; }
};

// Sees what is known so far, the cluster and the certificate, and a record.
using OnRecord = std::function<Result<void>(const BackupFacts&, const kvstore::StateRecord&)>;
// Called with `fraction` of the file that was read, now and then.
using OnProgress = std::function<void(double fraction)>;

// Reads the whole file. `on_record` may be empty; it sees records before the file is known to be whole, in ascending
// order of their names. Errc::corrupted or Errc::unauthentic: it is not what it says; nothing of it may be used.
[[nodiscard]] Result<BackupFacts> verify_backup(const std::filesystem::path& path, const OnRecord& on_record = {},
                                                const OnProgress& on_progress = {});

}  // namespace loyal::backup
