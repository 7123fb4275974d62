#include "replica/experiments/faulty_store.h"

#include <chrono>
#include <thread>
#include <utility>

namespace loyal::replica {

using kvstore::Durability;
using kvstore::RawEntry;
using kvstore::TableIndex;

void DiskFaults::set(const DiskFault& fault) {
    switch (fault.kind) {
        case DiskFault::Kind::slow: slow_ms_ = fault.value; break;
        case DiskFault::Kind::fail_sync: sync_fails_ = true; break;
        case DiskFault::Kind::full: full_ = ++times_full_; break;
        case DiskFault::Kind::rot: break;
        case DiskFault::Kind::mend:
            slow_ms_ = 0;
            sync_fails_ = false;
            full_ = 0;
            break;
    }
}

std::string DiskFaults::in_force() const {
    std::string text;
    if (slow_ms() > 0) {
        text += " slow=" + std::to_string(slow_ms()) + "ms";
    }
    text += full() ? " full" : "";
    text += sync_fails() ? " fail-sync" : "";
    return text.empty() ? text : "disk" + text;
}

class FaultyWrite final : public kvstore::WriteTxn {
 public:
    FaultyWrite(FaultyStore& store, std::unique_ptr<kvstore::WriteTxn> inner)
        : store_(store), inner_(std::move(inner)) {}

    [[nodiscard]] Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        return inner_->get(table, key);
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        return inner_->seek(table, key, after);
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        return inner_->seek_before(table, key);
    }
    [[nodiscard]] Result<void> put(TableIndex table, ByteView key, ByteView value) override {
        return inner_->put(table, key, value);
    }
    [[nodiscard]] Result<void> append(TableIndex table, ByteView key, ByteView value) override {
        return inner_->append(table, key, value);
    }
    [[nodiscard]] Result<void> erase(TableIndex table, ByteView key) override { return inner_->erase(table, key); }
    [[nodiscard]] Result<void> commit(Durability durability) override {
        if (Result<void> said = store_.before_commit(durability); !said) {
            inner_.reset();  // rolled back
            return said;
        }
        return inner_->commit(durability);
    }

 private:
    FaultyStore& store_;
    std::unique_ptr<kvstore::WriteTxn> inner_;
};

Result<std::unique_ptr<kvstore::WriteTxn>> FaultyStore::begin_write() {
    return store_->begin_write().map([this](std::unique_ptr<kvstore::WriteTxn> inner) {
        return std::unique_ptr<kvstore::WriteTxn>(std::make_unique<FaultyWrite>(*this, std::move(inner)));
    });
}

Result<void> FaultyStore::before_sync() const {
    if (faults_->sync_fails()) {
        return fail(Errc::io, "cannot sync the data file: Input/output error (disk fail-sync is in force)");
    }
    if (const std::uint64_t slow_ms = faults_->slow_ms(); slow_ms > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(slow_ms));
    }
    return {};
}

Result<void> FaultyStore::before_commit(Durability durability) {
    const std::uint64_t full_since = faults_->full_since();
    if (full_since != full_seen_) {
        full_seen_ = full_since;
        used_then_ = store_->used_bytes();
    }
    if (full_since != 0 && store_->used_bytes() > used_then_ + reserve_bytes_) {
        return fail(Errc::disk_full, "cannot write the data file: No space left on device (disk full is in force)");
    }
    return syncs_always_ || durability == Durability::synced ? before_sync() : Result<void>();
}

Result<void> FaultyStore::sync() {
    if (Result<void> said = before_sync(); !said) {
        return said;
    }
    return store_->sync();
}

}  // namespace loyal::replica
