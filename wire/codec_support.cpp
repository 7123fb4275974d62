#include "wire/codec_support.h"

#include <google/protobuf/io/coded_stream.h>

namespace loyal::wire::detail {

namespace {

using google::protobuf::io::CodedInputStream;

// Skips the value of `tag`; false at malformed bytes. Groups do not occur in this schema.
bool skip_value(CodedInputStream& in, std::uint32_t tag) {
    switch (tag & 7U) {
        case 0: {
            std::uint64_t number = 0;
            return in.ReadVarint64(&number);
        }
        case 1: return in.Skip(8);
        case 2: {
            std::uint32_t size = 0;
            return in.ReadVarint32(&size) && size <= limits::frame_bytes_max && in.Skip(static_cast<int>(size));
        }
        case 5: return in.Skip(4);
        default: return false;
    }
}

bool is_delimited(std::uint32_t tag, int field) {
    return tag == (static_cast<std::uint32_t>(field) << 3U | 2U);
}

// Adds the occurrences of `field` in the next `size` bytes to `count`.
bool count_in(CodedInputStream& in, std::uint32_t size, int field, std::size_t limit, std::size_t& count) {
    const auto outer_limit = in.PushLimit(static_cast<int>(size));
    while (std::uint32_t tag = in.ReadTag()) {
        if (is_delimited(tag, field) && ++count > limit) {
            return false;
        }
        if (!skip_value(in, tag)) {
            return false;
        }
    }
    const bool whole = in.BytesUntilLimit() == 0;
    in.PopLimit(outer_limit);
    return whole;
}

}  // namespace

std::size_t count_elements(ByteView frame, int outer, int inner, std::size_t limit) {
    std::size_t count = 0;
    if (frame.size() > limits::frame_bytes_max) {
        return limit + 1;
    }
    CodedInputStream in(frame.data(), static_cast<int>(frame.size()));
    while (std::uint32_t tag = in.ReadTag()) {
        std::uint32_t size = 0;
        const bool ok = is_delimited(tag, outer)
                            ? in.ReadVarint32(&size) && size <= frame.size() && count_in(in, size, inner, limit, count)
                            : skip_value(in, tag);
        if (!ok) {
            return limit + 1;
        }
    }
    return count;
}

}  // namespace loyal::wire::detail
