// Disks: file systems of a replica's own, so that one can lose power (ext4 on a loop device, cut by its shutdown ioctl)
// or be full (a small tmpfs) without anybody else's harm. Needs root. Everything is mounted in a mount namespace of
// this process and its children: when they end, however they end, the kernel unmounts all of it and frees the loop
// devices. Single-threaded.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "config/result.h"

namespace loyal::durability {

// The program's path, looked for in PATH and where system programs are.
[[nodiscard]] std::optional<std::string> find_program(const std::string& name);

// Enters a mount namespace of its own, once a process. The error says why it cannot.
[[nodiscard]] Result<void> enter_private_mounts();

// An ext4 file system in an image file.
class Ext4Disk {
 public:
    // Makes the image and the folder to mount it at.
    [[nodiscard]] static Result<Ext4Disk> make(const std::filesystem::path& image, const std::filesystem::path& at,
                                               std::uint64_t bytes);
    [[nodiscard]] Result<void> mount() const;
    [[nodiscard]] Result<void> unmount() const;
    // Power cut: from now on nothing reaches the image any more, not even what the journal holds, and every write fails
    // (EXT4_IOC_SHUTDOWN without a flush of the log, ext4's fs/ext4/ioctl.c).
    [[nodiscard]] Result<void> cut() const;
    // Replays the journal and repairs what can be repaired without asking (e2fsck -p).
    [[nodiscard]] Result<void> check() const;
    [[nodiscard]] const std::filesystem::path& at() const { return at_; }

 private:
    std::filesystem::path image_, at_;
};

// A tmpfs of a fixed size.
[[nodiscard]] Result<void> mount_tmpfs(const std::filesystem::path& at, std::uint64_t bytes);
[[nodiscard]] Result<void> unmount(const std::filesystem::path& at);

}  // namespace loyal::durability
