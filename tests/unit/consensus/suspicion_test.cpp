// The parts of failure detection by themselves: phi accrual, order statistics over leaders, work, suspects.
#include "consensus/suspicion.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t beat_ms = 50;
constexpr ReplicaId r0(0), r1(1), r2(2), r3(3);

// ---- Samples

RC_GTEST_PROP(Samples, percentile_and_moments_are_those_of_the_last_values,
              (const std::vector<std::uint16_t>& values, std::uint8_t percent)) {
    constexpr std::size_t capacity = 20;
    Samples samples(capacity);
    for (const std::uint64_t value : values) {
        samples.add(value);
    }
    std::vector<std::uint64_t> last(values.end() - static_cast<std::ptrdiff_t>(std::min(values.size(), capacity)),
                                    values.end());
    RC_ASSERT(samples.size() == last.size());
    if (last.empty()) {
        RC_ASSERT(!samples.percentile(50));
        return;
    }
    std::sort(last.begin(), last.end());
    const std::uint64_t asked = percent % 101;
    const std::uint64_t found = *samples.percentile(asked);
    const auto not_above = static_cast<std::uint64_t>(std::upper_bound(last.begin(), last.end(), found) - last.begin());
    const auto below = static_cast<std::uint64_t>(std::lower_bound(last.begin(), last.end(), found) - last.begin());
    RC_ASSERT(not_above * 100 >= asked * last.size());
    RC_ASSERT(below == 0 || below * 100 < asked * last.size());
    double sum = 0, squares = 0;
    for (const std::uint64_t value : last) {
        sum += static_cast<double>(value);
    }
    const double mean = sum / static_cast<double>(last.size());
    for (const std::uint64_t value : last) {
        squares += (static_cast<double>(value) - mean) * (static_cast<double>(value) - mean);
    }
    RC_ASSERT(std::abs(samples.mean() - mean) < 1e-6);
    RC_ASSERT(std::abs(samples.deviation() - std::sqrt(squares / static_cast<double>(last.size()))) < 0.01);
}

// ---- Phi

TEST(Phi, is_minus_the_logarithm_of_the_odds) {
    EXPECT_NEAR(phi_of(100, 100, 10), 0.30103, 1e-4);  // one half
    EXPECT_NEAR(phi_of(123.263, 100, 10), 2.0, 1e-3);  // one in a hundred
    EXPECT_NEAR(phi_of(156.120, 100, 10), 8.0, 1e-2);  // one in a hundred million
    EXPECT_EQ(phi_of(1e9, 100, 10), phi_max);
    EXPECT_GE(phi_of(0, 100, 10), 0.0);
}

HeartbeatWindow regular(std::uint64_t interval_ms, std::size_t beats, std::uint64_t& now_ms) {
    HeartbeatWindow window;
    window.restart(now_ms, beat_ms);
    for (std::size_t i = 0; i < beats; ++i) {
        now_ms += interval_ms;
        window.arrived(now_ms);
    }
    return window;
}

// First silence at which phi reaches 8.
std::uint64_t patience_ms(const HeartbeatWindow& window, std::uint64_t now_ms) {
    std::uint64_t silence = 0;
    while (window.phi(now_ms + silence) < 8) {
        ++silence;
    }
    return silence;
}

TEST(HeartbeatWindow, a_regular_peer_is_suspected_sooner_than_an_irregular_one) {
    std::uint64_t now_ms = 1'000;
    const HeartbeatWindow steady = regular(beat_ms, 100, now_ms);
    const std::uint64_t calm = patience_ms(steady, now_ms);
    HeartbeatWindow noisy;
    noisy.restart(now_ms, beat_ms);
    for (int i = 0; i < 100; ++i) {
        now_ms += i % 3 == 0 ? 180 : 60;
        noisy.arrived(now_ms);
    }
    EXPECT_GT(calm, 5 * beat_ms);
    EXPECT_LT(calm, 8 * beat_ms);
    EXPECT_GT(patience_ms(noisy, now_ms), calm + beat_ms);
}

TEST(HeartbeatWindow, pauses_that_grow_slowly_train_it_no_further_than_four_intervals) {
    std::uint64_t now_ms = 1'000;
    HeartbeatWindow window;
    window.restart(now_ms, beat_ms);
    for (double pause = beat_ms; pause < 10'000; pause *= 1.02) {
        now_ms += static_cast<std::uint64_t>(pause);
        window.arrived(now_ms);
    }
    // Mean at most 4 intervals, deviation at most half the range, or the floor.
    EXPECT_LE(patience_ms(window, now_ms), 4 * beat_ms + 6 * 2 * beat_ms);
    EXPECT_GT(window.interval_ms(), 1'000) << "what is shown is what was measured";
}

TEST(HeartbeatWindow, a_burst_counts_as_one_interval_and_a_gap_in_it_is_seen) {
    std::uint64_t now_ms = 1'000;
    HeartbeatWindow window = regular(beat_ms, 50, now_ms);
    const std::uint64_t before = patience_ms(window, now_ms);
    for (int i = 0; i < 1'000; ++i) {
        window.arrived(++now_ms);  // proposals, one a millisecond
    }
    EXPECT_NEAR(static_cast<double>(patience_ms(window, now_ms)), static_cast<double>(before), 2);
    HeartbeatWindow gaps;
    gaps.restart(now_ms, beat_ms);
    for (int i = 0; i < 100; ++i) {
        now_ms += 150;
        for (int j = 0; j < 10; ++j) {
            gaps.arrived(++now_ms);
        }
    }
    EXPECT_GT(patience_ms(gaps, now_ms), before + beat_ms);
}

TEST(HeartbeatWindow, forgets_everything_with_its_role) {
    std::uint64_t now_ms = 1'000;
    HeartbeatWindow window = regular(4 * beat_ms, 100, now_ms);
    EXPECT_TRUE(window.trained());
    window.restart(now_ms, beat_ms);
    EXPECT_FALSE(window.trained());
    EXPECT_LT(window.phi(now_ms), 1);
}

// ---- Leaders

LeaderBook book(std::size_t n = 4, std::size_t f = 1) {
    return LeaderBook({n, f, 50, 20'000, false});
}

// A tenure of `leader` in which each of `envelopes` took `latency_ms`.
void serve(LeaderBook& leaders, ReplicaId leader, std::uint64_t latency_ms, std::uint64_t& now_ms,
           std::size_t envelopes = 100) {
    leaders.begin_tenure(leader, now_ms);
    for (std::size_t i = 0; i < envelopes; ++i) {
        leaders.ordered(latency_ms);
    }
    now_ms += 1'000;
    leaders.begin_tenure(r0, now_ms);
}

TEST(LeaderBook, who_never_led_stands_for_the_default) {
    EXPECT_EQ(book().expected_latency_ms(r3), 50U);
}

// At most f liars: the estimate lies between values of honest leaders, whatever the liars do, and the leader that is
// judged has no say at all.
RC_GTEST_PROP(LeaderBook, the_estimate_lies_between_honest_values, ()) {
    const std::size_t f = *rc::gen::inRange<std::size_t>(1, 4);
    const std::size_t n = 3 * f + 1;
    LeaderBook leaders = book(n, f);
    std::uint64_t now_ms = 0;
    std::vector<std::uint64_t> honest;
    const auto judged = *rc::gen::inRange<std::size_t>(0, n);
    std::size_t liars = *rc::gen::inRange<std::size_t>(0, f + 1);
    for (std::size_t i = 0; i < n; ++i) {
        const bool lies = liars > 0 && i != judged;
        liars -= lies ? 1 : 0;
        const auto latency = *rc::gen::inRange<std::uint64_t>(0, lies ? 20'000 : 100);
        serve(leaders, ReplicaId(static_cast<std::uint16_t>(i)), latency, now_ms);
        if (!lies && i != judged) {
            honest.push_back(latency);
        }
    }
    const std::uint64_t estimate = leaders.expected_latency_ms(ReplicaId(static_cast<std::uint16_t>(judged)));
    RC_ASSERT(estimate >= *std::min_element(honest.begin(), honest.end()));
    RC_ASSERT(estimate <= *std::max_element(honest.begin(), honest.end()));
    serve(leaders, ReplicaId(static_cast<std::uint16_t>(judged)), 20'000, now_ms);
    RC_ASSERT(leaders.expected_latency_ms(ReplicaId(static_cast<std::uint16_t>(judged))) == estimate);
}

// Prime's inflation: honest leaders under attack look slow. The estimate doubles a tenure at most, and falls at once.
TEST(LeaderBook, an_attack_inflates_an_estimate_twofold_a_tenure_and_no_further) {
    LeaderBook leaders = book();
    std::uint64_t now_ms = 0;
    for (const ReplicaId leader : {r0, r1, r2}) {
        serve(leaders, leader, 20'000, now_ms);
    }
    EXPECT_EQ(leaders.expected_latency_ms(r3), 100U);
    for (const ReplicaId leader : {r0, r1, r2}) {
        serve(leaders, leader, 20'000, now_ms);
    }
    EXPECT_EQ(leaders.expected_latency_ms(r3), 200U);
    for (const ReplicaId leader : {r0, r1, r2}) {
        serve(leaders, leader, 5, now_ms);
    }
    EXPECT_EQ(leaders.expected_latency_ms(r3), 5U);
}

TEST(LeaderBook, a_few_envelopes_are_no_measurement) {
    LeaderBook leaders = book();
    std::uint64_t now_ms = 0;
    serve(leaders, r1, 90, now_ms, 3);
    EXPECT_FALSE(leaders.latency_ms(r1));
}

// One window under `leader`, which must be under way.
LeaderBook::Slow window(LeaderBook& leaders, std::uint64_t& now_ms, std::uint64_t latency_ms, std::uint64_t work,
                        bool backlog) {
    for (int i = 0; i < 20; ++i) {
        leaders.waiting(backlog);
        leaders.ordered(latency_ms);
    }
    leaders.committed(work);
    now_ms += LeaderBook::window_ms;
    return leaders.check(now_ms);
}

TEST(LeaderBook, three_slow_windows_in_a_row_are_needed) {
    LeaderBook leaders = book();
    std::uint64_t now_ms = 0;
    leaders.begin_tenure(r3, now_ms);
    EXPECT_EQ(window(leaders, now_ms, 201, 100, false), LeaderBook::Slow::no);
    EXPECT_EQ(window(leaders, now_ms, 201, 100, false), LeaderBook::Slow::no);
    EXPECT_EQ(window(leaders, now_ms, 200, 100, false), LeaderBook::Slow::no) << "not slow, so it begins anew";
    EXPECT_EQ(window(leaders, now_ms, 201, 100, false), LeaderBook::Slow::no);
    EXPECT_EQ(window(leaders, now_ms, 201, 100, false), LeaderBook::Slow::no);
    EXPECT_EQ(window(leaders, now_ms, 201, 100, false), LeaderBook::Slow::late);
}

TEST(LeaderBook, little_work_is_slow_only_with_a_backlog) {
    for (const bool backlog : {false, true}) {
        LeaderBook leaders = book();
        std::uint64_t now_ms = 0;
        for (const ReplicaId leader : {r0, r1, r2}) {
            leaders.begin_tenure(leader, now_ms);
            EXPECT_EQ(window(leaders, now_ms, 10, 2'000, false), LeaderBook::Slow::no);
        }
        leaders.begin_tenure(r3, now_ms);
        EXPECT_EQ(leaders.expected_rate(r3), 1'000U);
        LeaderBook::Slow verdict = LeaderBook::Slow::no;
        for (int i = 0; i < 3; ++i) {
            verdict = window(leaders, now_ms, 10, 900, backlog);
        }
        EXPECT_EQ(verdict, backlog ? LeaderBook::Slow::few : LeaderBook::Slow::no);
    }
}

// A night of low load says nothing about what a leader can do; a backlog does.
TEST(LeaderBook, low_load_does_not_lower_the_rate_that_is_expected) {
    LeaderBook leaders = book();
    std::uint64_t now_ms = 0;
    for (const std::uint64_t work : {2'000UL, 2UL}) {
        for (const ReplicaId leader : {r0, r1, r2}) {
            leaders.begin_tenure(leader, now_ms);
            (void)window(leaders, now_ms, 10, work, false);
        }
    }
    leaders.begin_tenure(r3, now_ms);
    EXPECT_EQ(leaders.expected_rate(r3), 1'000U);
    for (const ReplicaId leader : {r0, r1, r2}) {
        leaders.begin_tenure(leader, now_ms);
        (void)window(leaders, now_ms, 10, 600, true);
    }
    leaders.begin_tenure(r3, now_ms);
    EXPECT_EQ(leaders.expected_rate(r3), 300U);
}

// One liar with an enormous rate cannot make everybody else look slow.
TEST(LeaderBook, one_enormous_rate_convicts_nobody) {
    LeaderBook leaders = book();
    std::uint64_t now_ms = 0;
    leaders.begin_tenure(r2, now_ms);
    (void)window(leaders, now_ms, 10, 1'000'000'000, false);
    leaders.begin_tenure(r3, now_ms);
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(window(leaders, now_ms, 10, 100, true), LeaderBook::Slow::no);
    }
}

// ---- Work

TEST(WorkMeter, what_was_ordered_before_is_no_work) {
    WorkMeter meter;
    const ClientId client{};
    EXPECT_EQ(meter.work_of(client, SessionId(1), Seq(1), 10, 100), 10U);
    EXPECT_EQ(meter.work_of(client, SessionId(1), Seq(1), 10, 100'000), 0U);
    EXPECT_EQ(meter.work_of(client, SessionId(1), Seq(6), 10, 0), 5U);
    EXPECT_EQ(meter.work_of(client, SessionId(2), Seq(1), 1, 10 * 1024), 11U) << "large values are more work";
}

TEST(WorkMeter, remembers_a_bounded_number_of_sessions) {
    WorkMeter meter;
    const ClientId client{};
    for (std::uint64_t session = 0; session <= WorkMeter::sessions_max; ++session) {
        EXPECT_EQ(meter.work_of(client, SessionId(session), Seq(1), 1, 0), 1U);
    }
    EXPECT_EQ(meter.work_of(client, SessionId(WorkMeter::sessions_max), Seq(1), 1, 0), 0U);
    EXPECT_EQ(meter.work_of(client, SessionId(0), Seq(1), 1, 0), 1U) << "the oldest one is forgotten";
}

// ---- Suspects

TEST(Suspects, are_the_f_that_were_deposed_last) {
    Suspects suspects(7, 2);
    for (const ReplicaId leader : {r0, r1, r2}) {
        suspects.deposed(leader);
    }
    EXPECT_FALSE(suspects.suspected(r0));
    EXPECT_TRUE(suspects.suspected(r1));
    EXPECT_TRUE(suspects.suspected(r2));
    suspects.cleared(r2);
    EXPECT_FALSE(suspects.suspected(r2));
    EXPECT_TRUE(suspects.suspected(r1)) << "whom a turn cleared makes no room for anybody older";
    EXPECT_EQ(suspects.times_deposed(r2), 1U);
}

TEST(Suspects, the_first_time_out_covers_two_round_trips_and_four_syncs) {
    Suspects suspects(4, 1);
    EXPECT_EQ(suspects.first_timeout_ms(50), 2U * 2U * 50U + 4U * 50U);
    for (int i = 0; i < 100; ++i) {
        suspects.synced(i < 98 ? 10 : 40);
        suspects.prepared(15);
    }
    EXPECT_EQ(suspects.first_timeout_ms(50), 2U * 2U * 5U + 4U * 40U);
}

}  // namespace
}  // namespace loyal::consensus::test
