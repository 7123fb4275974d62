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
        const DiskFaults& faults = store_.faults_;
        auto refused = store_.fails(faults.error_ppm, Errc::io, "a write failed");
        if (refused) {
            refused = store_.fails(faults.full_ppm, Errc::disk_full, "no space is left");
        }
        if (!refused) {
            store_.roll_back(undo_);
            return refused;
        }
        if (!undo_.empty()) {
            store_.unsynced_.push_back(std::move(undo_));
        }
        const auto done = durability == Durability::synced ? store_.sync() : Result<void>();
        store_.rot();
        return done;
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
    if (auto failed = fails(faults_.error_ppm, Errc::io, "a read failed"); !failed) {
        return tl::unexpected(failed.error());
    }
    return std::make_unique<Read>(*this);
}

Result<std::unique_ptr<kvstore::WriteTxn>> SimStore::begin_write() {
    LOYAL_ASSERT(!writing_, "one writer at a time");
    if (auto failed = fails(faults_.error_ppm, Errc::io, "a read failed"); !failed) {
        return tl::unexpected(failed.error());
    }
    return std::make_unique<Write>(*this);
}

Result<void> SimStore::sync() {
    if (failure_) {
        return tl::unexpected<Error>(*failure_);
    }
    return fails(faults_.sync_ppm, Errc::io, "a sync failed").map([this] { unsynced_.clear(); });
}

bool SimStore::crash(Random& random) {
    const std::size_t commits = unsynced_.size();
    const std::size_t kept = random.below(commits + 1);
    crash_keeping(kept);
    return kept == commits;
}

void SimStore::crash_keeping(std::size_t commits) {
    assert_idle();
    while (unsynced_.size() > commits) {
        roll_back(unsynced_.back());
        unsynced_.pop_back();
    }
    unsynced_.clear();  // what survived is what the disk holds
}

void SimStore::assert_idle() const {
    LOYAL_ASSERT(!writing_ && readers_ == 0, "a disk changes between transactions");
}

// ---- A bad disk

Result<void> SimStore::fails(std::uint32_t ppm, Errc code, const char* what) {
    if (random_.chance(ppm)) {
        return fail(code, std::string("simulated disk: ") + what);
    }
    return {};
}

void SimStore::rot() {
    if (random_.chance(faults_.flip_ppm)) {
        (void)flip_bit(random_);
    }
    if (random_.chance(faults_.hide_ppm)) {
        (void)hide_record(random_);
    }
}

std::optional<std::pair<TableIndex, SimStore::Table::iterator>> SimStore::any_record(Random& random) {
    std::size_t records = 0;
    for (const Table& table : tables_) {
        records += table.size();
    }
    if (records == 0) {
        return {};
    }
    std::uint64_t skip = random.below(records);
    TableIndex at = 0;
    while (skip >= tables_[at].size()) {
        skip -= tables_[at++].size();
    }
    if (const TableIndex other = random.below(tables_.size()); random.one_in(4) && !tables_[other].empty()) {
        at = other;
        skip = random.below(tables_[at].size());
    }
    return std::pair(at, std::next(tables_[at].begin(), static_cast<std::ptrdiff_t>(skip)));
}

bool SimStore::flip_bit(Random& random) {
    assert_idle();
    const auto victim = any_record(random);
    if (!victim || victim->second->second.empty()) {
        return false;
    }
    ++changes_;
    Bytes& value = victim->second->second;
    std::uint8_t& byte = value[random.below(value.size())];
    byte = static_cast<std::uint8_t>(byte ^ (1U << random.below(8)));
    return true;
}

bool SimStore::hide_record(Random& random) {
    assert_idle();
    const auto victim = any_record(random);
    if (victim) {
        set(victim->first, Bytes(victim->second->first), std::nullopt);
        hidden_ = true;
    }
    return victim.has_value();
}

bool SimStore::is_hollow() const {
    return hidden_ && std::all_of(tables_.begin(), tables_.end(), [](const Table& table) { return table.empty(); });
}

void SimStore::overwrite(TableIndex table, ByteView key, Bytes value) {
    assert_idle();
    set(table, Bytes(key.begin(), key.end()), std::move(value));
}

void SimStore::lose() {
    put_back({std::vector<Table>(tables_.size())});
}

void SimStore::put_back(const Image& image) {
    assert_idle();
    tables_ = image.tables;
    hidden_ = false;
    unsynced_.clear();
    recount();
}

void SimStore::recount() {
    used_bytes_ = 0;
    ++changes_;
    for (const Table& table : tables_) {
        for (const auto& [key, value] : table) {
            used_bytes_ += key.size() + value.size();
        }
    }
}

void SimStore::roll_back(const Commit& commit) {
    for (auto undo = commit.rbegin(); undo != commit.rend(); ++undo) {
        set(undo->table, undo->key, undo->before);
    }
}

void SimStore::set(TableIndex table, Bytes key, std::optional<Bytes> value) {
    Table& rows = tables_.at(table);
    ++changes_;
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
