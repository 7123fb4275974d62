#include "tests/unit/watch/watch_world.h"

#include <gtest/gtest.h>

namespace loyal::test {

using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;

void Committed::change(const std::string& key, const std::string& value) {
    revision_ = revision_.next();
    Change change;
    change.key = bytes_of(key);
    const auto old = state_.find(key);
    if (old != state_.end()) {
        change.previous = old->second;
    }
    change.now.id = {revision_, 0};
    change.now.timestamp = consensus::Hlc(1'000 + revision_.value, 0);
    if (!value.empty()) {
        change.now.created = old == state_.end() ? revision_ : old->second.created;
        change.now.version = old == state_.end() ? 1 : old->second.version + 1;
        change.now.value = bytes_of(value);
        state_[key] = change.now;
    } else {
        state_.erase(key);
    }
    open_.push_back(std::move(change));
}

void Committed::block() {
    blocks_.push_back({revision_, std::make_shared<const std::vector<Change>>(std::exchange(open_, {}))});
}

std::vector<Change> Committed::all() const {
    std::vector<Change> changes;
    for (const Block& block : blocks_) {
        changes.insert(changes.end(), block.changes->begin(), block.changes->end());
    }
    return changes;
}

Revision Committed::revision(std::size_t count) const {
    return count == 0 ? Revision() : blocks_[count - 1].revision;
}

bool covers(const wire::Watch& watch, const Bytes& key) {
    if (!watch.end) {
        return key == watch.begin;
    }
    return key >= watch.begin && (watch.end->empty() || key < *watch.end);
}

std::vector<Change> matching(const std::vector<Change>& changes, const wire::Watch& watch) {
    std::vector<Change> found;
    for (const Change& change : changes) {
        if (change.now.id > watch.after && covers(watch, change.key)) {
            found.push_back(change);
            if (!watch.want_previous) {
                found.back().previous.reset();
            }
        }
    }
    return found;
}

kvstore::ChangePage Committed::page(std::size_t count, const kvstore::ChangeQuery& query, Revision compacted) const {
    kvstore::ChangePage page;
    page.upto = query.after;
    if (query.after.revision < compacted) {
        page.compacted = compacted;
        return page;
    }
    wire::Watch watch;
    watch.begin = query.begin;
    watch.end = query.end;
    for (std::size_t i = 0; i < count; ++i) {
        for (const Change& change : *blocks_[i].changes) {
            if (change.now.id <= query.after) {
                continue;
            }
            if (covers(watch, change.key)) {
                if (page.changes.size() >= std::min<std::size_t>(query.changes_max, 3)) {
                    page.more = true;
                    return page;
                }
                page.changes.push_back(change);
            }
            page.upto = change.now.id;
        }
    }
    page.upto = std::max(page.upto, wire::end_of(revision(count)));
    return page;
}

bool HubWorld::execute() {
    // The executor answers in order: reads that were asked for before come first.
    answer_reads();
    if (executed == committed.blocks().size()) {
        return false;
    }
    const Committed::Block& block = committed.blocks()[executed++];
    kvstore::ExecutedBlock result;
    result.height = consensus::Height(executed);
    result.revision = block.revision;
    result.changes = block.changes;
    hub.executed(result);
    return true;
}

void HubWorld::execute_all() {
    while (execute()) {
    }
}

bool HubWorld::answer_read() {
    if (reads.empty()) {
        return false;
    }
    const Read read = std::move(reads.front());
    reads.pop_front();
    if (denied.contains(read.link)) {
        hub.changes_read(read.ticket, fail(Errc::permission, "no"), {});
    } else {
        hub.changes_read(read.ticket, committed.page(executed, read.query, compacted), committed.revision(executed));
    }
    return true;
}

void HubWorld::answer_reads() {
    while (answer_read()) {
    }
}

std::vector<Change> HubWorld::changes_told(std::uint64_t link, wire::WatchId id) const {
    std::vector<Change> changes;
    std::optional<ChangeId> at;
    for (const auto& events : told_of<wire::WatchEvents>(link)) {
        if (events.id == id) {
            EXPECT_TRUE(!at || events.after == *at) << "a run does not continue the one before";
            at = events.upto;
            changes.insert(changes.end(), events.changes.begin(), events.changes.end());
        }
    }
    return changes;
}

}  // namespace loyal::test
