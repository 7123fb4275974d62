// Answers to queries from one state, in a block and outside of one alike. Errors are the store's.
#pragma once

#include "kvstore/key_reader.h"
#include "kvstore/operation.h"
#include "kvstore/rights.h"
#include "kvstore/state_view.h"

namespace loyal::kvstore {

struct QuerySource {
    KeyReader& reader;
    StateView& view;
    const StateMeta& meta;
    const ClientDirectory& clients;
};
// At most `bytes_max` bytes of items, but the first one always.
[[nodiscard]] Result<QueryAnswer> answer_query(const QuerySource& source, const Query& query, std::size_t bytes_max);

}  // namespace loyal::kvstore
