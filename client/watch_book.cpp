#include "client/watch_book.h"

#include <algorithm>
#include <functional>

#include "config/assert.h"

namespace loyal::client {
namespace {

using consensus::ReplicaId;
using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

constexpr std::uint64_t scan_ms = 50;
constexpr std::uint64_t answer_wait_ms = 1'000;  // for the first word after an asking; doubles
constexpr std::uint64_t silence_ms = 5'000;      // of a replica with live watches; doubles
constexpr std::uint64_t backoff_max_ms = 30'000;
constexpr std::uint64_t ended_retry_ms = 5'000;
constexpr std::size_t early_numbers_max = 4'096;
constexpr std::size_t early_progress_max = 16;

ChangeId before(const ChangeId& id) {
    return id.part > 0 ? ChangeId{id.revision, id.part - 1} : wire::end_of(id.revision.minus(1));
}

// The last revision of which everything is before or at `position`.
Revision whole_revision(const ChangeId& position) {
    return position == wire::end_of(position.revision) ? position.revision : position.revision.minus(1);
}

std::size_t bytes_of_change(const Change& change) {
    return sizeof(Change) + change.key.size() + change.now.value.size() +
           (change.previous ? change.previous->value.size() : 0);
}

std::uint64_t backoff(std::uint64_t base_ms, unsigned tries) {
    return std::min(backoff_max_ms, base_ms << std::min(tries, 10U));
}

}  // namespace

// One replica's word on one watch.
struct WatchBook::Stream {
    std::uint64_t nonce = 0;  // 0: not asked
    bool answered = false, live = false;
    bool full = false;         // given up until `ahead` is told
    std::uint64_t number = 0;  // of the last message that counted
    std::uint64_t asked_ms = 0;
    std::uint64_t ask_at_ms = 0;  // 0: no need to
    unsigned tries = 0;           // without an answer
    ChangeId upto;                // nothing between the asking and here but what was told and `ahead`
    std::deque<Change> ahead;
    std::optional<wire::WatchEnd> ended;
};

struct WatchBook::Link {
    bool up = false;
    std::uint64_t contiguous = 0;         // messages 1 to this one were received
    std::set<std::uint64_t> early;        // and these
    std::deque<wire::WatchProgress> due;  // waits for messages before it
    std::uint64_t due_since_ms = 0;
    ChangeId progress;
    std::uint64_t heard_ms = 0;
    unsigned silences = 0, losses = 0;
    std::uint64_t lost_ms = 0;
    std::size_t ahead_bytes = 0;
};

struct WatchBook::Watch {
    WatchOptions options;
    OnWatch told;
    bool begun = false, over = false, heard = false;
    std::uint64_t asked_ms = 0;
    bool behind = false;
    ChangeId at;  // told up to here; what progress says of it is looked at when it is needed
    std::vector<Stream> streams;
    std::uint64_t progress_told_ms = 0;
    ChangeId progress_told;
    std::uint64_t compacted_since_ms = 0;  // w replicas say so
};

WatchBook::WatchBook(const consensus::Quorum& quorum, WatchBounds bounds)
    : quorum_(quorum), bounds_(bounds), links_(quorum.n) {}
WatchBook::~WatchBook() = default;

// ---- Beginning and end

void WatchBook::add(WatchId id, WatchOptions options, OnWatch told, std::uint64_t now_ms) {
    now_ms_ = now_ms;
    Watch& watch = watches_[id];
    watch.options = std::move(options);
    watch.told = std::move(told);
    watch.asked_ms = now_ms;
    watch.streams.resize(quorum_.n);
    if (watch.options.from) {
        begin(id, wire::end_of(watch.options.from->minus(1)));
    }
}

void WatchBook::begin(WatchId id, const ChangeId& after) {
    const auto found = watches_.find(id);
    if (found == watches_.end() || found->second.begun || found->second.over) {
        return;
    }
    Watch& watch = found->second;
    watch.begun = true;
    watch.at = watch.progress_told = after;
    watch.progress_told_ms = now_ms_;
    WatchNews news;
    news.kind = WatchNews::Kind::started;
    news.revision = whole_revision(after);
    tell(id, std::move(news));
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        ask(id, watch, replica);
    }
}

void WatchBook::remove(WatchId id) {
    const auto found = watches_.find(id);
    if (found == watches_.end()) {
        return;
    }
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        Stream& stream = found->second.streams[replica];
        forget_ahead(stream, replica);
        give_up(id, stream, replica);
    }
    watches_.erase(found);
}

void WatchBook::end(WatchId id, WatchNews::Ending ending, Revision revision, std::string why) {
    const auto found = watches_.find(id);
    if (found == watches_.end() || found->second.over) {
        return;
    }
    Watch& watch = found->second;
    watch.over = true;
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        forget_ahead(watch.streams[replica], replica);
        give_up(id, watch.streams[replica], replica);
    }
    WatchNews news;
    news.kind = WatchNews::Kind::ended;
    news.ending = ending;
    news.revision = revision;
    news.why = std::move(why);
    tell(id, std::move(news));
}

void WatchBook::fail_unheard(std::uint64_t asked_by_ms, const std::string& why, bool denied) {
    for (const auto& [id, watch] : watches_) {
        if (!watch.heard && !watch.over && watch.begun && watch.asked_ms <= asked_by_ms) {
            end(id, denied ? WatchNews::Ending::denied : WatchNews::Ending::unavailable, {}, why);
        }
    }
}

const WatchOptions* WatchBook::find(WatchId id) const {
    const auto found = watches_.find(id);
    return found == watches_.end() || found->second.over ? nullptr : &found->second.options;
}

std::vector<WatchId> WatchBook::all() const {
    std::vector<WatchId> ids;
    for (const auto& [id, watch] : watches_) {
        ids.push_back(id);
    }
    return ids;
}

// ---- Asking

void WatchBook::forget_ahead(Stream& stream, std::size_t replica) {
    for (const Change& change : stream.ahead) {
        links_[replica].ahead_bytes -= bytes_of_change(change);
    }
    stream.ahead.clear();
}

void WatchBook::give_up(WatchId id, Stream& stream, std::size_t replica) {
    if (stream.nonce != 0 && links_[replica].up) {
        outgoing_.push_back({ReplicaId(static_cast<std::uint16_t>(replica)), wire::Unwatch{id, stream.nonce}});
    }
    stream.nonce = 0;
    stream.live = stream.answered = false;
}

void WatchBook::ask(WatchId id, Watch& watch, std::size_t replica) {
    if (!links_[replica].up || !watch.begun || watch.over) {
        return;
    }
    settle_position(watch);
    Stream& stream = watch.streams[replica];
    forget_ahead(stream, replica);
    stream.nonce = next_nonce_++;
    stream.answered = stream.live = stream.full = false;
    stream.asked_ms = now_ms_;
    stream.ask_at_ms = 0;
    stream.upto = watch.at;
    wire::Watch request;
    request.id = id;
    request.nonce = stream.nonce;
    request.after = watch.at;
    request.begin = watch.options.begin;
    request.end = watch.options.end;
    request.want_previous = watch.options.want_previous;
    outgoing_.push_back({ReplicaId(static_cast<std::uint16_t>(replica)), std::move(request)});
}

void WatchBook::ask_later(Stream& stream, std::uint64_t delay_ms) const {
    stream.live = false;
    if (stream.ask_at_ms == 0) {
        stream.ask_at_ms = now_ms_ + delay_ms;
    }
}

void WatchBook::ask_all_again(std::size_t replica, std::uint64_t delay_ms) {
    for (auto& [id, watch] : watches_) {
        if (watch.streams[replica].nonce != 0) {
            ask_later(watch.streams[replica], delay_ms);
        }
    }
}

void WatchBook::connected(ReplicaId replica, std::uint64_t now_ms) {
    now_ms_ = now_ms;
    Link& link = links_[replica.value];
    const std::size_t bytes = link.ahead_bytes;
    link = Link();
    link.ahead_bytes = bytes;
    link.up = true;
    link.heard_ms = now_ms;
    for (auto& [id, watch] : watches_) {
        watch.streams[replica.value].number = 0;
        ask(id, watch, replica.value);
    }
}

void WatchBook::disconnected(ReplicaId replica) {
    for (auto& [id, watch] : watches_) {
        Stream& stream = watch.streams[replica.value];
        stream.upto = reach(stream, replica.value);
        stream.nonce = stream.ask_at_ms = 0;
        stream.live = stream.answered = false;
    }
    links_[replica.value].up = false;
}

// ---- What replicas tell

void WatchBook::note(Link& link, std::uint64_t number) const {
    link.heard_ms = now_ms_;
    link.silences = 0;
    if (number <= link.contiguous) {
        return;
    }
    if (number == link.contiguous + 1) {
        ++link.contiguous;
    } else if (link.early.size() < early_numbers_max) {
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
    if (link.due.empty() && now_ms_ >= link.lost_ms + silence_ms) {
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
        stream.ended.reset();
        if (events.after > reach(stream, replica)) {
            ask_later(stream, bounds_.retry_ms);  // what it continues was lost or comes later
        } else if (stream.ask_at_ms == 0) {
            append(events.id, stream, replica, events);
        }
    }
    // Only now: the progress that waits for this message speaks of what it says.
    note(links_[replica], events.number);
    if (found != watches_.end()) {
        advance(events.id, found->second);
    }
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
            stream.ended = end;
            ask_later(stream, ended_retry_ms);
        }
    }
    note(links_[from.value], end.number);
    if (found != watches_.end()) {
        judge_endings(end.id, found->second);
    }
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
    drop_told(watch);
    while (const Change* next = agreed_next(watch)) {
        watch.at = next->now.id;
        news.changes.push_back(*next);
        drop_told(watch);
    }
    if (!news.changes.empty()) {
        news.revision = whole_revision(watch.at);
        tell(id, std::move(news));
    }
}

// What is at or before the position was told, or was a lie.
void WatchBook::drop_told(Watch& watch) {
    for (std::size_t replica = 0; replica < quorum_.n; ++replica) {
        Stream& stream = watch.streams[replica];
        while (!stream.ahead.empty() && stream.ahead.front().now.id <= watch.at) {
            links_[replica].ahead_bytes -= bytes_of_change(stream.ahead.front());
            stream.ahead.pop_front();
        }
        if (stream.full && stream.ahead.empty() && stream.ask_at_ms == 0) {
            ask_later(stream, backoff(bounds_.retry_ms, stream.tries++));
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

// ---- Time

void WatchBook::tick(std::uint64_t now_ms) {
    now_ms_ = now_ms;
    if (now_ms < scanned_ms_ + scan_ms) {
        return;
    }
    scanned_ms_ = now_ms;
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        if (links_[replica].up) {
            tick_link(replica);
        }
    }
    for (auto& [id, watch] : watches_) {
        if (watch.begun && !watch.over) {
            tick_watch(id, watch);
        }
    }
}

void WatchBook::tick_link(std::size_t replica) {
    Link& link = links_[replica];
    const bool lost = (!link.due.empty() && now_ms_ >= link.due_since_ms + bounds_.retry_ms) ||
                      link.early.size() >= early_numbers_max;
    if (lost) {
        // What is missing is not asked for by its number: whoever lost it is asked for anew, from where it is.
        link.contiguous = link.due.empty() ? *link.early.rbegin() : std::max(link.contiguous, link.due.front().sent);
        link.early.erase(link.early.begin(), link.early.upper_bound(link.contiguous));
        while (!link.due.empty() && link.due.front().sent <= link.contiguous) {
            link.due.pop_front();
        }
        link.due_since_ms = link.lost_ms = now_ms_;
        ask_all_again(replica, backoff(bounds_.retry_ms, std::min(link.losses++, 6U)) - bounds_.retry_ms);
        return;
    }
    const bool some = std::any_of(watches_.begin(), watches_.end(),
                                  [replica](const auto& each) { return each.second.streams[replica].live; });
    if (some && now_ms_ >= link.heard_ms + backoff(silence_ms, link.silences)) {
        ++link.silences;
        link.heard_ms = now_ms_;
        ask_all_again(replica, 0);
    }
}

void WatchBook::tick_watch(WatchId id, Watch& watch) {
    std::size_t live = 0;
    std::size_t fed = 0;
    for (std::size_t replica = 0; replica < watch.streams.size(); ++replica) {
        Stream& stream = watch.streams[replica];
        live += stream.live ? 1 : 0;
        fed += stream.answered && !stream.live && stream.ask_at_ms == 0 ? 1 : 0;
        const bool unanswered = stream.nonce != 0 && !stream.answered &&
                                now_ms_ >= stream.asked_ms + backoff(answer_wait_ms, stream.tries);
        const bool due = stream.ask_at_ms != 0 && now_ms_ >= stream.ask_at_ms;
        if (unanswered) {
            ++stream.tries;
        }
        if (unanswered || due) {
            ask(id, watch, replica);
        }
    }
    if (watch.compacted_since_ms != 0) {
        judge_endings(id, watch);
    }
    if (!watch.behind && live < quorum_.w && fed >= quorum_.w) {
        watch.behind = true;
        WatchNews news;
        news.kind = WatchNews::Kind::behind;
        tell(id, std::move(news));
    } else if (live >= quorum_.w) {
        watch.behind = false;
    }
    if (watch.options.progress_ms != 0 && now_ms_ >= watch.progress_told_ms + watch.options.progress_ms) {
        advance(id, watch);
        watch.progress_told_ms = now_ms_;
        if (watch.at > watch.progress_told) {
            watch.progress_told = watch.at;
            WatchNews news;
            news.kind = WatchNews::Kind::progress;
            news.revision = whole_revision(watch.at);
            tell(id, std::move(news));
        }
    }
}

// ---- News

void WatchBook::tell(WatchId id, WatchNews news) {
    news_.emplace_back(id, std::move(news));
}

void WatchBook::tell_news() {
    while (!news_.empty()) {
        for (auto& [id, news] : std::exchange(news_, {})) {
            const auto found = watches_.find(id);
            if (found == watches_.end()) {
                continue;  // removed since
            }
            const OnWatch told = found->second.told;  // it may remove itself
            if (news.kind == WatchNews::Kind::ended) {
                watches_.erase(found);
            }
            told(news);
        }
    }
}

std::size_t WatchBook::ahead_bytes(ReplicaId replica) const {
    return links_[replica.value].ahead_bytes;
}

ChangeId WatchBook::position(WatchId id) const {
    const auto found = watches_.find(id);
    return found == watches_.end() ? ChangeId() : found->second.at;
}

}  // namespace loyal::client
