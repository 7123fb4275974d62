// Store: the port above LMDB, an ordered key-value environment with named tables and one writer at a time. The LMDB
// implementation is lmdb_store.h; the simulator has one whose unsynced writes a crash forgets.
//
// Threads: `begin_read` and `begin_write` from any thread; a transaction stays on the thread that began it and is kept
// short. There is one WriteTxn at a time: a second thread's begin_write waits for the first one's end. Views returned
// by a transaction live until it ends or, in a WriteTxn, until its next write. Errors: Errc::io, Errc::disk_full,
// Errc::corrupted; after an error from `commit` nothing was applied, but a failed sync means that nobody knows what the
// disk holds: the caller must end the process.
#pragma once

#include <memory>
#include <optional>

#include "config/bytes.h"
#include "config/result.h"

namespace loyal::kvstore {

using TableIndex = std::size_t;  // position in the list of tables given at open

struct RawEntry {
    ByteView key;
    ByteView value;
};

class ReadTxn {
 public:
    virtual ~ReadTxn() = default;
    [[nodiscard]] virtual Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const = 0;
    // First entry with key >= `key` (`after`: > `key`); nothing at the end of the table.
    [[nodiscard]] virtual Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key,
                                                               bool after = false) const = 0;
    // Last entry with key < `key`; an empty `key` means the last of the table.
    [[nodiscard]] virtual Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const = 0;
};

enum class Durability {
    synced,  // on disk when commit returns
    lazy,    // on disk after the next synced commit or Store::sync at the latest; a crash may forget it, whole
};

class WriteTxn : public ReadTxn {
 public:
    [[nodiscard]] virtual Result<void> put(TableIndex table, ByteView key, ByteView value) = 0;
    // `key` is above every key of the table.
    [[nodiscard]] virtual Result<void> append(TableIndex table, ByteView key, ByteView value) = 0;
    // Absent keys are no error.
    [[nodiscard]] virtual Result<void> erase(TableIndex table, ByteView key) = 0;
    // Ends the transaction. Destruction without commit rolls back.
    [[nodiscard]] virtual Result<void> commit(Durability durability) = 0;
};

class Store {
 public:
    virtual ~Store() = default;
    [[nodiscard]] virtual Result<std::unique_ptr<ReadTxn>> begin_read() = 0;
    [[nodiscard]] virtual Result<std::unique_ptr<WriteTxn>> begin_write() = 0;
    [[nodiscard]] virtual Result<void> sync() = 0;
    // What records and tables occupy now.
    [[nodiscard]] virtual std::uint64_t used_bytes() const = 0;
    // The most that they ever occupied, as far as the store can tell: it never shrinks.
    [[nodiscard]] virtual std::uint64_t written_bytes() const { return used_bytes(); }
};

}  // namespace loyal::kvstore
