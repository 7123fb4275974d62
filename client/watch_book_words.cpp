// What replicas tell about watches, and what of it is believed.
#include <functional>

#include "client/watch_book_state.h"

namespace loyal::client {
namespace {

using consensus::ReplicaId;
using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

constexpr std::uint64_t ended_retry_ms = 5'000;
constexpr std::size_t early_progress_max = 16;

ChangeId before(const ChangeId& id) {
    return id.part > 0 ? ChangeId{id.revision, id.part - 1} : wire::end_of(id.revision.minus(1));
}

}  // namespace

// ---- What replicas tell

void WatchBook::note(Link& link, std::uint64_t number) const {
    link.heard_ms = now_ms_;
    link.silences = 0;
    if (number <= link.contiguous) {
        return;
    }
    if (number == link.contiguous + 1) {
        ++link.contiguous;
    } else if (link.early.size() < watch_early_numbers_max) {
        link.early.insert(number);
    }
    while (!link.early.empty() && *link.early.begin() <= link.contiguous + 1) {
        link.contiguous = std::max(link.contiguous, *link.early.begin());
        link.early.erase(link.early.begin());
    }
    apply_progress(link);
}

void WatchBook::apply_progress(Link& link) const {
    while (!link.due.empty() && link.due.front().sent <= link.contiguous) {
        link.progress = std::max(link.progress, link.due.front().upto);
        link.due.pop_front();
        link.due_since_ms = now_ms_;
    }
    if (link.due.empty() && now_ms_ >= link.lost_ms + watch_silence_ms) {
        link.losses = 0;
    }
}

ChangeId WatchBook::reach(const Stream& stream, std::size_t replica) const {
    return stream.live ? std::max(stream.upto, links_[replica].progress) : stream.upto;
}

void WatchBook::receive(ReplicaId from, const wire::WatchEvents& events, std::uint64_t now_ms) {
    now_ms_ = now_ms;
    const std::size_t replica = from.value;
    const auto found = watches_.find(events.id);
    if (found == watches_.end()) {
        outgoing_.push_back({from, wire::Unwatch{events.id, events.nonce}});
    } else if (Stream& stream = found->second.streams[replica]; stream.nonce == events.nonce && !stream.full) {
        stream.answered = found->second.heard = true;
        answered(events.id, stream, replica);
        stream.ended.reset();
        if (events.after > reach(stream, replica)) {
            ask_later(events.id, stream, replica, bounds_.retry_ms);  // what it continues was lost or comes later
        } else if (stream.ask_at_ms == 0) {
            append(events.id, stream, replica, events);
        }
    }
    // Only now: the progress that waits for this message speaks of what it says.
    note(links_[replica], events.number);
    if (found != watches_.end()) {
        advance(events.id, found->second);
    }
    ask_due(replica);
}

void WatchBook::append(WatchId id, Stream& stream, std::size_t replica, const wire::WatchEvents& events) {
    Link& link = links_[replica];
    stream.tries = 0;
    stream.upto = reach(stream, replica);
    for (const Change& change : events.changes) {
        if (change.now.id <= stream.upto) {
            continue;
        }
        const std::size_t bytes = bytes_of_change(change);
        if (link.ahead_bytes + bytes > bounds_.ahead_bytes) {
            give_up(id, stream, replica);
            stream.full = true;
            return;
        }
        link.ahead_bytes += bytes;
        stream.ahead.push_back(change);
        stream.upto = change.now.id;
    }
    stream.upto = std::max(stream.upto, events.upto);
    if (events.number > stream.number) {
        stream.number = events.number;
        stream.live = events.live;
    }
}

void WatchBook::receive(ReplicaId from, const wire::WatchProgress& progress, std::uint64_t now_ms) {
    now_ms_ = now_ms;
    Link& link = links_[from.value];
    link.heard_ms = now_ms;
    link.silences = 0;
    if (link.due.empty()) {
        link.due_since_ms = now_ms;
    }
    // Old ones first; when too many wait, the newest says more than the one before it.
    if (link.due.size() >= early_progress_max) {
        link.due.pop_back();
    }
    if (link.due.empty() || link.due.back().sent <= progress.sent) {
        link.due.push_back(progress);
    }
    apply_progress(link);
}

void WatchBook::receive(ReplicaId from, const wire::WatchEnd& end, std::uint64_t now_ms) {
    now_ms_ = now_ms;
    const auto found = watches_.find(end.id);
    if (found != watches_.end()) {
        Stream& stream = found->second.streams[from.value];
        if (stream.nonce == end.nonce && !stream.full) {
            stream.answered = true;
            answered(end.id, stream, from.value);
            stream.ended = end;
            ask_later(end.id, stream, from.value, ended_retry_ms);
        }
    }
    note(links_[from.value], end.number);
    if (found != watches_.end()) {
        judge_endings(end.id, found->second);
    }
    ask_due(from.value);
}

// ---- Agreement

// The w-th furthest position that replicas say is clear: one of those who say so is honest.
void WatchBook::settle_position(Watch& watch) {
    std::vector<ChangeId> clear;
    clear.reserve(quorum_.n);
    for (std::size_t replica = 0; replica < quorum_.n; ++replica) {
        const Stream& stream = watch.streams[replica];
        clear.push_back(stream.ahead.empty() ? reach(stream, replica) : before(stream.ahead.front().now.id));
    }
    std::nth_element(clear.begin(), clear.begin() + static_cast<std::ptrdiff_t>(quorum_.w - 1), clear.end(),
                     std::greater<>());
    watch.at = std::max(watch.at, clear[quorum_.w - 1]);
}

const Change* WatchBook::agreed_next(const Watch& watch) const {
    for (std::size_t i = 0; i + quorum_.w <= quorum_.n; ++i) {
        if (watch.streams[i].ahead.empty()) {
            continue;
        }
        const Change& next = watch.streams[i].ahead.front();
        const auto same = std::count_if(watch.streams.begin(), watch.streams.end(), [&next](const Stream& other) {
            return !other.ahead.empty() && other.ahead.front() == next;
        });
        if (static_cast<std::size_t>(same) >= quorum_.w) {
            return &next;
        }
    }
    return nullptr;
}

void WatchBook::advance(WatchId id, Watch& watch) {
    if (watch.over) {
        return;
    }
    WatchNews news;
    settle_position(watch);
    drop_told(id, watch);
    while (const Change* next = agreed_next(watch)) {
        watch.at = next->now.id;
        news.changes.push_back(*next);
        drop_told(id, watch);
    }
    if (!news.changes.empty()) {
        news.revision = whole_revision(watch.at);
        tell(id, std::move(news));
    }
}

// What is at or before the position was told, or was a lie.
void WatchBook::drop_told(WatchId id, Watch& watch) {
    for (std::size_t replica = 0; replica < quorum_.n; ++replica) {
        Stream& stream = watch.streams[replica];
        while (!stream.ahead.empty() && stream.ahead.front().now.id <= watch.at) {
            links_[replica].ahead_bytes -= bytes_of_change(stream.ahead.front());
            stream.ahead.pop_front();
        }
        if (stream.full && stream.ahead.empty() && stream.ask_at_ms == 0) {
            ask_later(id, stream, replica, watch_backoff(bounds_.retry_ms, stream.tries++));
        }
    }
}

std::size_t WatchBook::endings(const Watch& watch, wire::WatchEndReason reason) const {
    const auto count = std::count_if(watch.streams.begin(), watch.streams.end(), [reason](const Stream& stream) {
        return stream.ended && stream.ended->reason == reason;
    });
    return static_cast<std::size_t>(count);
}

void WatchBook::judge_endings(WatchId id, Watch& watch) {
    if (watch.over) {
        return;
    }
    if (endings(watch, wire::WatchEndReason::denied) >= quorum_.w) {
        return end(id, WatchNews::Ending::denied, {}, "this client has no right to read what it watches");
    }
    if (endings(watch, wire::WatchEndReason::invalid) >= quorum_.w) {
        return end(id, WatchNews::Ending::invalid, {}, "the replicas do not understand what is to be watched");
    }
    if (endings(watch, wire::WatchEndReason::too_many) >= quorum_.w) {
        return end(id, WatchNews::Ending::too_many, {}, "the replicas have as many watches as they take; end some");
    }
    // What compacted says is void once others have told what comes next.
    settle_position(watch);
    std::vector<Revision> oldest;
    for (Stream& stream : watch.streams) {
        if (stream.ended && stream.ended->reason == wire::WatchEndReason::compacted) {
            if (stream.ended->oldest <= watch.at.revision) {
                stream.ended.reset();
            } else {
                oldest.push_back(stream.ended->oldest);
            }
        }
    }
    if (oldest.size() < quorum_.w) {
        watch.compacted_since_ms = 0;
        return;
    }
    if (watch.compacted_since_ms == 0) {
        watch.compacted_since_ms = now_ms_;
    }
    // Liars may say too little; with q words the w-th highest is not below all honest ones.
    if (oldest.size() < quorum_.q && now_ms_ < watch.compacted_since_ms + 3 * bounds_.retry_ms) {
        return;
    }
    std::sort(oldest.begin(), oldest.end(), std::greater<>());
    const Revision restart = oldest[quorum_.w - 1].next();
    end(id, WatchNews::Ending::compacted, restart,
        "the changes behind revision " + std::to_string(whole_revision(watch.at).value) +
            " were compacted; read what there is and watch again from revision " + std::to_string(restart.value));
}

}  // namespace loyal::client
