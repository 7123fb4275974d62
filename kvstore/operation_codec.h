// Pieces that the codecs of operations and of answers share: keys and values with their bounds.
#pragma once

#include "config/assert.h"
#include "config/limits.h"
#include "crypto/canonical.h"

namespace loyal::kvstore {

inline void write_key(crypto::CanonicalWriter& out, ByteView key) {
    LOYAL_ASSERT(key.size() <= limits::key_bytes_max, "callers check a key before they encode it");
    out.number(static_cast<std::uint16_t>(key.size())).raw(key);
}

// A key of at most key_bytes_max bytes; `may_be_empty` for the bounds of a range.
[[nodiscard]] inline Bytes read_key(crypto::CanonicalReader& in, bool may_be_empty) {
    const auto size = in.number<std::uint16_t>();
    if (size > limits::key_bytes_max || (size == 0 && !may_be_empty)) {
        in.reject();
    }
    const ByteView key = in.raw(size);
    return {key.begin(), key.end()};
}

[[nodiscard]] inline Bytes read_value(crypto::CanonicalReader& in) {
    const ByteView value = in.sized(limits::value_bytes_max);
    return {value.begin(), value.end()};
}

}  // namespace loyal::kvstore
