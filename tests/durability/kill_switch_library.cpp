// Loaded into loyald with LD_PRELOAD: see kill_switch.h. Stands between it (LMDB and libstdc++ included) and the system
// calls that change or sync a file. Standard output and error, sockets and pipes are left alone.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "tests/durability/kill_switch.h"

namespace {

using loyal::durability::FileCall;
using loyal::durability::KillHow;
using loyal::durability::KillSwitch;

std::atomic<int> failed_file{-1};

KillSwitch* open_switch() {
    const char* path = std::getenv(loyal::durability::kill_switch_variable);
    const int file = path == nullptr ? -1 : ::open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) {
        return nullptr;
    }
    void* memory = ::mmap(nullptr, sizeof(KillSwitch), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ::close(file);
    return memory == MAP_FAILED ? nullptr : static_cast<KillSwitch*>(memory);
}
KillSwitch* the_switch() {
    static KillSwitch* const opened = open_switch();
    return opened;
}

[[noreturn]] void die() {
    ::kill(::getpid(), SIGKILL);
    for (;;) {
        ::pause();
    }
}

void name_file(KillSwitch& s, int file) {
    char link[32];
    (void)std::snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    const ssize_t size = file < 0 ? 0 : ::readlink(link, s.hit_file, sizeof s.hit_file - 1);
    s.hit_file[size > 0 ? size : 0] = '\0';
}

enum class Verdict { go_on, torn, fail, pretend };

// Counts the call; may not return. With `fail` errno is set.
Verdict ask(FileCall call, int file) {
    KillSwitch* s = the_switch();
    if (s == nullptr) {
        return Verdict::go_on;
    }
    const std::uint64_t called = ++s->calls;
    const std::uint64_t of_its_kind = ++s->by_call[call];
    if (call == FileCall::call_sync && file >= 0 && file == failed_file) {
        ++s->syncs_after_hit;
    }
    const std::uint64_t at = s->at;
    const bool writes = call != FileCall::call_sync && call != FileCall::call_rename;
    const KillHow how = s->how;
    const bool lasts = how == KillHow::fail_space || how == KillHow::lie;
    const std::uint32_t only = s->only;
    const std::uint64_t number = only == FileCall::file_calls ? called : only == call ? of_its_kind : 0;
    if (at == 0 || number < at || (number > at && !lasts)) {
        return Verdict::go_on;
    }
    if (how == KillHow::lie) {
        return call == FileCall::call_sync ? Verdict::pretend : Verdict::go_on;
    }
    if (how == KillHow::fail_space && !writes) {
        return Verdict::go_on;
    }
    s->hit_call = call;
    name_file(*s, file);
    ++s->hit;
    switch (how) {
        case KillHow::before: die();
        case KillHow::torn:
            if (!writes) {
                die();
            }
            return Verdict::torn;
        case KillHow::fail_io:
            failed_file = file;
            errno = EIO;
            return Verdict::fail;
        case KillHow::fail_space: errno = ENOSPC; return Verdict::fail;
        case KillHow::lie: break;
    }
    return Verdict::go_on;
}

bool is_file(int file) {
    struct stat status {};
    return file > STDERR_FILENO && ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
}

ssize_t plain_pwrite(int file, const void* data, std::size_t size, off_t at) {
    return ::syscall(SYS_pwrite64, file, data, size, at);
}

// LMDB's meta pages, which are overwritten in place: that takes no room.
constexpr off_t meta_pages_bytes = 2 * 4096;

ssize_t asked_pwrite(int file, const void* data, std::size_t size, off_t at) {
    const KillSwitch* s = the_switch();
    if (s != nullptr && s->how == KillHow::fail_space && at < meta_pages_bytes) {
        return plain_pwrite(file, data, size, at);
    }
    switch (ask(FileCall::call_pwrite, file)) {
        case Verdict::torn: (void)plain_pwrite(file, data, size / 2, at); die();
        case Verdict::fail: return -1;
        case Verdict::pretend:
        case Verdict::go_on: break;
    }
    return plain_pwrite(file, data, size, at);
}

ssize_t asked_pwritev(int file, const struct iovec* parts, int count, off_t at) {
    switch (ask(FileCall::call_pwritev, file)) {
        case Verdict::torn:
            (void)::syscall(SYS_pwritev, file, parts, (count + 1) / 2, static_cast<unsigned long>(at), 0UL);
            die();
        case Verdict::fail: return -1;
        case Verdict::pretend:
        case Verdict::go_on: break;
    }
    return ::syscall(SYS_pwritev, file, parts, count, static_cast<unsigned long>(at), 0UL);
}

ssize_t asked_writev(int file, const struct iovec* parts, int count) {
    switch (ask(FileCall::call_writev, file)) {
        case Verdict::torn: (void)::syscall(SYS_writev, file, parts, (count + 1) / 2); die();
        case Verdict::fail: return -1;
        case Verdict::pretend:
        case Verdict::go_on: break;
    }
    return ::syscall(SYS_writev, file, parts, count);
}

int asked_sync(int file, long number) {
    switch (ask(FileCall::call_sync, file)) {
        case Verdict::fail: return -1;
        case Verdict::pretend: return 0;
        default: return static_cast<int>(::syscall(number, file));
    }
}

int asked_truncate(int file, off_t size) {
    switch (ask(FileCall::call_truncate, file)) {
        case Verdict::fail: return -1;
        case Verdict::torn: die();
        default: return static_cast<int>(::syscall(SYS_ftruncate, file, size));
    }
}

}  // namespace

// The names and types are the C library's.
extern "C" {

ssize_t pwrite(int file, const void* data, size_t size, off_t at) {
    return asked_pwrite(file, data, size, at);
}
ssize_t pwrite64(int file, const void* data, size_t size, off64_t at) {
    return asked_pwrite(file, data, size, at);
}
ssize_t pwritev(int file, const struct iovec* parts, int count, off_t at) {
    return asked_pwritev(file, parts, count, at);
}
ssize_t pwritev64(int file, const struct iovec* parts, int count, off64_t at) {
    return asked_pwritev(file, parts, count, at);
}
ssize_t write(int file, const void* data, size_t size) {
    if (is_file(file)) {
        switch (ask(FileCall::call_write, file)) {
            case Verdict::torn: (void)::syscall(SYS_write, file, data, size / 2); die();
            case Verdict::fail: return -1;
            case Verdict::pretend:
            case Verdict::go_on: break;
        }
    }
    return ::syscall(SYS_write, file, data, size);
}
ssize_t writev(int file, const struct iovec* parts, int count) {
    return is_file(file) ? asked_writev(file, parts, count) : ::syscall(SYS_writev, file, parts, count);
}
int fdatasync(int file) {
    return asked_sync(file, SYS_fdatasync);
}
int fsync(int file) {
    return asked_sync(file, SYS_fsync);
}
int msync(void* at, size_t size, int flags) {
    switch (ask(FileCall::call_sync, -1)) {
        case Verdict::fail: return -1;
        case Verdict::pretend: return 0;
        default: return static_cast<int>(::syscall(SYS_msync, at, size, flags));
    }
}
int ftruncate(int file, off_t size) noexcept {
    return asked_truncate(file, size);
}
int ftruncate64(int file, off64_t size) noexcept {
    return asked_truncate(file, size);
}
int rename(const char* from, const char* to) noexcept {
    return ask(FileCall::call_rename, -1) == Verdict::fail ? -1 : static_cast<int>(::syscall(SYS_rename, from, to));
}

}  // extern "C"
