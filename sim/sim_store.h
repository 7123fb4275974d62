// SimStore: the storage port in memory, with a disk that forgets, fails and rots. A synced commit (and sync()) makes
// everything before it durable; a crash rolls back any suffix of the commits since then, each as a whole, as LMDB with
// NOMETASYNC may (PROTOCOL.md D4). What fails and rots is drawn from a random source of the disk's own.
// Single-threaded. A crash while a transaction is open is impossible (asserted).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kvstore/store.h"
#include "sim/random.h"

namespace loyal::sim {

struct ByteLess {
    using is_transparent = void;
    [[nodiscard]] bool operator()(ByteView a, ByteView b) const;
};

// What one operation meets, in parts per million. An operation is a begin, a commit or a sync.
struct DiskFaults {
    std::uint32_t error_ppm = 0;  // EIO: a transaction does not begin, or a commit applies nothing
    std::uint32_t full_ppm = 0;   // ENOSPC: a commit applies nothing
    // A synced commit or a sync fails: Errc::io, and what it held is there or not after the crash that must follow.
    std::uint32_t sync_ppm = 0;
    std::uint32_t flip_ppm = 0;  // after a commit, a bit of some stored value flips
    std::uint32_t hide_ppm = 0;  // after a commit, some record is found no more, as when a page above it rots
    [[nodiscard]] bool any() const { return error_ppm + full_ppm + sync_ppm + flip_ppm + hide_ppm != 0; }
};

class SimStore final : public kvstore::Store {
 public:
    using Table = std::map<Bytes, Bytes, ByteLess>;

    struct Image {  // of a disk at some time
        std::vector<Table> tables;
    };

    explicit SimStore(std::size_t tables, Random random = Random(0)) : tables_(tables), random_(random) {}

    [[nodiscard]] Result<std::unique_ptr<kvstore::ReadTxn>> begin_read() override;
    [[nodiscard]] Result<std::unique_ptr<kvstore::WriteTxn>> begin_write() override;
    [[nodiscard]] Result<void> sync() override;
    [[nodiscard]] std::uint64_t used_bytes() const override { return used_bytes_; }

    // Keeps a random number of the commits since the last sync. False: some were lost.
    bool crash(Random& random);
    void crash_keeping(std::size_t commits);
    // The next commits fail with `error` until cleared; nothing of them is applied.
    void fail_commits(std::optional<Error> error) { failure_ = std::move(error); }

    // ---- A bad disk
    void set_faults(const DiskFaults& faults) { faults_ = faults; }
    [[nodiscard]] const DiskFaults& faults() const { return faults_; }
    // False: nothing is stored that could. Not while a transaction is open (asserted).
    bool flip_bit(Random& random);
    bool hide_record(Random& random);
    // Behind the back of whoever reads it: `value` is stored as it is.
    void overwrite(kvstore::TableIndex table, ByteView key, Bytes value);
    // Records were there and none is found any more: the walk over the pages, before a store is opened, tells this from
    // one that was never written to (kvstore/page_walk.h).
    [[nodiscard]] bool is_hollow() const;
    void lose();  // everything
    [[nodiscard]] Image image() const { return {tables_}; }
    void put_back(const Image& image);

    [[nodiscard]] std::size_t unsynced_commits() const { return unsynced_.size(); }
    // Counts whatever changes a record, whoever does it.
    [[nodiscard]] std::uint64_t changes() const { return changes_; }
    [[nodiscard]] const Table& table(kvstore::TableIndex index) const { return tables_.at(index); }

 private:
    class Read;
    class Write;
    struct Undo {
        kvstore::TableIndex table = 0;
        Bytes key;
        std::optional<Bytes> before;
    };
    using Commit = std::vector<Undo>;

    [[nodiscard]] Result<void> fails(std::uint32_t ppm, Errc code, const char* what);
    void rot();
    // A random record; one in four times of a random table, so that small tables have their turn, too.
    [[nodiscard]] std::optional<std::pair<kvstore::TableIndex, Table::iterator>> any_record(Random& random);
    void assert_idle() const;
    void recount();
    void roll_back(const Commit& commit);
    void set(kvstore::TableIndex table, Bytes key, std::optional<Bytes> value);

    std::vector<Table> tables_;
    std::vector<Commit> unsynced_;
    std::optional<Error> failure_;
    DiskFaults faults_;
    Random random_;
    std::uint64_t used_bytes_ = 0;
    std::uint64_t changes_ = 0;
    std::size_t readers_ = 0;
    bool writing_ = false;
    bool hidden_ = false;  // some record was
};

}  // namespace loyal::sim
