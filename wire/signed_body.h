// The signed part of a PROPOSE whose block is no block: decode_peer refuses such a frame, but what its leader signed
// may convict it (evidence E5).
#pragma once

#include <optional>

#include "config/bytes.h"
#include "consensus/messages.h"

namespace loyal::wire {

struct SignedBody {
    consensus::Header header;
    crypto::Signature signature;
    SharedBytes body;  // any bytes within the limit
};
// Nothing for every other frame. Thread-safe.
[[nodiscard]] std::optional<SignedBody> signed_body_of(ByteView frame);

}  // namespace loyal::wire
