// What evidence.cpp and evidence_check.cpp share, and detection uses: the statements inside, and where two contradict
// each other. Private to consensus/ and to those who show evidence to people. Pure.
#pragma once

#include <optional>
#include <vector>

#include "config/limits.h"
#include "consensus/evidence.h"

namespace loyal::consensus {

// Votes of one view are at most a window of blocks apart; twice that is generous.
inline constexpr std::size_t evidence_path_max = 2 * limits::window_max;
static_assert(evidence_path_max * header_bytes + 1024 <= limits::evidence_bytes_max, "a longest path fits");

struct SignedHeader {
    Header header;
    crypto::Signature signature;
};
[[nodiscard]] Result<SignedHeader> read_signed_header(ByteView bytes);
[[nodiscard]] Result<std::vector<Header>> read_path(ByteView bytes);

// Order, lengths, and nothing where nothing belongs; says nothing of what the statements are.
[[nodiscard]] Result<void> check_shape(const Evidence& evidence);

// Heads that a vote names. In one view all heads of a correct voter are on one chain (Lemma 1).
[[nodiscard]] std::vector<BlockRef> heads_of(const Vote& vote);
// Height at which the two votes name different blocks outright.
[[nodiscard]] std::optional<Height> equal_height_conflict(const Vote& one, const Vote& other);
// Rule V2: a VIEW-CHANGE tells the last prepare head and a lock at least as high as any commit vote before it; and no
// vote of an earlier view follows it.
[[nodiscard]] bool hides_prepare(const ViewChange& change, const Vote& vote);
[[nodiscard]] bool hides_commit(const ViewChange& change, const Vote& vote);

}  // namespace loyal::consensus
