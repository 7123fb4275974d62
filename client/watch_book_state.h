// The inside of WatchBook: asking and time in watch_book.cpp, what replicas tell in watch_book_words.cpp.
#pragma once

#include <algorithm>

#include "client/watch_book.h"

namespace loyal::client {

inline constexpr std::uint64_t watch_backoff_max_ms = 30'000;
inline constexpr std::uint64_t watch_silence_ms = 5'000;  // of a replica with live watches; doubles
inline constexpr std::size_t watch_early_numbers_max = 4'096;

[[nodiscard]] inline std::uint64_t watch_backoff(std::uint64_t base_ms, unsigned tries) {
    return std::min(watch_backoff_max_ms, base_ms << std::min(tries, 10U));
}

// The last revision of which everything is before or at `position`.
[[nodiscard]] inline kvstore::Revision whole_revision(const kvstore::ChangeId& position) {
    return position == wire::end_of(position.revision) ? position.revision : position.revision.minus(1);
}

[[nodiscard]] inline std::size_t bytes_of_change(const kvstore::Change& change) {
    return sizeof(kvstore::Change) + change.key.size() + change.now.value.size() +
           (change.previous ? change.previous->value.size() : 0);
}

// One replica's word on one watch.
struct WatchBook::Stream {
    std::uint64_t nonce = 0;  // 0: not asked
    bool answered = false, live = false;
    bool full = false;               // given up until `ahead` is told
    std::uint64_t number = 0;        // of the last message that counted
    std::uint64_t answer_by_ms = 0;  // 0: no answer is waited for
    std::uint64_t ask_at_ms = 0;     // 0: no need to
    unsigned tries = 0;              // without an answer
    kvstore::ChangeId upto;          // nothing between the asking and here but what was told and `ahead`
    std::deque<kvstore::Change> ahead;
    std::optional<wire::WatchEnd> ended;
};

struct WatchBook::Link {
    bool up = false;
    std::uint64_t contiguous = 0;         // messages 1 to this one were received
    std::set<std::uint64_t> early;        // and these
    std::deque<wire::WatchProgress> due;  // waits for messages before it
    std::uint64_t due_since_ms = 0;
    kvstore::ChangeId progress;
    std::uint64_t heard_ms = 0;
    unsigned silences = 0, losses = 0;
    std::set<std::pair<std::uint64_t, WatchId>> to_ask;      // by Stream::ask_at_ms; those that have another are stale
    std::set<std::pair<std::uint64_t, WatchId>> unanswered;  // by Stream::answer_by_ms
    std::uint64_t lost_ms = 0;
    std::size_t ahead_bytes = 0;
};

struct WatchBook::Watch {
    WatchOptions options;
    OnWatch told;
    bool begun = false, over = false, heard = false;
    std::uint64_t asked_ms = 0;
    bool behind = false;
    kvstore::ChangeId at;  // told up to here; what progress says of it is looked at when it is needed
    std::vector<Stream> streams;
    std::uint64_t progress_told_ms = 0;
    kvstore::ChangeId progress_told;
    std::uint64_t compacted_since_ms = 0;  // w replicas say so
};

}  // namespace loyal::client
