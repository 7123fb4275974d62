// What a replica keeps of the blocks that it executed last, in order to answer RECEIPT_ASKs (PROTOCOL.md P3): the
// results and the own signature over exec_dig, made when the first client asks and then kept. Bounded in heights and
// bytes (limits::receipt_*); in memory only, so a client that wants a receipt asks soon. Single-threaded, as the node.
#pragma once

#include <deque>
#include <memory>
#include <optional>

#include "config/limits.h"
#include "config/result.h"
#include "consensus/messages.h"
#include "crypto/signature.h"
#include "kvstore/receipt.h"
#include "wire/client_messages.h"

namespace loyal::replica {

struct ReceiptBounds {
    std::size_t heights_max = limits::receipt_heights_max;
    std::size_t bytes_max = limits::receipt_bytes_max;
};

class ReceiptBook {
 public:
    ReceiptBook(const consensus::ClusterContext& context, consensus::ReplicaId self, ReceiptBounds bounds = {})
        : context_(context), self_(self), bounds_(bounds) {}

    // Of the next height; anything else starts the book anew.
    void add(std::shared_ptr<const kvstore::BlockResults> results);
    void clear();

    // A client gets the receipts of its own operations only. `signer` is asked once a block. Errc::unavailable: not
    // executed yet, or not to be signed now: ask again. Errc::not_found: forgotten, or no such operation was executed
    // in that block.
    [[nodiscard]] Result<wire::ReceiptAnswer> answer(const consensus::ClientId& client, const wire::ReceiptAsk& ask,
                                                     const crypto::Signer& signer);

    [[nodiscard]] std::size_t heights() const { return pages_.size(); }
    [[nodiscard]] std::size_t bytes() const { return bytes_; }

 private:
    struct Page {
        std::shared_ptr<const kvstore::BlockResults> results;
        std::size_t bytes = 0;
        std::optional<crypto::Signature> signature;
    };

    consensus::ClusterContext context_;
    consensus::ReplicaId self_;
    ReceiptBounds bounds_;
    std::deque<Page> pages_;  // of consecutive heights
    std::size_t bytes_ = 0;
};

}  // namespace loyal::replica
