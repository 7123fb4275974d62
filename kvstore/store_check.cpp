#include "kvstore/store_check.h"

#include <fcntl.h>
#include <lmdb.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>

#include "config/assert.h"

namespace loyal::kvstore {

namespace {

constexpr std::uint64_t progress_every = 1U << 16U;
constexpr int work_threw = 3;

tl::unexpected<Error> system_error(const std::string& what) {
    return fail(Errc::io, "cannot " + what + ": " + std::system_category().message(errno));
}

// ------------------------------------------------------------------------------------------------ the child

void write_line(int to, std::string_view line) {
    std::string text(line);
    std::replace(text.begin(), text.end(), '\n', ' ');
    text.push_back('\n');
    for (std::size_t at = 0; at < text.size();) {
        const ssize_t written = ::write(to, text.data() + at, text.size() - at);
        if (written < 0 && errno != EINTR) {
            ::_exit(1);
        }
        at += written > 0 ? static_cast<std::size_t>(written) : 0;
    }
}

// It must not outlive the parent, leave a core file for a fault that is expected, or chatter: LMDB's assertions and
// the sanitizers' reports go to standard error.
[[noreturn]] void be_child(int to, pid_t parent, const std::function<void(const Say&)>& work) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) {
        ::_exit(1);
    }
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL}) {
        ::signal(signal, SIG_DFL);
    }
    if (const int nowhere = ::open("/dev/null", O_WRONLY | O_CLOEXEC); nowhere >= 0) {
        ::dup2(nowhere, STDERR_FILENO);
    }
    try {
        work([to](std::string_view line) { write_line(to, line); });
    } catch (...) {
        ::_exit(work_threw);
    }
    ::_exit(0);
}

void hear(int from, const std::function<void(std::string_view)>& heard) {
    std::string pending;
    std::array<char, 4096> buffer{};
    for (;;) {
        const ssize_t got = ::read(from, buffer.data(), buffer.size());
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return;
        }
        pending.append(buffer.data(), static_cast<std::size_t>(got));
        std::size_t begin = 0;
        for (std::size_t end = pending.find('\n'); end != std::string::npos; end = pending.find('\n', begin)) {
            heard(std::string_view(pending).substr(begin, end - begin));
            begin = end + 1;
        }
        pending.erase(0, begin);
    }
}

ChildEnd end_of(int status) {
    if (WIFSIGNALED(status)) {
        const int signal = WTERMSIG(status);
        return {false, "died of signal " + std::to_string(signal) + " (" + ::strsignal(signal) + ")"};
    }
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return code == 0 ? ChildEnd{true, {}} : ChildEnd{false, "ended with exit code " + std::to_string(code)};
}

}  // namespace

Result<ChildEnd> run_in_child(const std::function<void(const Say&)>& work,
                              const std::function<void(std::string_view)>& heard) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return system_error("make a pipe");
    }
    const pid_t parent = ::getpid();
    const pid_t child = ::fork();
    if (child < 0) {
        const auto error = system_error("start a child process");
        ::close(ends[0]);
        ::close(ends[1]);
        return error;
    }
    if (child == 0) {
        ::close(ends[0]);
        be_child(ends[1], parent, work);
    }
    ::close(ends[1]);
    hear(ends[0], heard);
    ::close(ends[0]);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0) {
        if (errno != EINTR) {
            return system_error("wait for a child process");
        }
    }
    return end_of(status);
}

// ------------------------------------------------------------------------------------------------ reading LMDB as it
// is

namespace {

ByteView bytes_at(const MDB_val& value) {
    return {static_cast<const std::uint8_t*>(value.mv_data), value.mv_size};
}

struct ReadOnlyEnvironment {
    MDB_env* env = nullptr;
    MDB_txn* txn = nullptr;
    std::vector<std::optional<MDB_dbi>> tables;  // none: missing
    bool empty = false;                          // no table was ever made

    ReadOnlyEnvironment() = default;
    ReadOnlyEnvironment(const ReadOnlyEnvironment&) = delete;
    ReadOnlyEnvironment& operator=(const ReadOnlyEnvironment&) = delete;
    ~ReadOnlyEnvironment() {
        if (txn != nullptr) {
            mdb_txn_abort(txn);
        }
        if (env != nullptr) {
            mdb_env_close(env);
        }
    }
};

// LMDB's own words are damage unless the system refused.
tl::unexpected<Error> refused(int rc, const std::filesystem::path& folder) {
    const Errc code = rc == EACCES || rc == EPERM ? Errc::permission : rc > 0 ? Errc::io : Errc::corrupted;
    return fail(code, folder.string() + ": " + mdb_strerror(rc));
}

Result<void> open_here(const std::filesystem::path& folder, const std::vector<std::string>& names,
                       ReadOnlyEnvironment& opened) {
    std::error_code error;
    const auto size = std::filesystem::file_size(folder / "data.mdb", error);
    if (error) {
        return fail(Errc::not_found, "there is no " + (folder / "data.mdb").string());
    }
    opened.tables.resize(names.size());
    if (size == 0) {
        opened.empty = true;  // a first start that went no further
        return {};
    }
    int rc = mdb_env_create(&opened.env);
    if (rc == MDB_SUCCESS) {
        mdb_env_set_maxdbs(opened.env, static_cast<MDB_dbi>(names.size()));
        rc = mdb_env_open(opened.env, folder.c_str(), MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0600);
    }
    if (rc == MDB_SUCCESS) {
        rc = mdb_txn_begin(opened.env, nullptr, MDB_RDONLY, &opened.txn);
    }
    if (rc != MDB_SUCCESS) {
        return refused(rc, folder);
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
        MDB_dbi table = 0;
        rc = mdb_dbi_open(opened.txn, names[i].c_str(), 0, &table);
        if (rc == MDB_SUCCESS) {
            opened.tables[i] = table;
        } else if (rc != MDB_NOTFOUND) {
            return refused(rc, folder);
        }
    }
    MDB_dbi main = 0;
    MDB_stat stat{};
    if (mdb_dbi_open(opened.txn, nullptr, 0, &main) == MDB_SUCCESS &&
        mdb_stat(opened.txn, main, &stat) == MDB_SUCCESS) {
        opened.empty = stat.ms_entries == 0;
    }
    return {};
}

// ------------------------------------------------------------------------------------------------ structure

std::uintptr_t page_of(const MDB_val& key, std::size_t page_bytes) {
    return reinterpret_cast<std::uintptr_t>(key.mv_data) / page_bytes;
}

// A search goes through the branch pages, a walk does not look at their keys: one flipped there hides what is below.
// The first and the last key of a leaf stand for the others.
bool found_by_search(MDB_txn* txn, MDB_dbi table, const Bytes& key) {
    MDB_val wanted{key.size(), const_cast<std::uint8_t*>(key.data())};
    MDB_val value{};
    return mdb_get(txn, table, &wanted, &value) == MDB_SUCCESS;
}

class TableWalk {
 public:
    TableWalk(const ReadOnlyEnvironment& opened, MDB_dbi table, std::string name)
        : opened_(opened), table_(table), name_(std::move(name)) {
        MDB_stat stat{};
        page_bytes_ = mdb_stat(opened.txn, table, &stat) == MDB_SUCCESS ? stat.ms_psize : 4096;
        entries_ = stat.ms_entries;
    }
    // What is wrong, if anything.
    std::optional<std::string> run(std::uint64_t& records, const std::function<void(std::uint64_t)>& progress) {
        MDB_cursor* cursor = nullptr;
        if (const int rc = mdb_cursor_open(opened_.txn, table_, &cursor); rc != MDB_SUCCESS) {
            return name_ + ": " + mdb_strerror(rc);
        }
        MDB_val key{};
        MDB_val value{};
        std::uint64_t count = 0;
        std::optional<std::string> wrong;
        int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
        for (; rc == MDB_SUCCESS && !wrong; rc = wrong ? rc : mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
            wrong = visit(key, value);
            ++count;
            if (++records % progress_every == 0 && progress) {
                progress(records);
            }
        }
        mdb_cursor_close(cursor);
        if (wrong) {
            return wrong;
        }
        if (rc != MDB_NOTFOUND) {
            return name_ + ": " + mdb_strerror(rc);
        }
        if (count != entries_) {
            return name_ + ": " + std::to_string(count) + " records are found, " + std::to_string(entries_) +
                   " were counted";
        }
        return !last_key_.empty() && !found_by_search(opened_.txn, table_, last_key_) ? hidden() : std::nullopt;
    }

 private:
    [[nodiscard]] std::optional<std::string> hidden() const { return name_ + ": a key is there that no search finds"; }
    std::optional<std::string> visit(const MDB_val& key, const MDB_val& value) {
        const ByteView bytes = bytes_at(key);
        if (!last_key_.empty() &&
            !std::lexicographical_compare(last_key_.begin(), last_key_.end(), bytes.begin(), bytes.end())) {
            return name_ + ": keys are out of order";
        }
        const std::uintptr_t page = page_of(key, page_bytes_);
        const bool first_of_page = page != page_;
        if (first_of_page && !last_key_.empty() && !found_by_search(opened_.txn, table_, last_key_)) {
            return hidden();
        }
        page_ = page;
        last_key_.assign(bytes.begin(), bytes.end());
        if (first_of_page && !found_by_search(opened_.txn, table_, last_key_)) {
            return hidden();
        }
        // Pages of a large value lie elsewhere; what is not in the file is a SIGBUS.
        if (value.mv_size > 0) {
            const auto* content = static_cast<const volatile std::uint8_t*>(value.mv_data);
            touched_ = static_cast<std::uint8_t>(content[0] ^ content[value.mv_size - 1]);
        }
        return std::nullopt;
    }

    const ReadOnlyEnvironment& opened_;
    MDB_dbi table_;
    std::string name_;
    std::size_t page_bytes_ = 0;
    std::size_t entries_ = 0;
    std::uintptr_t page_ = 0;
    Bytes last_key_;
    volatile std::uint8_t touched_ = 0;
};

// Table 0 is LMDB's list of free pages: by transaction, a count and so many page numbers, descending. A live page in it
// would be overwritten by the next commit.
std::optional<std::string> check_free_list(const ReadOnlyEnvironment& opened) {
    MDB_envinfo info{};
    mdb_env_info(opened.env, &info);
    MDB_cursor* cursor = nullptr;
    if (const int rc = mdb_cursor_open(opened.txn, 0, &cursor); rc != MDB_SUCCESS) {
        return std::string("the list of free pages: ") + mdb_strerror(rc);
    }
    std::vector<std::size_t> pages;
    MDB_val key{};
    MDB_val value{};
    bool sound = true;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; rc == MDB_SUCCESS && sound; rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        std::vector<std::size_t> list(value.mv_size / sizeof(std::size_t));
        std::memcpy(list.data(), value.mv_data, list.size() * sizeof(std::size_t));
        sound = key.mv_size == sizeof(std::size_t) && !list.empty() && list[0] < list.size();
        for (std::size_t i = 1; sound && i <= list[0]; ++i) {
            sound = list[i] >= 2 && list[i] <= info.me_last_pgno && (i == 1 || list[i] < list[i - 1]);
            pages.push_back(list[i]);
        }
    }
    mdb_cursor_close(cursor);
    std::sort(pages.begin(), pages.end());
    sound = sound && rc == MDB_NOTFOUND && std::adjacent_find(pages.begin(), pages.end()) == pages.end();
    return sound ? std::nullopt : std::optional<std::string>("the list of free pages is damaged");
}

}  // namespace

Result<std::optional<std::string>> check_store_here(const StoreCheck& check) {
    using Finding = std::optional<std::string>;
    ReadOnlyEnvironment opened;
    if (auto open = open_here(check.folder, check.tables, opened); !open) {
        return open.error().code == Errc::corrupted ? Result<Finding>(Finding(open.error().message))
                                                    : Result<Finding>(tl::unexpected(open.error()));
    }
    if (opened.empty) {
        return Finding();
    }
    std::uint64_t records = 0;
    for (std::size_t i = 0; i < check.tables.size(); ++i) {
        if (!opened.tables[i]) {
            return Finding("the table " + check.tables[i] + " is missing");
        }
        TableWalk walk(opened, *opened.tables[i], "table " + check.tables[i]);
        if (auto wrong = walk.run(records, check.progress)) {
            return wrong;
        }
    }
    return check_free_list(opened);
}

Result<std::optional<std::string>> check_store(const StoreCheck& check) {
    using Finding = std::optional<std::string>;
    // Lines: "p RECORDS", "d DAMAGE", "e CODE MESSAGE", and "ok" at the end.
    Finding damage;
    std::optional<Error> error;
    bool sound = false;
    const auto work = [&](const Say& say) {
        StoreCheck inner = check;
        inner.progress = [&](std::uint64_t records) { say("p " + std::to_string(records)); };
        const auto found = check_store_here(inner);
        if (!found) {
            say("e " + std::to_string(static_cast<int>(found.error().code)) + " " + found.error().message);
        } else {
            say(*found ? "d " + **found : "ok");
        }
    };
    const auto heard = [&](std::string_view line) {
        const std::string rest(line.substr(std::min<std::size_t>(2, line.size())));
        if (line == "ok") {
            sound = true;
        } else if (line.starts_with("p ") && check.progress) {
            check.progress(std::stoull(rest));
        } else if (line.starts_with("d ")) {
            damage = rest;
        } else if (line.starts_with("e ")) {
            const std::size_t space = rest.find(' ');
            error = Error{static_cast<Errc>(std::stoi(rest)), rest.substr(space + 1)};
        }
    };
    const auto end = run_in_child(work, heard);
    if (!end) {
        return tl::unexpected(end.error());
    }
    if (error) {
        return tl::unexpected(*error);
    }
    if (damage || sound) {
        return damage;
    }
    return Finding("the process that looked at it " + end->how);
}

// ------------------------------------------------------------------------------------------------ a read-only store

namespace {

class ReadOnlyTxn final : public ReadTxn {
 public:
    explicit ReadOnlyTxn(const ReadOnlyEnvironment& opened) : opened_(opened) {}

    Result<std::optional<ByteView>> get(TableIndex table, ByteView key) const override {
        if (!opened_.tables.at(table) || key.empty()) {
            return std::optional<ByteView>();
        }
        MDB_val wanted{key.size(), const_cast<std::uint8_t*>(key.data())};
        MDB_val value{};
        const int rc = mdb_get(opened_.txn, *opened_.tables[table], &wanted, &value);
        if (rc == MDB_SUCCESS) {
            return std::optional(bytes_at(value));
        }
        return rc == MDB_NOTFOUND ? Result<std::optional<ByteView>>(std::optional<ByteView>()) : refused(rc, {});
    }
    Result<std::optional<RawEntry>> seek(TableIndex table, ByteView key, bool after) const override {
        return look(table, [&](MDB_cursor* cursor, MDB_val& at, MDB_val& value) {
            at = {key.size(), const_cast<std::uint8_t*>(key.data())};
            int rc = mdb_cursor_get(cursor, &at, &value, key.empty() ? MDB_FIRST : MDB_SET_RANGE);
            const ByteView found = rc == MDB_SUCCESS ? bytes_at(at) : ByteView();
            if (rc == MDB_SUCCESS && after && std::equal(found.begin(), found.end(), key.begin(), key.end())) {
                rc = mdb_cursor_get(cursor, &at, &value, MDB_NEXT);
            }
            return rc;
        });
    }
    Result<std::optional<RawEntry>> seek_before(TableIndex table, ByteView key) const override {
        return look(table, [&](MDB_cursor* cursor, MDB_val& at, MDB_val& value) {
            at = {key.size(), const_cast<std::uint8_t*>(key.data())};
            const int rc = key.empty() ? MDB_NOTFOUND : mdb_cursor_get(cursor, &at, &value, MDB_SET_RANGE);
            return mdb_cursor_get(cursor, &at, &value, rc == MDB_SUCCESS ? MDB_PREV : MDB_LAST);
        });
    }

 private:
    template <class Look>
    Result<std::optional<RawEntry>> look(TableIndex table, Look move) const {
        if (!opened_.tables.at(table)) {
            return std::optional<RawEntry>();
        }
        MDB_cursor* cursor = nullptr;
        if (const int rc = mdb_cursor_open(opened_.txn, *opened_.tables[table], &cursor); rc != MDB_SUCCESS) {
            return refused(rc, {});
        }
        MDB_val at{};
        MDB_val value{};
        const int rc = move(cursor, at, value);
        mdb_cursor_close(cursor);
        if (rc == MDB_SUCCESS) {
            return std::optional(RawEntry{bytes_at(at), bytes_at(value)});
        }
        return rc == MDB_NOTFOUND ? Result<std::optional<RawEntry>>(std::optional<RawEntry>()) : refused(rc, {});
    }

    const ReadOnlyEnvironment& opened_;
};

class ReadOnlyStore final : public Store {
 public:
    ReadOnlyEnvironment opened;

    Result<std::unique_ptr<ReadTxn>> begin_read() override {
        return std::unique_ptr<ReadTxn>(std::make_unique<ReadOnlyTxn>(opened));
    }
    Result<std::unique_ptr<WriteTxn>> begin_write() override {
        return fail(Errc::permission, "a store that is only looked at is not written");
    }
    Result<void> sync() override { return {}; }
    std::uint64_t used_bytes() const override {
        if (opened.env == nullptr) {
            return 0;
        }
        MDB_envinfo info{};
        MDB_stat stat{};
        mdb_env_info(opened.env, &info);
        mdb_env_stat(opened.env, &stat);
        return (info.me_last_pgno + 1) * stat.ms_psize;
    }
};

}  // namespace

Result<std::unique_ptr<Store>> open_read_only(const std::filesystem::path& folder,
                                              const std::vector<std::string>& tables) {
    auto store = std::make_unique<ReadOnlyStore>();
    if (auto opened = open_here(folder, tables, store->opened); !opened) {
        return tl::unexpected(opened.error());
    }
    return std::unique_ptr<Store>(std::move(store));
}

}  // namespace loyal::kvstore
