// Background: the low-priority thread: serves committed ranges to peers that lag (rule N10; PROTOCOL.md §17: fetches
// come out of a budget of their own) and looks after the disk once a second. It is the one reader of the consensus log.
#pragma once

#include <atomic>
#include <filesystem>
#include <thread>

#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"
#include "replica/inbox.h"
#include "replica/work_queue.h"

namespace loyal::replica {

struct ServedRange {
    consensus::ReplicaId to;
    Result<consensus::Blocks> blocks;
};

struct DiskUse {
    std::uint64_t free_bytes = 0;
    std::uint64_t log_bytes = 0;
    std::uint64_t kv_bytes = 0;
};

class Background {
 public:
    // References outlive it.
    Background(const kvstore::ConsensusLog& log, const kvstore::Store& kv, std::filesystem::path data,
               Inbox<ServedRange>& served, Inbox<DiskUse>& disk);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    void serve(consensus::ServeCommitted request) { queue_.push(std::move(request)); }
    void stop();

 private:
    void run();
    void look_at_disk();

    const kvstore::ConsensusLog& log_;
    const kvstore::Store& kv_;
    std::filesystem::path data_;
    Inbox<ServedRange>& served_;
    Inbox<DiskUse>& disk_;
    WorkQueue<consensus::ServeCommitted> queue_;
    std::thread thread_;
};

// Bytes that this process may still write in the file system of `path`.
[[nodiscard]] std::uint64_t free_bytes(const std::filesystem::path& path);

}  // namespace loyal::replica
