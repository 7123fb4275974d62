// SimStore: the storage port in memory, with a disk that forgets. A synced commit (and sync()) makes everything before
// it durable; a crash rolls back any suffix of the commits since then, each as a whole, as LMDB with NOMETASYNC may
// (PROTOCOL.md D4). Single-threaded. A crash while a transaction is open is impossible (asserted).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kvstore/store.h"
#include "sim/random.h"

namespace loyal::sim {

struct ByteLess {
    using is_transparent = void;
    [[nodiscard]] bool operator()(ByteView a, ByteView b) const;
};

class SimStore final : public kvstore::Store {
 public:
    using Table = std::map<Bytes, Bytes, ByteLess>;

    explicit SimStore(std::size_t tables) : tables_(tables) {}

    [[nodiscard]] Result<std::unique_ptr<kvstore::ReadTxn>> begin_read() override;
    [[nodiscard]] Result<std::unique_ptr<kvstore::WriteTxn>> begin_write() override;
    [[nodiscard]] Result<void> sync() override;
    [[nodiscard]] std::uint64_t used_bytes() const override { return used_bytes_; }

    // Keeps a random number of the commits since the last sync.
    void crash(Random& random);
    void crash_keeping(std::size_t commits);
    // The next commits fail with `error` until cleared; nothing of them is applied.
    void fail_commits(std::optional<Error> error) { failure_ = std::move(error); }

    [[nodiscard]] std::size_t unsynced_commits() const { return unsynced_.size(); }
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

    void roll_back(const Commit& commit);
    void set(kvstore::TableIndex table, Bytes key, std::optional<Bytes> value);

    std::vector<Table> tables_;
    std::vector<Commit> unsynced_;
    std::optional<Error> failure_;
    std::uint64_t used_bytes_ = 0;
    std::size_t readers_ = 0;
    bool writing_ = false;
};

}  // namespace loyal::sim
