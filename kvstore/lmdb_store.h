// LmdbStore: the Store port over one LMDB environment (docs/STORAGE.md; Howard Chu, "MDB: A Memory-Mapped Database
// and Backend for OpenLDAP", 2011).
//
// The rules of the house, kept here: the map size is set once, large and sparse, and never changed, because
// mdb_env_set_mapsize under an open reader succeeds and leaves pointers that crash; an environment is opened at most
// once a process (asserted), because LMDB's file locks are lost when the second one is closed; MDB_NOTLS, so a read
// transaction belongs to an object and not to a thread; mdb_reader_check at start clears the slots of killed processes.
// A data file that is shorter than its last page (a torn disk copy) is lengthened sparsely before anything is read, so
// that what is missing is an error and not a SIGBUS.
//
// Durability. A store that is not `lazy` syncs data and meta page in each commit, whatever the commit asks for. A
// `lazy` one (MDB_NOMETASYNC) may lose its last commit, whole, in a power failure; a commit with Durability::synced is
// followed by mdb_env_sync. kill -9 loses nothing of either.
//
// Errors: Errc::disk_full (ENOSPC, EDQUOT, MDB_MAP_FULL), Errc::corrupted (what LMDB finds wrong in its pages),
// Errc::io (the rest); messages name the folder.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "config/limits.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

struct LmdbOptions {
    std::filesystem::path path;       // folder of this environment; made (0700) when missing, its parent is not
    std::vector<std::string> tables;  // made when missing; TableIndex counts in this order
    bool lazy = false;
    std::size_t map_bytes = limits::lmdb_map_bytes;  // sparse; smaller only in tests
};

class LmdbStore final : public Store {
 public:
    [[nodiscard]] static Result<std::unique_ptr<LmdbStore>> open(const LmdbOptions& options);
    // Every transaction must have ended.
    ~LmdbStore() override;

    [[nodiscard]] Result<std::unique_ptr<ReadTxn>> begin_read() override;
    [[nodiscard]] Result<std::unique_ptr<WriteTxn>> begin_write() override;
    [[nodiscard]] Result<void> sync() override;
    // Bytes of the data file up to the last page, without the pages that wait for reuse.
    [[nodiscard]] std::uint64_t used_bytes() const override;
    // Pages that were freed are counted as well.
    [[nodiscard]] std::uint64_t written_bytes() const override;

    struct Environment;  // LMDB's handles; its header stays out of this one

 private:
    explicit LmdbStore(std::unique_ptr<Environment> environment);
    std::unique_ptr<Environment> environment_;
};

}  // namespace loyal::kvstore
