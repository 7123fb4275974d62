#include "config/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t day_ms = 86'400'000;

TEST(Duration, is_a_number_and_a_unit) {
    EXPECT_EQ(parse_duration_ms("250ms", day_ms), 250U);
    EXPECT_EQ(parse_duration_ms("5s", day_ms), 5'000U);
    EXPECT_EQ(parse_duration_ms("1m", day_ms), 60'000U);
    EXPECT_EQ(parse_duration_ms("2h", day_ms), 7'200'000U);
    EXPECT_EQ(parse_duration_ms("1d", day_ms), day_ms);
    EXPECT_EQ(parse_duration_ms("0s", day_ms), 0U);
    EXPECT_EQ(parse_duration_ms("1.5s", day_ms), 1'500U);
    EXPECT_EQ(parse_duration_ms("0.001s", day_ms), 1U);
    EXPECT_EQ(parse_duration_ms("0.25m", day_ms), 15'000U);
}

TEST(Duration, is_nothing_else) {
    for (const char* text :
         {"",     "s",    "5",     "-5s", "+5s",  " 5s",   "5s ", "5 s", "nan",  "nans",          "NaN",  "inf",
          "infs", "1e3s", "0x10s", "5S",  "5sec", "1h30m", ".5s", "5.s", "1.s5", "1.0000000001s", "5..5s"}) {
        const auto parsed = parse_duration_ms(text, day_ms);
        ASSERT_FALSE(parsed) << text;
        EXPECT_EQ(parsed.error().code, Errc::invalid_argument);
        EXPECT_THAT(parsed.error().message, HasSubstr("no duration")) << text;
    }
    EXPECT_THAT(parse_duration_ms("1.5ms", day_ms).error().message, HasSubstr("whole milliseconds"));
    EXPECT_THAT(parse_duration_ms("0.0005s", day_ms).error().message, HasSubstr("whole milliseconds"));
}

TEST(Duration, is_no_longer_than_allowed) {
    EXPECT_TRUE(parse_duration_ms("24h", day_ms));
    for (const char* text : {"25h", "86400001ms", "86400.001s", "18446744073709551615s", "18446744073709551616ms",
                             "99999999999999999999999d"}) {
        EXPECT_THAT(parse_duration_ms(text, day_ms).error().message, HasSubstr("at most 86400000 ms")) << text;
    }
    EXPECT_EQ(parse_duration_ms("18446744073709551615ms", UINT64_MAX), UINT64_MAX);
}

RC_GTEST_PROP(Duration, milliseconds_come_back, (std::uint64_t ms)) {
    RC_ASSERT(parse_duration_ms(std::to_string(ms) + "ms", UINT64_MAX) == ms);
}

}  // namespace
}  // namespace loyal
