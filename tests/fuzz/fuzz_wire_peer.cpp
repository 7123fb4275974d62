// Any frame from a peer is a message within its bounds, or a named error. What is accepted is written and read again to
// the same bytes: nothing that decodes is ambiguous afterwards.
#include <cstdint>
#include <cstdlib>

#include "config/limits.h"
#include "wire/codec.h"

namespace {

using namespace loyal;

// The context of the wire vectors, so that the seeds are whole messages.
Result<consensus::PeerMessage> decode(ByteView frame) {
    consensus::ClusterContext context;
    context.cluster_id.bytes.fill(0xC1);
    context.epoch = consensus::Epoch(2);
    return wire::decode_peer(context, frame);
}

void require(bool truth) {
    if (!truth) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto message = decode(ByteView(data, size));
    if (!message) {
        require(message.error().code != Errc::internal && !message.error().message.empty());
        return 0;
    }
    const Bytes bytes = wire::encode(*message);
    const auto again = decode(bytes);
    require(again.has_value());
    require(wire::encode(*again) == bytes);
    if (const auto* fetch = std::get_if<consensus::Fetch>(&*message)) {
        require(fetch->ids.size() <= 2 * limits::window_max);
    }
    if (const auto* blocks = std::get_if<consensus::Blocks>(&*message)) {
        require(blocks->headers.size() <= limits::fetch_blocks_max);
        require(blocks->blocks.size() <= limits::fetch_blocks_max + limits::window_max);
    }
    return 0;
}
