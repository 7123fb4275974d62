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

#include "kvstore/page_walk.h"

namespace loyal::kvstore {

namespace {

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

// ------------------------------------------------------------------------------------------------ structure

Result<std::optional<std::string>> check_store_here(const StoreCheck& check) {
    return walk_pages({check.folder / "data.mdb", check.tables, check.progress});
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

ByteView bytes_at(const MDB_val& value) {
    return {static_cast<const std::uint8_t*>(value.mv_data), value.mv_size};
}

struct ReadOnlyEnvironment {
    MDB_env* env = nullptr;
    MDB_txn* txn = nullptr;
    std::vector<std::optional<MDB_dbi>> tables;  // none: missing

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
        return {};  // a first start that went no further
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
    return {};
}

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
