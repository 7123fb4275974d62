// A watch as its caller sees it: what to watch, and what is told about it (docs/WATCH.md). Every change that a write
// made behind the beginning is told once, in the order of revisions, and only when w replicas told the same.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kvstore/history.h"
#include "wire/watch_messages.h"

namespace loyal::client {

using wire::WatchId;

struct WatchOptions {
    Bytes begin;               // a single key when `end` is absent
    std::optional<Bytes> end;  // exclusive; empty means "to the end"
    // The first revision that is told. Nothing: from now on, which is behind every write that was answered before the
    // watch was asked for.
    std::optional<kvstore::Revision> from;
    bool want_previous = false;
    std::uint64_t progress_ms = 0;  // how often to tell that all is told, while nothing happens; 0: never
};

struct WatchNews {
    enum class Kind : std::uint8_t {
        started,   // once: `revision` is the last one before the beginning
        changes,   // in order
        progress,  // everything up to `revision` was told
        behind,    // replicas feed it from the history: it does not take what it is told fast enough, or they restarted
        ended,     // by itself; nothing is told any more
    };
    enum class Ending : std::uint8_t {
        compacted,  // the history before `revision` is gone: start again from there
        denied,
        too_many,  // watches at the replicas
        unavailable,
        invalid,
        closed,
    };
    Kind kind = Kind::changes;
    std::vector<kvstore::Change> changes;
    kvstore::Revision revision;
    Ending ending = Ending::closed;
    std::string why;  // ended
};
using OnWatch = std::function<void(const WatchNews&)>;

}  // namespace loyal::client
