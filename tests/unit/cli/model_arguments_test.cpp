#include "client/cli/model_arguments.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/limits.h"

namespace loyal::cli {
namespace {

using consensus::Hlc;
using ::testing::HasSubstr;

template <class T>
void expect_bad_input(const Answer<T>& answer, const std::string& words, const std::string& of) {
    ASSERT_FALSE(answer) << of;
    EXPECT_EQ(answer.error().exit, Exit::usage) << of;
    EXPECT_THAT(answer.error().message, HasSubstr(words)) << of;
}

TEST(TimeToLive, is_a_duration_or_a_number_of_seconds) {
    EXPECT_EQ(ttl_argument("10s"), 10'000U);
    EXPECT_EQ(ttl_argument("60"), 60'000U);
    EXPECT_EQ(ttl_argument("1500ms"), 1'500U);
    EXPECT_EQ(ttl_argument("366d"), limits::lease_ttl_ms_max);
}

TEST(TimeToLive, that_makes_no_sense_is_bad_input) {
    for (const char* text : {"", "nan", "NaN", "-1", "-5s", "inf", "1e9", "10 s", "ten"}) {
        expect_bad_input(ttl_argument(text), "no duration", text);
    }
    for (const char* text : {"0", "0s", "999ms", "367d", "31622401"}) {
        expect_bad_input(ttl_argument(text), "from 1s to 366d", text);
    }
    expect_bad_input(ttl_argument("99999999999999999999999"), "time to live", "more than 64 bits");
}

TEST(PointInTime, is_an_hlc_as_it_is_printed) {
    EXPECT_EQ(time_argument("1772366400125.7"), Hlc(1'772'366'400'125, 7));
    EXPECT_EQ(time_argument("0.0"), Hlc(0, 0));
    EXPECT_EQ(time_argument("281474976710655.65535"), Hlc(UINT64_MAX));
}

TEST(PointInTime, is_rfc_3339_and_means_the_end_of_that_millisecond) {
    EXPECT_EQ(time_argument("2026-03-01T12:00:00.125Z"), Hlc(1'772'366'400'125, UINT16_MAX));
    EXPECT_EQ(time_argument("2026-03-01T12:00:00Z"), Hlc(1'772'366'400'000, UINT16_MAX));
    EXPECT_EQ(time_argument("2026-03-01T13:30:00+01:30"), Hlc(1'772'366'400'000, UINT16_MAX));
    EXPECT_EQ(time_argument("2026-03-01T07:00:00-05:00"), Hlc(1'772'366'400'000, UINT16_MAX));
    EXPECT_EQ(time_argument("2026-03-01 12:00:00z"), Hlc(1'772'366'400'000, UINT16_MAX));
    EXPECT_EQ(time_argument("2026-03-01T12:00:00.1259999Z"), Hlc(1'772'366'400'125, UINT16_MAX));
    EXPECT_EQ(time_argument("1970-01-01T00:00:00Z"), Hlc(0, UINT16_MAX));
}

TEST(PointInTime, that_makes_no_sense_is_bad_input) {
    for (const char* text :
         {"", "now", "yesterday", "1772366400125", "1772366400125.", ".7", "-5.0", "1.65536", "281474976710656.0",
          "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-03-01T25:00:00Z", "2026-03-01", "12:00:00",
          "2026-03-01T12:00:00Z\nx = 1", "\"2026-03-01T12:00:00Z\"", "2026-03-01T12:00:00+25:00", "5.5.5", "nan.0"}) {
        expect_bad_input(time_argument(text), "is no time", text);
    }
    expect_bad_input(time_argument("2026-03-01T12:00:00"), "offset", "a local time");
    expect_bad_input(time_argument("1969-12-31T23:59:59Z"), "before 1970", "long ago");
}

TEST(Numbers, count_from_1) {
    EXPECT_EQ(number_argument("1", "a revision"), 1U);
    EXPECT_EQ(number_argument("18446744073709551615", "a revision"), UINT64_MAX);
    for (const char* text : {"", "0", "-1", "+1", "1.5", "1 ", " 1", "0x1", "18446744073709551616", "many"}) {
        expect_bad_input(number_argument(text, "a revision"), "a revision is a number from 1 on", text);
    }
}

TEST(Fences, are_a_name_and_a_token) {
    const auto fence = fence_argument("lock=7");
    ASSERT_TRUE(fence);
    EXPECT_EQ(fence->lock, bytes_of("lock"));
    EXPECT_EQ(fence->token, 7U);
    EXPECT_EQ(fence_argument("a=b=3")->lock, bytes_of("a=b"));
    expect_bad_input(fence_argument("lock"), "NAME=TOKEN", "no token");
    expect_bad_input(fence_argument("=5"), "NAME=TOKEN", "no name");
    expect_bad_input(fence_argument("lock=0"), "from 1 on", "0");
    expect_bad_input(fence_argument("lock=abc"), "from 1 on", "a word");
    expect_bad_input(fence_argument(std::string(481, 'n') + "=1"), "480", "a long name");
}

}  // namespace
}  // namespace loyal::cli
