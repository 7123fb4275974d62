// Time of the chain (docs/PROTOCOL.md §12) when the replicas' clocks are what they are: a little apart, or one of them
// wrong altogether.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstdlib>

#include "tests/unit/consensus/schedules.h"

namespace loyal::consensus::test {
namespace {

constexpr std::int64_t hour_ms = 3'600'000;
constexpr std::int64_t precision_ms = 250;

// A cluster whose replicas' clocks are off by so many ms each. `wall_ms` of the cluster is real time.
struct OffClocks {
    explicit OffClocks(std::vector<std::int64_t> offsets_ms, const std::vector<std::string>& rules_off = {})
        : cluster(shape_of(rules_off, {})), off_ms(std::move(offsets_ms)), executed(cluster.shape.n, 0) {
        set_clocks();
    }

    void run(
        std::size_t ticks, const TestCluster::Filter& filter = [](const Packet&) { return true; }) {
        for (std::size_t t = 0; t < ticks; ++t) {
            cluster.wall_ms += cluster.tick_ms;
            set_clocks();
            for (std::size_t i = 0; i < cluster.shape.n; ++i) {
                cluster.tick(i);
            }
            cluster.deliver(filter);
            cut(cluster);
            for (std::size_t i = 0; i < cluster.shape.n; ++i) {
                look_at_executed(i);
            }
        }
    }
    // As a client does that got no answer at once.
    void submit_to_all(const std::string& text, std::uint64_t seq) {
        for (std::size_t i = 0; i < cluster.shape.n; ++i) {
            cluster.submit(i, text, seq);
        }
    }
    [[nodiscard]] bool all_executed(const std::string& text) const {
        for (std::size_t i = 0; i < cluster.shape.n; ++i) {
            if (!cluster.executed_text(i, text)) {
                return false;
            }
        }
        return true;
    }

    TestCluster cluster;
    std::vector<std::int64_t> off_ms;
    std::vector<std::size_t> executed;      // blocks looked at
    std::int64_t ahead_ms = -hour_ms * 24;  // of real time when it was executed: the most of any block
    std::int64_t behind_ms = -hour_ms * 24;
    bool rising = true;

 private:
    void set_clocks() {
        for (std::size_t i = 0; i < cluster.shape.n; ++i) {
            cluster.set_clock(i, static_cast<std::uint64_t>(static_cast<std::int64_t>(cluster.wall_ms) + off_ms[i]));
        }
    }
    void look_at_executed(std::size_t i) {
        const std::vector<BlockPtr>& blocks = cluster.replicas[i].executed;
        for (; executed[i] < blocks.size(); ++executed[i]) {
            const Hlc hlc = blocks[executed[i]]->header.hlc;
            const auto lead_ms = static_cast<std::int64_t>(hlc.wall_ms()) - static_cast<std::int64_t>(cluster.wall_ms);
            ahead_ms = std::max(ahead_ms, lead_ms);
            behind_ms = std::max(behind_ms, -lead_ms);
            rising = rising && (executed[i] == 0 || blocks[executed[i] - 1]->header.hlc < hlc);
        }
    }
};

// Any two clocks are within PRECISION; primaries come and go.
RC_GTEST_PROP(HlcProperty, timestamps_rise_with_the_sequence_and_stay_near_real_time, ()) {
    const auto offsets = *rc::gen::container<std::vector<std::int64_t>>(
        4, rc::gen::inRange<std::int64_t>(-precision_ms / 2, precision_ms / 2 + 1));
    const auto cut_off = *rc::gen::container<std::vector<std::size_t>>(6, rc::gen::inRange<std::size_t>(0, 5));
    OffClocks world(offsets);
    std::uint64_t seq = 0;
    for (const std::size_t alone : cut_off) {  // 4: nobody
        const auto filter = [alone](const Packet& packet) {
            return packet.from.value != alone && packet.to.value != alone;
        };
        for (int i = 0; i < 3; ++i) {
            ++seq;
            world.submit_to_all("w" + std::to_string(seq), seq);
            world.run(20, filter);
        }
    }
    world.run(600);
    for (std::uint64_t s = 1; s <= seq; ++s) {
        RC_ASSERT(world.all_executed("w" + std::to_string(s)));
    }
    RC_ASSERT(world.rising);
    RC_ASSERT(world.ahead_ms <= precision_ms / 2);
    world.cluster.check_agreement();
}

TEST(BadClock, of_a_backup_harms_nobody) {
    for (const std::int64_t off : {-hour_ms, -2'000L, 2'000L, hour_ms}) {
        OffClocks world({0, 0, off, 0});
        for (std::uint64_t seq = 1; seq <= 10; ++seq) {
            world.submit_to_all("w" + std::to_string(seq), seq);
            world.run(5);
        }
        world.run(50);
        for (std::uint64_t seq = 1; seq <= 10; ++seq) {
            EXPECT_TRUE(world.all_executed("w" + std::to_string(seq))) << seq << ", off by " << off;
        }
        EXPECT_EQ(world.cluster.status(0).entered, View(0)) << "the primary stays, off by " << off;
        EXPECT_LE(world.ahead_ms, precision_ms);
        EXPECT_LE(world.behind_ms, 1'000) << "off by " << off;
        EXPECT_TRUE(world.rising);
    }
}

TEST(BadClock, of_the_primary_costs_it_its_office_and_nothing_else) {
    for (const std::int64_t off : {-hour_ms, -2'000L, 2'000L, hour_ms}) {
        OffClocks world({off, 0, 0, 0});
        world.submit_to_all("first", 1);
        world.run(400);
        world.submit_to_all("second", 2);
        world.run(400);
        EXPECT_TRUE(world.all_executed("first")) << "off by " << off;
        EXPECT_TRUE(world.all_executed("second")) << "off by " << off;
        EXPECT_GT(world.cluster.status(1).entered, View(0)) << "off by " << off;
        // Not even for a moment was the chain's time that of the wrong clock (H4).
        EXPECT_LE(world.ahead_ms, precision_ms) << "off by " << off;
        EXPECT_LE(world.behind_ms, 2 * precision_ms + 1'000) << "off by " << off;
        EXPECT_TRUE(world.rising);
        world.cluster.check_agreement();
    }
}

TEST(BadClock, that_jumps_while_its_owner_leads_does_not_carry_the_chain_along) {
    for (const std::int64_t jump : {-hour_ms, hour_ms}) {
        OffClocks world({0, 0, 0, 0});
        world.submit_to_all("before", 1);
        world.run(20);
        ASSERT_TRUE(world.all_executed("before"));
        world.off_ms[0] = jump;
        world.run(1);
        world.submit_to_all("after", 2);
        world.run(400);
        EXPECT_TRUE(world.all_executed("after")) << jump;
        EXPECT_LE(world.ahead_ms, precision_ms) << jump;
        EXPECT_TRUE(world.rising) << jump;
    }
    // It is the check of proposals that keeps it from that.
    OffClocks unchecked({hour_ms, 0, 0, 0}, {"H2"});
    unchecked.submit_to_all("first", 1);
    unchecked.run(20);
    EXPECT_GT(unchecked.ahead_ms, hour_ms - 1'000);
}

}  // namespace
}  // namespace loyal::consensus::test
