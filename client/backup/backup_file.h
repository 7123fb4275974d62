// A backup file: one consistent state of a cluster with what proves it (docs/OPERATIONS.md, "Backup and restore").
//
//   "LKVBACK1" | zstd stream of sections | H("backup", all bytes before) 32
//   section = kind u8 | length u32 | payload, in this order:
//     1 cluster   the text of cluster.toml (public)
//     2 proof     CheckpointProof, canonical
//     3 records   some records of the state, as kvstore::encode_records; names ascend through all of these sections
//     4 end       number of records, u64
//
// There is one reader, which takes nothing on trust: it bounds each section before it allocates, and the caller knows
// that the file is whole only when next() gave the end section. Zstandard: RFC 8878.
//
// Threads: each object is used by one. Errors: Errc::corrupted (damaged, cut short, or no backup), disk_full, io,
// not_found, conflict.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "config/bytes.h"
#include "config/result.h"

namespace loyal::backup {

enum class SectionKind : std::uint8_t { cluster = 1, proof = 2, records = 3, end = 4 };
inline constexpr std::size_t section_bytes_max = std::size_t{4} << 20;

struct Section {
    SectionKind kind = SectionKind::end;
    Bytes payload;
};

class BackupWriter {
 public:
    // Makes the file; Errc::conflict when it exists.
    [[nodiscard]] static Result<std::unique_ptr<BackupWriter>> create(const std::filesystem::path& path);
    ~BackupWriter();
    BackupWriter(const BackupWriter&) = delete;
    BackupWriter& operator=(const BackupWriter&) = delete;

    [[nodiscard]] Result<void> add(SectionKind kind, ByteView payload);
    // The last call: on disk when it returns, but for its name in the folder.
    [[nodiscard]] Result<void> finish();
    [[nodiscard]] std::uint64_t bytes() const;  // written so far

 private:
    struct State;
    explicit BackupWriter(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

class BackupReader {
 public:
    [[nodiscard]] static Result<std::unique_ptr<BackupReader>> open(const std::filesystem::path& path);
    ~BackupReader();
    BackupReader(const BackupReader&) = delete;
    BackupReader& operator=(const BackupReader&) = delete;

    // The end section comes only after the checksum of the whole file was found to be right and nothing follows it.
    [[nodiscard]] Result<Section> next();
    [[nodiscard]] std::uint64_t bytes() const;  // of the file
    [[nodiscard]] double fraction() const;      // of it that was read

 private:
    struct State;
    explicit BackupReader(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace loyal::backup
