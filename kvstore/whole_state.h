// Reads a state that was put together back, before it is put in force (PROTOCOL.md §13 S6): the leaves give the
// certified root, each leaf has its record, there is no other record, the links fit, and it is of the height that it
// should be. Each table is read once, from front to back. Errors: Errc::corrupted, those of the store.
#pragma once

#include "kvstore/state_digest.h"
#include "kvstore/store.h"

namespace loyal::kvstore {

// The meta record is of that height.
[[nodiscard]] Result<void> check_height(const ReadTxn& txn, consensus::Height expected);
[[nodiscard]] tl::unexpected<Error> wrong_root(const StateRoot& expected, const crypto::Digest& root);
[[nodiscard]] Result<void> check_whole_state(const ReadTxn& txn, const Salt& salt, const StateRoot& expected);

}  // namespace loyal::kvstore
