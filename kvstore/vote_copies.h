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

// What the two say together.
struct VotesFound {
    std::optional<VoteCopy> copy;  // the best there is; none: neither is intact, or there never was one
    std::string doubt;             // why votes newer than `copy` may be forgotten; empty: it is provably the newest
};
// Rule A6: both copies are written in every transaction under the number of its last record, so a single survivor is
// the newest exactly when it carries the number of the last record in the log (pitfall 24).
// Neither copy nor doubt when there is no copy and no record: a first start. `last` is the number of the last record, 0
// without one.
[[nodiscard]] VotesFound judge_copies(const CopyRead& a, const CopyRead& b, LogSequence last);

}  // namespace loyal::kvstore
