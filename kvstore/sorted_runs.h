// Sorted runs: how the records of a whole state, which come in the order of their names, get into the order of their
// keys without being all in memory: external merge sort (Knuth, TAOCP vol. 3, §5.4). A run is what memory held at once,
// sorted, in blocks of the table `runs`; merging them writes `keys`, `sessions` and `meta` from front to back, each
// page once, each link and seal once. What was merged is erased in the same transactions, so the store never holds much
// of it twice, and whoever is interrupted goes on behind what the tables hold.
//
//   runs   run u32 big-endian | block u32 big-endian  ->  (table u8 | u32+key | present u8 | u32+content)*
//
// Of two entries for one key that of the later run counts; one that is not present takes the record away. Records are
// sealed. Threads: one. Errors: Errc::corrupted, those of the store.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kvstore/kv_tables.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

inline constexpr std::string_view runs_table_name = "runs";

struct RunEntry {
    StateTable table = StateTable::keys;
    ByteView key;
    std::optional<ByteView> content;  // nothing: there is no such record any more
};

// Sorts `entries`, no two of one key, and writes them as the next run.
[[nodiscard]] Result<void> write_run(WriteTxn& txn, std::vector<RunEntry> entries, std::size_t block_bytes);

enum class MergeState : std::uint8_t { not_begun, begun, done };
// Of a store that is being put together.
[[nodiscard]] Result<MergeState> merge_state(const ReadTxn& txn);

// Merges all runs of the store into its tables, which hold what an interrupted merge left, and writes the tables' ends.
// One transaction has about `batch_bytes`, every `batches_per_sync`-th of them is synced.
[[nodiscard]] Result<void> merge_runs(Store& store, std::size_t batch_bytes, std::uint64_t batches_per_sync);

}  // namespace loyal::kvstore
