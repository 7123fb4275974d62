// Comparison of clocks: the exchange, what becomes of it with time, hostile answers, the majority's interval.
#include "replica/clock_sync.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

namespace loyal::replica {
namespace {

using consensus::ClockAnswer;
using consensus::ClockProbe;
using consensus::ReplicaId;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint64_t epoch_us = 1'700'000'000'000'000;

// One replica, whose peers' clocks and ways the test decides. Time passes for all.
struct Bench {
    explicit Bench(std::size_t n = 4, std::size_t f = 1) : sync(options(n, f)), ahead_us(n, 0) {}
    static ClockSyncOptions options(std::size_t n, std::size_t f) {
        ClockSyncOptions result;
        result.self = ReplicaId(0);
        result.replicas = n;
        result.faults = f;
        result.spread_max_us = 125'000;
        return result;
    }
    [[nodiscard]] std::uint64_t own_us() const {
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(epoch_us + now_us) + ahead_us[0]);
    }
    [[nodiscard]] std::uint64_t clock_of(std::size_t peer) const {
        return static_cast<std::uint64_t>(static_cast<std::int64_t>(epoch_us + now_us) + ahead_us[peer]);
    }
    std::vector<std::pair<ReplicaId, ClockProbe>> tick() { return sync.tick(now_us / 1'000, own_us()); }
    void pass(std::uint64_t us) { now_us += us; }
    // Ticks until `peer` is to be asked; the probe.
    ClockProbe await_probe(std::size_t peer) {
        for (int i = 0; i < 500; ++i) {
            pass(10'000);
            for (const auto& [to, probe] : tick()) {
                if (to.value == peer) {
                    return probe;
                }
            }
        }
        ADD_FAILURE() << "nobody asks replica " << peer;
        return {};
    }
    void answer(std::size_t peer, const ClockAnswer& answer) {
        sync.answered(ReplicaId(static_cast<std::uint16_t>(peer)), answer, own_us());
    }
    void exchange(std::size_t peer, std::uint64_t there_us, std::uint64_t back_us) {
        const ClockProbe probe = await_probe(peer);
        pass(there_us);
        const std::uint64_t read = clock_of(peer);
        pass(back_us);
        answer(peer, {probe.sent_us, read, read});
    }
    [[nodiscard]] ClockView view() const { return sync.view(own_us()); }

    ClockSync sync;
    std::uint64_t now_us = 0;
    std::vector<std::int64_t> ahead_us;
};

TEST(ClockSyncTest, an_exchange_bounds_the_offset_by_its_way) {
    Bench bench;
    bench.ahead_us[1] = 30'000;
    bench.exchange(1, 2'000, 6'000);
    const ClockView view = bench.view();
    ASSERT_TRUE(view.peers[1]);
    // The middle is off by half of the difference of the ways, and the uncertainty says so.
    EXPECT_NEAR(static_cast<double>(view.peers[1]->offset_us), 28'000, 5);
    EXPECT_NEAR(static_cast<double>(view.peers[1]->uncertainty_us), 4'000, 10);
    EXPECT_EQ(view.peers[1]->round_trip_us, 8'000);
    EXPECT_EQ(view.answers, 1U);
    EXPECT_FALSE(view.peers[0]) << "itself";
    EXPECT_FALSE(view.peers[2]) << "never answered";
}

TEST(ClockSyncTest, each_peer_is_asked_in_its_turn_about_once_a_second) {
    Bench bench;
    std::vector<int> asked(4, 0);
    std::size_t most_at_once = 0;
    for (int i = 0; i < 1'000; ++i) {
        bench.pass(10'000);
        const auto probes = bench.tick();
        most_at_once = std::max(most_at_once, probes.size());
        for (const auto& [to, probe] : probes) {
            EXPECT_EQ(probe.sent_us, bench.own_us());
            ++asked[to.value];
        }
    }
    EXPECT_EQ(asked[0], 0);
    for (const std::size_t peer : {1UL, 2UL, 3UL}) {
        EXPECT_GE(asked[peer], 14) << peer;  // ten seconds, the first two of them in quarters
        EXPECT_LE(asked[peer], 17) << peer;
    }
    EXPECT_EQ(most_at_once, 1U);
}

TEST(ClockSyncTest, the_fastest_of_the_last_exchanges_counts_and_grows_stale) {
    Bench bench;
    bench.ahead_us[1] = -5'000;
    bench.exchange(1, 100, 100);
    bench.exchange(1, 40'000, 90'000);
    ClockView view = bench.view();
    EXPECT_EQ(view.peers[1]->round_trip_us, 200) << "the slow one says less";
    EXPECT_NEAR(static_cast<double>(view.peers[1]->offset_us), -5'000, 5);
    const std::int64_t fresh_us = view.peers[1]->uncertainty_us;
    bench.pass(10'000'000);
    bench.tick();
    view = bench.view();
    EXPECT_NEAR(static_cast<double>(view.peers[1]->uncertainty_us - fresh_us), 5'000, 20) << "500 ppm of 10 s";
    EXPECT_NEAR(static_cast<double>(view.peers[1]->age_ms), 10'400, 300);
    bench.pass(25'000'000);
    bench.tick();
    EXPECT_FALSE(bench.view().peers[1]) << "silent for half a minute";
}

TEST(ClockSyncTest, drift_while_the_answer_is_under_way_counts) {
    Bench bench;
    const ClockProbe probe = bench.await_probe(1);
    const std::uint64_t read = bench.clock_of(1);  // at once
    bench.pass(2'000'000);
    bench.ahead_us[1] = 1'000;  // 500 ppm of the time that its answer took
    bench.answer(1, {probe.sent_us, read, read});
    const ClockView view = bench.view();
    ASSERT_TRUE(view.peers[1]);
    EXPECT_GE(view.peers[1]->offset_us + view.peers[1]->uncertainty_us, 1'000);
}

TEST(ClockSyncTest, old_exchanges_make_room_for_new_ones) {
    Bench bench;
    bench.exchange(1, 100, 100);
    for (int i = 0; i < 8; ++i) {
        bench.exchange(1, 3'000, 3'000);
    }
    EXPECT_EQ(bench.view().peers[1]->round_trip_us, 6'000) << "the ninth last is forgotten";
}

TEST(ClockSyncTest, answers_that_nobody_asked_for_are_dropped) {
    Bench bench;
    const ClockProbe probe = bench.await_probe(1);
    bench.pass(1'000);
    const ClockAnswer right{probe.sent_us, bench.clock_of(1), bench.clock_of(1)};
    bench.answer(2, right);                                              // of another peer
    bench.answer(1, {probe.sent_us + 1, right.sent_us, right.sent_us});  // a guess
    bench.answer(0, right);                                              // of nobody
    bench.sync.answered(ReplicaId(77), right, bench.own_us());
    EXPECT_EQ(bench.view().unasked, 4U);
    EXPECT_FALSE(bench.view().peers[2]);
    bench.answer(1, right);
    bench.answer(1, right);  // once more
    EXPECT_EQ(bench.view().unasked, 5U);
    EXPECT_EQ(bench.view().answers, 1U);
}

TEST(ClockSyncTest, answers_that_no_clock_can_give_are_counted) {
    constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
    Bench bench;
    const auto say = [&](std::uint64_t received, std::uint64_t sent) {
        const ClockProbe probe = bench.await_probe(1);
        bench.pass(1'000);
        bench.answer(1, {probe.sent_us, received, sent});
    };
    say(epoch_us + 2, epoch_us + 1);       // answered before it was asked
    say(epoch_us, epoch_us + 60'000'000);  // held for a minute in an exchange of a millisecond
    say(last, last);
    say(0, last);
    EXPECT_EQ(bench.view().impossible, 4U);
    EXPECT_FALSE(bench.view().peers[1]);
    say(0, 0);  // a clock of 1970 is wrong, but may be
    EXPECT_EQ(bench.view().impossible, 4U);
    ASSERT_TRUE(bench.view().peers[1]);
    EXPECT_LT(bench.view().peers[1]->offset_us, -1'600'000'000'000'000);
}

TEST(ClockSyncTest, who_asks_too_often_is_not_answered) {
    Bench bench;
    int answers = 0;
    for (int i = 0; i < 1'000; ++i) {
        answers += bench.sync.probed(ReplicaId(1), {static_cast<std::uint64_t>(i)}, bench.own_us()) ? 1 : 0;
    }
    EXPECT_EQ(answers, 16);
    EXPECT_TRUE(bench.sync.probed(ReplicaId(2), {7}, bench.own_us())) << "another one is";
    bench.pass(1'000'000);
    bench.tick();
    const auto answer = bench.sync.probed(ReplicaId(1), {9}, bench.own_us());
    ASSERT_TRUE(answer) << "in the next second";
    EXPECT_EQ(answer->probe_us, 9U);
    EXPECT_EQ(answer->received_us, bench.own_us());
    EXPECT_EQ(answer->sent_us, bench.own_us());
}

// ---- The majority

TEST(ClockSyncTest, too_few_known_clocks_say_nothing) {
    Bench bench;
    EXPECT_EQ(bench.view().verdict, ClockVerdict::unknown);
    bench.exchange(1, 100, 100);
    EXPECT_EQ(bench.view().verdict, ClockVerdict::unknown) << "two of three that must agree";
    bench.exchange(2, 100, 100);
    EXPECT_EQ(bench.view().verdict, ClockVerdict::inside);
}

TEST(ClockSyncTest, a_clock_with_the_majority_is_inside_whatever_one_peer_says) {
    Bench bench;
    bench.ahead_us = {0, 2'000, -1'000, 86'400'000'000};
    for (int i = 0; i < 3; ++i) {
        bench.exchange(1, 150, 120);
        bench.exchange(2, 130, 160);
        bench.exchange(3, 140, 140);
    }
    const ClockView view = bench.view();
    EXPECT_EQ(view.verdict, ClockVerdict::inside);
    EXPECT_EQ(view.outside_by_us, 0);
    EXPECT_NEAR(static_cast<double>(view.offset_us), -500, 300) << "the middle of -1, 0 and 2 ms is ahead of it";
    EXPECT_GE(view.uncertainty_us, 1'000);
    EXPECT_LE(view.uncertainty_us, 3'000);
}

TEST(ClockSyncTest, a_clock_of_its_own_is_outside_by_how_much_it_is_off) {
    for (const std::int64_t off_us : {-700'000, 9'000'000}) {
        Bench bench;
        bench.ahead_us[0] = off_us;
        for (const std::size_t peer : {1UL, 2UL, 3UL}) {
            bench.exchange(peer, 200, 300);
        }
        const ClockView view = bench.view();
        EXPECT_EQ(view.verdict, ClockVerdict::outside);
        EXPECT_NEAR(static_cast<double>(view.offset_us), static_cast<double>(off_us), 1'000);
        EXPECT_NEAR(static_cast<double>(view.outside_by_us), static_cast<double>(std::abs(off_us)), 2'000);
    }
}

TEST(ClockSyncTest, clocks_that_are_all_over_the_place_have_no_majority) {
    Bench bench;
    bench.ahead_us = {0, 1'000'000, 2'000'000, 3'000'000};
    for (const std::size_t peer : {1UL, 2UL, 3UL}) {
        bench.exchange(peer, 200, 300);
    }
    EXPECT_EQ(bench.view().verdict, ClockVerdict::scattered);
    EXPECT_EQ(bench.view().offset_us, 0);
}

// ---- Jumps

struct Jumps : ::testing::Test {
    void all_answer(int rounds = 2) {
        for (int i = 0; i < rounds; ++i) {
            for (const std::size_t peer : {1UL, 2UL, 3UL}) {
                bench.exchange(peer, 200, 300);
            }
        }
    }
    Bench bench;
};

TEST_F(Jumps, of_a_peer_are_noticed_and_its_new_time_is_believed) {
    all_answer();
    bench.ahead_us[2] = 4'000'000;
    all_answer(10);
    const ClockView view = bench.view();
    EXPECT_THAT(view.peer_jumps, ElementsAre(0, 0, 1, 0));
    EXPECT_EQ(view.own_jumps, 0U);
    EXPECT_NEAR(static_cast<double>(view.peers[2]->offset_us), 4'000'000, 500);
    EXPECT_THAT(bench.sync.take_notes(), ElementsAre(HasSubstr("replica 2 jumped by about 4000 ms")));
    EXPECT_EQ(view.verdict, ClockVerdict::inside);
}

TEST_F(Jumps, make_older_and_faster_exchanges_worthless) {
    all_answer();
    bench.ahead_us[2] = 4'000'000;
    for (int i = 0; i < 6; ++i) {
        bench.exchange(2, 9'000, 9'000);
    }
    EXPECT_NEAR(static_cast<double>(bench.view().peers[2]->offset_us), 4'000'000, 500);
    bench.pass(5'000'000);
    bench.tick();
    EXPECT_EQ(bench.view().peer_jumps[2], 1U);
}

TEST_F(Jumps, of_the_own_clock_forward_are_not_blamed_on_the_peers) {
    all_answer();
    bench.ahead_us[0] = 4'000'000;
    all_answer(4);
    const ClockView view = bench.view();
    EXPECT_EQ(view.own_jumps, 1U);
    EXPECT_THAT(view.peer_jumps, ElementsAre(0, 0, 0, 0));
    const auto notes = bench.sync.take_notes();
    ASSERT_EQ(notes.size(), 1U);
    EXPECT_THAT(notes[0], ::testing::AnyOf(HasSubstr("this replica's clock jumped by about 3999 ms"),
                                           HasSubstr("this replica's clock jumped by about 4000 ms")));
    EXPECT_EQ(view.verdict, ClockVerdict::outside);
}

TEST_F(Jumps, of_the_own_clock_back_are_seen_at_once) {
    all_answer();
    const ClockProbe before = bench.await_probe(1);
    bench.ahead_us[0] = -4'000'000;
    bench.answer(1, {before.sent_us, bench.clock_of(1), bench.clock_of(1)});
    EXPECT_EQ(bench.view().own_jumps, 1U);
    EXPECT_EQ(bench.view().unasked, 1U) << "nobody knows how long that answer was under way";
    EXPECT_FALSE(bench.view().peers[1]) << "what was known holds no more";
    all_answer(4);
    const ClockView view = bench.view();
    EXPECT_EQ(view.own_jumps, 1U);
    EXPECT_THAT(view.peer_jumps, ElementsAre(0, 0, 0, 0));
    EXPECT_NEAR(static_cast<double>(view.outside_by_us), 4'000'000, 2'000);
}

TEST_F(Jumps, that_never_end_do_not_fill_the_log) {
    all_answer();
    for (int i = 1; i <= 60; ++i) {
        bench.ahead_us[3] = i * 1'000'000;
        all_answer(1);
    }
    EXPECT_GE(bench.view().peer_jumps[3], 50U);
    const std::size_t lines = bench.sync.take_notes().size();
    EXPECT_GE(lines, 2U);
    EXPECT_LE(lines, bench.now_us / 10'000'000 + 1);
}

TEST_F(Jumps, a_slewed_clock_is_followed_without_a_word) {
    for (int i = 0; i < 200; ++i) {
        bench.ahead_us[3] += 10'000;  // as fast as SlewedClock moves in half a second
        all_answer(1);
    }
    const ClockView view = bench.view();
    EXPECT_THAT(view.peer_jumps, ElementsAre(0, 0, 0, 0));
    EXPECT_NEAR(static_cast<double>(view.peers[3]->offset_us), 2'000'000, 500);
}

// ---- Properties

RC_GTEST_PROP(ClockSyncProperty, agreement_is_the_hull_of_the_points_that_enough_intervals_share, ()) {
    const auto ends = *rc::gen::container<std::vector<std::pair<int, int>>>(
        rc::gen::pair(rc::gen::inRange(-12, 13), rc::gen::inRange(0, 8)));
    const auto need = *rc::gen::inRange<std::size_t>(1, 6);
    std::vector<ClockInterval> intervals;
    for (const auto& [low, length] : ends) {
        intervals.push_back({low, low + length});
    }
    std::optional<ClockInterval> expected;
    for (std::int64_t point = -20; point <= 30; ++point) {
        std::size_t depth = 0;
        for (const ClockInterval& each : intervals) {
            depth += each.low_us <= point && point <= each.high_us ? 1U : 0U;
        }
        if (depth >= need) {
            expected = ClockInterval{expected ? expected->low_us : point, point};
        }
    }
    RC_ASSERT(agreement(intervals, need) == expected);
}

// Whatever numbers peer 3 sends at whatever time: nothing overflows (the sanitizers watch), and the estimates of the
// others, the verdict and the interval are as if it had been right.
RC_GTEST_PROP(ClockSyncProperty, hostile_answers_move_nothing,
              (std::vector<std::pair<std::uint64_t, std::uint64_t>> lies, bool matching)) {
    Bench bench;
    for (const auto& [received, sent] : lies) {
        bench.exchange(1, 200, 300);
        bench.exchange(2, 250, 250);
        const ClockProbe probe = bench.await_probe(3);
        bench.answer(3, {matching ? probe.sent_us : received, received, matching ? std::max(received, sent) : sent});
        (void)bench.sync.probed(ReplicaId(3), {sent}, bench.own_us());
    }
    bench.exchange(1, 200, 300);
    bench.exchange(2, 250, 250);
    const ClockView view = bench.view();
    RC_ASSERT(view.verdict == ClockVerdict::inside);
    RC_ASSERT(std::abs(view.offset_us) <= 250);
    RC_ASSERT(view.peer_jumps[1] == 0U && view.peer_jumps[2] == 0U && view.own_jumps == 0U);
    RC_ASSERT(std::abs(view.peers[1]->offset_us) <= view.peers[1]->uncertainty_us);
}

}  // namespace
}  // namespace loyal::replica
