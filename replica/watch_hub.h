// WatchHub: the watches of a replica's clients (docs/WATCH.md): who is told what, and from where.
//
// A watch that is live is told what a block changes as soon as it was executed. Whoever is not - it begins at an older
// revision, its link does not take what it is sent, the replica began anew - is fed in turns from the changes that are
// kept at hand, or from the history by way of the executor, until it has caught up; what waits for a slow watcher is a
// position, never a queue. Each asking passes the executor once, which checks the right to read.
//
// Invariant: all live watches were told everything up to the newest change, so that one WatchProgress a link speaks for
// them all. Single-threaded, without I/O.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "config/result.h"
#include "kvstore/state_machine.h"
#include "replica/watch_index.h"
#include "wire/client_messages.h"

namespace loyal::replica {

class WatchPort {
 public:
    virtual ~WatchPort() = default;
    virtual void tell(std::uint64_t link, const wire::ReplicaMessage& message) = 0;
    // Bytes that wait to be written to the link.
    [[nodiscard]] virtual std::size_t backlog(std::uint64_t link) = 0;
    // -> WatchHub::changes_read, in one order with executed(). Errc::permission: the client may not read.
    virtual void read_changes(std::uint64_t link, std::uint64_t ticket, kvstore::ChangeQuery query) = 0;
};

struct WatchBounds {
    std::size_t per_link = limits::watches_per_link_max;
    std::size_t total = limits::watches_max;
    std::size_t recent_bytes = limits::watch_recent_bytes_max;
    std::size_t backlog_bytes = limits::watch_backlog_bytes_max;
    std::size_t reads = limits::watch_reads_max;
};

struct WatchCounters {            // monotone
    std::uint64_t events = 0;     // told, of all watches
    std::uint64_t runs = 0;       // messages that told them, or that there are none
    std::uint64_t fell_back = 0;  // times that a live watch had to be fed from the history again
    std::uint64_t reads = 0;      // of the history
    std::uint64_t refused = 0;    // denied, too many, compacted
};

class WatchHub {
 public:
    WatchHub(WatchPort& port, std::uint64_t seed, WatchBounds bounds = {});
    ~WatchHub();

    void ask(std::uint64_t link, wire::Watch request);
    void unwatch(std::uint64_t link, const wire::Unwatch& request);
    void drop_link(std::uint64_t link);
    // Rights were changed: watches of which `may` says no end, before anything newer is told.
    void recheck(const std::function<bool(std::uint64_t link, const kvstore::ChangeQuery& watched)>& may);
    void executed(const kvstore::ExecutedBlock& block);
    // `revision`: of the state that was read.
    void changes_read(std::uint64_t ticket, const Result<kvstore::ChangePage>& page, kvstore::Revision revision);
    // The state was replaced: reads that are under way are not answered any more.
    void restart();
    void tick(std::uint64_t now_ms);

    [[nodiscard]] std::size_t size() const { return watches_.size(); }
    [[nodiscard]] std::size_t behind() const { return behind_.size() + to_read_.size() + reads_.size(); }
    [[nodiscard]] const WatchCounters& counters() const { return counters_; }

 private:
    using Handle = WatchIndex::Handle;
    struct Watch {
        std::uint64_t link = 0;
        wire::Watch asked;
        kvstore::ChangeId told;      // explicitly; a live one implicitly up to newest_
        bool allowed = false;        // to read this range
        bool live = false;           // otherwise it is in behind_, in to_read_, or its ticket in reads_
        bool queued = false;         // in one of the first two
        std::uint64_t ticket = 0;    // of the read under way; 0: none
        std::uint64_t retry_at = 0;  // a read failed: not before
    };
    struct LinkState {
        std::unordered_map<std::uint64_t, Handle> watches;  // by WatchId
        std::uint64_t sent = 0;
        bool told_since = false;  // something, since the last progress
        kvstore::ChangeId progress;
        std::uint64_t progress_at = 0;
    };
    struct Recent {
        std::shared_ptr<const std::vector<kvstore::Change>> changes;
        kvstore::ChangeId upto;
        std::size_t bytes = 0;
    };
    struct Budget {
        std::size_t looks, runs, bytes, changes;
    };

    void remember(const kvstore::ExecutedBlock& block, const kvstore::ChangeId& before);
    void tell_live(const std::vector<kvstore::Change>& changes, const kvstore::ChangeId& before);
    void fall_back(Handle handle, Watch& watch, const kvstore::ChangeId& position);
    void queue(Handle handle, Watch& watch);
    void queue_read(Handle handle, Watch& watch);
    void feed();
    [[nodiscard]] bool feed_one(Handle handle, Watch& watch, Budget& budget);
    void feed_recent(Watch& watch, Budget& budget);
    void begin_reads();
    void begin_read(Handle handle, Watch& watch);
    void tell(Watch& watch, std::vector<kvstore::Change> changes, const kvstore::ChangeId& upto, bool live);
    void end(Handle handle, wire::WatchEndReason reason, kvstore::Revision oldest = {});
    void remove(Handle handle);
    void tell_progress(std::uint64_t link, LinkState& state);
    [[nodiscard]] bool congested(std::uint64_t link) { return port_.backlog(link) > bounds_.backlog_bytes; }

    WatchPort& port_;
    WatchBounds bounds_;
    WatchIndex index_;
    std::map<Handle, Watch> watches_;
    std::map<std::uint64_t, LinkState> links_;
    // Each once; those that are gone are skipped.
    std::deque<Handle> behind_;
    std::deque<Handle> to_read_;             // wait for a place in reads_
    std::map<std::uint64_t, Handle> reads_;  // by ticket
    Handle next_handle_ = 1;
    std::uint64_t next_ticket_ = 1;
    std::optional<kvstore::ChangeId> newest_;  // behind the last executed block; nothing: not known yet
    std::deque<Recent> recent_;
    kvstore::ChangeId recent_after_;  // they are all that stand between here and newest_
    std::size_t recent_bytes_ = 0;
    std::uint64_t now_ms_ = 0;
    WatchCounters counters_;
};

}  // namespace loyal::replica
