// Operations, queries and what answers them, as clients and replicas send them: no input crashes a decoder, and what is
// accepted re-encodes to the same bytes.
#include <cstdlib>

#include "kvstore/operation.h"

namespace {

using namespace loyal::kvstore;

template <class Decoded, class Encode>
void expect_same(loyal::ByteView bytes, const Decoded& decoded, Encode encode) {
    if (!decoded) {
        return;
    }
    const loyal::Bytes encoded = encode(*decoded);
    if (encoded.size() != bytes.size() || !std::equal(encoded.begin(), encoded.end(), bytes.begin())) {
        std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const std::size_t count = data[0];
    const loyal::ByteView bytes(data + 1, size - 1);
    expect_same(bytes, decode_operations(bytes, count), encode_operations);
    expect_same(bytes, decode_query(bytes), encode_query);
    expect_same(bytes, decode_query_answer(bytes), encode_query_answer);
    expect_same(bytes, decode_range_result(bytes), encode_range_result);
    expect_same(bytes, decode_count(bytes), encode_count);
    expect_same(bytes, decode_lock_place(bytes), encode_lock_place);
    expect_same(bytes, decode_lease_report(bytes), encode_lease_report);
    expect_same(bytes, decode_lock_report(bytes), encode_lock_report);
    expect_same(bytes, decode_txn_result(bytes), encode_txn_result);
    return 0;
}
