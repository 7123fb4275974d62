#include "client/watch_book.h"

#include <utility>

#include "client/watch_book_state.h"

namespace loyal::client {
namespace {

using consensus::ReplicaId;
using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

constexpr std::uint64_t scan_ms = 100, long_scan_ms = 500;
constexpr std::size_t long_scan_watches = 1'000;
constexpr std::size_t askings_max = 256;         // of one replica, without an answer
constexpr std::uint64_t answer_wait_ms = 3'000;  // for the first word after an asking; doubles

}  // namespace

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
        ask_later(id, watch.streams[replica], replica, 0);
        ask_due(replica);
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
    answered(id, stream, replica);
    stream.nonce = 0;
    stream.live = stream.answered = false;
}

void WatchBook::ask(WatchId id, Watch& watch, std::size_t replica) {
    Stream& stream = watch.streams[replica];
    stream.ask_at_ms = 0;
    if (!links_[replica].up || watch.over) {
        return;
    }
    settle_position(watch);
    forget_ahead(stream, replica);
    stream.nonce = next_nonce_++;
    stream.answered = stream.live = stream.full = false;
    answered(id, stream, replica);
    stream.answer_by_ms = now_ms_ + watch_backoff(answer_wait_ms, stream.tries);
    links_[replica].unanswered.emplace(stream.answer_by_ms, id);
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

void WatchBook::ask_later(WatchId id, Stream& stream, std::size_t replica, std::uint64_t delay_ms) {
    stream.live = false;
    if (stream.ask_at_ms == 0 && links_[replica].up) {
        stream.ask_at_ms = now_ms_ + delay_ms;
        links_[replica].to_ask.emplace(stream.ask_at_ms, id);
    }
}

void WatchBook::ask_due(std::size_t replica) {
    Link& link = links_[replica];
    while (!link.to_ask.empty() && link.to_ask.begin()->first <= now_ms_ && link.unanswered.size() < askings_max) {
        const auto [at, id] = *link.to_ask.begin();
        link.to_ask.erase(link.to_ask.begin());
        const auto found = watches_.find(id);
        if (found != watches_.end() && found->second.streams[replica].ask_at_ms == at) {
            ask(id, found->second, replica);
        }
    }
}

void WatchBook::answered(WatchId id, Stream& stream, std::size_t replica) {
    if (stream.answer_by_ms != 0) {
        links_[replica].unanswered.erase({std::exchange(stream.answer_by_ms, 0), id});
    }
}

// What was not answered in time is asked again, behind the others.
void WatchBook::give_up_on_answers(std::size_t replica) {
    Link& link = links_[replica];
    while (!link.unanswered.empty() && link.unanswered.begin()->first <= now_ms_) {
        const WatchId id = link.unanswered.begin()->second;
        link.unanswered.erase(link.unanswered.begin());
        Stream& stream = watches_.at(id).streams[replica];
        stream.answer_by_ms = 0;
        ++stream.tries;
        ask_later(id, stream, replica, 0);
    }
}

void WatchBook::ask_all_again(std::size_t replica, std::uint64_t delay_ms) {
    for (auto& [id, watch] : watches_) {
        if (watch.streams[replica].nonce != 0) {
            ask_later(id, watch.streams[replica], replica, delay_ms);
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
        if (watch.begun && !watch.over) {
            ask_later(id, watch.streams[replica.value], replica.value, 0);
        }
    }
    ask_due(replica.value);
}

void WatchBook::disconnected(ReplicaId replica) {
    for (auto& [id, watch] : watches_) {
        Stream& stream = watch.streams[replica.value];
        stream.upto = reach(stream, replica.value);
        stream.nonce = stream.ask_at_ms = stream.answer_by_ms = 0;
        stream.live = stream.answered = false;
    }
    Link& link = links_[replica.value];
    link.up = false;
    link.to_ask.clear();
    link.unanswered.clear();
}

// ---- Time

void WatchBook::tick(std::uint64_t now_ms) {
    now_ms_ = now_ms;
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        if (links_[replica].up) {
            tick_link(replica);
        }
    }
    if (now_ms < scanned_ms_ + (watches_.size() < long_scan_watches ? scan_ms : long_scan_ms)) {
        return;
    }
    scanned_ms_ = now_ms;
    for (std::size_t replica = 0; replica < links_.size(); ++replica) {
        if (links_[replica].up) {
            look_for_losses(replica);
        }
    }
    for (auto& [id, watch] : watches_) {
        if (watch.begun && !watch.over) {
            tick_watch(id, watch);
        }
    }
}

void WatchBook::tick_link(std::size_t replica) {
    give_up_on_answers(replica);
    Link& link = links_[replica];
    const bool lost = (!link.due.empty() && now_ms_ >= link.due_since_ms + bounds_.retry_ms) ||
                      link.early.size() >= watch_early_numbers_max;
    if (lost) {
        // What is missing is not asked for by its number: whoever lost it is asked for anew, from where it is.
        link.contiguous = link.due.empty() ? *link.early.rbegin() : std::max(link.contiguous, link.due.front().sent);
        link.early.erase(link.early.begin(), link.early.upper_bound(link.contiguous));
        while (!link.due.empty() && link.due.front().sent <= link.contiguous) {
            link.due.pop_front();
        }
        link.due_since_ms = link.lost_ms = now_ms_;
        ask_all_again(replica, watch_backoff(bounds_.retry_ms, std::min(link.losses++, 6U)) - bounds_.retry_ms);
    }
    ask_due(replica);
}

// A replica that has live watches is heard of at least every second.
void WatchBook::look_for_losses(std::size_t replica) {
    Link& link = links_[replica];
    const bool some = std::any_of(watches_.begin(), watches_.end(),
                                  [replica](const auto& each) { return each.second.streams[replica].live; });
    if (some && now_ms_ >= link.heard_ms + watch_backoff(watch_silence_ms, link.silences)) {
        ++link.silences;
        link.heard_ms = now_ms_;
        ask_all_again(replica, 0);
    }
}

void WatchBook::tick_watch(WatchId id, Watch& watch) {
    std::size_t live = 0;
    std::size_t fed = 0;
    for (const Stream& stream : watch.streams) {
        live += stream.live ? 1 : 0;
        fed += stream.answered && !stream.live && stream.ask_at_ms == 0 ? 1 : 0;
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
