#include "tests/durability/flip_places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <vector>

#include "config/files.h"
#include "kvstore/consensus_log.h"
#include "kvstore/state_machine.h"
#include "kvstore/store_check.h"

namespace loyal::durability {

namespace fs = std::filesystem;

namespace {

FileHandle open_file(const fs::path& path) {
    FileHandle file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!file.valid()) {
        throw std::runtime_error("cannot open " + path.string());
    }
    return file;
}

// MDB_meta of LMDB 0.9: mm_last_pg of both meta pages.
std::uint64_t used_bytes(const fs::path& path) {
    constexpr off_t page_bytes = 4096, last_page_at = 136;
    const FileHandle file = open_file(path);
    std::uint64_t last = 0;
    for (off_t meta = 0; meta < 2; ++meta) {
        std::uint64_t page = 0;
        if (::pread(file.get(), &page, sizeof page, meta * page_bytes + last_page_at) == sizeof page) {
            last = std::max(last, page);
        }
    }
    return std::min<std::uint64_t>((last + 1) * page_bytes, fs::file_size(path));
}

// The log's, and those of the state's generations.
std::vector<fs::path> environments(const fs::path& data) {
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(data)) {
        if (fs::exists(entry.path() / "data.mdb")) {
            found.push_back(entry.path());
        }
    }
    std::sort(found.begin(), found.end());
    if (found.empty()) {
        throw std::runtime_error("no environment in " + data.string());
    }
    return found;
}

// Where in `path` the byte at `address` is mapped from: what LMDB gives points into its file.
std::uint64_t offset_of(const std::uint8_t* address, const fs::path& path) {
    const auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
        std::istringstream fields(line);
        std::uintptr_t begin = 0, end = 0;
        std::uint64_t offset = 0;
        char dash = 0;
        std::string rights;
        fields >> std::hex >> begin >> dash >> end >> rights >> offset;
        if (wanted >= begin && wanted < end) {
            return offset + (wanted - begin);
        }
    }
    throw std::runtime_error("a record of " + path.string() + " is not mapped");
}

struct OneTable {
    fs::path environment;
    std::vector<std::string> tables;
    std::size_t index = 0;
};

std::vector<OneTable> tables_of(const fs::path& data) {
    std::vector<OneTable> all;
    for (const fs::path& environment : environments(data)) {
        const auto tables = environment.filename() == "log" ? kvstore::ConsensusLog::log_tables()
                                                            : kvstore::StateMachine::state_tables();
        for (std::size_t i = 0; i < tables.size(); ++i) {
            all.push_back({environment, tables, i});
        }
    }
    return all;
}

}  // namespace

FlipPlace anywhere(const fs::path& data, std::mt19937_64& random) {
    const auto all = environments(data);
    const fs::path file = all.at(random() % all.size()) / "data.mdb";
    return {file, random() % used_bytes(file), static_cast<std::uint8_t>(random() % 8), {}};
}

FlipPlace in_record(const fs::path& data, std::uint64_t turn, std::mt19937_64& random) {
    const auto all = tables_of(data);
    for (std::size_t tried = 0; tried < all.size(); ++tried) {
        const OneTable& table = all[(turn + tried) % all.size()];
        const auto store = kvstore::open_read_only(table.environment, table.tables);
        const auto txn = store ? (*store)->begin_read() : tl::unexpected(store.error());
        if (!txn) {
            throw std::runtime_error("cannot read " + table.environment.string() + ": " + txn.error().message);
        }
        std::vector<kvstore::RawEntry> records;
        for (auto entry = (*txn)->seek(table.index, {}); entry && *entry;
             entry = (*txn)->seek(table.index, (*entry)->key, true)) {
            records.push_back(**entry);
        }
        if (records.empty()) {
            continue;
        }
        const kvstore::RawEntry& record = records[random() % records.size()];
        const std::size_t at = random() % (record.key.size() + record.value.size());
        const std::uint8_t* byte =
            at < record.key.size() ? record.key.data() + at : record.value.data() + (at - record.key.size());
        const fs::path file = table.environment / "data.mdb";
        return {file, offset_of(byte, file), static_cast<std::uint8_t>(random() % 8), table.tables[table.index]};
    }
    throw std::runtime_error("no table of " + data.string() + " holds a record");
}

void flip(const FlipPlace& place) {
    const FileHandle file = open_file(place.file);
    std::uint8_t byte = 0;
    const auto at = static_cast<off_t>(place.offset);
    if (::pread(file.get(), &byte, 1, at) != 1) {
        throw std::runtime_error("cannot read " + place.file.string());
    }
    byte = static_cast<std::uint8_t>(byte ^ (1U << place.bit));
    if (::pwrite(file.get(), &byte, 1, at) != 1) {
        throw std::runtime_error("cannot write " + place.file.string());
    }
}

}  // namespace loyal::durability
