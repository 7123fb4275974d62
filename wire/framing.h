// Frames on a byte stream: u32 little-endian length, then that many bytes; 1 .. frame_bytes_max. Sans-IO.
//
// FrameReader keeps what was fed and not yet taken: never more than one largest frame plus the last piece fed, and
// never more than a small multiple of what the other side really sent, whatever length it announces. One thread at a
// time.
#pragma once

#include <cstddef>
#include <optional>

#include "config/bytes.h"
#include "config/result.h"

namespace loyal::wire {

inline constexpr std::size_t frame_prefix_bytes = 4;

class FrameReader {
 public:
    explicit FrameReader(std::size_t frame_bytes_max) : frame_bytes_max_(frame_bytes_max) {}

    // Appends received bytes. Call next() until it has nothing before feeding more.
    void feed(ByteView bytes);
    // The next whole frame (without its prefix), which is valid until the next call of feed(); nothing when more bytes
    // are needed. Errc::invalid_argument: length 0 or over the bound; the stream is useless from there on, and every
    // further call repeats the error.
    [[nodiscard]] Result<std::optional<ByteView>> next();
    // For the frames that were not taken yet.
    void set_frame_bytes_max(std::size_t bytes) { frame_bytes_max_ = bytes; }
    [[nodiscard]] std::size_t buffered_bytes() const { return buffer_.size() - taken_; }

 private:
    std::size_t frame_bytes_max_;
    Bytes buffer_;
    std::size_t taken_ = 0;  // bytes of buffer_ that were handed out
    bool broken_ = false;
};

// The prefix and the frame. Asserts the length: 1 .. 2^32-1.
[[nodiscard]] Bytes with_prefix(ByteView frame);
void append_frame(Bytes& out, ByteView frame);

}  // namespace loyal::wire
