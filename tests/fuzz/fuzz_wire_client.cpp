// Any frame from a client is a message within its bounds, or a named error. What is accepted is written and read again
// to the same bytes: nothing that decodes is ambiguous afterwards.
#include <cstdint>
#include <cstdlib>

#include "config/limits.h"
#include "wire/codec.h"

namespace {

using namespace loyal;

Result<wire::ClientMessage> decode(ByteView frame) {
    return wire::decode_client(frame);
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
    if (const auto* submit = std::get_if<wire::Submit>(&*message)) {
        require(submit->envelope.bytes.size() <= limits::envelope_bytes_max);
        require(submit->envelope.count >= 1 && submit->envelope.count <= limits::envelope_ops_max);
    }
    return 0;
}
