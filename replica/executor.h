// Executor: the thread that owns the state machine: executes committed blocks in order, asks about admission, answers
// reads; all results come back in the order in which they were asked for. A second thread writes frozen generations of
// the overlay to the `kv` store in the background (PROTOCOL.md D4). A state that turns out to be
// damaged ends its use, once (StateFailed): from then on nothing is executed, read or written. An input or output error
// ends the process.
#pragma once

#include <thread>
#include <variant>

#include "consensus/messages.h"
#include "crypto/verified.h"
#include "kvstore/state_machine.h"
#include "kvstore/store.h"
#include "replica/durations.h"
#include "replica/inbox.h"
#include "replica/room.h"
#include "replica/work_queue.h"
#include "wire/client_messages.h"

namespace loyal::replica {

struct ExecuteTask {
    consensus::BlockPtr block;
};
struct AdmitTask {
    std::uint64_t link = 0;
    crypto::Verified<consensus::Envelope> envelope;
};
struct ReadTask {
    std::uint64_t link = 0;
    consensus::ClientId client;
    wire::Read request;
    consensus::Height lock;
};
struct ChangesTask {
    consensus::ClientId client;
    std::uint64_t ticket = 0;
    kvstore::ChangeQuery query;
};
struct WrittenTask {};  // the writer finished a generation; only wakes the executor
using ExecutorTask = std::variant<ExecuteTask, AdmitTask, ReadTask, ChangesTask, WrittenTask>;

struct AdmitDone {
    std::uint64_t link = 0;
    crypto::Verified<consensus::Envelope> envelope;
    Result<kvstore::AdmissionResult> result;
};
struct ReadDone {
    std::uint64_t link = 0;
    wire::Read request;
    consensus::Height lock;
    Result<kvstore::ReadAnswer> answer;
};
struct ChangesDone {
    std::uint64_t ticket = 0;
    Result<kvstore::ChangePage> page;
    kvstore::Revision revision;  // of the state that was read
};
// The state is damaged. Told once; reads that are asked for afterwards are Errc::unavailable.
struct StateFailed {
    Error error;
};
using ExecutorResult = std::variant<kvstore::ExecutedBlock, AdmitDone, ReadDone, ChangesDone, StateFailed>;

struct ExecutorOptions {
    std::size_t freeze_bytes = 8U << 20U;
    std::uint64_t freeze_ms = 2'000;
    std::size_t overlay_bytes_max = 0;  // 0: limits
};

class Executor {
 public:
    // References outlive it. Until stop() nobody else uses `machine`.
    Executor(kvstore::StateMachine& machine, kvstore::Store& kv, Inbox<ExecutorResult>& results, Room& room,
             ExecutorOptions options);
    ~Executor();
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;

    void submit(ExecutorTask task);
    // Executes what waits, writes the whole state to disk and syncs it. A full disk is no obstacle: what does not fit
    // is executed again from the log.
    void stop();
    // Ends without writing anything more: the state is given up.
    void abandon();

    [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
    [[nodiscard]] std::size_t overlay_bytes() const { return overlay_bytes_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t durable_height() const { return durable_height_.load(std::memory_order_relaxed); }
    [[nodiscard]] const Durations& write_durations() const { return write_durations_; }
    [[nodiscard]] const Durations& execute_durations() const { return execute_durations_; }

 private:
    void run();
    void run_writer();
    [[nodiscard]] bool write_frozen(kvstore::Durability durability);
    void state_failed(const char* what, const Error& error);
    void handle(ExecuteTask& task);
    void handle(AdmitTask& task);
    void handle(ReadTask& task);
    void handle(ChangesTask& task);
    void handle(WrittenTask&) {}
    void freeze_if_due();
    void freeze_at_checkpoint();
    // Takes over what the writer finished; with `wait`, waits for it.
    void drop_written(bool wait);
    void final_write();

    kvstore::StateMachine& machine_;
    kvstore::Store& kv_;
    Inbox<ExecutorResult>& results_;
    Room& room_;
    ExecutorOptions options_;
    WorkQueue<ExecutorTask> queue_;
    std::chrono::steady_clock::time_point last_freeze_;
    bool writing_ = false;      // executor thread's own view: a generation is with the writer
    WorkQueue<bool> to_write_;  // a generation is frozen; the value says whether to sync
    WorkQueue<bool> written_;   // false: there was no room until the end
    std::atomic<bool> stopping_{false};
    std::atomic<bool> failed_{false};  // by either thread
    bool no_room_ = false;             // executor thread's own view: the frozen generation stays unwritten
    std::uint64_t generations_ = 0;
    std::atomic<std::size_t> overlay_bytes_{0};
    std::atomic<std::uint64_t> durable_height_{0};
    Durations write_durations_;
    Durations execute_durations_;
    std::thread writer_;
    std::thread thread_;
};

}  // namespace loyal::replica
