// A Store in memory whose whole content is a value: a test keeps the state after any commit, puts it back as a crash
// would, and changes single records behind the program's back.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kvstore/overlay.h"
#include "kvstore/state_machine.h"
#include "kvstore/store.h"

namespace loyal::kvstore::test {

class MemoryStore final : public Store {
 public:
    using Table = std::map<Bytes, Bytes, BytesLess>;
    using Tables = std::vector<Table>;

    MemoryStore() : tables(StateMachine::state_tables().size()) {}

    Result<std::unique_ptr<ReadTxn>> begin_read() override { return std::make_unique<Txn>(*this); }
    Result<std::unique_ptr<WriteTxn>> begin_write() override { return std::make_unique<Txn>(*this); }
    Result<void> sync() override {
        commits.clear();
        return {};
    }
    std::uint64_t used_bytes() const override { return 0; }
    // What a power failure may leave: the state after any commit since the last synced one, or before all of them.
    void crash(std::size_t lost) {
        while (lost-- > 0 && !commits.empty()) {
            tables = std::move(commits.back());
            commits.pop_back();
        }
        commits.clear();
    }

    Tables tables;
    std::vector<Tables> commits;  // the state before each lazy commit since the last synced one
    // The commit after so many fails, and nothing of it is applied.
    std::optional<std::size_t> commits_left;

 private:
    // Reads see what is there; writes go to it at once and are taken back unless committed.
    class Txn final : public WriteTxn {
     public:
        explicit Txn(MemoryStore& store) : store_(store) {}
        ~Txn() override {
            if (before_) {
                store_.tables = std::move(*before_);
            }
        }
        Txn(const Txn&) = delete;
        Txn& operator=(const Txn&) = delete;
        Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
            const auto found = store_.tables.at(table).find(key);
            return found == store_.tables[table].end() ? std::optional<ByteView>() : ByteView(found->second);
        }
        Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
            const Table& rows = store_.tables.at(table);
            const auto found = after ? rows.upper_bound(key) : rows.lower_bound(key);
            return found == rows.end() ? std::optional<RawEntry>() : RawEntry{found->first, found->second};
        }
        Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
            const Table& rows = store_.tables.at(table);
            const auto found = key.empty() ? rows.end() : rows.lower_bound(key);
            return found == rows.begin() ? std::optional<RawEntry>()
                                         : RawEntry{std::prev(found)->first, std::prev(found)->second};
        }
        Result<void> put(TableIndex table, ByteView key, ByteView value) override {
            remember();
            store_.tables.at(table).insert_or_assign(Bytes(key.begin(), key.end()), Bytes(value.begin(), value.end()));
            return {};
        }
        Result<void> append(TableIndex table, ByteView key, ByteView value) override { return put(table, key, value); }
        Result<void> erase(TableIndex table, ByteView key) override {
            remember();
            store_.tables.at(table).erase(Bytes(key.begin(), key.end()));
            return {};
        }
        Result<void> commit(Durability durability) override {
            if (store_.commits_left && (*store_.commits_left)-- == 0) {
                store_.commits_left.reset();
                return fail(Errc::disk_full, "no space left");
            }
            if (durability == Durability::synced) {
                store_.commits.clear();
            } else if (before_) {
                store_.commits.push_back(std::move(*before_));
            }
            before_.reset();
            return {};
        }

     private:
        void remember() {
            if (!before_) {
                before_ = store_.tables;
            }
        }

        MemoryStore& store_;
        std::optional<Tables> before_;  // once something was written and is not committed
    };
};

}  // namespace loyal::kvstore::test
