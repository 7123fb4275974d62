// Taking a backup of a running cluster (docs/OPERATIONS.md, "Backup and restore"): its newest stable checkpoint, proved
// by its certificate, fetched from all replicas at once and checked part by part against the root (PROTOCOL.md §13 S6).
// The cluster goes on meanwhile; when it has forgotten the checkpoint before everything was fetched, a newer one is
// taken and only what differs is fetched again.
//
// Threads: take_backup() blocks; the source's callbacks may come on any thread, also after it has returned. Memory: as
// replica/state_transfer/state_fetch.h, and 5 MiB. Disk: the state twice, once of them compressed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/backup/verify.h"
#include "config/cluster.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "wire/client_messages.h"

namespace loyal::backup {

// The replicas, as a backup sees them. Each question is answered once: with an answer or why there is none.
class Source {
 public:
    virtual ~Source() = default;
    using OnCheckpoint = std::function<void(const Result<wire::CheckpointAnswer>&)>;
    using OnPart = std::function<void(const Result<consensus::StateChunk>&)>;
    virtual void checkpoint(consensus::ReplicaId replica, OnCheckpoint done) = 0;
    virtual void part(consensus::ReplicaId replica, consensus::StateRequest request, OnPart done) = 0;
};

struct TakeProgress {
    consensus::Height height;
    double fraction = 0;  // of the fetching; then of the writing
    bool writing = false;
    std::uint64_t records = 0;
    std::uint64_t bytes = 0;  // fetched
};

struct TakeOptions {
    config::Cluster cluster;
    std::string cluster_text;            // of cluster.toml, as it goes into the file
    std::filesystem::path path;          // of the backup; beside it a .partial and a .spool while it is being made
    bool force = false;                  // replace what is there
    std::uint64_t patience_ms = 30'000;  // without any progress
    std::function<void(const TakeProgress&)> on_progress;
    std::function<void(const std::string&)> on_note;  // a replica lies, a newer checkpoint is taken
};

struct TakeReport {
    consensus::StateRoot root;
    std::uint64_t records = 0;
    std::uint64_t fetched_bytes = 0;
    std::uint64_t file_bytes = 0;
    std::vector<std::string> notes;
};

// Durable when it returns. Errc::not_found: no checkpoint is stable yet, and what to do; Errc::permission; unavailable:
// nobody answers; conflict: the file exists; corrupted: what was put together is not what was certified.
[[nodiscard]] Result<TakeReport> take_backup(const TakeOptions& options, Source& source);

}  // namespace loyal::backup
