#include "kvstore/result_tree.h"

#include <utility>

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

namespace {

using crypto::Digest;

Digest joined(const Digest& left, const Digest& right) {
    return crypto::Hasher("result-node").update(left.view()).update(right.view()).finish();
}

Digest rooted(std::uint32_t count, const Digest& top) {
    crypto::CanonicalWriter out(4 + sizeof(Digest::bytes));
    return crypto::digest_of("results", out.number(count).digest(top).view());
}

}  // namespace

Digest result_leaf(const consensus::ClientId& client, consensus::SessionId session, ByteView operation,
                   const Outcome& outcome) {
    crypto::CanonicalWriter out(160);
    out.raw(client.bytes).number(session.value).number(outcome.seq.value).number(outcome.height.value);
    out.number(outcome.view.value).number(outcome.hlc.packed).number(outcome.revision.value);
    out.number(static_cast<std::uint8_t>(outcome.status)).digest(crypto::digest_of("operation", operation));
    out.digest(outcome.result.empty() ? Digest{} : crypto::digest_of("result", outcome.result));
    return crypto::digest_of("result-leaf", out.view());
}

ResultTree::ResultTree(std::vector<Digest> leaves) {
    LOYAL_ASSERT(leaves.size() <= limits::block_ops_max, "a block holds only so many operations");
    levels_.push_back(std::move(leaves));
    while (levels_.back().size() > 1) {
        const std::vector<Digest>& below = levels_.back();
        std::vector<Digest> level;
        level.reserve((below.size() + 1) / 2);
        for (std::size_t i = 0; i + 1 < below.size(); i += 2) {
            level.push_back(joined(below[i], below[i + 1]));
        }
        if (below.size() % 2 != 0) {
            level.push_back(below.back());
        }
        levels_.push_back(std::move(level));
    }
}

Digest ResultTree::root() const {
    return rooted(count(), count() == 0 ? Digest{} : levels_.back().front());
}

std::vector<Digest> ResultTree::path(std::uint32_t index) const {
    LOYAL_ASSERT(index < count(), "a leaf of the tree");
    std::vector<Digest> path;
    for (const std::vector<Digest>& level : levels_) {
        const std::size_t neighbour = index ^ 1U;
        if (neighbour < level.size()) {
            path.push_back(level[neighbour]);
        }
        index /= 2;
    }
    return path;
}

std::optional<Digest> root_over(const Digest& leaf, std::uint32_t index, std::uint32_t count,
                                const std::vector<Digest>& path) {
    if (index >= count || count > limits::block_ops_max) {
        return std::nullopt;
    }
    Digest top = leaf;
    auto next = path.begin();
    std::uint32_t place = index;
    for (std::uint32_t width = count; width > 1; width = (width + 1) / 2, place /= 2) {
        if ((place ^ 1U) >= width) {
            continue;
        }
        if (next == path.end()) {
            return std::nullopt;
        }
        top = place % 2 == 0 ? joined(top, *next) : joined(*next, top);
        ++next;
    }
    return next == path.end() ? std::optional(rooted(count, top)) : std::nullopt;
}

Digest execution_digest(const ExecutionOpening& opening) {
    return crypto::Hasher("exec")
        .update(opening.previous.view())
        .update(opening.block_id.view())
        .update(opening.results_root.view())
        .update(opening.effects.view())
        .finish();
}

std::size_t BlockResults::bytes() const {
    std::size_t total = sizeof(BlockResults) + (body ? body->size() : 0);
    total += operations.size() * (sizeof(ExecutedOperationRef) + 2 * sizeof(Digest));
    for (const ExecutedOperationRef& operation : operations) {
        total += operation.outcome.result.size();
    }
    return total;
}

}  // namespace loyal::kvstore
