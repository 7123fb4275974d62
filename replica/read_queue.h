// ReadQueue: linearizable reads at one replica (PROTOCOL.md R2, pitfall 9; Raft's ReadIndex with the lock as index). On
// arrival the lock block (or the base) is captured as target; the read is handed to the executor only when the state
// contains that block and `min_executed`. A new view supersedes targets: they are captured again. Whoever waited
// `wait_ticks_max` ticks is told BUSY.
//
// Single-threaded. `ReadView` is how it looks at the core.
#pragma once

#include <cstdint>
#include <functional>
#include <map>

#include "consensus/core.h"
#include "wire/client_messages.h"

namespace loyal::replica {

class ReadView {
 public:
    virtual ~ReadView() = default;
    [[nodiscard]] virtual consensus::ReadTarget target() const = 0;
    // The block is on the committed chain.
    [[nodiscard]] virtual bool contains(const consensus::BlockRef& block) const = 0;
    [[nodiscard]] virtual consensus::Height executed() const = 0;
};

class ReadQueue {
 public:
    struct Waiting {
        std::uint64_t link = 0;
        wire::Read request;
        consensus::ReadTarget target;
        std::uint64_t since_tick = 0;
    };
    // `lock` is lock_h of the answer: the height of the target.
    using Ready = std::function<void(std::uint64_t link, wire::Read request, consensus::Height lock)>;
    using Busy = std::function<void(std::uint64_t link, const wire::Read& request)>;

    ReadQueue(std::size_t reads_max, std::uint64_t wait_ticks_max, Ready ready, Busy busy);

    // True when it had to wait.
    bool submit(std::uint64_t link, wire::Read request, const ReadView& view);
    // Something was executed or committed.
    void progress(const ReadView& view);
    // The replica entered a view: all targets are captured again.
    void view_entered(const ReadView& view);
    void tick();
    void drop_link(std::uint64_t link);
    [[nodiscard]] std::size_t size() const { return waiting_.size(); }

 private:
    [[nodiscard]] static consensus::Height needed(const Waiting& read);
    [[nodiscard]] static bool answerable(const Waiting& read, const ReadView& view);

    // Of those that wait; no link has more than limits::pending_reads_of_link_max.
    [[nodiscard]] std::size_t count_of(std::uint64_t link) const;
    void leaves(std::uint64_t link);

    std::size_t reads_max_;
    std::uint64_t wait_ticks_max_;
    Ready ready_;
    Busy busy_;
    std::uint64_t now_ = 0;
    std::map<std::uint64_t, std::size_t> of_link_;
    std::multimap<consensus::Height, Waiting> waiting_;  // by the height that must be executed
};

}  // namespace loyal::replica
