// The Merkle tree over what a block's operations did (PROTOCOL.md §13 S1, P3; Merkle, CRYPTO'87; IA-CCF's receipts).
// Its root goes into exec_dig, so that one signature over exec_dig vouches for each result of a block.
//
//   leaf   H("result-leaf", client 16 | session u64 | seq u64 | height u64 | view u64 | hlc u64 | revision u64 |
//            status u8 | H("operation", canonical bytes) | H("result", result bytes); zeros for an empty result)
//   node   H("result-node", left | right)          an odd last node of a level goes up as it is
//   root   H("results", count u32 | top)           top is zero when there is no leaf
//
// The root covers the number of leaves, so place and number say how long a path is and on which side each of its
// digests stands: there is one path to each leaf. Leaves are the operations that the block executed or refused, in the
// order of the block. An operation that was executed before and gets its stored outcome again is none: its envelope may
// carry another operation under the same number, of which the outcome says nothing.
//
// Pure; values.
#pragma once

#include <optional>
#include <vector>

#include "crypto/digest.h"
#include "kvstore/operation.h"

namespace loyal::kvstore {

// `operation`: its canonical bytes (encode_operation).
[[nodiscard]] crypto::Digest result_leaf(const consensus::ClientId& client, consensus::SessionId session,
                                         ByteView operation, const Outcome& outcome);

class ResultTree {
 public:
    // At most limits::block_ops_max leaves (asserted).
    explicit ResultTree(std::vector<crypto::Digest> leaves = {});

    [[nodiscard]] const crypto::Digest& leaf(std::uint32_t index) const { return levels_.front().at(index); }
    [[nodiscard]] std::uint32_t count() const { return static_cast<std::uint32_t>(levels_.front().size()); }
    [[nodiscard]] crypto::Digest root() const;
    // From the leaf upwards, one digest for each level on which it has a neighbour; index < count (asserted).
    [[nodiscard]] std::vector<crypto::Digest> path(std::uint32_t index) const;

 private:
    std::vector<std::vector<crypto::Digest>> levels_;  // the leaves first, the top last
};

// The root that a path leads to. Nothing when the path has not exactly the length that its place needs.
[[nodiscard]] std::optional<crypto::Digest> root_over(const crypto::Digest& leaf, std::uint32_t index,
                                                      std::uint32_t count, const std::vector<crypto::Digest>& path);

// ---- exec_dig (S1)

// What exec_dig_h is the digest of: H("exec", exec_dig_{h-1} | id_h | results_root | effects). `effects` covers all
// replies of the block, stored outcomes included (block_executor.h).
struct ExecutionOpening {
    crypto::Digest previous;  // exec_dig of the height below; zero at height 0
    crypto::Digest block_id;
    crypto::Digest results_root;
    crypto::Digest effects;
    friend bool operator==(const ExecutionOpening&, const ExecutionOpening&) = default;
};
[[nodiscard]] crypto::Digest execution_digest(const ExecutionOpening& opening);

// ---- What a replica keeps of an executed block in order to answer for it

struct ExecutedOperationRef {
    consensus::ClientId client;
    consensus::SessionId session;
    ByteView operations;      // of its envelope; points into `body`
    std::uint16_t count = 0;  // of operations in it
    std::uint16_t index = 0;  // of this one
    Outcome outcome;
};
struct BlockResults {
    consensus::Height height;
    crypto::Digest digest;  // exec_dig
    ExecutionOpening opening;
    SharedBytes body;
    std::vector<ExecutedOperationRef> operations;  // of the leaves, in order
    ResultTree tree;
    [[nodiscard]] std::size_t bytes() const;  // of memory, about
};

}  // namespace loyal::kvstore
