#include "replica/receipt_book.h"

#include <algorithm>
#include <string>
#include <utility>

#include "consensus/receipt.h"

namespace loyal::replica {

void ReceiptBook::add(std::shared_ptr<const kvstore::BlockResults> results) {
    if (!results) {
        clear();
        return;
    }
    if (!pages_.empty() && results->height != pages_.back().results->height.next()) {
        clear();
    }
    const std::size_t bytes = results->bytes();
    pages_.push_back({std::move(results), bytes, std::nullopt});
    bytes_ += bytes;
    while (pages_.size() > bounds_.heights_max || (bytes_ > bounds_.bytes_max && pages_.size() > 1)) {
        bytes_ -= pages_.front().bytes;
        pages_.pop_front();
    }
}

void ReceiptBook::clear() {
    pages_.clear();
    bytes_ = 0;
}

Result<wire::ReceiptAnswer> ReceiptBook::answer(const consensus::ClientId& client, const wire::ReceiptAsk& ask,
                                                const crypto::Signer& signer) {
    if (pages_.empty() || ask.height > pages_.back().results->height) {
        return fail(Errc::unavailable, "block " + std::to_string(ask.height.value) + " is not executed here yet");
    }
    const consensus::Height first = pages_.front().results->height;
    if (ask.height < first) {
        return fail(Errc::not_found, "this replica keeps what receipts need from block " + std::to_string(first.value) +
                                         " on only; ask for one soon after the write");
    }
    Page& page = pages_[ask.height.value - first.value];
    const kvstore::BlockResults& results = *page.results;
    const auto found = std::find_if(results.operations.begin(), results.operations.end(), [&](const auto& each) {
        return each.client == client && each.session == ask.session && each.outcome.seq == ask.seq;
    });
    if (found == results.operations.end()) {
        return fail(Errc::not_found, "no such operation of this client was executed in that block");
    }
    auto receipt = make_receipt(results, static_cast<std::uint32_t>(found - results.operations.begin()));
    if (!receipt) {
        return tl::unexpected(receipt.error());
    }
    if (!page.signature) {
        const Bytes content =
            consensus::receipt_content({{results.height, results.opening.block_id}, results.digest, self_});
        const crypto::Signature signature =
            signer.sign(consensus::signed_bytes(context_, consensus::SignDomain::receipt, content));
        if (signature.is_zero()) {
            return fail(Errc::unavailable, "this replica does not sign a receipt for that block now; ask another");
        }
        page.signature = signature;
    }
    return wire::ReceiptAnswer{ask.nonce, std::move(*receipt), *page.signature};
}

}  // namespace loyal::replica
