// Answers to queries from one state, in a block and outside of one alike. Errors are the store's.
#pragma once

#include "kvstore/key_reader.h"
#include "kvstore/operation.h"
#include "kvstore/state_view.h"

namespace loyal::kvstore {

// At most `bytes_max` bytes of items (Status::too_large when not even one fits, but for a first page of its own).
[[nodiscard]] Result<QueryAnswer> answer_query(KeyReader& reader, StateView& view, const StateMeta& meta,
                                               const Query& query, std::size_t bytes_max);

}  // namespace loyal::kvstore
