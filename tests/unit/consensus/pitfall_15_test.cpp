// Pitfall 15 (docs/PROTOCOL.md §11, §21): a slow traitor trains the timers, or an attack inflates them. Each attack of
// the table of performance attacks runs twice: with every rule, and without the one that answers it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "consensus/suspicion.h"
#include "tests/unit/consensus/timed_cluster.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t l0_ms = 50, tmin_ms = 400, tmax_ms = 20'000;  // Options' defaults
const Members everybody{0, 1, 2, 3};

Shape shape_with(const std::vector<std::string>& rules_off, std::function<void(Options&)> tune) {
    Shape shape = shape_of(rules_off, {});
    shape.tune = std::move(tune);
    return shape;
}

// Also by the back door: whoever hears that a block exists may ask for it (N10), and a traitor delays that answer, too.
bool is_proposal_of(const Packet& packet, std::size_t leader) {
    return (is<Propose>(packet) || is<Blocks>(packet)) && packet.from.value == leader;
}
std::optional<std::uint64_t> order_nothing(const Packet& packet) {
    const bool orders = is<Propose>(packet) || is<Blocks>(packet) || is<Vote>(packet);
    return orders ? std::nullopt : std::optional<std::uint64_t>(0);
}

// R0, R1 and R2 serve a tenure each under `load`, then R3 leads.
void let_r3_lead(TimedCluster& timed) {
    ASSERT_TRUE(timed.run_until([&] { return timed.all_in(View(3)); }, 200'000));
    for (std::size_t i = 0; i < 4; ++i) {
        ASSERT_EQ(timed.cluster.status(i).last_time_out, "") << "honest leaders were deposed";
    }
}

// (a) R3 raises its batch delay by 2% a batch, from 1 ms to just under Tp. True: it still leads a while after it had
// become slower than four times what the others needed.
bool creeping_delay(const std::vector<std::string>& off) {
    TimedCluster timed(shape_with(off, [](Options& options) { options.tenure_ms = 35'000; }));
    timed.load = {40, 0, everybody};
    let_r3_lead(timed);
    double delay_ms = 1;
    std::optional<std::uint64_t> slow_since_ms;
    timed.network = [&](const Packet& packet) -> std::optional<std::uint64_t> {
        if (!is_proposal_of(packet, 3)) {
            return 0;
        }
        const std::uint64_t tp_ms = timed.cluster.status(0).progress_timeout_ms;
        if (packet.to.value == 0 && is<Propose>(packet)) {
            delay_ms = std::min(delay_ms * 1.02, static_cast<double>(tp_ms) - 30);
        }
        if (!slow_since_ms && delay_ms > 4 * l0_ms) {
            slow_since_ms = timed.now_ms();
        }
        return static_cast<std::uint64_t>(delay_ms);
    };
    const auto judged = [&] { return slow_since_ms && timed.now_ms() > *slow_since_ms + 4 * LeaderBook::window_ms; };
    const bool deposed =
        timed.run_until([&] { return timed.highest_view() > View(3) || judged(); }, 34'000) && !judged();
    if (deposed) {
        EXPECT_EQ(timed.cluster.status(0).last_time_out, "the primary orders late");
        EXPECT_GT(delay_ms, 2 * l0_ms) << "deposed before it was slow";
    }
    return !deposed;
}

TEST(Pitfall15, a_leader_that_slows_down_little_by_little_is_deposed) {
    expect_rule_matters(creeping_delay, {"T3"});
}

// The same, with a time-out that learns from the leader it judges: it trains it (Aardvark's slow traitor).
TEST(Pitfall15, a_leader_cannot_train_its_own_time_out) {
    expect_rule_matters(creeping_delay, {"T2-others"});
    TimedCluster timed(shape_with({}, [](Options& options) { options.tenure_ms = 35'000; }));
    timed.load = {20, 0, everybody};
    let_r3_lead(timed);
    timed.network = [](const Packet& packet) {
        return std::optional<std::uint64_t>(is_proposal_of(packet, 3) ? 300 : 0);
    };
    timed.run(5'000);
    for (std::size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(timed.cluster.status(i).progress_timeout_ms, tmin_ms);
    }
}

// (b) For a minute nothing of what honest leaders send to order arrives. Then R3 leads, the attack stops, and R3 orders
// as late as it may. True: the doubled time-outs outlive the attack by more than log2(Tmax / Tmin) of its batches.
TEST(Pitfall15, an_attack_on_the_network_does_not_outlive_itself) {
    expect_rule_matters(
        [](std::vector<std::string> off) {
            off.emplace_back("T3");  // which would depose R3 anyhow
            TimedCluster timed(shape_with(off, [](Options& options) { options.tenure_ms = 0; }));
            timed.load = {500, 0, everybody};
            timed.network = order_nothing;
            timed.run(60'000);
            if (!timed.run_until(
                    [&] { return leader_of(timed.highest_view(), 4).value == 3 && timed.all_in(timed.highest_view()); },
                    60'000)) {
                return true;  // not within minutes
            }
            const std::uint64_t inflated_ms = timed.cluster.status(0).progress_timeout_ms;
            EXPECT_GE(inflated_ms, tmax_ms) << "the attack did nothing";
            const View view = timed.highest_view();
            std::uint64_t batches = 0;
            timed.network = [&](const Packet& packet) -> std::optional<std::uint64_t> {
                if (!is_proposal_of(packet, 3)) {
                    return 0;
                }
                batches += packet.to.value == 0 && is<Propose>(packet) ? 1 : 0;
                return std::max<std::uint64_t>(1'100, timed.cluster.status(0).progress_timeout_ms / 2);
            };
            timed.run_until([&] { return timed.highest_view() > view || batches > 8; }, 200'000);
            return timed.highest_view() == view && timed.cluster.status(0).progress_timeout_ms > 2 * tmin_ms;
        },
        {"T6"});
}

// The cap: without it doubled time-outs grow beyond every bound.
TEST(Pitfall15, no_time_out_exceeds_its_cap) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_with(off, [](Options& options) { options.progress_max_ms = 2'000; }));
            timed.load = {500, 0, everybody};
            timed.network = order_nothing;
            timed.run(30'000);
            return timed.cluster.status(1).progress_timeout_ms > 2'000;
        },
        {"T6"});
}

// (c) The others were seen under full load; then an hour of low load under R3, which orders after 50 ms, then full load
// again, and R3 orders a third of what the others did, always within four times their latency.
TEST(Pitfall15, an_hour_of_low_load_does_not_lower_what_is_expected_under_full_load) {
    const auto schedule = [](const std::vector<std::string>& off) {
        Shape shape = shape_with(off, [](Options& options) {
            options.tenure_ms = 10'000'000;
            options.tenure_blocks = 1'700;
        });
        shape.tick_ms = 50;
        TimedCluster timed(shape);
        timed.load = {0, 16, everybody};
        let_r3_lead(timed);
        std::uint64_t delay_ms = 50;
        timed.network = [&](const Packet& packet) {
            return std::optional<std::uint64_t>(is_proposal_of(packet, 3) ? delay_ms : 0);
        };
        timed.load = {2'500, 0, everybody};
        timed.run(3'600'000);
        EXPECT_TRUE(timed.all_in(View(3))) << "low load is no reason: " << timed.cluster.status(0).last_time_out;
        timed.load = {0, 16, everybody};
        delay_ms = 120;
        timed.run_until([&] { return timed.highest_view() > View(3); }, 10'000);
        if (timed.highest_view() > View(3)) {
            EXPECT_EQ(timed.cluster.status(0).last_time_out, "the primary orders too little");
        }
        return timed.highest_view() == View(3);
    };
    expect_rule_matters(schedule, {"T3-rate"});
}

// (d) R3 serves everybody but one client.
TEST(Pitfall15, one_client_that_is_left_out_is_enough) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_with(off, [](Options& options) { options.tenure_ms = 5'000; }));
            timed.load = {50, 0, everybody};
            let_r3_lead(timed);
            timed.network = [](const Packet& packet) -> std::optional<std::uint64_t> {
                const auto* relay = std::get_if<Relay>(&packet.message);
                return relay != nullptr && relay->envelope.session == SessionId(7) ? std::nullopt
                                                                                   : std::optional<std::uint64_t>(0);
            };
            for (const std::size_t replica : {0UL, 1UL, 2UL}) {
                timed.cluster.submit(replica, "left out", 1, 7);
            }
            timed.run_until([&] { return timed.highest_view() > View(3); }, l0_ms + 4 * tmin_ms + 100);
            const bool fired = timed.highest_view() > View(3);
            if (fired) {
                timed.run(500);
                EXPECT_EQ(timed.cluster.status(0).last_time_out, "the primary leaves an envelope out");
                EXPECT_TRUE(timed.cluster.executed_text(1, "left out"));
            }
            return !fired;
        },
        {"T5"});
}

// (e) Heartbeats in time, no proposals.
TEST(Pitfall15, heartbeats_alone_are_not_enough) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(shape_with(off, {}));
            timed.run(1'000);
            timed.network = [](const Packet& packet) -> std::optional<std::uint64_t> {
                return is_proposal_of(packet, 0) ? std::nullopt : std::optional<std::uint64_t>(0);
            };
            timed.load = {50, 0, everybody};
            timed.run_until([&] { return timed.highest_view() > View(0); }, l0_ms + tmin_ms + 100);
            return timed.highest_view() == View(0);
        },
        {"T1"});
}

// Spinning's traitor delays to just under the time-out whenever it leads. After one failure it gets the time of a
// healthy leader on its next turn, no more.
TEST(Pitfall15, a_leader_that_failed_lately_gets_a_short_first_time_out) {
    const auto waited_for_r1 = [](const std::vector<std::string>& off, bool adaptive) {
        TimedCluster timed(shape_with(off, [&](Options& options) {
            options.tenure_ms = 2'000;
            options.adaptive = adaptive;
        }));
        timed.load = {50, 0, {0, 2, 3}};
        timed.network = [](const Packet&) { return std::optional<std::uint64_t>(10); };
        timed.down = {1};
        std::vector<std::uint64_t> waits;
        for (const std::uint64_t turn : {1UL, 5UL}) {
            EXPECT_TRUE(timed.run_until([&] { return timed.cluster.status(2).promised >= View(turn); }, 60'000));
            const std::uint64_t since = timed.now_ms();
            EXPECT_TRUE(timed.run_until([&] { return timed.cluster.status(2).promised > View(turn); }, 60'000));
            waits.push_back(timed.now_ms() - since);
        }
        EXPECT_GE(waits[0], tmin_ms) << "the first time it has the usual time";
        return waits[1];
    };
    expect_rule_matters([&](const std::vector<std::string>& off) { return waited_for_r1(off, true) > tmin_ms * 3 / 4; },
                        {"L2"});
    EXPECT_GE(waited_for_r1({}, false), tmin_ms) << "the fixed detector remembers nobody";
}

}  // namespace
}  // namespace loyal::consensus::test
