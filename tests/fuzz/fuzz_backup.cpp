// A backup file as a stranger may hand it over. The first byte chooses: the rest is the file, or the sections of one
// whose compression and checksum are right, so that what lies behind them is reached. Nothing may crash, and nothing is
// ever accepted: no input can carry a quorum's signatures.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "client/backup/backup_file.h"
#include "client/backup/verify.h"
#include "crypto/identity.h"

namespace {

using namespace loyal;
using namespace loyal::backup;

void require(bool holds) {
    if (!holds) {
        std::abort();
    }
}

std::filesystem::path scratch() {
    const bool in_memory = ::access("/dev/shm", W_OK) == 0;
    const std::filesystem::path folder = in_memory ? "/dev/shm" : std::filesystem::temp_directory_path();
    return folder / ("loyal-fuzz-backup-" + std::to_string(::getpid()));
}

void write_raw(const std::filesystem::path& path, ByteView bytes) {
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(file >= 0 && ::write(file, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    ::close(file);
}

// Each section: kind, two bytes of length, content.
void write_sections(const std::filesystem::path& path, ByteView bytes) {
    auto writer = BackupWriter::create(path);
    require(writer.has_value());
    while (bytes.size() >= 3) {
        const auto kind = static_cast<SectionKind>(bytes[0] % 6);
        const std::size_t wanted = bytes[1] | static_cast<std::size_t>(bytes[2]) << 8U;
        const std::size_t size = std::min(wanted, bytes.size() - 3);
        require((*writer)->add(kind, bytes.subspan(3, size)).has_value());
        bytes = bytes.subspan(3 + size);
    }
    require((*writer)->finish().has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    static const std::filesystem::path path = [] {
        crypto::initialize();
        return scratch();
    }();
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
    const ByteView input(data + 1, size - 1);
    if ((data[0] & 1U) != 0) {
        write_sections(path, input);
    } else {
        write_raw(path, input);
    }
    require(!verify_backup(path).has_value());
    std::filesystem::remove(path, ignored);
    return 0;
}
