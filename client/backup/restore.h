// Restoring: a new cluster that is born with the user data of a backup. It has an id, keys and clients of its own; the
// keys keep their values, revisions, timestamps and history, and the store its revision and HLC time. Leases and locks
// come along, so that no fencing token is given out twice; what belonged to the old cluster's clients ends with its
// time to live. Sessions and changed rights do not: no envelope of the old cluster is valid in the new one. The root of
// the state at height 0 is part of the new cluster's id (config::Cluster::genesis_state), so replicas with another
// beginning never take each other for one of their own.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "client/backup/verify.h"
#include "config/cluster.h"
#include "config/result.h"
#include "kvstore/state_digest.h"

namespace loyal::backup {

struct RestoreOptions {
    std::filesystem::path file;
    std::filesystem::path directory;  // of the new cluster
    config::InitOptions init;         // its genesis fields are filled in here
    // What the options leave open may be taken from the backup; called when that was verified.
    std::function<void(const BackupFacts& from, config::InitOptions& init)> settle;
    OnProgress on_progress;  // over both readings of the file
};
struct RestoreReport {
    BackupFacts from;
    config::InitReport made;
};

// Verifies the whole file before anything is written; leaves nothing behind when it fails. Errors: those of
// verify_backup and init_cluster.
[[nodiscard]] Result<RestoreReport> restore_backup(const RestoreOptions& options);

// What a record of a backup becomes in the new cluster's state; nothing: it does not come along.
[[nodiscard]] Result<std::optional<kvstore::StateRecord>> restored_record(const kvstore::StateRecord& record);

}  // namespace loyal::backup
