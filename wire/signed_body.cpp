#include "wire/signed_body.h"

#include "wire/codec_support.h"

namespace loyal::wire {

using namespace detail;

std::optional<SignedBody> signed_body_of(ByteView frame) {
    v1::PeerFrame parsed;
    // Elements of another message are cheap to send and dear to parse.
    if (count_elements(frame, v1::PeerFrame::kBlocksFieldNumber, v1::Blocks::kBlocksFieldNumber, 0) > 0 ||
        !parse(parsed, frame, "peer frame") || parsed.message_case() != v1::PeerFrame::kPropose) {
        return std::nullopt;
    }
    const v1::Block& block = parsed.propose().block();
    SignedBody result;
    if (block.body().size() > limits::body_bytes_max || !fixed_bytes(block.signature(), result.signature)) {
        return std::nullopt;
    }
    const auto header = consensus::decode_header(view(block.header()));
    if (!header) {
        return std::nullopt;
    }
    result.header = *header;
    result.body = shared(block.body());
    return result;
}

}  // namespace loyal::wire
