#include "replica/serve_committed.h"

#include <algorithm>
#include <utility>

#include "config/limits.h"

namespace loyal::replica {
namespace {

std::size_t weight(const consensus::Block& block) {
    return block.body->size() + 512;
}

// What was asked for is forgotten here (S5): the newest checkpoint, from which the asker can go on (S6).
Result<consensus::Blocks> newest_proof(const kvstore::ConsensusLog& log) {
    auto proof = log.checkpoint_proof(log.newest_checkpoint());
    if (!proof) {
        return tl::unexpected<Error>(std::move(proof.error()));
    }
    consensus::Blocks blocks;
    blocks.checkpoint = std::move(*proof);
    return blocks;
}

}  // namespace

Result<consensus::Blocks> read_committed(const kvstore::ConsensusLog& log, const consensus::ServeCommitted& request) {
    if (std::max(request.from, consensus::Height(1)) < log.first_height()) {
        return newest_proof(log);
    }
    auto range = log.committed_range(request.from, request.top, limits::fetch_bytes_max);
    if (!range) {
        return tl::unexpected<Error>(std::move(range.error()));
    }
    consensus::Blocks blocks;
    blocks.headers = std::move(range->headers);
    blocks.commit = std::move(range->certificate);
    blocks.blocks = std::move(range->blocks);
    const consensus::Height reached = blocks.headers.empty() ? request.from.minus(1) : blocks.headers.back().height;
    if (blocks.blocks.size() < blocks.headers.size() || reached < request.top) {
        return blocks;  // more committed blocks are to come before the tail is of use
    }
    std::size_t bytes = 0;
    for (const consensus::BlockPtr& block : blocks.blocks) {
        bytes += weight(*block);
    }
    for (const consensus::BlockPtr& block : request.tail.blocks) {
        bytes += weight(*block);
        if (bytes > limits::fetch_bytes_max) {
            break;
        }
        blocks.blocks.push_back(block);
    }
    blocks.prepare = request.tail.prepare;
    return blocks;
}

}  // namespace loyal::replica
