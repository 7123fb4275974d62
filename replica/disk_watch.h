// DiskWatch: from how full the disk is to whether writes are refused, and what the operator is told. A limit that was
// crossed is crossed until an eighth below it is free again. Pure; single-threaded.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "consensus/types.h"
#include "kvstore/consensus_log.h"

namespace loyal::replica {

struct DiskUse {
    std::uint64_t free_bytes = 0;
    std::uint64_t total_bytes = 0;  // of the file system
    std::uint64_t log_bytes = 0;
    std::uint64_t kv_bytes = 0;          // of the state: allocated, all generations
    std::uint64_t kv_largest_bytes = 0;  // of the largest generation: each has a file, and a quota, of its own
    std::vector<consensus::BlockRef> log_damaged = {};  // committed blocks of the own log that cannot be read
    kvstore::LogRepairs log_repairs = {};
};

struct DiskLimits {
    std::uint64_t log_quota_bytes = 0;
    std::uint64_t state_quota_bytes = 0;
};

class DiskWatch {
 public:
    struct Alarm {
        std::string_view name, text;
        bool raised = false;
    };

    explicit DiskWatch(DiskLimits limits) : limits_(limits) {}

    void look(const DiskUse& use);
    [[nodiscard]] bool refuses_writes() const;
    [[nodiscard]] const std::array<Alarm, 3>& alarms() const { return alarms_; }

 private:
    DiskLimits limits_;
    std::array<Alarm, 3> alarms_ = {{
        {"disk_full", "the disk of the data folder is nearly full: writes are refused until space is freed"},
        {"log_quota",
         "the consensus log is larger than log_quota_bytes: writes are refused until old records are dropped"},
        {"state_quota", "the state fills its file: writes are refused until keys are deleted"},
    }};
};

}  // namespace loyal::replica
