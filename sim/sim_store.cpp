#include "sim/sim_store.h"

#include <algorithm>
#include <cstring>

#include "config/assert.h"

namespace loyal::sim {

using kvstore::Durability;
using kvstore::RawEntry;
using kvstore::TableIndex;

bool ByteLess::operator()(ByteView a, ByteView b) const {
    const std::size_t common = std::min(a.size(), b.size());
    const int order = common == 0 ? 0 : std::memcmp(a.data(), b.data(), common);
    return order != 0 ? order < 0 : a.size() < b.size();
}

namespace {

std::optional<ByteView> find(const SimStore::Table& table, ByteView key) {
    const auto found = table.find(key);
    return found == table.end() ? std::nullopt : std::optional<ByteView>(found->second);
}

std::optional<RawEntry> at(const SimStore::Table& table, SimStore::Table::const_iterator where) {
    return where == table.end() ? std::nullopt : std::optional<RawEntry>(RawEntry{where->first, where->second});
}

std::optional<RawEntry> before(const SimStore::Table& table, ByteView key) {
    const auto bound = key.empty() ? table.end() : table.lower_bound(key);
    return bound == table.begin() ? std::nullopt : at(table, std::prev(bound));
}

}  // namespace

class SimStore::Read final : public kvstore::ReadTxn {
 public:
    explicit Read(SimStore& store) : store_(store) { ++store_.readers_; }
    ~Read() override { --store_.readers_; }
    Read(const Read&) = delete;
    Read& operator=(const Read&) = delete;

    [[nodiscard]] Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        return find(store_.table(table), key);
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        const Table& rows = store_.table(table);
        return at(rows, after ? rows.upper_bound(key) : rows.lower_bound(key));
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        return before(store_.table(table), key);
    }

 private:
    SimStore& store_;
};

// Changes the tables in place and remembers how to take everything back.
class SimStore::Write final : public kvstore::WriteTxn {
 public:
    explicit Write(SimStore& store) : store_(store) { store_.writing_ = true; }
    ~Write() override {
        if (open_) {
            end();
            store_.roll_back(undo_);
        }
    }
    Write(const Write&) = delete;
    Write& operator=(const Write&) = delete;

    [[nodiscard]] Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        return find(store_.table(table), key);
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        const Table& rows = store_.table(table);
        return at(rows, after ? rows.upper_bound(key) : rows.lower_bound(key));
    }
    [[nodiscard]] Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        return before(store_.table(table), key);
    }
    [[nodiscard]] Result<void> put(TableIndex table, ByteView key, ByteView value) override {
        change(table, key, Bytes(value.begin(), value.end()));
        return {};
    }
    [[nodiscard]] Result<void> append(TableIndex table, ByteView key, ByteView value) override {
        const Table& rows = store_.table(table);
        LOYAL_ASSERT(rows.empty() || ByteLess()(rows.rbegin()->first, key), "append is above every key");
        return put(table, key, value);
    }
    [[nodiscard]] Result<void> erase(TableIndex table, ByteView key) override {
        if (find(store_.table(table), key)) {
            change(table, key, std::nullopt);
        }
        return {};
    }
    [[nodiscard]] Result<void> commit(Durability durability) override {
        end();
        if (store_.failure_) {
            store_.roll_back(undo_);
            return tl::unexpected<Error>(*store_.failure_);
        }
        if (durability == Durability::synced) {
            store_.unsynced_.clear();
        } else if (!undo_.empty()) {
            store_.unsynced_.push_back(std::move(undo_));
        }
        return {};
    }

 private:
    void end() {
        LOYAL_ASSERT(open_, "a transaction ends once");
        open_ = false;
        store_.writing_ = false;
    }
    void change(TableIndex table, ByteView key, std::optional<Bytes> value) {
        // In-place changes would show through an older snapshot; nothing in a simulation keeps one across a write.
        LOYAL_ASSERT(open_ && store_.readers_ == 0, "no snapshot is open while a transaction writes");
        const auto found = store_.table(table).find(key);
        Undo undo{table, Bytes(key.begin(), key.end()), std::nullopt};
        if (found != store_.table(table).end()) {
            undo.before = found->second;
        }
        store_.set(table, undo.key, std::move(value));
        undo_.push_back(std::move(undo));
    }

    SimStore& store_;
    Commit undo_;
    bool open_ = true;
};

Result<std::unique_ptr<kvstore::ReadTxn>> SimStore::begin_read() {
    return std::make_unique<Read>(*this);
}

Result<std::unique_ptr<kvstore::WriteTxn>> SimStore::begin_write() {
    LOYAL_ASSERT(!writing_, "one writer at a time");
    return std::make_unique<Write>(*this);
}

Result<void> SimStore::sync() {
    if (failure_) {
        return tl::unexpected<Error>(*failure_);
    }
    unsynced_.clear();
    return {};
}

void SimStore::crash(Random& random) {
    crash_keeping(random.below(unsynced_.size() + 1));
}

void SimStore::crash_keeping(std::size_t commits) {
    LOYAL_ASSERT(!writing_ && readers_ == 0, "a crash happens between calls");
    while (unsynced_.size() > commits) {
        roll_back(unsynced_.back());
        unsynced_.pop_back();
    }
    unsynced_.clear();  // what survived is what the disk holds
}

void SimStore::roll_back(const Commit& commit) {
    for (auto undo = commit.rbegin(); undo != commit.rend(); ++undo) {
        set(undo->table, undo->key, undo->before);
    }
}

void SimStore::set(TableIndex table, Bytes key, std::optional<Bytes> value) {
    Table& rows = tables_.at(table);
    const auto found = rows.find(key);
    if (found != rows.end()) {
        used_bytes_ -= found->first.size() + found->second.size();
    }
    if (!value) {
        if (found != rows.end()) {
            rows.erase(found);
        }
        return;
    }
    used_bytes_ += key.size() + value->size();
    if (found != rows.end()) {
        found->second = std::move(*value);
    } else {
        rows.emplace(std::move(key), std::move(*value));
    }
}

}  // namespace loyal::sim
