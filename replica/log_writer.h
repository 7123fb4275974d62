// LogWriter: the log thread. Takes every Persist that waits, writes them in one synced transaction (group commit, rule
// N8) and says which was the last. A full disk is waited for: nothing of the transaction is there, and nothing that
// waits for it leaves. Any other failure ends the process: nobody knows what the disk holds (docs/STORAGE.md; fsync may
// report an error once only).
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"
#include "replica/durations.h"
#include "replica/inbox.h"
#include "replica/room.h"
#include "replica/work_queue.h"

namespace loyal::replica {

class LogWriter {
 public:
    // References outlive it.
    LogWriter(kvstore::ConsensusLog& log, Inbox<consensus::PersistId>& durable, Room& room);
    ~LogWriter();
    LogWriter(const LogWriter&) = delete;
    LogWriter& operator=(const LogWriter&) = delete;

    // By one thread, as flush(). An empty Persist is a step of forgetting (ConsensusLog::release_below); nobody is
    // told.
    void write(consensus::Persist persist) {
        ++submitted_;
        queue_.push(std::move(persist));
    }
    // Returns when everything that was handed over is written, and its owner told.
    void flush();
    // Writes what waits, as far as the disk has room for it, then ends the thread.
    void stop();
    // The disk is full, and the log waits for room.
    [[nodiscard]] bool waits_for_room() const { return waits_for_room_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
    [[nodiscard]] const Durations& durations() const { return durations_; }
    [[nodiscard]] std::uint64_t transactions() const { return transactions_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t persists() const { return persists_.load(std::memory_order_relaxed); }

 private:
    void run();
    [[nodiscard]] bool append(const std::vector<consensus::Persist>& group);

    kvstore::ConsensusLog& log_;
    Inbox<consensus::PersistId>& durable_;
    Room& room_;
    WorkQueue<consensus::Persist> queue_;
    Durations durations_;
    std::atomic<std::uint64_t> transactions_{0};
    std::atomic<std::uint64_t> persists_{0};
    std::uint64_t submitted_ = 0;  // of the thread that writes
    std::mutex mutex_;
    std::condition_variable written_;
    std::uint64_t finished_ = 0;  // of what was submitted; under the mutex
    std::atomic<bool> waits_for_room_{false};
    std::atomic<bool> stopping_{false};
    std::thread thread_;
};

}  // namespace loyal::replica
