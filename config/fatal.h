// The end of a process that cannot go on, with an exit code that a supervisor can tell apart.
//
// Codes 2 to 7 mean what they mean for `loyal` (contract, "Exit codes"); where the contract is silent they start at 64.
// A supervisor should restart a replica after a signal (say, SIGKILL or SIGABRT of a failed assertion) and after io,
// port_in_use and internal; the others need an operator first.
#pragma once

#include <string>
#include <string_view>

namespace loyal {

enum class FatalCode : int {
    config = 2,         // bad usage, or cluster.toml is missing, malformed or contradicts itself
    key = 5,            // the key file is missing, readable by others, damaged, or not the key of this replica
    corrupted = 6,      // a record on disk does not match its seal or its chain
    internal = 7,       // a library or the system failed in a way that nothing else here names
    port_in_use = 64,   // a listening address is taken or is not of this machine
    data_missing = 65,  // the data folder or its birth record is gone: a lost disk is never started as a new replica
    data_foreign = 66,  // the data folder belongs to another cluster or another replica
    data_in_use = 67,   // another process holds the data folder
    disk_full = 68,
    io = 69,          // the disk refused a read or a write
    crash_stop = 70,  // crash model "stop": this replica crashed before and may not return
    system = 71,      // the system lacks something we need: threads, file descriptors, memory, permission
};

// "port_in_use".
[[nodiscard]] std::string_view name_of(FatalCode code) noexcept;

// Prints one line, "fatal: <name> (exit <code>): <message>", to standard error and ends the process at once: no
// destructors and no exit handlers run, because other threads may still be at work. What is durable stays durable.
// Flush logs before. From any thread.
[[noreturn]] void fatal(FatalCode code, const std::string& message) noexcept;

}  // namespace loyal
