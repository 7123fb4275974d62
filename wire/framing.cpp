#include "wire/framing.h"

#include "config/assert.h"

namespace loyal::wire {

namespace {

// Taken bytes are dropped once they are this many, or when nothing else is left: no byte is moved more than once or so.
constexpr std::size_t compact_bytes = 64U << 10U;
// An idle link does not hold on to the memory of its largest frame.
constexpr std::size_t keep_bytes = 1U << 20U;

std::size_t length_at(ByteView prefix) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < frame_prefix_bytes; ++i) {
        length |= static_cast<std::size_t>(prefix[i]) << (8U * i);
    }
    return length;
}

}  // namespace

void FrameReader::feed(ByteView bytes) {
    if (taken_ == buffer_.size()) {
        if (buffer_.capacity() > keep_bytes) {
            Bytes().swap(buffer_);
        }
        buffer_.clear();
        taken_ = 0;
    } else if (taken_ >= compact_bytes) {
        buffer_.erase(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(taken_));
        taken_ = 0;
    }
    // Grows with what was really sent, never with what a length announces.
    buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

Result<std::optional<ByteView>> FrameReader::next() {
    if (broken_) {
        return fail(Errc::invalid_argument, "the stream broke off at a frame of a forbidden length");
    }
    const ByteView rest = ByteView(buffer_).subspan(taken_);
    if (rest.size() < frame_prefix_bytes) {
        return std::nullopt;
    }
    const std::size_t length = length_at(rest);
    if (length == 0 || length > frame_bytes_max_) {
        broken_ = true;
        return fail(Errc::invalid_argument, "a frame of " + std::to_string(length) + " bytes, allowed are 1 to " +
                                                std::to_string(frame_bytes_max_));
    }
    if (rest.size() - frame_prefix_bytes < length) {
        return std::nullopt;
    }
    taken_ += frame_prefix_bytes + length;
    return rest.subspan(frame_prefix_bytes, length);
}

void append_frame(Bytes& out, ByteView frame) {
    LOYAL_ASSERT(!frame.empty() && frame.size() <= 0xFFFFFFFFU, "a frame has 1 to 2^32-1 bytes");
    for (std::size_t i = 0; i < frame_prefix_bytes; ++i) {
        out.push_back(static_cast<std::uint8_t>((frame.size() >> (8U * i)) & 0xFFU));
    }
    out.insert(out.end(), frame.begin(), frame.end());
}

Bytes with_prefix(ByteView frame) {
    Bytes out;
    out.reserve(frame_prefix_bytes + frame.size());
    append_frame(out, frame);
    return out;
}

}  // namespace loyal::wire
