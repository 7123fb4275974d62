#include "kvstore/lmdb_store.h"

#include <lmdb.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <system_error>

#include "config/assert.h"

namespace loyal::kvstore {

namespace {

// The thread sanitizer's address space has no room for two maps of a tebibyte.
#if defined(LOYAL_THREAD_SANITIZER)
constexpr std::size_t map_bytes_max = std::size_t{16} << 30U;
#else
constexpr std::size_t map_bytes_max = limits::lmdb_map_bytes;
#endif

// Readers at one time: executor, log reader, background threads and their idle, pooled transactions.
constexpr unsigned readers_max = 126;
constexpr std::size_t idle_readers_max = 8;

// A synced store keeps this much of its data file written with zeros beyond the last page in use. A commit into blocks
// that the file system has already given to the file flushes data alone; one that must take new blocks waits for the
// file system's journal, too. Measured on ext4 (docs/STORAGE.md): 0.35 instead of 0.54 ms for 20 KB.
constexpr std::uint64_t zeroed_ahead_bytes = 4U << 20U;
constexpr std::size_t zeroed_step_bytes = 1U << 20U;

Errc code_of(int rc) {
    switch (rc) {
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
        case MDB_MAP_FULL: return Errc::disk_full;
        case MDB_CORRUPTED:
        case MDB_PAGE_NOTFOUND:
        case MDB_INVALID:
        case MDB_VERSION_MISMATCH:
        case MDB_INCOMPATIBLE:
        case MDB_CURSOR_FULL:
        case MDB_BAD_DBI: return Errc::corrupted;
        case EACCES:
        case EPERM: return Errc::permission;
        default: return Errc::io;
    }
}

MDB_val value_of(ByteView bytes) {
    // LMDB does not write through the pointers of keys and values that it is given.
    return {bytes.size(), const_cast<std::uint8_t*>(bytes.data())};
}
ByteView view_of_value(const MDB_val& value) {
    return {static_cast<const std::uint8_t*>(value.mv_data), value.mv_size};
}

// Folders of the environments that this process has open.
class OpenFolders {
 public:
    static OpenFolders& instance() {
        static OpenFolders folders;
        return folders;
    }
    [[nodiscard]] bool add(const std::string& folder) {
        const std::lock_guard guard(mutex_);
        return folders_.insert(folder).second;
    }
    void remove(const std::string& folder) {
        const std::lock_guard guard(mutex_);
        folders_.erase(folder);
    }

 private:
    std::mutex mutex_;
    std::set<std::string> folders_;
};

}  // namespace

struct LmdbStore::Environment {
    std::string path;
    std::string registered;  // in OpenFolders
    MDB_env* env = nullptr;
    std::vector<MDB_dbi> tables;
    bool lazy = false;
    std::mutex mutex;
    std::vector<MDB_txn*> idle_readers;  // reset, to be renewed: a fifth of the price of a new one
    std::uint64_t zeroed_end = 0;        // the data file is written up to here; of the writing thread

    Environment() = default;
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() {
        for (MDB_txn* txn : idle_readers) {
            mdb_txn_abort(txn);
        }
        if (env != nullptr) {
            mdb_env_close(env);
        }
        if (!registered.empty()) {
            OpenFolders::instance().remove(registered);
        }
    }

    [[nodiscard]] tl::unexpected<Error> error(int rc, const std::string& what) const {
        const Errc code = rc == EIO && disk_is_full() ? Errc::disk_full : code_of(rc);
        return fail(code, "cannot " + what + " in " + path + ": " +
                              (code == Errc::disk_full && rc == EIO ? "the disk is full" : mdb_strerror(rc)));
    }
    // Whatever the reason: nobody knows what is on the disk, so it is never tried again.
    [[nodiscard]] tl::unexpected<Error> sync_error(int rc) const {
        return fail(Errc::io, "cannot sync " + path + ": " + mdb_strerror(rc));
    }
    // LMDB calls a write that the system cut short EIO. Either way the meta page still names the last good commit.
    [[nodiscard]] bool disk_is_full() const {
        constexpr std::uint64_t nearly_nothing_bytes = 1U << 20U;
        struct statvfs status {};
        return ::statvfs(path.c_str(), &status) == 0 &&
               std::uint64_t{status.f_bavail} * status.f_frsize < nearly_nothing_bytes;
    }
    [[nodiscard]] std::uint64_t used_bytes() const {
        MDB_envinfo info{};
        MDB_stat stat{};
        mdb_env_info(env, &info);
        mdb_env_stat(env, &stat);
        return (info.me_last_pgno + 1) * stat.ms_psize;
    }
    // Of pages that were freed and will be used again; LMDB's table 0 lists them, a count before each list.
    [[nodiscard]] std::uint64_t free_bytes() {
        const Result<MDB_txn*> txn = take_reader();
        if (!txn) {
            return 0;
        }
        MDB_stat stat{};
        mdb_env_stat(env, &stat);
        std::uint64_t pages = 0;
        MDB_cursor* cursor = nullptr;
        if (mdb_cursor_open(*txn, 0, &cursor) == MDB_SUCCESS) {
            MDB_val key{}, list{};
            while (mdb_cursor_get(cursor, &key, &list, MDB_NEXT) == MDB_SUCCESS) {
                std::size_t count = 0;
                if (list.mv_size >= sizeof count) {
                    std::memcpy(&count, list.mv_data, sizeof count);
                }
                pages += std::min(count, list.mv_size / sizeof count);
            }
            mdb_cursor_close(cursor);
        }
        give_back(*txn);
        return pages * stat.ms_psize;
    }
    // Only while a write transaction that wrote nothing yet keeps other writers out, and only beyond the last page that
    // any transaction ever had: nothing of value is overwritten. A failure is no harm; the commit that runs into it
    // says what is wrong. The zeros reach the disk with the next commit's sync.
    void write_zeros_ahead() {
        static const Bytes zeros(zeroed_step_bytes);
        const std::uint64_t used_end = used_bytes();
        zeroed_end = std::max(zeroed_end, used_end);
        mdb_filehandle_t file = -1;
        if (zeroed_end - used_end >= zeroed_ahead_bytes || mdb_env_get_fd(env, &file) != MDB_SUCCESS) {
            return;
        }
        const ssize_t written = ::pwrite(file, zeros.data(), zeros.size(), static_cast<off_t>(zeroed_end));
        zeroed_end += written > 0 ? static_cast<std::uint64_t>(written) : 0;
    }
    [[nodiscard]] Result<MDB_txn*> take_reader() {
        {
            const std::lock_guard guard(mutex);
            if (!idle_readers.empty()) {
                MDB_txn* txn = idle_readers.back();
                idle_readers.pop_back();
                if (const int rc = mdb_txn_renew(txn); rc != MDB_SUCCESS) {
                    mdb_txn_abort(txn);
                    return error(rc, "begin a read");
                }
                return txn;
            }
        }
        MDB_txn* txn = nullptr;
        if (const int rc = mdb_txn_begin(env, nullptr, MDB_RDONLY, &txn); rc != MDB_SUCCESS) {
            return error(rc, "begin a read");
        }
        return txn;
    }
    void give_back(MDB_txn* txn) {
        mdb_txn_reset(txn);
        const std::lock_guard guard(mutex);
        if (idle_readers.size() < idle_readers_max) {
            idle_readers.push_back(txn);
        } else {
            mdb_txn_abort(txn);
        }
    }
};

namespace {

using Environment = LmdbStore::Environment;

// Look-ups of both kinds of transaction. Cursors are made on first use, one a table.
class Lookup {
 public:
    Lookup(const Environment& environment, MDB_txn* txn) : environment_(environment), txn_(txn) {}

    Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const {
        if (key.empty()) {
            return std::optional<ByteView>();  // LMDB has no empty keys
        }
        MDB_val wanted = value_of(key);
        MDB_val found{};
        const int rc = mdb_get(txn_, environment_.tables.at(table), &wanted, &found);
        if (rc == MDB_NOTFOUND) {
            return std::optional<ByteView>();
        }
        if (rc != MDB_SUCCESS) {
            return environment_.error(rc, "read a record");
        }
        return std::optional(view_of_value(found));
    }

    Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) {
        MDB_val at = value_of(key);
        MDB_val value{};
        auto found = move(table, at, value, key.empty() ? MDB_FIRST : MDB_SET_RANGE);
        if (!found) {
            return tl::unexpected(found.error());
        }
        const ByteView at_view = view_of_value(at);
        if (*found && after && std::equal(at_view.begin(), at_view.end(), key.begin(), key.end())) {
            found = move(table, at, value, MDB_NEXT);
        }
        return entry(found, at, value);
    }

    Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) {
        MDB_val at = value_of(key);
        MDB_val value{};
        if (!key.empty()) {
            const auto found = move(table, at, value, MDB_SET_RANGE);
            if (!found) {
                return tl::unexpected(found.error());
            }
            if (*found) {
                return entry(move(table, at, value, MDB_PREV), at, value);
            }
        }
        return entry(move(table, at, value, MDB_LAST), at, value);
    }

    // Cursors of a write transaction must not outlive it, and a write may move what they point to.
    void drop_cursors() {
        for (MDB_cursor*& cursor : cursors_) {
            if (cursor != nullptr) {
                mdb_cursor_close(cursor);
                cursor = nullptr;
            }
        }
    }

 private:
    Result<bool> move(TableIndex table, MDB_val& key, MDB_val& value, MDB_cursor_op op) {
        cursors_.resize(environment_.tables.size(), nullptr);
        MDB_cursor*& cursor = cursors_.at(table);
        if (cursor == nullptr) {
            if (const int rc = mdb_cursor_open(txn_, environment_.tables[table], &cursor); rc != MDB_SUCCESS) {
                cursor = nullptr;
                return environment_.error(rc, "open a cursor");
            }
        }
        const int rc = mdb_cursor_get(cursor, &key, &value, op);
        if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
            return environment_.error(rc, "walk a table");
        }
        return rc == MDB_SUCCESS;
    }
    static Result<std::optional<RawEntry>> entry(const Result<bool>& found, const MDB_val& key, const MDB_val& value) {
        if (!found) {
            return tl::unexpected(found.error());
        }
        if (!*found) {
            return std::optional<RawEntry>();
        }
        return std::optional(RawEntry{view_of_value(key), view_of_value(value)});
    }

    const Environment& environment_;
    MDB_txn* txn_;
    std::vector<MDB_cursor*> cursors_;
};

class LmdbReadTxn final : public ReadTxn {
 public:
    LmdbReadTxn(Environment& environment, MDB_txn* txn)
        : environment_(environment), txn_(txn), lookup_(environment, txn) {}
    LmdbReadTxn(const LmdbReadTxn&) = delete;
    LmdbReadTxn& operator=(const LmdbReadTxn&) = delete;
    ~LmdbReadTxn() override {
        lookup_.drop_cursors();
        environment_.give_back(txn_);
    }
    Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        return lookup_.get(table, key);
    }
    Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        return lookup_.seek(table, key, after);
    }
    Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        return lookup_.seek_before(table, key);
    }

 private:
    Environment& environment_;
    MDB_txn* txn_;
    mutable Lookup lookup_;
};

class LmdbWriteTxn final : public WriteTxn {
 public:
    LmdbWriteTxn(Environment& environment, MDB_txn* txn)
        : environment_(environment), txn_(txn), lookup_(environment, txn) {}
    LmdbWriteTxn(const LmdbWriteTxn&) = delete;
    LmdbWriteTxn& operator=(const LmdbWriteTxn&) = delete;
    ~LmdbWriteTxn() override {
        if (txn_ != nullptr) {
            lookup_.drop_cursors();
            mdb_txn_abort(txn_);
        }
    }

    Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        assert_open();
        return lookup_.get(table, key);
    }
    Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        assert_open();
        return lookup_.seek(table, key, after);
    }
    Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        assert_open();
        return lookup_.seek_before(table, key);
    }
    Result<void> put(TableIndex table, ByteView key, ByteView value) override { return write(table, key, value, 0); }
    Result<void> append(TableIndex table, ByteView key, ByteView value) override {
        return write(table, key, value, MDB_APPEND);
    }
    Result<void> erase(TableIndex table, ByteView key) override {
        assert_open();
        lookup_.drop_cursors();
        MDB_val wanted = value_of(key);
        const int rc = mdb_del(txn_, environment_.tables.at(table), &wanted, nullptr);
        if (rc != MDB_SUCCESS && rc != MDB_NOTFOUND) {
            return environment_.error(rc, "erase a record");
        }
        return {};
    }
    Result<void> commit(Durability durability) override {
        assert_open();
        lookup_.drop_cursors();
        if (const int rc = mdb_txn_commit(std::exchange(txn_, nullptr)); rc != MDB_SUCCESS) {
            return environment_.error(rc, "commit");
        }
        if (environment_.lazy && durability == Durability::synced) {
            if (const int rc = mdb_env_sync(environment_.env, 1); rc != MDB_SUCCESS) {
                return environment_.sync_error(rc);
            }
        }
        return {};
    }

 private:
    void assert_open() const { LOYAL_ASSERT(txn_ != nullptr, "a committed transaction was used"); }
    Result<void> write(TableIndex table, ByteView key, ByteView value, unsigned flags) {
        assert_open();
        lookup_.drop_cursors();
        MDB_val at = value_of(key);
        MDB_val content = value_of(value);
        const int rc = mdb_put(txn_, environment_.tables.at(table), &at, &content, flags);
        if (rc == MDB_KEYEXIST) {
            return fail(Errc::corrupted,
                        "a record is appended below the last key of its table in " + environment_.path);
        }
        if (rc != MDB_SUCCESS) {
            return environment_.error(rc, "write a record");
        }
        return {};
    }

    Environment& environment_;
    MDB_txn* txn_;
    mutable Lookup lookup_;
};

Result<void> make_folder(const std::filesystem::path& path) {
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
        const int error = errno;
        return fail(error == ENOSPC   ? Errc::disk_full
                    : error == EACCES ? Errc::permission
                                      : Errc::io,
                    "cannot make the folder " + path.string() + ": " + std::system_category().message(error));
    }
    return {};
}

// A page beyond the end of a mapped file is a SIGBUS; beyond a hole it is zeros, which LMDB and our seals refuse.
Result<void> cover_last_page(Environment& environment) {
    const std::uint64_t wanted = environment.used_bytes();
    mdb_filehandle_t file = -1;
    struct stat status {};
    if (mdb_env_get_fd(environment.env, &file) != MDB_SUCCESS || ::fstat(file, &status) != 0) {
        return environment.error(errno, "look at the data file");
    }
    if (static_cast<std::uint64_t>(status.st_size) < wanted && ::ftruncate(file, static_cast<off_t>(wanted)) != 0) {
        return environment.error(errno, "lengthen the data file");
    }
    environment.zeroed_end = std::max(wanted, static_cast<std::uint64_t>(status.st_size));
    return {};
}

Result<void> open_tables(Environment& environment, const std::vector<std::string>& names) {
    MDB_txn* txn = nullptr;
    if (const int rc = mdb_txn_begin(environment.env, nullptr, 0, &txn); rc != MDB_SUCCESS) {
        return environment.error(rc, "begin");
    }
    for (const std::string& name : names) {
        MDB_dbi table = 0;
        if (const int rc = mdb_dbi_open(txn, name.c_str(), MDB_CREATE, &table); rc != MDB_SUCCESS) {
            mdb_txn_abort(txn);
            return environment.error(rc, "open the table " + name);
        }
        environment.tables.push_back(table);
    }
    if (const int rc = mdb_txn_commit(txn); rc != MDB_SUCCESS) {
        return environment.error(rc, "make the tables");
    }
    return {};
}

Result<void> open_environment(Environment& environment, const LmdbOptions& options) {
    if (const int rc = mdb_env_create(&environment.env); rc != MDB_SUCCESS) {
        environment.env = nullptr;
        return environment.error(rc, "start LMDB");
    }
    mdb_env_set_mapsize(environment.env, std::min(options.map_bytes, map_bytes_max));
    mdb_env_set_maxdbs(environment.env, static_cast<MDB_dbi>(options.tables.size()));
    mdb_env_set_maxreaders(environment.env, readers_max);
    const unsigned flags = MDB_NOTLS | (options.lazy ? MDB_NOMETASYNC : 0U);
    if (const int rc = mdb_env_open(environment.env, environment.path.c_str(), flags, 0600); rc != MDB_SUCCESS) {
        return environment.error(rc, "open the environment");
    }
    int dead_readers = 0;
    if (const int rc = mdb_reader_check(environment.env, &dead_readers); rc != MDB_SUCCESS) {
        return environment.error(rc, "check for dead readers");
    }
    return cover_last_page(environment).and_then([&] { return open_tables(environment, options.tables); });
}

}  // namespace

Result<std::unique_ptr<LmdbStore>> LmdbStore::open(const LmdbOptions& options) {
    if (auto made = make_folder(options.path); !made) {
        return tl::unexpected(made.error());
    }
    std::error_code error;
    const std::filesystem::path canonical = std::filesystem::canonical(options.path, error);
    if (error) {
        return fail(Errc::io, "cannot resolve the folder " + options.path.string() + ": " + error.message());
    }
    auto environment = std::make_unique<Environment>();
    const bool first = OpenFolders::instance().add(canonical.string());
    LOYAL_ASSERT(first, "an LMDB environment must be opened at most once a process");
    environment->registered = canonical.string();
    environment->path = options.path.string();
    environment->lazy = options.lazy;
    if (auto opened = open_environment(*environment, options); !opened) {
        return tl::unexpected(opened.error());
    }
    return std::unique_ptr<LmdbStore>(new LmdbStore(std::move(environment)));
}

LmdbStore::LmdbStore(std::unique_ptr<Environment> environment) : environment_(std::move(environment)) {}
LmdbStore::~LmdbStore() = default;

Result<std::unique_ptr<ReadTxn>> LmdbStore::begin_read() {
    return environment_->take_reader().map(
        [this](MDB_txn* txn) -> std::unique_ptr<ReadTxn> { return std::make_unique<LmdbReadTxn>(*environment_, txn); });
}

Result<std::unique_ptr<WriteTxn>> LmdbStore::begin_write() {
    MDB_txn* txn = nullptr;
    if (const int rc = mdb_txn_begin(environment_->env, nullptr, 0, &txn); rc != MDB_SUCCESS) {
        return environment_->error(rc, "begin a write");
    }
    if (!environment_->lazy) {
        environment_->write_zeros_ahead();
    }
    return std::unique_ptr<WriteTxn>(std::make_unique<LmdbWriteTxn>(*environment_, txn));
}

Result<void> LmdbStore::sync() {
    if (const int rc = mdb_env_sync(environment_->env, 1); rc != MDB_SUCCESS) {
        return environment_->sync_error(rc);
    }
    return {};
}

std::uint64_t LmdbStore::written_bytes() const {
    return environment_->used_bytes();
}

std::uint64_t LmdbStore::used_bytes() const {
    const std::uint64_t all = environment_->used_bytes();
    return all - std::min(all, environment_->free_bytes());
}

}  // namespace loyal::kvstore
