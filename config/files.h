// Small files written and read with care: keys, birth records, cluster.toml. Everything here names the path and, where
// there is one, the remedy in its errors. No exceptions; thread-safe.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <span>

#include "config/bytes.h"
#include "config/result.h"

namespace loyal {

// A file descriptor that is closed at the end of its scope.
class FileHandle {
 public:
    FileHandle() = default;
    explicit FileHandle(int descriptor) noexcept : descriptor_(descriptor) {}
    ~FileHandle();
    FileHandle(FileHandle&& other) noexcept;
    FileHandle& operator=(FileHandle&& other) noexcept;

    [[nodiscard]] int get() const noexcept { return descriptor_; }
    [[nodiscard]] bool valid() const noexcept { return descriptor_ >= 0; }
    void close() noexcept;

 private:
    int descriptor_ = -1;
};

// "what PATH: reason of errno", with the Errc that fits (disk_full, not_found, permission, conflict or io).
[[nodiscard]] tl::unexpected<Error> fail_errno(const std::string& what, const std::filesystem::path& path, int error);

// Creates `path` with exactly these permissions, whatever the umask. Errc::conflict when it exists.
[[nodiscard]] Result<void> make_folder(const std::filesystem::path& path, mode_t mode);

// Makes the names in a folder durable.
[[nodiscard]] Result<void> sync_folder(const std::filesystem::path& path);

// All or nothing, also across a power cut: writes a temporary file beside `path`, syncs it, renames it and syncs the
// folder. Never replaces: Errc::conflict when `path` exists, be it as a dangling link. Leaves no temporary file behind
// when it fails.
[[nodiscard]] Result<void> write_new_file(const std::filesystem::path& path, ByteView content, mode_t mode);

enum class Secrecy { open_to_all, owner_only };

// Reads a whole regular file into `buffer` and returns its size. Errc::invalid_argument when it is larger than the
// buffer or no regular file. With owner_only it must not be a symbolic link, and Errc::permission says that group or
// others have any access to it.
[[nodiscard]] Result<std::size_t> read_file(const std::filesystem::path& path, std::span<std::uint8_t> buffer,
                                            Secrecy secrecy);

}  // namespace loyal
