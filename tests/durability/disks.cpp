#include "tests/durability/disks.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include <fmt/format.h>

#include "tests/system/process.h"

namespace loyal::durability {

namespace fs = std::filesystem;

namespace {

// linux/ext4.h has them since 6.4 only.
constexpr unsigned long ext4_ioc_shutdown = _IOR('X', 125, std::uint32_t);
constexpr std::uint32_t ext4_shutdown_no_log_flush = 2;

Result<void> run_program(const std::string& name, std::vector<std::string> arguments, int exit_max = 0) {
    const auto program = find_program(name);
    if (!program) {
        return fail(Errc::not_found, name + " is not installed");
    }
    arguments.insert(arguments.begin(), *program);
    const system_test::Ran ran = system_test::run(arguments);
    if (ran.exit < 0 || ran.exit > exit_max) {
        return fail(Errc::io, fmt::format("{} ended with {}: {}{}", name, ran.exit, ran.out, ran.error));
    }
    return {};
}

}  // namespace

std::optional<std::string> find_program(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(std::string(path == nullptr ? "" : path) + ":/usr/sbin:/sbin:/usr/bin:/bin");
    for (std::string folder; std::getline(folders, folder, ':');) {
        const std::string candidate = folder + "/" + name;
        if (!folder.empty() && ::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return std::nullopt;
}

Result<void> enter_private_mounts() {
    static bool entered = false;
    if (entered) {
        return {};
    }
    if (::geteuid() != 0) {
        return fail(Errc::permission, "not root: nothing can be mounted");
    }
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
        return fail(Errc::permission, fmt::format("no mount namespace of its own: {}", std::strerror(errno)));
    }
    entered = true;
    return {};
}

Result<Ext4Disk> Ext4Disk::make(const fs::path& image, const fs::path& at, std::uint64_t bytes) {
    Ext4Disk disk;
    disk.image_ = image;
    disk.at_ = at;
    std::error_code error;
    fs::create_directories(at, error);
    const int file = ::open(image.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (file < 0 || ::ftruncate(file, static_cast<off_t>(bytes)) != 0) {
        return fail(Errc::io, fmt::format("cannot make {}: {}", image.string(), std::strerror(errno)));
    }
    ::close(file);
    return run_program("mkfs.ext4", {"-q", "-F", image.string()}).map([&] { return disk; });
}

Result<void> Ext4Disk::mount() const {
    return run_program("mount", {"-t", "ext4", "-o", "loop", image_.string(), at_.string()});
}

Result<void> Ext4Disk::unmount() const {
    return durability::unmount(at_);
}

Result<void> Ext4Disk::cut() const {
    const int folder = ::open(at_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        return fail(Errc::io, fmt::format("cannot open {}: {}", at_.string(), std::strerror(errno)));
    }
    const int done = ::ioctl(folder, ext4_ioc_shutdown, &ext4_shutdown_no_log_flush);
    const int error = errno;
    ::close(folder);
    if (done != 0) {
        return fail(Errc::io, fmt::format("EXT4_IOC_SHUTDOWN: {}", std::strerror(error)));
    }
    return {};
}

Result<void> Ext4Disk::check() const {
    return run_program("e2fsck", {"-p", image_.string()}, 1);  // 1: errors were corrected
}

Result<void> mount_tmpfs(const fs::path& at, std::uint64_t bytes) {
    std::error_code error;
    fs::create_directories(at, error);
    if (::mount("tmpfs", at.c_str(), "tmpfs", 0, fmt::format("size={}", bytes).c_str()) != 0) {
        return fail(Errc::io, fmt::format("cannot mount a tmpfs at {}: {}", at.string(), std::strerror(errno)));
    }
    return {};
}

Result<void> unmount(const fs::path& at) {
    if (::umount2(at.c_str(), 0) != 0) {
        return fail(Errc::io, fmt::format("cannot unmount {}: {}", at.string(), std::strerror(errno)));
    }
    return {};
}

}  // namespace loyal::durability
