// SwitchFile: the test's end of a KillSwitch, one a replica. Single-threaded; the replica may use it meanwhile.
#pragma once

#include <filesystem>

#include "tests/durability/fleet.h"
#include "tests/durability/kill_switch.h"

namespace loyal::durability {

class SwitchFile {
 public:
    // Throws std::runtime_error when the file cannot be made.
    explicit SwitchFile(std::filesystem::path path);
    ~SwitchFile();
    SwitchFile(const SwitchFile&) = delete;
    SwitchFile& operator=(const SwitchFile&) = delete;

    [[nodiscard]] KillSwitch& get() const { return *static_cast<KillSwitch*>(memory_); }
    // At the n-th call from now on, of that kind or of all.
    void arm(std::uint64_t n, KillHow how, FileCall only = file_calls) const;
    void disarm() const { get().at = 0; }
    // Has a replica load the library, and obey this switch.
    [[nodiscard]] Environment environment() const;

 private:
    std::filesystem::path path_;
    void* memory_ = nullptr;
};

}  // namespace loyal::durability
