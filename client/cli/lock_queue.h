// LockQueue: a place in the queue of a lock, on a lease of its own that is kept alive. What `lock` and `elect` share.
// For one thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "client/cli/failure.h"
#include "client/cli/lease_keeper.h"
#include "client/client.h"

namespace loyal::cli {

class LockQueue {
 public:
    // Takes a lease and queues up. `value`: what a leader shows to others.
    [[nodiscard]] static Answer<std::unique_ptr<LockQueue>> enter(client::Client& client, Bytes name, Bytes value,
                                                                  std::uint64_t ttl_ms);
    ~LockQueue();
    LockQueue(const LockQueue&) = delete;
    LockQueue& operator=(const LockQueue&) = delete;

    // Until it is this one's turn. Fails when the lease ends, when `interrupted` becomes true and, unless `wait_ms` is
    // absent, after so long (Exit::negative).
    [[nodiscard]] Answer<void> wait_for_turn(const std::atomic<bool>& interrupted,
                                             std::optional<std::uint64_t> wait_ms);
    [[nodiscard]] std::uint64_t token() const { return token_; }
    [[nodiscard]] kvstore::LeaseId lease() const { return lease_; }
    [[nodiscard]] const LeaseKeeper& keeper() const { return *keeper_; }
    // Gives the lock up, and the lease. An error is of no consequence but that others wait for the lease to end.
    [[nodiscard]] Answer<void> leave();

 private:
    LockQueue(client::Client& client, Bytes name) : client_(client), name_(std::move(name)) {}
    // Others before this one; 0 when it is its turn, from when on `token_` is set.
    [[nodiscard]] Answer<std::size_t> ahead();

    client::Client& client_;
    Bytes name_;
    kvstore::LeaseId lease_;
    std::uint64_t token_ = 0;
    std::unique_ptr<LeaseKeeper> keeper_;
};

}  // namespace loyal::cli
