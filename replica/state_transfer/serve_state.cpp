#include "replica/state_transfer/serve_state.h"

#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::replica {
namespace {

using consensus::StatePart;
using consensus::StateRequest;
using kvstore::Bucket;
using kvstore::Leaf;

Result<Bytes> read_leaves(const kvstore::Checkpoints& checkpoints, const StateRequest& request) {
    std::vector<std::vector<Leaf>> groups;
    std::size_t bytes = 0;
    const Bucket end = std::min<Bucket>(request.index + request.count, kvstore::buckets);
    for (Bucket bucket = request.index; bucket < end; ++bucket) {
        auto leaves = checkpoints.leaves(request.checkpoint, bucket);
        if (!leaves) {
            return tl::unexpected(std::move(leaves.error()));
        }
        bytes += leaves->size() * sizeof(Leaf) + 8;
        if (!groups.empty() && bytes > limits::state_chunk_bytes_max) {
            break;
        }
        groups.push_back(std::move(*leaves));
    }
    return encode_buckets(groups);
}

Result<Bytes> read_part(const kvstore::Checkpoints& checkpoints, const StateRequest& request) {
    switch (request.part) {
        case StatePart::subtree:
            return checkpoints.subtree(request.checkpoint, request.index).map([](const auto& digests) {
                return kvstore::encode_subtree(digests);
            });
        case StatePart::leaves: return read_leaves(checkpoints, request);
        case StatePart::records:
            return checkpoints.records(request.checkpoint, request.names, limits::state_chunk_bytes_max)
                .map([](const auto& records) { return kvstore::encode_records(records); });
    }
    return fail(Errc::invalid_argument, "no such part of a state");
}

}  // namespace

consensus::StateChunk no_such_checkpoint(const StateRequest& request) {
    return {request.checkpoint, request.part, request.index, false, std::make_shared<const Bytes>()};
}

ServedPart serve_state_part(const kvstore::Checkpoints& checkpoints, const StateRequest& request) {
    ServedPart served{no_such_checkpoint(request), std::nullopt};
    const bool in_range = request.part == StatePart::subtree ? request.index <= kvstore::subtree_digests
                                                             : request.index < kvstore::buckets;
    if (!in_range) {
        return served;
    }
    Result<Bytes> content = read_part(checkpoints, request);
    if (!content) {
        if (content.error().code != Errc::not_found) {
            served.error = std::move(content.error());
        }
        return served;
    }
    if (content->size() <= limits::state_chunk_bytes_max + limits::state_record_bytes_max) {
        served.chunk.available = true;
        served.chunk.content = std::make_shared<const Bytes>(std::move(*content));
    }
    return served;
}

Bytes encode_buckets(const std::vector<std::vector<Leaf>>& leaves) {
    crypto::CanonicalWriter writer;
    for (const std::vector<Leaf>& bucket : leaves) {
        writer.sized(kvstore::encode_leaves(bucket));
    }
    return writer.take();
}

Result<std::vector<std::vector<Leaf>>> decode_buckets(Bucket first, std::size_t count_max, ByteView bytes) {
    std::vector<std::vector<Leaf>> groups;
    crypto::CanonicalReader reader(bytes);
    while (reader.ok() && reader.left() > 0 && groups.size() < count_max) {
        const ByteView group = reader.sized(reader.left());
        if (!reader.ok()) {
            break;
        }
        auto leaves = kvstore::decode_leaves(first + static_cast<Bucket>(groups.size()), group);
        if (!leaves) {
            return tl::unexpected(std::move(leaves.error()));
        }
        groups.push_back(std::move(*leaves));
    }
    if (!reader.finish() || groups.empty()) {
        return fail(Errc::invalid_argument, "malformed leaves of buckets");
    }
    return groups;
}

}  // namespace loyal::replica
