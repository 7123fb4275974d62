// DataLock: one process a data folder. Held by the process that serves from it and by offline tools, from before the
// first environment is opened until after the last is closed. flock(2), so the kernel releases it however the process
// ends; it does not protect a folder on a network file system that ignores flock.
#pragma once

#include <filesystem>

#include "config/result.h"

namespace loyal::kvstore {

class DataLock {
 public:
    // `folder` exists. Errc::conflict, naming the folder, when another process (or this one) holds it.
    [[nodiscard]] static Result<DataLock> acquire(const std::filesystem::path& folder);
    DataLock(DataLock&& other) noexcept;
    DataLock& operator=(DataLock&& other) noexcept;
    DataLock(const DataLock&) = delete;
    DataLock& operator=(const DataLock&) = delete;
    ~DataLock();

 private:
    explicit DataLock(int descriptor) : descriptor_(descriptor) {}
    int descriptor_ = -1;
};

}  // namespace loyal::kvstore
