// What becomes of the frames of a bad link: decisions by seed, without sockets, and then on an event loop.
#include "replica/experiments/link_faults.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "replica/experiments/faulty_links.h"
#include "tests/unit/replica/loop_fixture.h"

namespace loyal::replica {
namespace {

using ::testing::HasSubstr;

constexpr std::size_t frame_bytes = 500;

LinkFaults link_with(const LinkFault& fault, std::uint64_t seed = 7) {
    LinkFaults link(seed);
    link.set(fault);
    return link;
}

TEST(LinkFaults, a_link_without_a_fault_lets_everything_through_at_once) {
    LinkFaults link(1);
    for (std::uint64_t now = 0; now < 1'000; ++now) {
        EXPECT_EQ(link.depart(now, frame_bytes), std::vector<std::uint64_t>{now});
    }
    EXPECT_EQ(link.counters().lost + link.counters().delayed + link.counters().duplicated, 0U);
}

TEST(LinkFaults, a_cut_link_loses_everything) {
    LinkFaults link = link_with({.cut = true});
    for (int i = 0; i < 100; ++i) {
        EXPECT_TRUE(link.depart(5, frame_bytes).empty());
    }
    EXPECT_EQ(link.counters().lost, 100U);
    link.set({});
    EXPECT_EQ(link.depart(6, frame_bytes).size(), 1U);
}

// Of 20,000 frames at 0.3 the share is within five standard deviations.
TEST(LinkFaults, as_many_are_lost_and_doubled_as_was_said) {
    LinkFaults link = link_with({.drop = 0.3, .duplicate = 0.1});
    std::size_t lost = 0, twice = 0;
    for (int i = 0; i < 20'000; ++i) {
        const auto copies = link.depart(static_cast<std::uint64_t>(i), frame_bytes);
        lost += copies.empty() ? 1U : 0U;
        twice += copies.size() == 2 ? 1U : 0U;
    }
    EXPECT_NEAR(static_cast<double>(lost), 6'000, 5 * 65);
    EXPECT_NEAR(static_cast<double>(twice), 1'400, 5 * 36);
    EXPECT_EQ(link.counters().lost, lost);
    EXPECT_EQ(link.counters().duplicated, twice);
}

TEST(LinkFaults, the_ends_of_the_scale_are_never_and_always) {
    LinkFaults always = link_with({.drop = 1});
    LinkFaults never = link_with({.duplicate = 0, .reorder = 0});
    for (int i = 0; i < 5'000; ++i) {
        EXPECT_TRUE(always.depart(1, 1).empty());
        EXPECT_EQ(never.depart(1, 1).size(), 1U);
    }
}

RC_GTEST_PROP(LinkFaultsProperty, delay_and_jitter_stay_in_their_bounds_and_keep_order, ()) {
    const auto delay_ms = *rc::gen::inRange<std::uint64_t>(0, 100);
    const auto jitter_ms = *rc::gen::inRange<std::uint64_t>(0, 100);
    LinkFaults link = link_with({.delay_ms = delay_ms, .jitter_ms = jitter_ms}, *rc::gen::arbitrary<std::uint64_t>());
    std::uint64_t now = 1'000, last = 0;
    for (int i = 0; i < 200; ++i) {
        now += *rc::gen::inRange<std::uint64_t>(0, 5'000);
        const auto copies = link.depart(now, frame_bytes);
        RC_ASSERT(copies.size() == 1U);
        RC_ASSERT(copies[0] >= now + delay_ms * 1'000);
        RC_ASSERT(copies[0] <= now + (delay_ms + jitter_ms) * 1'000);
        RC_ASSERT(copies[0] >= last);
        last = copies[0];
    }
}

TEST(LinkFaults, jitter_uses_its_whole_range) {
    LinkFaults link = link_with({.delay_ms = 20, .jitter_ms = 10});
    std::uint64_t least = UINT64_MAX, most = 0;
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        const std::uint64_t now = i * 1'000'000;
        const std::uint64_t late = link.depart(now, frame_bytes)[0] - now;
        least = std::min(least, late);
        most = std::max(most, late);
    }
    EXPECT_LT(least, 20'500U);
    EXPECT_GT(most, 29'500U);
}

TEST(LinkFaults, reordered_frames_are_overtaken) {
    LinkFaults link = link_with({.reorder = 0.2});
    std::size_t overtaken = 0;
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < 2'000; ++i) {
        const std::uint64_t at = link.depart(i * 1'000, frame_bytes)[0];
        overtaken += at < last ? 1U : 0U;
        last = std::max(last, at);
    }
    EXPECT_GT(overtaken, 200U);
    LinkFaults straight = link_with({.delay_ms = 5});
    last = 0;
    for (std::uint64_t i = 0; i < 2'000; ++i) {
        const std::uint64_t at = straight.depart(i * 1'000, frame_bytes)[0];
        EXPECT_GE(at, last);
        last = at;
    }
}

TEST(LinkFaults, a_rate_spreads_frames_over_time_and_bounds_what_waits) {
    LinkFaults link = link_with({.rate_bytes_s = 50'000});
    for (std::uint64_t i = 1; i <= 100; ++i) {
        EXPECT_EQ(link.depart(0, 500), std::vector<std::uint64_t>{i * 10'000});
    }
    // Idle time is not saved up.
    EXPECT_EQ(link.depart(5'000'000, 500)[0], 5'010'000U);
    std::uint64_t accepted = 0;
    for (int i = 0; i < 100; ++i) {
        accepted += link.depart(5'000'000, 1U << 20U).empty() ? 0U : 1U;
    }
    EXPECT_LE(accepted << 20U, LinkFaults::held_bytes_max + (2U << 20U));
    EXPECT_GT(accepted, 2U);
}

TEST(LinkFaults, a_new_setting_does_not_wait_for_an_old_one) {
    LinkFaults link = link_with({.delay_ms = 600'000, .rate_bytes_s = 100});
    (void)link.depart(0, 1'000'000);
    link.set({.delay_ms = 1});
    EXPECT_EQ(link.depart(10, 1), std::vector<std::uint64_t>{1'010});
}

TEST(LinkFaults, the_same_seed_decides_the_same) {
    const LinkFault fault{0.2, 0.2, 0.2, 10, 5, 0, false};
    LinkFaults a = link_with(fault, 3), b = link_with(fault, 3), c = link_with(fault, 4);
    bool differs = false;
    for (std::uint64_t i = 0; i < 500; ++i) {
        const auto of_a = a.depart(i, frame_bytes);
        EXPECT_EQ(of_a, b.depart(i, frame_bytes));
        differs = differs || of_a != c.depart(i, frame_bytes);
    }
    EXPECT_TRUE(differs);
}

// ---- On a loop

class FaultyLinksTest : public test::LoopTest {
 protected:
    FaultyLinksTest()
        : links_(
              loop_, 4, consensus::ReplicaId(0), 5,
              [this](const LinkEnd& to, SharedBytes frame) { left_.emplace_back(to, frame->at(0)); },
              [this] { ++flushes_; }) {}
    void set(const std::string& line) {
        const auto command = parse_control(line, 4);
        ASSERT_TRUE(command) << line;
        links_.set(std::get<NetSet>(*command));
    }
    void send(std::uint16_t to, std::uint8_t name) {
        links_.send(consensus::ReplicaId(to), std::make_shared<const Bytes>(Bytes(100, name)));
    }
    [[nodiscard]] std::vector<int> names() const {
        std::vector<int> all;
        for (const auto& [to, name] : left_) {
            all.push_back(name);
        }
        return all;
    }

    std::vector<std::pair<LinkEnd, std::uint8_t>> left_;
    int flushes_ = 0;
    FaultyLinks links_;
};

TEST_F(FaultyLinksTest, a_fault_is_of_its_link_alone) {
    set("net to=1 cut");
    send(1, 1);
    send(2, 2);
    links_.send(ClientLinkId{77}, std::make_shared<const Bytes>(Bytes(1, 3)));
    EXPECT_EQ(names(), (std::vector<int>{2, 3}));
    EXPECT_EQ(links_.in_force(), "net to=1 cut");
}

TEST_F(FaultyLinksTest, late_frames_leave_in_order_and_are_flushed) {
    set("net to=all delay=30ms");
    for (std::uint8_t i = 0; i < 20; ++i) {
        send(1, i);
    }
    EXPECT_TRUE(left_.empty());
    const auto begin = std::chrono::steady_clock::now();
    ASSERT_TRUE(until([&] { return left_.size() == 20; }));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(25));
    EXPECT_TRUE(
        std::is_sorted(left_.begin(), left_.end(), [](const auto& a, const auto& b) { return a.second < b.second; }));
    EXPECT_GE(flushes_, 1);
    EXPECT_EQ(links_.held_bytes(), 0U);
}

TEST_F(FaultyLinksTest, clients_have_one_setting_and_links_of_their_own) {
    set("net to=clients drop=1");
    links_.send(ClientLinkId{5}, std::make_shared<const Bytes>(Bytes(1, 1)));
    send(1, 2);
    EXPECT_EQ(names(), std::vector<int>{2});
    EXPECT_EQ(links_.in_force(), "net to=clients drop=1");
    const auto said = nlohmann::json::parse(links_.json());
    EXPECT_EQ(said["links"].back()["to"], "clients");
    EXPECT_EQ(said["links"].back()["lost"], 1);
    links_.closed(5);
}

TEST_F(FaultyLinksTest, healing_lets_what_waits_go_at_once) {
    set("net to=1,2 delay=10m");
    send(1, 1);
    send(2, 2);
    EXPECT_EQ(links_.in_force(), "net to=1,2 delay=600000ms");
    links_.heal();
    EXPECT_EQ(names(), (std::vector<int>{1, 2}));
    EXPECT_EQ(links_.in_force(), "");
    send(1, 3);
    EXPECT_EQ(names(), (std::vector<int>{1, 2, 3}));
}

TEST_F(FaultyLinksTest, what_waits_on_a_link_that_is_cut_is_lost) {
    set("net to=1 delay=20ms");
    send(1, 1);
    set("net to=1 cut");
    set("net to=2 delay=40ms");
    send(2, 2);
    ASSERT_TRUE(until([&] { return !left_.empty(); }));
    EXPECT_EQ(names(), std::vector<int>{2});
}

TEST_F(FaultyLinksTest, tells_the_faults_of_all_links) {
    set("net to=all drop=0.5");
    set("net to=2 delay=7ms jitter=2ms");
    const auto said = nlohmann::json::parse(links_.json());
    EXPECT_EQ(said["from"], 0);
    ASSERT_EQ(said["links"].size(), 4U) << "three peers and the clients";
    EXPECT_EQ(said["links"][0]["fault"], "drop=0.5");
    EXPECT_EQ(said["links"][1]["fault"], "delay=7ms jitter=2ms");
    EXPECT_EQ(links_.in_force(), "net to=1,3 drop=0.5; net to=2 delay=7ms jitter=2ms");
}

}  // namespace
}  // namespace loyal::replica
