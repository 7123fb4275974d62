// Operations, ranges and range results as clients and replicas send them: no input crashes a decoder, and what is
// accepted re-encodes to the same bytes.
#include <cstdlib>

#include "kvstore/operation.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace loyal::kvstore;
    if (size == 0) {
        return 0;
    }
    const std::size_t count = data[0];
    const loyal::ByteView bytes(data + 1, size - 1);
    const auto same = [&](const loyal::Bytes& encoded) {
        return encoded.size() == bytes.size() && std::equal(encoded.begin(), encoded.end(), bytes.begin());
    };
    if (const auto operations = decode_operations(bytes, count); operations && !same(encode_operations(*operations))) {
        std::abort();
    }
    if (const auto range = decode_range(bytes); range && !same(encode_range(*range))) {
        std::abort();
    }
    if (const auto result = decode_range_result(bytes); result && !same(encode_range_result(*result))) {
        std::abort();
    }
    return 0;
}
