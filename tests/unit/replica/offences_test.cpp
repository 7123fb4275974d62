#include "replica/offences.h"

#include <gtest/gtest.h>

namespace loyal::replica {
namespace {

using namespace std::chrono_literals;

class OffencesTest : public ::testing::Test {
 protected:
    crypto::PublicKey who_{};
    Offences offences_;
    Offences::Clock::time_point now_ = Offences::Clock::now();
};

TEST_F(OffencesTest, the_third_bad_message_is_too_many) {
    EXPECT_FALSE(offences_.strike(who_, now_));
    EXPECT_FALSE(offences_.strike(who_, now_));
    EXPECT_FALSE(offences_.banned(who_, now_));
    EXPECT_TRUE(offences_.strike(who_, now_));
    EXPECT_TRUE(offences_.banned(who_, now_));
    EXPECT_FALSE(offences_.banned(who_, now_ + 2s));
}

TEST_F(OffencesTest, nobody_else_is_kept_out) {
    crypto::PublicKey other{};
    other.bytes[0] = 1;
    for (int i = 0; i < 3; ++i) {
        (void)offences_.strike(who_, now_);
    }
    EXPECT_FALSE(offences_.banned(other, now_));
}

TEST_F(OffencesTest, strikes_are_forgiven_with_time) {
    EXPECT_FALSE(offences_.strike(who_, now_));
    EXPECT_FALSE(offences_.strike(who_, now_));
    EXPECT_FALSE(offences_.strike(who_, now_ + 11s)) << "one of two was forgiven";
    EXPECT_TRUE(offences_.strike(who_, now_ + 11s));
}

TEST_F(OffencesTest, each_ban_is_twice_as_long_up_to_a_minute) {
    Offences::Clock::duration last{0};
    for (int round = 0; round < 10; ++round) {
        while (!offences_.strike(who_, now_)) {
        }
        Offences::Clock::duration ban{0};
        while (offences_.banned(who_, now_ + ban)) {
            ban += 500ms;
        }
        EXPECT_GE(ban, last);
        EXPECT_LE(ban, 60s);
        last = ban;
        now_ += ban;
    }
    EXPECT_EQ(last, 60s);
}

}  // namespace
}  // namespace loyal::replica
