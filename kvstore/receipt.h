// The proof of one operation's result (PROTOCOL.md P3): the operation, its outcome, the path of the result tree and the
// opening of exec_dig. It proves nothing by itself: signatures over exec_dig do (consensus/receipt.h), or a committed
// header that contains it.
//
// Encoding, little-endian, one for each value:
//   client 16 | session u64 | operation u32+bytes | seq u64 | height u64 | view u64 | hlc u64 | revision u64 |
//   status u8 | result u32+bytes | leaf index u32 | leaves u32 | path u8+(digest 32)* | previous exec_dig 32 |
//   block id 32 | effects 32
// results_root and exec_dig are not in it: they follow. Pure.
#pragma once

#include <optional>
#include <vector>

#include "config/result.h"
#include "consensus/types.h"
#include "kvstore/operation.h"
#include "kvstore/result_tree.h"

namespace loyal::kvstore {

struct Receipt {
    consensus::ClientId client;
    consensus::SessionId session;
    Bytes operation;  // canonical, one operation
    Outcome outcome;
    std::uint32_t leaf = 0;  // its place among the block's results
    std::uint32_t leaves = 0;
    std::vector<crypto::Digest> path;
    crypto::Digest previous;  // exec_dig of the height below
    crypto::Digest block_id;
    crypto::Digest effects;
    friend bool operator==(const Receipt&, const Receipt&) = default;
};

[[nodiscard]] Bytes encode_receipt(const Receipt& receipt);
// Errc::invalid_argument: not the encoding of a receipt with an operation and, for a range, a result that parse, or
// with a path that its place does not need.
[[nodiscard]] Result<Receipt> decode_receipt(ByteView bytes);
// The exec_dig that the receipt leads to; nothing when the path does not fit its place.
[[nodiscard]] std::optional<crypto::Digest> executed_digest_of(const Receipt& receipt);
// Of `results.operations[index]` (asserted to exist). Errc::corrupted when its envelope does not parse.
[[nodiscard]] Result<Receipt> make_receipt(const BlockResults& results, std::uint32_t index);

}  // namespace loyal::kvstore
