// The answer to a StateRequest, out of a checkpoint that is kept here (PROTOCOL.md §13 S6), and the encoding of the
// leaves of several buckets. Any thread that may read the checkpoints.
#pragma once

#include <optional>
#include <vector>

#include "config/limits.h"
#include "consensus/messages.h"
#include "kvstore/checkpoints.h"
#include "kvstore/state_digest.h"

namespace loyal::replica {

struct ServedPart {
    consensus::StateChunk chunk;
    // What kept the answer from being given although the checkpoint is here: Errc::corrupted says that the own state is
    // damaged.
    std::optional<Error> error;
};
[[nodiscard]] ServedPart serve_state_part(const kvstore::Checkpoints& checkpoints,
                                          const consensus::StateRequest& request);
// When there are no checkpoints, because the own state is not whole.
[[nodiscard]] consensus::StateChunk no_such_checkpoint(const consensus::StateRequest& request);

// Content of a StateChunk with leaves: of each bucket in turn, u32+encode_leaves.
[[nodiscard]] Bytes encode_buckets(const std::vector<std::vector<kvstore::Leaf>>& leaves);
// Of `first` and the buckets after it; between 1 and count_max of them. Errc::invalid_argument.
[[nodiscard]] Result<std::vector<std::vector<kvstore::Leaf>>> decode_buckets(kvstore::Bucket first,
                                                                             std::size_t count_max, ByteView bytes);
// A server stops before a part grows beyond state_chunk_bytes_max, and the largest record or bucket that it leaves out
// is no larger than this: an answer that is short of more than that is not honest.
inline constexpr std::size_t state_answer_bytes_min =
    limits::state_chunk_bytes_max - limits::state_record_bytes_max - 4096;

}  // namespace loyal::replica
