#include "config/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>
#include <utility>

namespace loyal {
namespace {

Errc errc_of(int error) noexcept {
    switch (error) {
        case ENOENT:
        case ENOTDIR: return Errc::not_found;
        case EEXIST: return Errc::conflict;
        case EACCES:
        case EPERM:
        case EROFS: return Errc::permission;
        case ENOSPC:
        case EDQUOT: return Errc::disk_full;
        default: return Errc::io;
    }
}

// Returns 0 or errno.
int write_all(int descriptor, ByteView content) noexcept {
    while (!content.empty()) {
        const ssize_t written = ::write(descriptor, content.data(), content.size());
        if (written < 0 && errno != EINTR) {
            return errno;
        }
        if (written > 0) {
            content = content.subspan(static_cast<std::size_t>(written));
        }
    }
    return 0;
}

// Removes the temporary file unless it was renamed.
class TemporaryFile {
 public:
    explicit TemporaryFile(std::filesystem::path path) : path_(std::move(path)) {}
    ~TemporaryFile() {
        if (created_) {
            ::unlink(path_.c_str());
        }
    }
    TemporaryFile(const TemporaryFile&) = delete;
    TemporaryFile& operator=(const TemporaryFile&) = delete;

    [[nodiscard]] Result<void> create(ByteView content, mode_t mode) {
        FileHandle file(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
        if (!file.valid()) {
            return fail_errno("cannot create", path_, errno);
        }
        created_ = true;
        if (::fchmod(file.get(), mode) != 0) {
            return fail_errno("cannot set the permissions of", path_, errno);
        }
        if (const int error = write_all(file.get(), content); error != 0) {
            return fail_errno("cannot write", path_, error);
        }
        if (::fsync(file.get()) != 0) {
            return fail_errno("cannot sync", path_, errno);
        }
        return {};
    }

    [[nodiscard]] Result<void> rename_to(const std::filesystem::path& target) {
        if (::renameat2(AT_FDCWD, path_.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) == 0) {
            created_ = false;
            return {};
        }
        // Some network file systems know no RENAME_NOREPLACE; a hard link does not replace either.
        const bool unsupported = errno == EINVAL || errno == ENOSYS;
        if (!unsupported || ::link(path_.c_str(), target.c_str()) != 0) {
            return fail_errno("cannot create", target, errno);
        }
        return {};
    }

 private:
    std::filesystem::path path_;
    bool created_ = false;
};

std::filesystem::path temporary_path(const std::filesystem::path& path) {
    static std::atomic<unsigned> counter{0};
    std::filesystem::path temporary = path;
    temporary += ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter.fetch_add(1));
    return temporary;
}

Result<void> check_readable(const std::filesystem::path& path, const struct stat& status, std::size_t size_max,
                            Secrecy secrecy) {
    if (!S_ISREG(status.st_mode)) {
        return fail(Errc::invalid_argument, path.string() + " is not a regular file");
    }
    constexpr mode_t group_and_others = S_IRWXG | S_IRWXO;
    if (secrecy == Secrecy::owner_only && (status.st_mode & group_and_others) != 0) {
        return fail(Errc::permission,
                    path.string() + " is open to group or others; make it private with: chmod 600 " + path.string());
    }
    if (static_cast<std::uint64_t>(status.st_size) > size_max) {
        return fail(Errc::invalid_argument, path.string() + " is too large: " + std::to_string(status.st_size) +
                                                " bytes, at most " + std::to_string(size_max));
    }
    return {};
}

}  // namespace

FileHandle::~FileHandle() {
    close();
}

FileHandle::FileHandle(FileHandle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

FileHandle& FileHandle::operator=(FileHandle&& other) noexcept {
    if (this != &other) {
        close();
        descriptor_ = std::exchange(other.descriptor_, -1);
    }
    return *this;
}

void FileHandle::close() noexcept {
    if (descriptor_ >= 0) {
        ::close(std::exchange(descriptor_, -1));
    }
}

tl::unexpected<Error> fail_errno(const std::string& what, const std::filesystem::path& path, int error) {
    return fail(errc_of(error), what + " " + path.string() + ": " + std::generic_category().message(error));
}

Result<void> make_folder(const std::filesystem::path& path, mode_t mode) {
    if (::mkdir(path.c_str(), mode) != 0) {
        return fail_errno("cannot create folder", path, errno);
    }
    if (::chmod(path.c_str(), mode) != 0) {
        return fail_errno("cannot set the permissions of", path, errno);
    }
    return {};
}

Result<void> sync_folder(const std::filesystem::path& path) {
    const FileHandle folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder.valid()) {
        return fail_errno("cannot open folder", path, errno);
    }
    if (::fsync(folder.get()) != 0) {
        return fail_errno("cannot sync folder", path, errno);
    }
    return {};
}

Result<void> write_new_file(const std::filesystem::path& path, ByteView content, mode_t mode) {
    TemporaryFile temporary(temporary_path(path));
    if (auto created = temporary.create(content, mode); !created) {
        return created;
    }
    if (auto renamed = temporary.rename_to(path); !renamed) {
        return renamed;
    }
    const auto folder = path.parent_path();
    auto synced = sync_folder(folder.empty() ? "." : folder);
    if (!synced) {
        ::unlink(path.c_str());
    }
    return synced;
}

Result<std::size_t> read_file(const std::filesystem::path& path, std::span<std::uint8_t> buffer, Secrecy secrecy) {
    // O_NONBLOCK: opening a named pipe must not wait for a writer. The checks below look at what was opened, not at
    // the name, which may point elsewhere by then.
    const int follow = secrecy == Secrecy::owner_only ? O_NOFOLLOW : 0;
    const FileHandle file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | follow));
    if (!file.valid()) {
        if (errno == ELOOP && follow != 0) {
            return fail(Errc::permission, path.string() + " is a symbolic link; name the file itself");
        }
        return fail_errno("cannot open", path, errno);
    }
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) {
        return fail_errno("cannot inspect", path, errno);
    }
    if (auto checked = check_readable(path, status, buffer.size(), secrecy); !checked) {
        return tl::unexpected(checked.error());
    }
    std::size_t size = 0;
    while (size < buffer.size()) {
        const ssize_t got = ::read(file.get(), buffer.data() + size, buffer.size() - size);
        if (got < 0 && errno != EINTR) {
            return fail_errno("cannot read", path, errno);
        }
        if (got == 0) {
            break;
        }
        size += got > 0 ? static_cast<std::size_t>(got) : 0;
    }
    return size;
}

}  // namespace loyal
