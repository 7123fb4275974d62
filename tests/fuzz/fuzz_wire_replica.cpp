// Any frame from a replica is a message within its bounds, or a named error. What is accepted is written and read again
// to the same bytes: nothing that decodes is ambiguous afterwards.
#include <cstdint>
#include <cstdlib>

#include "config/limits.h"
#include "wire/codec.h"

namespace {

using namespace loyal;

Result<wire::ReplicaMessage> decode(ByteView frame) {
    return wire::decode_replica(frame);
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
    std::size_t outcomes = 0;
    if (const auto* reply = std::get_if<wire::Reply>(&*message)) {
        require(reply->outcomes.size() <= limits::envelope_ops_max);
        outcomes = reply->outcomes.size();
    }
    // Cutting it into small frames loses no outcome.
    std::size_t cut = 0;
    for (const Bytes& frame : wire::encode_frames(*message, 1024)) {
        const auto part = decode(frame);
        require(part.has_value());
        if (const auto* reply = std::get_if<wire::Reply>(&*part)) {
            require(frame.size() <= 1024);
            cut += reply->outcomes.size();
        }
    }
    require(cut == outcomes);
    return 0;
}
