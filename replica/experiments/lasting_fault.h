// The fault line that outlives the process: only `amnesia` needs it, which acts at the next start. A file `fault` of
// the data folder, read at start in clusters made for experiments and ignored in others.
#pragma once

#include <filesystem>
#include <string>

#include "config/result.h"
#include "replica/faults/fault_spec.h"

namespace loyal::replica {

[[nodiscard]] bool outlives_process(const FaultSpec& fault);
// Replaces what was there; removes it when `fault` does not outlive the process.
[[nodiscard]] Result<void> keep_fault(const std::filesystem::path& data, const FaultSpec& fault);
// The kept line; empty: none. Errc::corrupted: the file holds something else.
[[nodiscard]] Result<std::string> kept_fault(const std::filesystem::path& data);

}  // namespace loyal::replica
