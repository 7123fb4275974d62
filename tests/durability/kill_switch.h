// KillSwitch: what a test and the library that is loaded into a replica (kill_switch_library.cpp) share: a page of
// memory in a file. The library counts every call that changes or syncs a file, over all threads, and at the call with
// a given number it kills the process, or fails it. strace's injection counts per thread and per call, so it cannot
// say "the n-th of all"; it also costs a process switch a call.
#pragma once

#include <atomic>
#include <cstdint>

namespace loyal::durability {

inline constexpr const char* kill_switch_variable = "LOYAL_KILL_SWITCH";  // the file's path

enum class KillHow : std::uint32_t {
    before = 0,      // SIGKILL instead of the call
    torn = 1,        // SIGKILL after the first half of what was to be written; as `before` where nothing is
    fail_io = 2,     // the call fails with EIO, once
    fail_space = 3,  // every write from this one on fails with ENOSPC, until `at` is set to 0
    lie = 4,         // every sync from this one on does nothing and says that it did
};

enum FileCall : std::uint32_t {
    call_pwrite,
    call_pwritev,
    call_write,
    call_writev,
    call_sync,
    call_truncate,
    call_rename,
    file_calls
};

struct KillSwitch {
    std::atomic<std::uint64_t> calls{0};          // so far, since the file was made
    std::atomic<std::uint64_t> at{0};             // the number that something happens at; 0: never
    std::atomic<std::uint32_t> only{file_calls};  // the FileCall that numbers are of; file_calls: of all
    std::atomic<KillHow> how{KillHow::before};
    std::atomic<std::uint32_t> hit{0};              // times that something happened
    std::atomic<std::uint32_t> hit_call{0};         // FileCall of the last one
    std::atomic<std::uint32_t> syncs_after_hit{0};  // of the same file, by the same process
    std::atomic<std::uint64_t> by_call[file_calls]{};
    // Of the last one: the file's path, cut short if need be; empty where a call names none. Complete once the process
    // has ended.
    char hit_file[256]{};
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

}  // namespace loyal::durability
