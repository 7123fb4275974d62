#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "wire/framing.h"

namespace loyal::wire {
namespace {

std::vector<Bytes> all_frames(FrameReader& reader) {
    std::vector<Bytes> frames;
    for (;;) {
        const auto frame = reader.next();
        if (!frame || !frame->has_value()) {
            return frames;
        }
        frames.emplace_back((*frame)->begin(), (*frame)->end());
    }
}

RC_GTEST_PROP(Framing, any_split_of_the_stream_gives_the_same_frames, ()) {
    const auto frames = *rc::gen::container<std::vector<Bytes>>(rc::gen::nonEmpty(rc::gen::arbitrary<Bytes>()));
    Bytes stream;
    for (const Bytes& frame : frames) {
        append_frame(stream, frame);
    }
    FrameReader reader(1'000);
    std::vector<Bytes> got;
    std::size_t at = 0;
    while (at < stream.size()) {
        const auto size = *rc::gen::inRange<std::size_t>(1, stream.size() - at + 1);
        reader.feed(ByteView(stream).subspan(at, size));
        at += size;
        for (Bytes& frame : all_frames(reader)) {
            got.push_back(std::move(frame));
        }
    }
    RC_ASSERT(got == frames);
    RC_ASSERT(reader.buffered_bytes() == 0U);
}

TEST(Framing, the_prefix_is_little_endian) {
    EXPECT_EQ(with_prefix(Bytes(258, 9)).at(0), 2);
    EXPECT_EQ(with_prefix(Bytes(258, 9)).at(1), 1);
    EXPECT_EQ(with_prefix(Bytes(258, 9)).size(), 262U);
}

TEST(Framing, length_zero_ends_the_stream) {
    FrameReader reader(100);
    reader.feed(Bytes{0, 0, 0, 0, 1, 0, 0, 0, 9});
    EXPECT_FALSE(reader.next());
    EXPECT_FALSE(reader.next()) << "what follows a broken frame is not trusted";
}

TEST(Framing, a_length_over_the_bound_is_refused_before_a_byte_of_it_came) {
    FrameReader reader(100);
    reader.feed(Bytes{101, 0, 0, 0});
    const auto frame = reader.next();
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error().code, Errc::invalid_argument);
    EXPECT_NE(frame.error().message.find("101"), std::string::npos);
    FrameReader other(100);
    other.feed(Bytes{0xFF, 0xFF, 0xFF, 0xFF});
    EXPECT_FALSE(other.next());
}

TEST(Framing, the_largest_frame_passes) {
    FrameReader reader(100);
    reader.feed(with_prefix(Bytes(100, 7)));
    const auto frame = reader.next();
    ASSERT_TRUE(frame);
    ASSERT_TRUE(frame->has_value());
    EXPECT_EQ((*frame)->size(), 100U);
}

TEST(Framing, the_bound_can_change_between_two_frames_that_came_together) {
    FrameReader reader(10);
    Bytes stream = with_prefix(Bytes(10, 1));
    append_frame(stream, Bytes(50, 2));
    reader.feed(stream);
    ASSERT_TRUE(reader.next()->has_value());
    reader.set_frame_bytes_max(50);
    const auto second = reader.next();
    ASSERT_TRUE(second);
    EXPECT_EQ((*second)->size(), 50U);
}

TEST(Framing, taken_bytes_do_not_pile_up) {
    FrameReader reader(1'000);
    Bytes stream;
    for (int i = 0; i < 10; ++i) {
        append_frame(stream, Bytes(900, 3));
    }
    // Never at a frame's end, so that something is always left over.
    std::size_t at = 0;
    std::size_t frames = 0;
    for (int round = 0; round < 2'000; ++round) {
        Bytes piece;
        for (int i = 0; i < 500; ++i) {
            piece.push_back(stream[at]);
            at = (at + 1) % stream.size();
        }
        reader.feed(piece);
        frames += all_frames(reader).size();
        ASSERT_LE(reader.buffered_bytes(), 1'004U);
    }
    EXPECT_EQ(frames, 2'000U * 500 / 904);
}

}  // namespace
}  // namespace loyal::wire
