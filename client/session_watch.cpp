// Watches of a session: where they begin, and their ends with it; everything between is watch_book.h.
//
// "From now on" is behind every write that was answered before the watch was asked for. No replica's word tells where
// that is, so a read takes its place in the order of writes, one for all watches that wait for it.
#include <utility>

#include "client/session_state.h"
#include "config/limits.h"

namespace loyal::client {

void Session::watch(WatchId id, WatchOptions watched, std::uint64_t now_ms, OnWatch told) {
    State& s = *state_;
    s.now_ms = now_ms;
    s.watch(id, std::move(watched), std::move(told));
}

void Session::unwatch(WatchId id, std::uint64_t now_ms) {
    State& s = *state_;
    s.now_ms = now_ms;
    s.watches.remove(id);
}

void Session::State::watch(WatchId id, WatchOptions watched, OnWatch told) {
    std::string wrong;
    if (watched.begin.size() > limits::key_bytes_max || (watched.end && watched.end->size() > limits::key_bytes_max)) {
        wrong = "a key has at most " + std::to_string(limits::key_bytes_max) + " bytes";
    } else if (watched.begin.empty() && !watched.end) {
        wrong = "the key is empty";
    } else if (watched.from && watched.from->value == 0) {
        wrong = "revisions count from 1";
    } else if (watches.size() >= limits::watches_per_link_max) {
        watches.add(id, std::move(watched), std::move(told), now_ms);
        watches.end(id, WatchNews::Ending::too_many, {},
                    "a client has at most " + std::to_string(limits::watches_per_link_max) + " watches");
        return;
    }
    const bool from_now = !watched.from;
    if (!wrong.empty() || closed) {
        watched.from.reset();
        watches.add(id, std::move(watched), std::move(told), now_ms);
        watches.end(id, closed ? WatchNews::Ending::closed : WatchNews::Ending::invalid, {},
                    closed ? "the session is closed" : wrong);
        return;
    }
    watches.add(id, std::move(watched), std::move(told), now_ms);
    if (from_now) {
        watches_to_start.push_back(id);
    }
}

void Session::State::start_watches() {
    if (watches_starting || watches_to_start.empty()) {
        return;
    }
    std::vector<WatchId> ids;
    for (const WatchId id : std::exchange(watches_to_start, {})) {
        if (watches.find(id) != nullptr) {
            ids.push_back(id);
        }
    }
    if (ids.empty()) {
        return;
    }
    // Whoever may not read what the first of them watches is told so; the others try on.
    kvstore::Range range;
    range.begin = watches.find(ids.front())->begin;
    if (range.begin.empty()) {
        range.begin.push_back(0);
    }
    range.keys_only = true;
    watches_starting = true;
    write(kvstore::Operation(std::move(range)), now_ms + options.timeout_ms,
          [this, ids](const WriteResult& result) { watches_start(ids, result); });
}

void Session::State::watches_start(const std::vector<WatchId>& ids, const WriteResult& result) {
    watches_starting = false;
    const bool denied =
        result.denied || (result.certainty == Certainty::done && result.outcome.status == kvstore::Status::denied);
    if (denied) {
        watches.end(ids.front(), WatchNews::Ending::denied, {}, "this client has no right to read what it watches");
        watches_to_start.insert(watches_to_start.end(), ids.begin() + 1, ids.end());
        return;
    }
    for (const WatchId id : ids) {
        if (result.certainty == Certainty::done) {
            watches.begin(id, wire::end_of(result.outcome.revision));
        } else {
            watches.end(id, closed ? WatchNews::Ending::closed : WatchNews::Ending::unavailable, {},
                        "it could not be learnt where the watch begins: " + result.why);
        }
    }
}

void Session::State::end_watches(WatchNews::Ending ending, const std::string& why) {
    for (const WatchId id : watches.all()) {
        watches.end(id, ending, {}, why);
    }
    (void)watches.take_outgoing();
}

}  // namespace loyal::client
