#include "sim/sim_watch.h"

#include <fmt/format.h>

#include <utility>

namespace loyal::sim {

using client::WatchNews;
using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

SimWatch::SimWatch(std::string name, Outside outside, const WorkloadShape& workload, Random random)
    : name_(std::move(name)), outside_(std::move(outside)), workload_(workload), random_(random) {
    begin_ms_ = random_.below(1'000);
}

void SimWatch::tick() {
    const std::uint64_t now = outside_.now_ms();
    if (running_ && !settled_ && now >= end_ms_) {
        leave();
    }
    if (!running_ && (settled_ || now >= begin_ms_)) {
        std::optional<Revision> from;
        if (random_.one_in(2) && outside_.ledger.revision().value > 0) {
            from = Revision(1 + random_.below(outside_.ledger.revision().value + 2));  // or in the future
        }
        begin(from);
    }
}

void SimWatch::begin(std::optional<Revision> from) {
    options_ = {};
    options_.from = from;
    options_.want_previous = random_.one_in(2);
    options_.progress_ms = random_.one_in(2) ? 100 : 0;
    options_.begin = bytes_of(workload_.key(random_.below(workload_.keys)));
    if (random_.one_in(3)) {
        options_.begin = bytes_of(workload_.key_prefix);
        options_.end = Bytes();
    } else if (random_.one_in(2)) {
        options_.end = bytes_of(workload_.key(workload_.keys));
    }
    running_ = true;
    started_ = false;
    cursor_ = 0;
    completed_ = outside_.completed();
    const std::uint64_t now = outside_.now_ms();
    end_ms_ = now + 100 + random_.below(3'000);
    id_ = client::WatchId(random_.next());
    outside_.session.watch(id_, options_, now, [this, id = id_](const WatchNews& news) {
        if (running_ && id == id_) {
            on(news);
        } else {
            wrong("told after it was given up");
        }
    });
}

void SimWatch::leave() {
    outside_.session.unwatch(id_, outside_.now_ms());
    running_ = false;
    begin_ms_ = outside_.now_ms() + random_.below(300);
}

void SimWatch::wrong(const std::string& what) const {
    outside_.violation(fmt::format("WATCH: {}: {}", name_, what));
}

void SimWatch::on(const WatchNews& news) {
    switch (news.kind) {
        case WatchNews::Kind::started:
            started_ = true;
            at_ = wire::end_of(news.revision);
            if (options_.from ? news.revision != options_.from->minus(1)
                              : news.revision < completed_ || news.revision > outside_.ledger.revision()) {
                wrong(fmt::format("begins behind revision {}", news.revision.value));
            }
            return;
        case WatchNews::Kind::changes: return on_changes(news);
        case WatchNews::Kind::progress:
            if (const Change* missed = next(); missed != nullptr && missed->now.id.revision <= news.revision) {
                wrong(fmt::format("progress {} passes the change of revision {}", news.revision.value,
                                  missed->now.id.revision.value));
            }
            if (news.revision > outside_.ledger.revision() && news.revision > at_.revision) {
                wrong(fmt::format("progress {} lies ahead of everything", news.revision.value));
            }
            return;
        case WatchNews::Kind::behind: return;
        case WatchNews::Kind::ended: return on_ended(news);
    }
}

bool SimWatch::covers(const Bytes& key) const {
    if (!options_.end) {
        return key == options_.begin;
    }
    return key >= options_.begin && (options_.end->empty() || key < *options_.end);
}

const Change* SimWatch::next() const {
    const auto& changes = outside_.ledger.changes();
    while (cursor_ < changes.size() && (changes[cursor_].now.id <= at_ || !covers(changes[cursor_].key))) {
        ++cursor_;
    }
    return cursor_ == changes.size() ? nullptr : &changes[cursor_];
}

void SimWatch::on_changes(const WatchNews& news) {
    if (!started_) {
        wrong("told before it began");
    }
    for (const Change& change : news.changes) {
        const Change* expected = next();
        if (expected == nullptr) {
            return wrong(fmt::format("revision {} was told and never committed", change.now.id.revision.value));
        }
        Change committed = *expected;
        if (!options_.want_previous) {
            committed.previous.reset();
            committed.previous_dropped = false;
        }
        if (change != committed) {
            return wrong(fmt::format("told revision {} part {} of {}, expected revision {} part {} of {}",
                                     change.now.id.revision.value, change.now.id.part, string_of(change.key),
                                     committed.now.id.revision.value, committed.now.id.part, string_of(committed.key)));
        }
        at_ = change.now.id;
        ++told_;
    }
}

void SimWatch::on_ended(const WatchNews& news) {
    leave();
    switch (news.ending) {
        case WatchNews::Ending::compacted: return begin(news.revision);
        case WatchNews::Ending::unavailable:  // where it begins takes its place in the order: that may time out
        case WatchNews::Ending::closed: return;
        default: return wrong("ended: " + news.why);
    }
}

bool SimWatch::caught_up() const {
    return running_ && started_ && next() == nullptr;
}

std::string SimWatch::waiting_for() const {
    const Change* change = next();
    if (!running_ || !started_ || change == nullptr) {
        return name_ + (running_ && !started_ ? ": has not begun" : ": has all");
    }
    return fmt::format("{}: was told up to revision {}, waits for revision {}", name_, at_.revision.value,
                       change->now.id.revision.value);
}

}  // namespace loyal::sim
