#include "replica/scrub_pace.h"

#include <gtest/gtest.h>

namespace loyal::replica {
namespace {

using std::chrono::microseconds;

// A clock that a step of the scrub moves on.
class ScrubPaceTest : public ::testing::Test {
 protected:
    // How many steps were made, each of which took `cost` and ended with `end`.
    int look(microseconds cost, ScrubPace::Step end = ScrubPace::Step::more) {
        int steps = 0;
        pace_.look([this] { return now_; },
                   [&] {
                       ++steps;
                       now_ += cost;
                       return end;
                   });
        return steps;
    }
    ScrubPace pace_;
    ScrubPace::Time now_ = ScrubPace::Time() + std::chrono::hours(1);
};

TEST_F(ScrubPaceTest, reads_for_its_share_of_a_period_and_not_again_before_the_next) {
    const ScrubPace::Time begin = now_;
    EXPECT_EQ(look(microseconds(100)), ScrubPace::share / microseconds(100));
    EXPECT_EQ(look(microseconds(100)), 0);
    now_ = begin + ScrubPace::period - microseconds(1);
    EXPECT_EQ(look(microseconds(100)), 0);
    now_ = begin + ScrubPace::period;
    EXPECT_EQ(look(microseconds(100)), ScrubPace::share / microseconds(100));
}

TEST_F(ScrubPaceTest, makes_one_step_however_long_it_takes) {
    EXPECT_EQ(look(ScrubPace::share * 10), 1);
    EXPECT_EQ(look(ScrubPace::share), 0);
    now_ += ScrubPace::period;
    EXPECT_EQ(look(ScrubPace::share * 10), 1);
}

TEST_F(ScrubPaceTest, a_short_round_waits_before_the_next_begins) {
    EXPECT_EQ(look(microseconds(10), ScrubPace::Step::round_over), 1);
    const ScrubPace::Time first = now_;
    int rounds = 0;
    while (now_ < first + 10 * ScrubPace::round_every) {
        rounds += look(microseconds(10), ScrubPace::Step::round_over);
        now_ += ScrubPace::period / 5;
    }
    EXPECT_GE(rounds, 9);
    EXPECT_LE(rounds, 11);
}

TEST_F(ScrubPaceTest, a_long_round_is_followed_by_the_next_after_a_period) {
    EXPECT_EQ(look(microseconds(10), ScrubPace::Step::round_over), 1);
    now_ += 5 * ScrubPace::round_every;
    EXPECT_EQ(look(microseconds(10), ScrubPace::Step::round_over), 1);
    now_ += ScrubPace::period;
    EXPECT_GT(look(microseconds(10)), 1);
}

TEST_F(ScrubPaceTest, what_failed_is_tried_again_later) {
    EXPECT_EQ(look(microseconds(10), ScrubPace::Step::failed), 1);
    now_ += ScrubPace::period;
    EXPECT_EQ(look(microseconds(10)), 0);
    now_ += ScrubPace::round_every;
    EXPECT_GT(look(microseconds(10)), 0);
}

}  // namespace
}  // namespace loyal::replica
