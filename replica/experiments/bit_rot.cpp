#include "replica/experiments/bit_rot.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "config/files.h"

namespace loyal::replica {
namespace {

// Records to choose from, of each table: enough for chance, and a bound on the time that the scan takes.
constexpr std::size_t candidates_max = 20'000;

struct Place {
    std::string file;
    std::uint64_t offset = 0;
};

std::optional<std::uint64_t> hex(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// Where in which file a mapped address lies (proc(5): "start-end permissions offset device inode path").
std::optional<Place> place_of(const std::uint8_t* address) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        const std::size_t dash = line.find('-'), space = line.find(' '), path = line.find('/');
        if (dash == std::string::npos || space == std::string::npos || path == std::string::npos) {
            continue;
        }
        const std::size_t offset_at = line.find(' ', space + 1) + 1;
        const auto begin = hex(std::string_view(line).substr(0, dash));
        const auto end = hex(std::string_view(line).substr(dash + 1, space - dash - 1));
        const auto offset = hex(std::string_view(line).substr(offset_at, line.find(' ', offset_at) - offset_at));
        if (begin && end && offset && wanted >= *begin && wanted < *end) {
            return Place{line.substr(path), *offset + (wanted - *begin)};
        }
    }
    return std::nullopt;
}

Result<std::vector<ByteView>> records_of(const kvstore::ReadTxn& txn, std::size_t tables) {
    std::vector<ByteView> records;
    for (kvstore::TableIndex table = 0; table < tables; ++table) {
        Bytes at;
        for (std::size_t i = 0; i < candidates_max; ++i) {
            const auto entry = txn.seek(table, at, !at.empty());
            if (!entry) {
                return tl::unexpected(entry.error());
            }
            if (!*entry) {
                break;
            }
            if (!(*entry)->value.empty()) {
                records.push_back((*entry)->value);
            }
            at.assign((*entry)->key.begin(), (*entry)->key.end());
        }
    }
    return records;
}

Result<void> flip(const std::uint8_t* address, unsigned bit) {
    const auto place = place_of(address);
    if (!place) {
        return fail(Errc::io, "a record is not in a mapped file");
    }
    const FileHandle file(::open(place->file.c_str(), O_RDWR | O_CLOEXEC));
    std::uint8_t byte = 0;
    const auto offset = static_cast<off_t>(place->offset);
    if (!file.valid() || ::pread(file.get(), &byte, 1, offset) != 1) {
        return fail_errno("cannot read", place->file, errno);
    }
    byte = static_cast<std::uint8_t>(byte ^ (1U << bit));
    if (::pwrite(file.get(), &byte, 1, offset) != 1 || ::fdatasync(file.get()) != 0) {
        return fail_errno("cannot write", place->file, errno);
    }
    return {};
}

}  // namespace

Result<std::uint64_t> rot_bits(kvstore::Store& store, std::size_t tables, std::uint64_t bits, std::uint64_t seed) {
    // While this transaction is open, no page that it sees is written over.
    const auto txn = store.begin_read();
    if (!txn) {
        return tl::unexpected(txn.error());
    }
    const auto records = records_of(**txn, tables);
    if (!records) {
        return tl::unexpected(records.error());
    }
    if (records->empty()) {
        return 0;
    }
    std::mt19937_64 random(seed);
    for (std::uint64_t i = 0; i < bits; ++i) {
        const ByteView record = (*records)[random() % records->size()];
        if (const auto done = flip(record.data() + random() % record.size(), static_cast<unsigned>(random() % 8));
            !done) {
            return tl::unexpected(done.error());
        }
    }
    return bits;
}

}  // namespace loyal::replica
