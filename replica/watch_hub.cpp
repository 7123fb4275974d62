#include "replica/watch_hub.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"

namespace loyal::replica {
namespace {

using kvstore::Change;
using kvstore::ChangeId;

// Of one turn of feeding those who are behind; turns come with every tick and every block.
constexpr std::size_t turn_looks = 1'024, turn_runs = 256, turn_bytes = 2U << 20, turn_changes = 50'000;
// Beyond so many told events of one block, everybody is fed in turns.
constexpr std::size_t block_events_max = 1'000'000;
constexpr std::uint64_t heartbeat_ms = 1'000;
constexpr std::uint64_t read_retry_ms = 100;

std::size_t bytes_of_change(const Change& change) {
    return 64 + change.key.size() + change.now.value.size() + (change.previous ? change.previous->value.size() : 0);
}

bool covers(const wire::Watch& asked, const Bytes& key) {
    if (!asked.end) {
        return key == asked.begin;
    }
    return asked.begin <= key && (asked.end->empty() || key < *asked.end);
}

// A run that grows until it is as long as a message may be.
class Run {
 public:
    explicit Run(const wire::Watch& asked) : want_previous_(asked.want_previous) {}
    [[nodiscard]] bool full() const {
        return changes.size() >= limits::watch_run_changes_max || bytes >= limits::watch_run_bytes_max;
    }
    void add(const Change& change) {
        bytes += bytes_of_change(change);
        if (want_previous_) {
            changes.push_back(change);
            return;
        }
        Change plain;
        plain.key = change.key;
        plain.now = change.now;
        changes.push_back(std::move(plain));
    }
    std::vector<Change> changes;
    std::size_t bytes = 0;

 private:
    bool want_previous_;
};

}  // namespace

WatchHub::WatchHub(WatchPort& port, std::uint64_t seed, WatchBounds bounds)
    : port_(port), bounds_(bounds), index_(seed) {}
WatchHub::~WatchHub() = default;

// ---- Askings

void WatchHub::ask(std::uint64_t link, wire::Watch request) {
    LinkState& state = links_[link];
    const auto known = state.watches.find(request.id.value);
    if (known != state.watches.end()) {
        const Handle old = known->second;
        Watch& watch = watches_.at(old);
        if (request.nonce <= watch.asked.nonce) {
            return;  // it was overtaken
        }
        if (request.begin == watch.asked.begin && request.end == watch.asked.end) {
            reads_.erase(std::exchange(watch.ticket, 0));
            watch.told = request.after;
            watch.live = false;
            watch.retry_at = 0;
            watch.asked = std::move(request);
            if (!watch.queued && watch.allowed) {
                queue(old, watch);
            } else if (!watch.queued) {
                queue_read(old, watch);
            }
            return begin_reads();
        }
        remove(old);
    }
    if (state.watches.size() >= bounds_.per_link || watches_.size() >= bounds_.total) {
        ++counters_.refused;
        wire::WatchEnd refusal{request.id, request.nonce, ++state.sent, wire::WatchEndReason::too_many, {}};
        state.told_since = true;
        return port_.tell(link, refusal);
    }
    const Handle handle = next_handle_++;
    index_.add(handle, request.begin, request.end);
    state.watches[request.id.value] = handle;
    Watch watch;
    watch.link = link;
    watch.told = request.after;
    watch.asked = std::move(request);
    queue_read(handle, watches_.emplace(handle, std::move(watch)).first->second);
    begin_reads();
}

void WatchHub::unwatch(std::uint64_t link, const wire::Unwatch& request) {
    const auto state = links_.find(link);
    if (state == links_.end()) {
        return;
    }
    const auto found = state->second.watches.find(request.id.value);
    if (found != state->second.watches.end() && watches_.at(found->second).asked.nonce <= request.nonce) {
        remove(found->second);
    }
}

void WatchHub::drop_link(std::uint64_t link) {
    const auto state = links_.find(link);
    if (state == links_.end()) {
        return;
    }
    std::vector<Handle> handles;
    for (const auto& [id, handle] : state->second.watches) {
        handles.push_back(handle);
    }
    for (const Handle handle : handles) {
        remove(handle);
    }
    links_.erase(state);
}

void WatchHub::remove(Handle handle) {
    const auto found = watches_.find(handle);
    LOYAL_ASSERT(found != watches_.end(), "a watch is removed once");
    const Watch& watch = found->second;
    reads_.erase(watch.ticket);
    index_.remove(handle, watch.asked.begin, watch.asked.end);
    links_.at(watch.link).watches.erase(watch.asked.id.value);
    watches_.erase(found);
}

// ---- Telling

void WatchHub::tell(Watch& watch, std::vector<Change> changes, const ChangeId& upto, bool live) {
    LinkState& link = links_.at(watch.link);
    wire::WatchEvents events;
    events.id = watch.asked.id;
    events.nonce = watch.asked.nonce;
    events.number = ++link.sent;
    events.after = watch.told;
    events.upto = std::max(watch.told, upto);
    events.live = live;
    events.changes = std::move(changes);
    counters_.events += events.changes.size();
    ++counters_.runs;
    watch.told = events.upto;
    watch.live = live;
    link.told_since = true;
    port_.tell(watch.link, events);
}

void WatchHub::end(Handle handle, wire::WatchEndReason reason, kvstore::Revision oldest) {
    const Watch& watch = watches_.at(handle);
    const std::uint64_t to = watch.link;
    LinkState& link = links_.at(to);
    const wire::WatchEnd message{watch.asked.id, watch.asked.nonce, ++link.sent, reason, oldest};
    link.told_since = true;
    ++counters_.refused;
    remove(handle);
    port_.tell(to, message);
}

void WatchHub::executed(const kvstore::ExecutedBlock& block) {
    const ChangeId upto = wire::end_of(block.revision);
    const bool empty = !block.changes || block.changes->empty();
    ChangeId before = upto;
    if (newest_) {
        before = *newest_;
    } else if (!empty) {
        before = wire::end_of(block.changes->front().now.id.revision.minus(1));
    }
    remember(block, before);
    newest_ = upto;
    if (!empty) {
        tell_live(*block.changes, before);
    }
    feed();
}

void WatchHub::remember(const kvstore::ExecutedBlock& block, const ChangeId& before) {
    if (!newest_) {
        recent_after_ = before;
    }
    if (!block.changes || block.changes->empty()) {
        return;
    }
    Recent recent{block.changes, wire::end_of(block.revision), 0};
    for (const Change& change : *block.changes) {
        recent.bytes += bytes_of_change(change);
    }
    recent_bytes_ += recent.bytes;
    recent_.push_back(std::move(recent));
    while (recent_bytes_ > bounds_.recent_bytes && !recent_.empty()) {
        recent_after_ = recent_.front().upto;
        recent_bytes_ -= recent_.front().bytes;
        recent_.pop_front();
    }
}

void WatchHub::tell_live(const std::vector<Change>& changes, const ChangeId& before) {
    std::vector<std::pair<Handle, std::size_t>> matches;
    std::vector<Handle> found;
    for (std::size_t i = 0; i < changes.size() && matches.size() <= block_events_max; ++i) {
        found.clear();
        index_.match(changes[i].key, found);
        for (const Handle handle : found) {
            matches.emplace_back(handle, i);
        }
    }
    if (matches.size() > block_events_max) {
        for (auto& [handle, watch] : watches_) {
            if (watch.live) {
                fall_back(handle, watch, before);
            }
        }
        return;
    }
    std::sort(matches.begin(), matches.end());
    for (std::size_t i = 0; i < matches.size();) {
        const Handle handle = matches[i].first;
        Watch& watch = watches_.at(handle);
        const bool is_slow = watch.live && congested(watch.link);
        if (is_slow) {
            fall_back(handle, watch, before);
        }
        Run run(watch.asked);
        bool cut = false;
        for (; i < matches.size() && matches[i].first == handle; ++i) {
            const Change& change = changes[matches[i].second];
            if (!watch.live || change.now.id <= watch.told) {
                continue;
            }
            cut = cut || run.full();
            if (!cut) {
                run.add(change);
            }
        }
        if (watch.live && !run.changes.empty()) {
            const ChangeId upto = cut ? run.changes.back().now.id : *newest_;
            tell(watch, std::move(run.changes), upto, !cut);
            if (cut) {
                queue(handle, watch);
            }
        }
    }
}

// It is told so at once, for progress speaks for it no longer. `position`: it was told everything up to there.
void WatchHub::fall_back(Handle handle, Watch& watch, const ChangeId& position) {
    ++counters_.fell_back;
    tell(watch, {}, position, false);
    queue(handle, watch);
}

// ---- Those who are behind

void WatchHub::queue(Handle handle, Watch& watch) {
    watch.queued = true;
    behind_.push_back(handle);
}

void WatchHub::queue_read(Handle handle, Watch& watch) {
    watch.queued = true;
    to_read_.push_back(handle);
}

// One turn: each that is behind at most once, until the budget is used up.
void WatchHub::feed() {
    Budget budget{turn_looks, turn_runs, turn_bytes, turn_changes};
    for (std::size_t left = std::min(behind_.size(), budget.looks); left > 0; --left) {
        if (budget.runs == 0 || budget.bytes == 0 || budget.changes == 0) {
            break;
        }
        const Handle handle = behind_.front();
        behind_.pop_front();
        if (const auto found = watches_.find(handle); found != watches_.end()) {
            found->second.queued = false;
            if (!feed_one(handle, found->second, budget)) {
                queue(handle, found->second);
            }
        }
    }
    begin_reads();
}

// False: it stays in the queue.
bool WatchHub::feed_one(Handle handle, Watch& watch, Budget& budget) {
    if (congested(watch.link) || now_ms_ < watch.retry_at) {
        return false;
    }
    if (watch.allowed && newest_ && watch.told >= recent_after_) {
        feed_recent(watch, budget);
        return watch.live;
    }
    queue_read(handle, watch);
    return true;
}

void WatchHub::begin_reads() {
    while (!to_read_.empty() && reads_.size() < bounds_.reads) {
        const Handle handle = to_read_.front();
        to_read_.pop_front();
        if (const auto found = watches_.find(handle); found != watches_.end()) {
            found->second.queued = false;
            begin_read(handle, found->second);
        }
    }
}

void WatchHub::feed_recent(Watch& watch, Budget& budget) {
    Run run(watch.asked);
    ChangeId upto = std::max(watch.told, *newest_);
    bool cut = false;
    auto block = std::partition_point(recent_.begin(), recent_.end(),
                                      [&watch](const Recent& each) { return each.upto <= watch.told; });
    for (; block != recent_.end() && !cut; ++block) {
        for (const Change& change : *block->changes) {
            if (change.now.id <= watch.told) {
                continue;
            }
            if (run.full() || budget.changes == 0) {
                cut = true;
                break;
            }
            --budget.changes;
            upto = change.now.id;
            if (covers(watch.asked, change.key)) {
                run.add(change);
            }
        }
    }
    if (!cut) {
        upto = *newest_;
    }
    --budget.runs;
    budget.bytes -= std::min(budget.bytes, run.bytes);
    tell(watch, std::move(run.changes), upto, !cut);
}

void WatchHub::begin_read(Handle handle, Watch& watch) {
    ++counters_.reads;
    watch.ticket = next_ticket_++;
    reads_[watch.ticket] = handle;
    kvstore::ChangeQuery query;
    query.after = watch.told;
    query.begin = watch.asked.begin;
    query.end = watch.asked.end;
    query.changes_max = limits::watch_run_changes_max;
    query.bytes_max = limits::watch_read_bytes_max;
    port_.read_changes(watch.link, watch.ticket, std::move(query));
}

void WatchHub::changes_read(std::uint64_t ticket, const Result<kvstore::ChangePage>& page, kvstore::Revision revision) {
    const auto read = reads_.find(ticket);
    if (read == reads_.end()) {
        return;  // the watch is gone or was asked anew, or the state was replaced
    }
    const Handle handle = read->second;
    reads_.erase(read);
    Watch& watch = watches_.at(handle);
    watch.ticket = 0;
    if (!page && page.error().code == Errc::permission) {
        end(handle, wire::WatchEndReason::denied);
    } else if (!page && page.error().code == Errc::invalid_argument) {
        end(handle, wire::WatchEndReason::invalid);
    } else if (!page) {
        watch.retry_at = now_ms_ + read_retry_ms;
        queue(handle, watch);
    } else if (page->compacted) {
        end(handle, wire::WatchEndReason::compacted, *page->compacted);
    } else {
        watch.allowed = true;
        Run run(watch.asked);
        ChangeId upto = page->upto;
        for (const Change& change : page->changes) {
            if (run.full()) {
                upto = run.changes.back().now.id;
                break;
            }
            if (change.now.id > watch.told) {
                run.add(change);
            }
        }
        const bool whole = !page->more && upto == page->upto;
        if (!newest_) {
            newest_ = recent_after_ = wire::end_of(revision);
        }
        // Executions and reads are answered in one order: the state that was read is the newest one here.
        tell(watch, std::move(run.changes), whole ? *newest_ : upto, whole);
        if (!whole) {
            queue(handle, watch);
        }
    }
    feed();
}

void WatchHub::recheck(const std::function<bool(std::uint64_t link, const kvstore::ChangeQuery& watched)>& may) {
    std::vector<Handle> denied;
    for (const auto& [handle, watch] : watches_) {
        kvstore::ChangeQuery watched;
        watched.begin = watch.asked.begin;
        watched.end = watch.asked.end;
        if (!may(watch.link, watched)) {
            denied.push_back(handle);
        }
    }
    for (const Handle handle : denied) {
        end(handle, wire::WatchEndReason::denied);
    }
}

void WatchHub::restart() {
    for (const auto& [ticket, handle] : std::exchange(reads_, {})) {
        Watch& watch = watches_.at(handle);
        watch.ticket = 0;
        queue(handle, watch);
    }
    for (auto& [handle, watch] : watches_) {
        if (watch.live) {
            fall_back(handle, watch, newest_ ? *newest_ : watch.told);
        }
    }
    newest_.reset();
    recent_.clear();
    recent_bytes_ = 0;
}

// ---- Time

void WatchHub::tick(std::uint64_t now_ms) {
    now_ms_ = now_ms;
    feed();
    for (auto& [link, state] : links_) {
        tell_progress(link, state);
    }
}

void WatchHub::tell_progress(std::uint64_t link, LinkState& state) {
    if (!newest_ || (state.watches.empty() && !state.told_since) ||
        now_ms_ < state.progress_at + limits::watch_progress_ms) {
        return;
    }
    const bool news = state.told_since || state.progress < *newest_;
    if ((!news && now_ms_ < state.progress_at + heartbeat_ms) || congested(link)) {
        return;
    }
    state.told_since = false;
    state.progress = *newest_;
    state.progress_at = now_ms_;
    port_.tell(link, wire::WatchProgress{*newest_, state.sent});
}

}  // namespace loyal::replica
