// What an experiment may do to the process itself: end as by kill -9, end and come back, stand still for a while.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/result.h"

namespace loyal::replica {

// SIGKILL to itself: no destructor, no handler, nothing that was not durable.
[[noreturn]] void crash_now() noexcept;

// The same, and back from the disk after a while: the process image is replaced in place (execve of /proc/self/exe), so
// that the pid in the pid file stays right, with every file closed, whose locks and ports others see free meanwhile,
// and every thread gone wherever it was. The new image is started with `arguments` and waits as they say
// (arguments_after_crash), with SIGTERM ending it as any process. Returns only when that cannot be done; then the
// process ends with its fatal code.
[[noreturn]] void crash_and_return(const std::vector<std::string>& arguments) noexcept;

// `arguments` of the first start, without what they said of --fault and --start-after, and with these.
[[nodiscard]] std::vector<std::string> arguments_after_crash(const std::vector<std::string>& arguments,
                                                             const std::string& fault, std::uint64_t down_ms);

// Stops this process (SIGSTOP) and lets it go on (SIGCONT) after `ms`: done by a process of its own that outlives this
// one if need be, ends when this one ends, and keeps nothing open. Returns when that process is on its way; the stop
// comes at any moment from then on. Errors: Errc::internal, no process could be made.
[[nodiscard]] Result<void> pause_process(std::uint64_t ms);

}  // namespace loyal::replica
