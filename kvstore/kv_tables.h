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
#include "kvstore/history.h"
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
inline constexpr TableIndex runs_table = 7;     // sorted_runs.h
inline constexpr TableIndex history_table = 8;  // history.h
inline constexpr TableIndex leases_table = 9;   // leases.h, as the next one
inline constexpr TableIndex lease_items_table = 10;
inline constexpr TableIndex locks_table = 11;    // locks.h
inline constexpr TableIndex clients_table = 12;  // rights that were changed since genesis
inline constexpr std::string_view keys_table_name = "keys";
inline constexpr std::string_view sessions_table_name = "sessions";
inline constexpr std::string_view meta_table_name = "meta";

// The tables under the root, each linked. Whatever treats them all alike goes by this list.
struct RootedTable {
    StateTable id{};
    LinkedTable table;
};
inline constexpr std::array<RootedTable, 8> rooted_tables{{
    {StateTable::keys, {keys_table, keys_table_name}},
    {StateTable::sessions, {sessions_table, sessions_table_name}},
    {StateTable::meta, {meta_table, meta_table_name}},
    {StateTable::history, {history_table, "history"}},
    {StateTable::leases, {leases_table, "leases"}},
    {StateTable::lease_items, {lease_items_table, "lease_items"}},
    {StateTable::locks, {locks_table, "locks"}},
    {StateTable::clients, {clients_table, "clients"}},
}};
[[nodiscard]] const LinkedTable& linked_table(StateTable id);
// Makes every table's end, in a store that was never written to.
[[nodiscard]] Result<void> create_tables(WriteTxn& txn);

// Records of keys. A deleted key has one with version 0 for as long as the history knows of its deletion.
[[nodiscard]] Bytes encode_key_record(const KeyView& view);
[[nodiscard]] Result<KeyView> decode_key_record(ByteView content);

// Contents of sessions: sessions.h.

// The one record that says how far the other tables are complete; written in every batch.
struct StateMeta {
    consensus::Height height;
    crypto::Digest block;  // id of the block of that height; zero at height 0
    consensus::Hlc hlc;
    Revision revision;
    // The oldest revision that reads may be as of, and when it was; 0: from the beginning on.
    Revision compacted;
    consensus::Hlc compacted_at;
    std::uint64_t history_bytes = 0;  // contents of the history's records
    ChangeId history_first;           // none of them is before this
    // The cluster's clock, by which leases end: the sum of the steps from block to block, none of which counts as more
    // than limits::lease_step_ms_max.
    std::uint64_t lease_clock_ms = 0;
    std::uint64_t leases_granted = 0;
    // Execution digests of the last heights, ascending, the last one of `height`.
    std::vector<std::pair<consensus::Height, crypto::Digest>> digests;
};
inline constexpr std::uint16_t state_format = 3;
inline constexpr std::string_view meta_key = "state";
[[nodiscard]] Bytes encode_meta(const StateMeta& meta);
[[nodiscard]] Result<StateMeta> decode_meta(ByteView content);
// What the store is complete for; nothing in one that no batch was written to.
[[nodiscard]] Result<std::optional<StateMeta>> read_meta(const ReadTxn& txn);

}  // namespace loyal::kvstore
