#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "crypto/identity.h"
#include "crypto/link.h"
#include "crypto/link_keys.h"

namespace loyal::crypto {
namespace {

struct Ends {
    LinkCipher a;
    LinkCipher b;
};

// Two ends whose counters stand at `frames` in the direction from a to b.
Ends make_ends(std::uint64_t frames = 0) {
    auto a = std::make_unique<LinkCipher::Keys>();
    auto b = std::make_unique<LinkCipher::Keys>();
    a->send.fill(1);
    b->receive.fill(1);
    a->receive.fill(2);
    b->send.fill(2);
    a->sent_frames = frames;
    b->received_frames = frames;
    return {LinkCipher(std::move(a)), LinkCipher(std::move(b))};
}

TEST(LinkCipher, frames_arrive_in_both_directions) {
    Ends ends = make_ends();
    for (const auto* text : {"one", "two", "", "three"}) {
        EXPECT_EQ(ends.b.open(ends.a.seal(view_of(text))), bytes_of(text));
        EXPECT_EQ(ends.a.open(ends.b.seal(view_of(text))), bytes_of(text));
    }
}

TEST(LinkCipher, equal_frames_look_different) {
    Ends ends = make_ends();
    EXPECT_NE(ends.a.seal(view_of("same")), ends.a.seal(view_of("same")));
}

TEST(LinkCipher, every_flipped_bit_is_noticed) {
    for (std::size_t bit = 0; bit < (5 + LinkCipher::overhead_bytes) * 8; ++bit) {
        Ends ends = make_ends();
        Bytes frame = ends.a.seal(view_of("hello"));
        frame[bit / 8] = static_cast<std::uint8_t>(frame[bit / 8] ^ (1U << (bit % 8)));
        const auto plain = ends.b.open(frame);
        ASSERT_FALSE(plain) << bit;
        EXPECT_EQ(plain.error().code, Errc::unauthentic);
    }
}

TEST(LinkCipher, a_replayed_frame_is_noticed) {
    Ends ends = make_ends();
    const Bytes frame = ends.a.seal(view_of("pay"));
    ASSERT_TRUE(ends.b.open(frame));
    EXPECT_FALSE(ends.b.open(frame));
}

TEST(LinkCipher, reordered_and_missing_frames_are_noticed) {
    Ends ends = make_ends();
    const Bytes first = ends.a.seal(view_of("first"));
    const Bytes second = ends.a.seal(view_of("second"));
    EXPECT_FALSE(ends.b.open(second));
    EXPECT_FALSE(ends.b.open(first)) << "after a failure the link is over, even for a frame that would fit";
    EXPECT_FALSE(ends.b.open(second));
}

TEST(LinkCipher, a_cut_or_lengthened_frame_is_noticed) {
    for (std::size_t size = 0; size < 5 + LinkCipher::overhead_bytes; ++size) {
        Ends ends = make_ends();
        const Bytes frame = ends.a.seal(view_of("hello"));
        EXPECT_FALSE(ends.b.open(ByteView(frame).first(size))) << size;
    }
    Ends ends = make_ends();
    Bytes frame = ends.a.seal(view_of("hello"));
    frame.push_back(0);
    EXPECT_FALSE(ends.b.open(frame));
}

TEST(LinkCipher, a_frame_sent_back_to_its_author_is_refused) {
    Ends ends = make_ends();
    EXPECT_FALSE(ends.a.open(ends.a.seal(view_of("echo"))));
}

TEST(LinkCipher, the_largest_frame_passes_and_a_larger_one_is_refused) {
    Ends ends = make_ends();
    const Bytes largest(limits::frame_bytes_max, 7);
    EXPECT_EQ(ends.b.open(ends.a.seal(largest)), largest);
    const Bytes larger(limits::frame_bytes_max + 1, 7);
    const auto plain = ends.b.open(ends.a.seal(larger));
    ASSERT_FALSE(plain);
    EXPECT_NE(plain.error().message.find("out of range"), std::string::npos);
}

TEST(LinkCipher, a_used_up_counter_ends_the_link) {
    Ends ends = make_ends(link_frames_max - 1);
    const Bytes last = ends.a.seal(view_of("last"));
    EXPECT_TRUE(ends.b.open(last));
    EXPECT_TRUE(ends.a.seal(view_of("one more")).empty());
    EXPECT_TRUE(ends.a.seal(view_of("one more")).empty());
    const auto plain = ends.b.open(last);
    ASSERT_FALSE(plain);
    EXPECT_NE(plain.error().message.find("counter"), std::string::npos);
}

// The whole counter is in the nonce, not only its low bits.
TEST(LinkCipher, a_frame_of_a_far_counter_does_not_open_at_a_near_one) {
    for (const unsigned shift : {8U, 16U, 32U, 40U, 56U}) {
        Ends far = make_ends(std::uint64_t{1} << shift);
        Ends near = make_ends();
        EXPECT_FALSE(near.b.open(far.a.seal(view_of("x")))) << shift;
    }
}

RC_GTEST_PROP(LinkCipher, any_stream_arrives_whole, (const std::vector<Bytes>& stream)) {
    Ends ends = make_ends();
    for (const auto& plain : stream) {
        const auto opened = ends.b.open(ends.a.seal(plain));
        RC_ASSERT(opened.has_value());
        RC_ASSERT(*opened == plain);
    }
}

RC_GTEST_PROP(LinkCipher, garbage_never_opens, (const Bytes& garbage)) {
    RC_ASSERT(!make_ends().b.open(garbage).has_value());
}

}  // namespace
}  // namespace loyal::crypto
