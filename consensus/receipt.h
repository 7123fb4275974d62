// What a replica signs on demand about a block that it has executed (PROTOCOL.md message 9 RECEIPT, P3): w of them for
// one exec_dig, one of a correct replica among them, vouch for everything that exec_dig covers (kvstore/result_tree.h).
// Links cannot stand in for these signatures, because they are for third parties: in the crash fault model, too, a
// RECEIPT is signed, and one is enough.
//
//   content   height u64 | block id 32 | exec_dig 32 | replica u16
#pragma once

#include "config/bytes.h"
#include "config/result.h"
#include "consensus/types.h"

namespace loyal::consensus {

struct ReceiptStatement {
    BlockRef block;
    crypto::Digest executed_digest;  // exec_dig of block.height
    ReplicaId replica;
    friend bool operator==(const ReceiptStatement&, const ReceiptStatement&) = default;
};
// To be signed under SignDomain::receipt.
[[nodiscard]] Bytes receipt_content(const ReceiptStatement& statement);
[[nodiscard]] Result<ReceiptStatement> decode_receipt_content(ByteView bytes);

}  // namespace loyal::consensus
