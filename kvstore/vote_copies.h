// Which of the two copies of the voting state may be believed (PROTOCOL.md §4, A6). Pure but for the reads.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "kvstore/log_records.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// Outcome of reading one copy.
struct CopyRead {
    bool present = false;
    std::optional<VoteCopy> copy;  // none: absent or damaged
    std::string why;               // when damaged
};
// Damage is in the answer; an error is a failure to read at all.
[[nodiscard]] Result<CopyRead> read_vote_copy(const ReadTxn& txn, TableIndex table, std::string_view name);

// Rule A6: both copies are written in every transaction under the number of its last record, so a single survivor is
// the newest exactly when it carries the number of the last record in the log (pitfall 24).
// Nothing when there is no copy and no record: a first start. `last` is the number of the last record, 0 without one.
[[nodiscard]] Result<std::optional<VoteCopy>> newest_copy(const CopyRead& a, const CopyRead& b, LogSequence last);

// Errc::corrupted, with what it means for the replica.
[[nodiscard]] tl::unexpected<Error> lost_votes(const std::string& why);

}  // namespace loyal::kvstore
