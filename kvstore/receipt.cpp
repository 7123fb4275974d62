#include "kvstore/receipt.h"

#include <algorithm>
#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

// Of a tree over block_ops_max leaves.
constexpr std::size_t path_max = 12;
static_assert(limits::block_ops_max <= std::size_t{1} << path_max);
// A compare-and-set with two values is the largest operation, one page the largest result.
constexpr std::size_t operation_bytes_max = limits::envelope_bytes_max;
constexpr std::size_t result_bytes_max = limits::range_bytes_max + 64;

tl::unexpected<Error> refuse_receipt(const char* why) {
    return fail(Errc::invalid_argument, std::string("a receipt: ") + why);
}

// What is proven can be read: a result belongs to a range that was answered, and is one.
bool is_readable(const Receipt& receipt) {
    const auto operations = decode_operations(receipt.operation, 1);
    if (!operations || encode_operation(operations->front()) != receipt.operation) {
        return false;
    }
    const bool answered = std::holds_alternative<Range>(operations->front()) && receipt.outcome.status == Status::ok;
    return !answered || decode_range_result(receipt.outcome.result).has_value();
}

}  // namespace

Bytes encode_receipt(const Receipt& receipt) {
    const Outcome& outcome = receipt.outcome;
    crypto::CanonicalWriter out(256 + receipt.operation.size() + outcome.result.size() + receipt.path.size() * 32);
    out.raw(receipt.client.bytes).number(receipt.session.value).sized(receipt.operation);
    out.number(outcome.seq.value).number(outcome.height.value).number(outcome.view.value).number(outcome.hlc.packed);
    out.number(outcome.revision.value).number(static_cast<std::uint8_t>(outcome.status)).sized(outcome.result);
    out.number(receipt.leaf).number(receipt.leaves).number(static_cast<std::uint8_t>(receipt.path.size()));
    for (const crypto::Digest& digest : receipt.path) {
        out.digest(digest);
    }
    return out.digest(receipt.previous).digest(receipt.block_id).digest(receipt.effects).take();
}

Result<Receipt> decode_receipt(ByteView bytes) {
    crypto::CanonicalReader in(bytes);
    Receipt receipt;
    const ByteView client = in.raw(receipt.client.bytes.size());
    std::copy(client.begin(), client.end(), receipt.client.bytes.begin());
    receipt.session = consensus::SessionId(in.number<std::uint64_t>());
    const ByteView operation = in.sized(operation_bytes_max);
    Outcome& outcome = receipt.outcome;
    outcome.seq = consensus::Seq(in.number<std::uint64_t>());
    outcome.height = consensus::Height(in.number<std::uint64_t>());
    outcome.view = consensus::View(in.number<std::uint64_t>());
    outcome.hlc = consensus::Hlc(in.number<std::uint64_t>());
    outcome.revision = Revision(in.number<std::uint64_t>());
    outcome.status = static_cast<Status>(in.number<std::uint8_t>());
    const ByteView result = in.sized(result_bytes_max);
    receipt.leaf = in.number<std::uint32_t>();
    receipt.leaves = in.number<std::uint32_t>();
    const auto steps = in.number<std::uint8_t>();
    if (!in.ok() || steps > path_max) {
        return refuse_receipt("cut short, or over a limit");
    }
    receipt.path.resize(steps);
    for (crypto::Digest& digest : receipt.path) {
        digest = in.digest();
    }
    receipt.previous = in.digest();
    receipt.block_id = in.digest();
    receipt.effects = in.digest();
    if (!in.finish()) {
        return refuse_receipt("cut short, or with bytes left over");
    }
    receipt.operation.assign(operation.begin(), operation.end());
    outcome.result.assign(result.begin(), result.end());
    if (!is_readable(receipt)) {
        return refuse_receipt("an operation or a result that does not parse");
    }
    if (!executed_digest_of(receipt)) {
        return refuse_receipt("a path that does not fit its place");
    }
    return receipt;
}

std::optional<crypto::Digest> executed_digest_of(const Receipt& receipt) {
    const crypto::Digest leaf = result_leaf(receipt.client, receipt.session, receipt.operation, receipt.outcome);
    const auto root = root_over(leaf, receipt.leaf, receipt.leaves, receipt.path);
    if (!root) {
        return std::nullopt;
    }
    return execution_digest({receipt.previous, receipt.block_id, *root, receipt.effects});
}

Result<Receipt> make_receipt(const BlockResults& results, std::uint32_t index) {
    LOYAL_ASSERT(index < results.operations.size(), "a result of the block");
    const ExecutedOperationRef& of = results.operations[index];
    const auto operations = decode_operations(of.operations, of.count);
    if (!operations || of.index >= operations->size()) {
        return fail(Errc::corrupted, "the operations of an executed envelope do not parse");
    }
    return Receipt{of.client,
                   of.session,
                   encode_operation((*operations)[of.index]),
                   of.outcome,
                   index,
                   results.tree.count(),
                   results.tree.path(index),
                   results.opening.previous,
                   results.opening.block_id,
                   results.opening.effects};
}

}  // namespace loyal::kvstore
