// Frames made to cost memory: many tiny elements, deep nesting, lengths that promise what is not there.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "config/limits.h"
#include "tests/unit/wire/arbitrary.h"
#include "wire/codec.h"

namespace loyal::wire {
namespace {

using namespace test;

void put_varint(Bytes& out, std::uint64_t value) {
    while (value >= 0x80) {
        out.push_back(static_cast<std::uint8_t>(value | 0x80U));
        value >>= 7U;
    }
    out.push_back(static_cast<std::uint8_t>(value));
}
// A delimited field around `content`.
Bytes field(unsigned number, const Bytes& content) {
    Bytes out;
    put_varint(out, number << 3U | 2U);
    put_varint(out, content.size());
    out.insert(out.end(), content.begin(), content.end());
    return out;
}
Bytes empty_fields(unsigned number, std::size_t count) {
    Bytes out;
    out.reserve(2 * count);
    for (std::size_t i = 0; i < count; ++i) {
        out.push_back(static_cast<std::uint8_t>(number << 3U | 2U));
        out.push_back(0);
    }
    return out;
}
long resident_peak_kib() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

TEST(HostileFrames, a_million_empty_blocks_are_counted_not_built) {
    const Bytes frame = field(11, empty_fields(3, 1'900'000));
    ASSERT_LE(frame.size(), limits::frame_bytes_max);
    const long before = resident_peak_kib();
    EXPECT_FALSE(decode_peer(context(), frame));
    EXPECT_LT(resident_peak_kib() - before, 32 * 1024) << "grew by more than a small multiple of the frame";
}

TEST(HostileFrames, a_million_empty_outcomes_are_counted_not_built) {
    const Bytes frame = field(6, empty_fields(5, 1'900'000));
    const long before = resident_peak_kib();
    EXPECT_FALSE(decode_replica(frame));
    EXPECT_LT(resident_peak_kib() - before, 32 * 1024);
}

TEST(HostileFrames, elements_spread_over_repeated_parents_are_counted_together) {
    // Protobuf merges repeated occurrences of one message.
    Bytes frame;
    for (int i = 0; i < 10; ++i) {
        const Bytes part = field(6, empty_fields(5, 30));
        frame.insert(frame.end(), part.begin(), part.end());
    }
    const auto decoded = decode_replica(frame);
    ASSERT_FALSE(decoded);
    EXPECT_NE(decoded.error().message.find("too many"), std::string::npos);
}

TEST(HostileFrames, a_length_that_promises_more_than_there_is_is_refused) {
    for (const unsigned number : {1U, 2U, 5U, 6U, 11U}) {
        Bytes frame;
        put_varint(frame, number << 3U | 2U);
        put_varint(frame, 0x7FFFFFFFU);
        frame.push_back(1);
        EXPECT_FALSE(decode_peer(context(), frame)) << number;
        EXPECT_FALSE(decode_client(frame)) << number;
        EXPECT_FALSE(decode_replica(frame)) << number;
    }
}

TEST(HostileFrames, a_million_unknown_fields_cost_what_they_weigh) {
    const Bytes frame = empty_fields(15, 2'000'000);
    const long before = resident_peak_kib();
    EXPECT_FALSE(decode_client(frame));
    EXPECT_FALSE(decode_peer(context(), frame));
    EXPECT_LT(resident_peak_kib() - before, 48 * 1024);
}

TEST(HostileFrames, groups_are_refused) {
    Bytes frame;
    for (int i = 0; i < 100'000; ++i) {
        put_varint(frame, 9U << 3U | 3U);  // start group, never ended
    }
    EXPECT_FALSE(decode_peer(context(), frame));
    EXPECT_FALSE(decode_client(frame));
    EXPECT_FALSE(decode_replica(frame));
}

}  // namespace
}  // namespace loyal::wire
