// Plain reads and writes of backups; for this folder's files only.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <string_view>

#include "config/bytes.h"
#include "config/files.h"

namespace loyal::backup {

inline constexpr std::string_view file_magic = "LKVBACK1";
inline constexpr std::string_view digest_tag = "backup";

[[nodiscard]] inline Result<void> write_all(int descriptor, ByteView bytes, const std::filesystem::path& path) {
    while (!bytes.empty()) {
        const ssize_t done = ::write(descriptor, bytes.data(), bytes.size());
        if (done < 0 && errno != EINTR) {
            return fail_errno("cannot write", path, errno);
        }
        bytes = bytes.subspan(done < 0 ? 0 : static_cast<std::size_t>(done));
    }
    return {};
}

// As many bytes as there are, up to `out`.
[[nodiscard]] inline Result<std::size_t> read_some(int descriptor, std::span<std::uint8_t> out,
                                                   const std::filesystem::path& path) {
    std::size_t got = 0;
    while (got < out.size()) {
        const ssize_t done = ::read(descriptor, out.data() + got, out.size() - got);
        if (done < 0 && errno != EINTR) {
            return fail_errno("cannot read", path, errno);
        }
        if (done == 0) {
            break;
        }
        got += done < 0 ? 0 : static_cast<std::size_t>(done);
    }
    return got;
}

}  // namespace loyal::backup
