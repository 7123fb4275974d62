// What was committed, and replicas that tell watches of it: WatchHubs over a list of changes, with an executor that
// answers in order, one step after the other.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "kvstore/state_machine.h"
#include "replica/watch_hub.h"

namespace loyal::test {

// The log of changes that all replicas execute, in blocks.
class Committed {
 public:
    // A change of `key`; empty value: deleted.
    void change(const std::string& key, const std::string& value);
    // The changes since the last block.
    void block();

    struct Block {
        kvstore::Revision revision;
        std::shared_ptr<const std::vector<kvstore::Change>> changes;
    };
    [[nodiscard]] const std::vector<Block>& blocks() const { return blocks_; }
    [[nodiscard]] std::vector<kvstore::Change> all() const;
    // Of the first `count` blocks.
    [[nodiscard]] kvstore::ChangePage page(std::size_t count, const kvstore::ChangeQuery& query,
                                           kvstore::Revision compacted) const;
    [[nodiscard]] kvstore::Revision revision(std::size_t count) const;

 private:
    std::vector<Block> blocks_;
    std::vector<kvstore::Change> open_;
    std::map<std::string, kvstore::KeyRecord> state_;
    kvstore::Revision revision_;
};

[[nodiscard]] bool covers(const wire::Watch& watch, const Bytes& key);
// What such a watch is to be told of them.
[[nodiscard]] std::vector<kvstore::Change> matching(const std::vector<kvstore::Change>& changes,
                                                    const wire::Watch& watch);

class HubWorld final : public replica::WatchPort {
 public:
    explicit HubWorld(const Committed& log, replica::WatchBounds bounds = {}) : committed(log), hub(*this, 7, bounds) {}

    void tell(std::uint64_t link, const wire::ReplicaMessage& message) override { told.emplace_back(link, message); }
    [[nodiscard]] std::size_t backlog(std::uint64_t link) override { return slow.contains(link) ? 1U << 30U : 0; }
    void read_changes(std::uint64_t link, std::uint64_t ticket, kvstore::ChangeQuery query) override {
        reads.push_back({link, ticket, std::move(query)});
    }

    // Executes the next block; false: there is none.
    bool execute();
    void execute_all();
    // Answers the next read of the history; false: there is none.
    bool answer_read();
    void answer_reads();
    void tick(std::uint64_t ms = 10) { hub.tick(now_ms += ms); }

    template <class T>
    [[nodiscard]] std::vector<T> told_of(std::uint64_t link) const {
        std::vector<T> found;
        for (const auto& [to, message] : told) {
            if (const auto* one = std::get_if<T>(&message); one != nullptr && to == link) {
                found.push_back(*one);
            }
        }
        return found;
    }
    // All that was told, of a watch; fails the test where a run does not continue the one before.
    [[nodiscard]] std::vector<kvstore::Change> changes_told(std::uint64_t link, wire::WatchId id) const;

    struct Read {
        std::uint64_t link, ticket;
        kvstore::ChangeQuery query;
    };
    const Committed& committed;
    std::size_t executed = 0;
    kvstore::Revision compacted;
    std::set<std::uint64_t> slow, denied;
    std::deque<Read> reads;
    std::vector<std::pair<std::uint64_t, wire::ReplicaMessage>> told;
    std::uint64_t now_ms = 1'000;
    replica::WatchHub hub;
};

}  // namespace loyal::test
