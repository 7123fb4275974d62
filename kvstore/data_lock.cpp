#include "kvstore/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace loyal::kvstore {

Result<DataLock> DataLock::acquire(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "lock";
    const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0) {
        const int error = errno;
        return fail(error == EACCES   ? Errc::permission
                    : error == ENOENT ? Errc::not_found
                                      : Errc::io,
                    "cannot open the lock file " + file.string() + ": " + std::strerror(error));
    }
    DataLock lock(descriptor);
    if (::flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        const int error = errno;
        if (error == EWOULDBLOCK) {
            return fail(Errc::conflict, "the data folder " + folder.string() +
                                            " is in use by another process; stop that one or choose another folder");
        }
        return fail(Errc::io, "cannot lock the data folder " + folder.string() + ": " + std::strerror(error));
    }
    return lock;
}

DataLock::DataLock(DataLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

DataLock& DataLock::operator=(DataLock&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
}

DataLock::~DataLock() {
    if (descriptor_ >= 0) {
        ::close(descriptor_);  // releases the flock
    }
}

}  // namespace loyal::kvstore
