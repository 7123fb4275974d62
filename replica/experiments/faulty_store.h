// FaultyStore: a disk that experiments may make bad (replica/control.h, `disk`), a decorator of kvstore::Store:
//
//     slow       every sync takes so much longer
//     fail-sync  the next sync fails, as fsync(2) does with EIO; the owner ends the process with the code of `io`
//     full       no room but the reserve that a replica keeps for what is under way (limits::disk_reserve_bytes); the
//                replica refuses writes at once, and a commit beyond the reserve is refused with ENOSPC
//
// Reads pass. One DiskFaults for all stores of a replica; its setters may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "config/limits.h"
#include "kvstore/store.h"
#include "replica/control.h"

namespace loyal::replica {

class DiskFaults {
 public:
    // `rot` is not its business (bit_rot.h).
    void set(const DiskFault& fault);
    // "disk slow=20ms full"; empty: none.
    [[nodiscard]] std::string in_force() const;

    [[nodiscard]] std::uint64_t slow_ms() const { return slow_ms_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool sync_fails() const { return sync_fails_.load(std::memory_order_relaxed); }
    [[nodiscard]] bool full() const { return full_.load(std::memory_order_relaxed) != 0; }
    // Changes with each `full`, so that a store can tell when its reserve began; 0: not full.
    [[nodiscard]] std::uint64_t full_since() const { return full_.load(std::memory_order_relaxed); }

 private:
    std::atomic<std::uint64_t> slow_ms_{0};
    std::atomic<bool> sync_fails_{false};
    std::atomic<std::uint64_t> full_{0};
    std::atomic<std::uint64_t> times_full_{0};
};

class FaultyStore final : public kvstore::Store {
 public:
    // `syncs_always`: every commit of `store` syncs, whatever it asks for.
    FaultyStore(std::unique_ptr<kvstore::Store> store, std::shared_ptr<const DiskFaults> faults, bool syncs_always,
                std::uint64_t reserve_bytes = limits::disk_reserve_bytes)
        : store_(std::move(store)),
          faults_(std::move(faults)),
          syncs_always_(syncs_always),
          reserve_bytes_(reserve_bytes) {}

    [[nodiscard]] Result<std::unique_ptr<kvstore::ReadTxn>> begin_read() override { return store_->begin_read(); }
    [[nodiscard]] Result<std::unique_ptr<kvstore::WriteTxn>> begin_write() override;
    [[nodiscard]] Result<void> sync() override;
    [[nodiscard]] std::uint64_t used_bytes() const override { return store_->used_bytes(); }
    [[nodiscard]] std::uint64_t written_bytes() const override { return store_->written_bytes(); }

 private:
    friend class FaultyWrite;
    // What the disk says to a sync before it is tried.
    [[nodiscard]] Result<void> before_sync() const;
    [[nodiscard]] Result<void> before_commit(kvstore::Durability durability);

    std::unique_ptr<kvstore::Store> store_;
    std::shared_ptr<const DiskFaults> faults_;
    bool syncs_always_;
    std::uint64_t reserve_bytes_;
    std::uint64_t full_seen_ = 0;  // of the writing thread: DiskFaults::full_since
    std::uint64_t used_then_ = 0;  // bytes, when the disk became full
};

}  // namespace loyal::replica
