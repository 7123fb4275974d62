// LogWriter: the log thread. Takes every Persist that waits, writes them in one synced transaction (group commit, rule
// N8) and says which was the last. A failed write or sync ends the process: nobody knows what the disk holds
// (docs/STORAGE.md; fsync may report an error once only).
#pragma once

#include <thread>

#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"
#include "replica/durations.h"
#include "replica/inbox.h"
#include "replica/work_queue.h"

namespace loyal::replica {

class LogWriter {
 public:
    // `log` and `durable` outlive it.
    LogWriter(kvstore::ConsensusLog& log, Inbox<consensus::PersistId>& durable);
    ~LogWriter();
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    void write(consensus::Persist persist) { queue_.push(std::move(persist)); }
    // Writes what waits, then ends the thread.
    void stop();
    [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
    [[nodiscard]] const Durations& durations() const { return durations_; }
    [[nodiscard]] std::uint64_t transactions() const { return transactions_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t persists() const { return persists_.load(std::memory_order_relaxed); }

 private:
    void run();

    kvstore::ConsensusLog& log_;
    Inbox<consensus::PersistId>& durable_;
    WorkQueue<consensus::Persist> queue_;
    Durations durations_;
    std::atomic<std::uint64_t> transactions_{0};
    std::atomic<std::uint64_t> persists_{0};
    std::thread thread_;
};

}  // namespace loyal::replica
