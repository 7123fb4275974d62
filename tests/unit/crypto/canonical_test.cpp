#include "crypto/canonical.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal::crypto {
namespace {

TEST(CanonicalWriter, writes_numbers_little_endian_and_lengths_before_bytes) {
    CanonicalWriter out;
    out.number(std::uint8_t{0xAB}).number(std::uint16_t{0x0102}).number(std::uint32_t{1}).sized(view_of("hi"));
    out.number(std::uint64_t{0x0102030405060708});
    EXPECT_EQ(to_hex(out.view()),
              "ab"
              "0201"
              "01000000"
              "02000000"
              "6869"
              "0807060504030201");
}

TEST(CanonicalReader, a_short_read_fails_and_stays_failed) {
    const Bytes data = {1, 2, 3};
    CanonicalReader in(data);
    EXPECT_EQ(in.number<std::uint32_t>(), 0U);
    EXPECT_FALSE(in.ok());
    EXPECT_EQ(in.number<std::uint8_t>(), 0U) << "what is left must not be read after a failure";
    EXPECT_FALSE(in.finish());
}

TEST(CanonicalReader, refuses_trailing_bytes) {
    const Bytes data = {1, 2};
    CanonicalReader in(data);
    EXPECT_EQ(in.number<std::uint8_t>(), 1U);
    EXPECT_TRUE(in.ok());
    EXPECT_FALSE(in.finish());
}

TEST(CanonicalReader, refuses_a_length_over_its_bound_even_if_the_bytes_are_there) {
    CanonicalWriter out;
    out.sized(view_of("abcdef"));
    CanonicalReader exact(out.view());
    EXPECT_EQ(text_of(exact.sized(6)), "abcdef");
    EXPECT_TRUE(exact.finish());
    CanonicalReader tight(out.view());
    EXPECT_TRUE(tight.sized(5).empty());
    EXPECT_FALSE(tight.ok());
}

TEST(CanonicalReader, a_length_of_four_gigabytes_is_just_an_error) {
    const Bytes data = {0xFF, 0xFF, 0xFF, 0xFF, 1};
    CanonicalReader in(data);
    EXPECT_TRUE(in.sized(SIZE_MAX).empty());
    EXPECT_FALSE(in.ok());
}

struct Sample {
    std::uint8_t a;
    std::uint16_t b;
    std::uint32_t c;
    std::uint64_t d;
    Bytes e;
};

Sample any_sample() {
    return {*rc::gen::arbitrary<std::uint8_t>(), *rc::gen::arbitrary<std::uint16_t>(),
            *rc::gen::arbitrary<std::uint32_t>(), *rc::gen::arbitrary<std::uint64_t>(), *rc::gen::arbitrary<Bytes>()};
}

Bytes encode(const Sample& sample) {
    CanonicalWriter out;
    out.number(sample.a).number(sample.b).sized(sample.e).number(sample.c).number(sample.d);
    out.digest(digest_of("body", sample.e));
    return out.take();
}

RC_GTEST_PROP(Canonical, what_was_written_is_read_back, ()) {
    const Sample sample = any_sample();
    const Bytes bytes = encode(sample);
    CanonicalReader in(bytes);
    RC_ASSERT(in.number<std::uint8_t>() == sample.a);
    RC_ASSERT(in.number<std::uint16_t>() == sample.b);
    const ByteView e = in.sized(sample.e.size());
    RC_ASSERT(Bytes(e.begin(), e.end()) == sample.e);
    RC_ASSERT(in.number<std::uint32_t>() == sample.c);
    RC_ASSERT(in.number<std::uint64_t>() == sample.d);
    RC_ASSERT(in.digest() == digest_of("body", sample.e));
    RC_ASSERT(in.finish());
}

RC_GTEST_PROP(Canonical, every_proper_prefix_is_refused, ()) {
    const Bytes bytes = encode(any_sample());
    const auto size = *rc::gen::inRange<std::size_t>(0, bytes.size());
    // A vector of its own, so that a sanitizer sees a read past the end.
    const Bytes cut(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
    CanonicalReader in(cut);
    (void)in.number<std::uint8_t>();
    (void)in.number<std::uint16_t>();
    (void)in.sized(1U << 20);
    (void)in.number<std::uint32_t>();
    (void)in.number<std::uint64_t>();
    (void)in.digest();
    RC_ASSERT(!in.finish());
}

// Any sequence of reads over any bytes: never more than there are, views only of the data, failure is for good.
RC_GTEST_PROP(CanonicalReader, never_reads_past_the_end, (const Bytes& data)) {
    CanonicalReader in(data);
    std::size_t consumed = 0;
    const auto steps = *rc::gen::container<std::vector<int>>(rc::gen::inRange(0, 6));
    for (const int step : steps) {
        const std::size_t before = in.left();
        const bool was_ok = in.ok();
        ByteView view;
        switch (step) {
            case 0: (void)in.number<std::uint8_t>(); break;
            case 1: (void)in.number<std::uint64_t>(); break;
            case 2: view = in.raw(*rc::gen::inRange<std::size_t>(0, 40)); break;
            case 3: view = in.sized(*rc::gen::inRange<std::size_t>(0, 40)); break;
            case 4: (void)in.digest(); break;
            default: (void)in.signature(); break;
        }
        RC_ASSERT(in.left() <= before);
        consumed += before - in.left();
        RC_ASSERT(consumed + in.left() == data.size());
        const bool failure_stays = was_ok || !in.ok();
        RC_ASSERT(failure_stays);
        const bool inside =
            view.empty() || (view.data() >= data.data() && view.data() + view.size() <= data.data() + data.size());
        RC_ASSERT(inside);
    }
}

}  // namespace
}  // namespace loyal::crypto
