// Records of the `log` environment and their bytes (docs/STORAGE.md). Pure; every decoder verifies the seal first.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/input_effect.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

inline constexpr TableIndex records_table = 0;
inline constexpr TableIndex vote_a_table = 1;
inline constexpr TableIndex vote_b_table = 2;
inline constexpr std::string_view records_table_name = "records";
inline constexpr std::string_view vote_a_table_name = "vote_a";
inline constexpr std::string_view vote_b_table_name = "vote_b";
inline constexpr std::string_view vote_key = "vs";
inline constexpr std::uint16_t log_format = 2;

// Local number of a record, from 1, without gaps.
using LogSequence = std::uint64_t;
// Big-endian, so that the order of keys is the order of numbers.
[[nodiscard]] Bytes sequence_key(LogSequence sequence);
[[nodiscard]] Result<LogSequence> decode_sequence_key(ByteView key);
[[nodiscard]] std::string name_of_record(LogSequence sequence);

enum class RecordKind : std::uint8_t {
    mark = 0,  // nothing but its number: a transaction that had only a voting state to write
    block = 1,
    lock = 2,
    new_view = 3,
    view_change = 4,
    commit = 5,
    evidence = 6,
    installed = 7,  // header of the block whose state came by transfer
    lost = 8,       // of what was here nobody can tell any more what it was
};

// Sealed bytes of each.
[[nodiscard]] Bytes seal_mark(ByteView key);
// In the place of the damaged or missing records `first` .. the one of `key`.
[[nodiscard]] Bytes seal_lost(ByteView key, LogSequence first);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::BlockRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::LockRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::NewViewRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::ViewChangeRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::CommitRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::EvidenceRecord& record);
[[nodiscard]] Bytes seal_record(ByteView key, const consensus::InstalledRecord& record);

// First byte; says nothing of the seal.
[[nodiscard]] Result<RecordKind> kind_of(ByteView sealed);
// Payload of a record of `kind`, seal verified.
[[nodiscard]] Result<ByteView> open_record(ByteView key, ByteView sealed, RecordKind kind);
// The first of the records in whose place this one is, seal verified.
[[nodiscard]] Result<LogSequence> open_lost(ByteView key, ByteView sealed);
// The record, seal verified; nothing for a mark and for what was lost. Not for blocks, which open_block reads.
[[nodiscard]] Result<std::optional<consensus::LogRecord>> open_any_record(ByteView key, ByteView sealed);
[[nodiscard]] Result<consensus::CommitRecord> decode_commit(ByteView payload);
[[nodiscard]] Result<consensus::BlockPtr> open_block(const consensus::ClusterContext& context, ByteView key,
                                                     ByteView sealed);

// A block's id and header without reading its body: checked against each other, not against the seal.
struct BlockHead {
    consensus::BlockRef ref;
    consensus::Header header;
};
[[nodiscard]] Result<BlockHead> open_block_head(const consensus::ClusterContext& context, ByteView sealed);

// One copy of the voting state.
struct VoteCopy {
    LogSequence sequence = 0;  // of the last record of the transaction that wrote it
    LogSequence first = 1;     // number of the oldest record that is kept
    consensus::BlockRef base;  // the committed chain is kept above this block; an id of zero: unknown
    std::optional<consensus::VotingState> voting;  // none: this replica never voted
    friend bool operator==(const VoteCopy&, const VoteCopy&) = default;
};
[[nodiscard]] Bytes seal_vote_copy(std::string_view table, const VoteCopy& copy);
[[nodiscard]] Result<VoteCopy> open_vote_copy(std::string_view table, ByteView sealed);

}  // namespace loyal::kvstore
