#include "consensus/receipt.h"

#include "crypto/canonical.h"

namespace loyal::consensus {

Bytes receipt_content(const ReceiptStatement& statement) {
    crypto::CanonicalWriter out(8 + 32 + 32 + 2);
    out.number(statement.block.height.value).digest(statement.block.id).digest(statement.executed_digest);
    return out.number(statement.replica.value).take();
}

Result<ReceiptStatement> decode_receipt_content(ByteView bytes) {
    crypto::CanonicalReader in(bytes);
    ReceiptStatement statement;
    statement.block.height = Height(in.number<std::uint64_t>());
    statement.block.id = in.digest();
    statement.executed_digest = in.digest();
    statement.replica = ReplicaId(in.number<std::uint16_t>());
    if (!in.finish()) {
        return fail(Errc::invalid_argument, "bytes that are no receipt");
    }
    return statement;
}

}  // namespace loyal::consensus
