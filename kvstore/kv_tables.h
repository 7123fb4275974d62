// The tables of the state's environment and the contents of their records (docs/STORAGE.md). Contents are what is under
// the state's root; links and seals around them are linked_table.h's. Pure; Errc::corrupted for malformed contents.
#pragma once

#include <array>
#include <string_view>
#include <utility>
#include <vector>

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"
#include "crypto/digest.h"
#include "kvstore/linked_table.h"
#include "kvstore/operation.h"
#include "kvstore/sessions.h"
#include "kvstore/state_digest.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// Positions in StateMachine::state_tables().
inline constexpr TableIndex keys_table = 0;
inline constexpr TableIndex sessions_table = 1;
inline constexpr TableIndex meta_table = 2;
inline constexpr TableIndex pre_table = 3;  // these four: checkpoint_tables.h
inline constexpr TableIndex leaves_table = 4;
inline constexpr TableIndex nodes_table = 5;
inline constexpr TableIndex progress_table = 6;
inline constexpr TableIndex runs_table = 7;  // sorted_runs.h
inline constexpr std::string_view keys_table_name = "keys";
inline constexpr std::string_view sessions_table_name = "sessions";
inline constexpr std::string_view meta_table_name = "meta";

// The tables under the root, each linked. Whatever treats them all alike goes by this list.
struct RootedTable {
    StateTable id{};
    LinkedTable table;
};
inline constexpr std::array<RootedTable, 3> rooted_tables{{
    {StateTable::keys, {keys_table, keys_table_name}},
    {StateTable::sessions, {sessions_table, sessions_table_name}},
    {StateTable::meta, {meta_table, meta_table_name}},
}};
[[nodiscard]] const LinkedTable& linked_table(StateTable id);
// Makes every table's end, in a store that was never written to.
[[nodiscard]] Result<void> create_tables(WriteTxn& txn);

// What the store knows of a key. `value` points into the overlay or the transaction that it was read in.
struct KeyView {
    Revision revision;
    Revision created;
    std::uint64_t version = 0;
    consensus::Hlc timestamp;
    ByteView value;
};
struct KeyRecord {
    Revision revision;
    Revision created;
    std::uint64_t version = 0;
    consensus::Hlc timestamp;
    Bytes value;
    [[nodiscard]] KeyView view() const { return {revision, created, version, timestamp, value}; }
};
[[nodiscard]] Bytes encode_key_record(const KeyRecord& record);
[[nodiscard]] Result<KeyView> decode_key_record(ByteView content);

// Contents of sessions: sessions.h.

// The one record that says how far the other tables are complete; written in every batch.
struct StateMeta {
    consensus::Height height;
    crypto::Digest block;  // id of the block of that height; zero at height 0
    consensus::Hlc hlc;
    Revision revision;
    // Execution digests of the last heights, ascending, the last one of `height`.
    std::vector<std::pair<consensus::Height, crypto::Digest>> digests;
};
inline constexpr std::uint16_t state_format = 2;
inline constexpr std::string_view meta_key = "state";
[[nodiscard]] Bytes encode_meta(const StateMeta& meta);
[[nodiscard]] Result<StateMeta> decode_meta(ByteView content);
// What the store is complete for; nothing in one that no batch was written to.
[[nodiscard]] Result<std::optional<StateMeta>> read_meta(const ReadTxn& txn);

}  // namespace loyal::kvstore
