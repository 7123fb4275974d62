#include "kvstore/sorted_runs.h"

#include <algorithm>
#include <array>
#include <queue>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"
#include "crypto/seal.h"

namespace loyal::kvstore {

namespace {

struct BlockId {
    std::uint32_t run = 0;
    std::uint32_t block = 0;
};

Bytes block_key(BlockId id) {
    Bytes key;
    for (const std::uint32_t number : {id.run, id.block}) {
        for (int shift = 24; shift >= 0; shift -= 8) {
            key.push_back(static_cast<std::uint8_t>(number >> shift));
        }
    }
    return key;
}

Result<BlockId> parse_block_key(ByteView key) {
    if (key.size() != 2 * sizeof(std::uint32_t)) {
        return fail(Errc::corrupted, "a malformed key in the table runs");
    }
    std::array<std::uint32_t, 2> numbers{};
    for (std::size_t i = 0; i < key.size(); ++i) {
        numbers[i / sizeof(std::uint32_t)] = numbers[i / sizeof(std::uint32_t)] << 8U | key[i];
    }
    return BlockId{numbers[0], numbers[1]};
}

// Tables stand in the order of their numbers.
bool before(StateTable table_a, ByteView a, StateTable table_b, ByteView b) {
    return table_a != table_b ? table_a < table_b
                              : std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
}

void encode(crypto::CanonicalWriter& out, const RunEntry& entry) {
    out.number(static_cast<std::uint8_t>(entry.table)).sized(entry.key);
    out.number(static_cast<std::uint8_t>(entry.content ? 1 : 0)).sized(entry.content.value_or(ByteView{}));
}

Result<RunEntry> decode(crypto::CanonicalReader& in) {
    RunEntry entry;
    const auto table = in.number<std::uint8_t>();
    entry.key = in.sized(limits::table_key_bytes_max - 1);
    const auto present = in.number<std::uint8_t>();
    const ByteView content = in.sized(in.left());
    const bool known = std::any_of(rooted_tables.begin(), rooted_tables.end(), [&](const RootedTable& rooted) {
        return static_cast<std::uint8_t>(rooted.id) == table;
    });
    if (!in.ok() || !known || entry.key.empty() || present > 1 || (present == 0 && !content.empty())) {
        return fail(Errc::corrupted, "a malformed record in the table runs");
    }
    entry.table = static_cast<StateTable>(table);
    if (present == 1) {
        entry.content = content;
    }
    return entry;
}

Result<std::uint32_t> next_run(const ReadTxn& txn) {
    const auto last = txn.seek_before(runs_table, {});
    if (!last) {
        return tl::unexpected(last.error());
    }
    return *last ? parse_block_key((*last)->key).map([](BlockId id) { return id.run + 1; }) : Result<std::uint32_t>(0);
}

// Reads one run from front to back, over several transactions.
class RunReader {
 public:
    explicit RunReader(BlockId first) : at_(first) {}

    // In a new transaction, or at the beginning: the entry at which it stood.
    [[nodiscard]] Result<void> resume(const ReadTxn& txn) {
        return open(txn).and_then([this] { return parse(); });
    }
    [[nodiscard]] Result<void> advance(const ReadTxn& txn) {
        offset_ = next_offset_;
        if (offset_ < block_.size()) {
            return parse();
        }
        finished_.push_back(at_);
        ++at_.block;
        offset_ = 0;
        verified_ = false;
        return resume(txn);
    }
    // Nothing at the end.
    [[nodiscard]] const std::optional<RunEntry>& entry() const { return entry_; }
    [[nodiscard]] std::uint32_t run() const { return at_.run; }
    // Blocks that were read to their end since the last call.
    [[nodiscard]] std::vector<BlockId> take_finished() { return std::exchange(finished_, {}); }

 private:
    [[nodiscard]] Result<void> open(const ReadTxn& txn) {
        block_ = {};
        entry_.reset();
        const Bytes key = block_key(at_);
        const auto sealed = txn.get(runs_table, key);
        if (!sealed) {
            return tl::unexpected(sealed.error());
        }
        if (!*sealed) {
            return {};  // the run's end; one that was hidden is missed by the check of the whole
        }
        if (!std::exchange(verified_, true)) {
            if (const auto content = crypto::unseal(runs_table_name, key, **sealed); !content) {
                return tl::unexpected(content.error());
            }
        }
        block_ = (*sealed)->first((*sealed)->size() - crypto::seal_bytes);
        return {};
    }
    [[nodiscard]] Result<void> parse() {
        if (block_.empty()) {
            return {};
        }
        crypto::CanonicalReader in(block_.subspan(std::min(offset_, block_.size())));
        auto entry = decode(in);
        if (!entry) {
            return tl::unexpected(entry.error());
        }
        next_offset_ = block_.size() - in.left();
        entry_ = *entry;
        return {};
    }

    BlockId at_;
    std::size_t offset_ = 0;
    std::size_t next_offset_ = 0;
    bool verified_ = false;  // the block's seal
    ByteView block_;
    std::optional<RunEntry> entry_;
    std::vector<BlockId> finished_;
};

class Merge {
 public:
    Merge(Store& store, std::size_t batch_bytes) : store_(store), batch_bytes_(batch_bytes) {
        for (const RootedTable& rooted : rooted_tables) {
            tables_.emplace_back(rooted.table);
        }
    }
    [[nodiscard]] Result<void> load();
    // False: everything is merged.
    [[nodiscard]] Result<bool> step(Durability durability);

 private:
    struct Appended {
        TableIndex table = 0;
        Bytes key;
        Bytes record;
    };
    struct Later {  // of a priority queue, whose first is the largest
        bool operator()(const RunReader* a, const RunReader* b) const {
            const RunEntry &x = *a->entry(), &y = *b->entry();
            if (x.table == y.table && std::equal(x.key.begin(), x.key.end(), y.key.begin(), y.key.end())) {
                return a->run() < b->run();  // the newest of one key first
            }
            return before(y.table, y.key, x.table, x.key);
        }
    };
    using Heap = std::priority_queue<RunReader*, std::vector<RunReader*>, Later>;

    [[nodiscard]] Result<void> read_batch();
    [[nodiscard]] Result<void> advance(const ReadTxn& txn, RunReader& run, Heap& heap) const;
    [[nodiscard]] Result<void> write_batch(Durability durability);
    void append(const RunEntry& entry);
    [[nodiscard]] LinkedAppender& appender(StateTable table) { return tables_[static_cast<std::size_t>(table) - 1]; }
    // It is in its table already, from before an interruption.
    [[nodiscard]] bool is_merged(const RunEntry& entry) const;

    Store& store_;
    std::size_t batch_bytes_;
    std::vector<LinkedAppender> tables_;
    std::vector<RunReader> runs_;
    std::vector<Appended> batch_;
    std::size_t gathered_bytes_ = 0;
    // The last record that an interrupted merge stored.
    StateTable frontier_table_ = StateTable::keys;
    Bytes frontier_;
    bool whole_ = false;
};
static_assert(rooted_tables[0].id == StateTable::keys && rooted_tables[1].id == StateTable::sessions &&
                  rooted_tables[2].id == StateTable::meta,
              "tables are merged in the order of their numbers");

Result<void> Merge::load() {
    const auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    for (const RootedTable& rooted : rooted_tables) {
        if (auto started = appender(rooted.id).start(**txn); !started) {
            return started;
        }
        if (!appender(rooted.id).last().empty()) {
            frontier_table_ = rooted.id;
            frontier_ = appender(rooted.id).last();
        }
    }
    auto first = (*txn)->seek(runs_table, {});
    while (first && *first) {
        const auto id = parse_block_key((*first)->key);
        if (!id) {
            return tl::unexpected(id.error());
        }
        runs_.emplace_back(*id);
        first = (*txn)->seek(runs_table, block_key({id->run + 1, 0}));
    }
    return first ? Result<void>() : Result<void>(tl::unexpected(first.error()));
}

bool Merge::is_merged(const RunEntry& entry) const {
    return !frontier_.empty() && !before(frontier_table_, frontier_, entry.table, entry.key);
}

Result<void> Merge::advance(const ReadTxn& txn, RunReader& run, Heap& heap) const {
    auto moved = run.advance(txn);
    while (moved && run.entry() && is_merged(*run.entry())) {
        moved = run.advance(txn);
    }
    if (moved && run.entry()) {
        heap.push(&run);
    }
    return moved;
}

void Merge::append(const RunEntry& entry) {
    LinkedAppender& to = appender(entry.table);
    Appended one{to.table().index(), Bytes(entry.key.begin(), entry.key.end()), to.next(entry.key, *entry.content)};
    gathered_bytes_ += one.key.size() + one.record.size();
    batch_.push_back(std::move(one));
}

// Reads in one transaction and writes in another: what is read stays where it is meanwhile.
Result<void> Merge::read_batch() {
    const auto txn = store_.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    Heap heap;
    for (RunReader& run : runs_) {
        if (auto resumed = run.resume(**txn); !resumed) {
            return resumed;
        }
        if (!run.entry()) {
            continue;
        }
        if (!is_merged(*run.entry())) {
            heap.push(&run);
        } else if (auto moved = advance(**txn, run, heap); !moved) {
            return moved;
        }
    }
    gathered_bytes_ = 0;
    // A batch ends with a record in a table, and behind all entries of its key: what an interruption finds in the
    // tables says how far the runs were read.
    Bytes last;
    std::optional<StateTable> last_table;
    bool last_is_stored = true;
    while (!heap.empty()) {
        RunReader& run = *heap.top();
        const RunEntry entry = *run.entry();
        const bool outdated =
            last_table == entry.table && std::equal(last.begin(), last.end(), entry.key.begin(), entry.key.end());
        if (gathered_bytes_ >= batch_bytes_ && last_is_stored && !outdated) {
            break;
        }
        heap.pop();
        if (!outdated) {
            last_table = entry.table;
            last.assign(entry.key.begin(), entry.key.end());
            last_is_stored = entry.content.has_value();
            if (entry.content) {
                append(entry);
            }
        }
        if (auto moved = advance(**txn, run, heap); !moved) {
            return moved;
        }
    }
    whole_ = heap.empty();
    return {};
}

Result<void> Merge::write_batch(Durability durability) {
    auto begun = store_.begin_write();
    if (!begun) {
        return tl::unexpected(begun.error());
    }
    WriteTxn& txn = **begun;
    for (const Appended& one : batch_) {
        if (auto done = txn.append(one.table, one.key, one.record); !done) {
            return done;
        }
    }
    batch_.clear();
    for (RunReader& run : runs_) {
        for (const BlockId block : run.take_finished()) {
            if (auto done = txn.erase(runs_table, block_key(block)); !done) {
                return done;
            }
        }
    }
    for (LinkedAppender& table : tables_) {
        if (whole_ && !table.ended()) {
            if (auto done = txn.append(table.table().index(), end_key(), table.end()); !done) {
                return done;
            }
        }
    }
    return txn.commit(durability);
}

Result<bool> Merge::step(Durability durability) {
    return read_batch().and_then([&] { return write_batch(durability); }).map([this] { return !whole_; });
}

}  // namespace

Result<void> write_run(WriteTxn& txn, std::vector<RunEntry> entries, std::size_t block_bytes) {
    std::sort(entries.begin(), entries.end(),
              [](const RunEntry& a, const RunEntry& b) { return before(a.table, a.key, b.table, b.key); });
    const auto run = next_run(txn);
    if (!run) {
        return tl::unexpected(run.error());
    }
    BlockId at{*run, 0};
    crypto::CanonicalWriter block(block_bytes);
    const auto write_block = [&] {
        Bytes content = block.take();
        block = crypto::CanonicalWriter(block_bytes);
        const Bytes key = block_key(at);
        ++at.block;
        crypto::seal_in_place(runs_table_name, key, content);
        return txn.append(runs_table, key, content);
    };
    for (const RunEntry& entry : entries) {
        encode(block, entry);
        if (block.view().size() >= block_bytes) {
            if (auto written = write_block(); !written) {
                return written;
            }
        }
    }
    return block.view().empty() ? Result<void>() : write_block();
}

Result<MergeState> merge_state(const ReadTxn& txn) {
    MergeState state = MergeState::not_begun;
    for (const RootedTable& rooted : rooted_tables) {
        LinkedAppender table(rooted.table);
        if (auto started = table.start(txn); !started) {
            return tl::unexpected(started.error());
        }
        if (!table.last().empty()) {
            state = rooted.id == StateTable::meta && table.ended() ? MergeState::done : MergeState::begun;
        }
    }
    return state;
}

Result<void> merge_runs(Store& store, std::size_t batch_bytes, std::uint64_t batches_per_sync) {
    Merge merge(store, batch_bytes);
    if (auto loaded = merge.load(); !loaded) {
        return loaded;
    }
    Result<bool> more = true;
    for (std::uint64_t batch = 1; more && *more; ++batch) {
        more = merge.step(batch % batches_per_sync == 0 ? Durability::synced : Durability::lazy);
    }
    return more.map([](bool) {});
}

}  // namespace loyal::kvstore
