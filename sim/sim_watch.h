// SimWatch: a watch of a simulated client, judged by the ledger of what was committed: every change behind its
// beginning is told once, in order, with its content; progress never runs ahead of what was told. It watches a key, a
// prefix or everything, from now or from a revision that was; when it has seen enough, or is told that its place was
// compacted, it begins another one.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "client/session.h"
#include "sim/checkers/change_ledger.h"
#include "sim/random.h"
#include "sim/scenario.h"

namespace loyal::sim {

class SimWatch {
 public:
    struct Outside {  // all outlive it
        client::Session& session;
        const ChangeLedger& ledger;
        std::function<std::uint64_t()> now_ms;
        std::function<kvstore::Revision()> completed;  // the highest that any client has seen
        std::function<void(const std::string&)> violation;
    };
    SimWatch(std::string name, Outside outside, const WorkloadShape& workload, Random random);

    void tick();
    // It begins no other, and stays.
    void settle() { settled_ = true; }
    // Everything that was committed was told.
    [[nodiscard]] bool caught_up() const;
    [[nodiscard]] std::string waiting_for() const;
    [[nodiscard]] std::uint64_t told() const { return told_; }

 private:
    void begin(std::optional<kvstore::Revision> from);
    void leave();
    void on(const client::WatchNews& news);
    void on_changes(const client::WatchNews& news);
    void on_ended(const client::WatchNews& news);
    // The next one in the ledger, behind `at_`, that it watches.
    [[nodiscard]] const kvstore::Change* next() const;
    [[nodiscard]] bool covers(const Bytes& key) const;
    void wrong(const std::string& what) const;

    std::string name_;
    Outside outside_;
    const WorkloadShape& workload_;
    Random random_;
    client::WatchOptions options_;
    client::WatchId id_;
    bool running_ = false, started_ = false, settled_ = false;
    kvstore::ChangeId at_;
    mutable std::size_t cursor_ = 0;  // in the ledger; everything before it is at or before at_, or not watched
    kvstore::Revision completed_;     // when it was asked for
    std::uint64_t begin_ms_ = 0;      // the next one, not before
    std::uint64_t end_ms_ = 0;
    std::uint64_t told_ = 0;
};

}  // namespace loyal::sim
