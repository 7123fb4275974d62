// Background: the low-priority thread: serves committed ranges to peers that lag (rule N10; PROTOCOL.md §17: fetches
// come out of a budget of their own), does what is to be done with the state (state_transfer/keeper.h), scrubs the log
// and looks after the disk once a second, more often while somebody waits for room.
#pragma once

#include <atomic>
#include <filesystem>
#include <map>
#include <thread>
#include <variant>

#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"
#include "replica/disk_watch.h"
#include "replica/inbox.h"
#include "replica/room.h"
#include "replica/scrub_pace.h"
#include "replica/state_transfer/keeper.h"
#include "replica/work_queue.h"

namespace loyal::replica {

struct ServedRange {
    consensus::ReplicaId to;
    Result<consensus::Blocks> blocks;
};

struct KeepState {
    std::uint64_t generation = first_generation;
    std::unique_ptr<kvstore::Checkpoints> checkpoints;
};
struct LoseState {
    bool diverged = false;
};
struct ReleaseBelow {
    consensus::Height height;
};
struct ServeState {
    consensus::ReplicaId to;
    consensus::StateRequest request;
};
struct ServeClient {
    std::uint64_t link = 0;
    std::uint64_t nonce = 0;
    std::optional<consensus::StateRequest> request;  // nothing: the newest checkpoint's certificate
    std::optional<Bytes> key = std::nullopt;         // the proof of this key's record instead
};
struct TakeChunk {
    consensus::ReplicaId from;
    consensus::StateChunk chunk;
};
struct LookForRoom {};  // somebody waits for it: from now on more often
using BackgroundTask = std::variant<consensus::ServeCommitted, KeepState, LoseState, ReleaseBelow,
                                    consensus::FetchState, ServeState, ServeClient, TakeChunk, LookForRoom>;

class Background {
 public:
    // References outlive it.
    Background(const kvstore::ConsensusLog& log, KeeperOptions options, Inbox<ServedRange>& served,
               Inbox<KeeperEvent>& events, Inbox<DiskUse>& disk, Room& room);
    ~Background();
    Background(const Background&) = delete;
    Background& operator=(const Background&) = delete;

    // One caller's thread. What a peer makes waiting is bounded: beyond that it is dropped, and the peer asks again, or
    // another one is asked.
    void submit(BackgroundTask task);
    // False: too much of clients waits already, nothing was taken.
    [[nodiscard]] bool submit_client(ServeClient task);
    void stop();
    [[nodiscard]] KeeperStatus state() const { return keeper_.status(); }
    [[nodiscard]] std::uint64_t log_scrubbed() const { return log_scrubbed_.load(std::memory_order_relaxed); }
    [[nodiscard]] std::uint64_t log_scrubs() const { return log_scrubs_.load(std::memory_order_relaxed); }

 private:
    void run();
    void handle(const consensus::ServeCommitted& request);
    void handle(KeepState& task) { keeper_.keep(task.generation, std::move(task.checkpoints)); }
    void handle(const LoseState& task) { keeper_.lost(task.diverged); }
    void handle(const ReleaseBelow& task) { keeper_.stable(task.height); }
    void handle(const consensus::FetchState& target) { keeper_.fetch(target); }
    void handle(const ServeState& task);
    void handle(const ServeClient& task);
    void handle(const TakeChunk& task);
    void handle(const LookForRoom&) {}
    void look_at_disk();
    using Time = std::chrono::steady_clock::time_point;
    [[nodiscard]] Time look_for_room(Time due);
    [[nodiscard]] ScrubPace::Step scrub_log();

    const kvstore::ConsensusLog& log_;
    std::filesystem::path data_;
    Inbox<ServedRange>& served_;
    Inbox<DiskUse>& disk_;
    Room& room_;
    StateKeeper keeper_;
    WorkQueue<BackgroundTask> queue_;
    std::atomic<std::size_t> chunk_bytes_{0};                    // that wait here
    std::map<consensus::ReplicaId, std::atomic<int>> requests_;  // of each peer that wait here; fixed keys
    std::atomic<int> client_requests_{0};                        // that wait here, of all clients
    ScrubPace log_pace_;
    std::uint64_t next_scrubbed_ = 0;             // record of the log
    std::atomic<std::uint64_t> log_scrubbed_{0};  // records
    std::atomic<std::uint64_t> log_scrubs_{0};    // rounds through all of them
    std::thread thread_;
};

// Bytes that this process may still write in the file system of `path`.
[[nodiscard]] std::uint64_t free_bytes(const std::filesystem::path& path);
// Size of that file system.
[[nodiscard]] std::uint64_t total_bytes(const std::filesystem::path& path);
// That the files below `path` occupy: holes do not count.
[[nodiscard]] std::uint64_t allocated_bytes(const std::filesystem::path& path);

}  // namespace loyal::replica
