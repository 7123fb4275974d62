#include "sim/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace loyal::sim {
namespace {

class NetworkTest : public ::testing::Test {
 protected:
    void send(ProcessIndex from, ProcessIndex to, int what) {
        network_.send(from, to, [this, what](const Arrival& arrival) {
            arrived_.push_back(what);
            corrupted_ += arrival.corrupted ? 1 : 0;
            times_.push_back(scheduler_.now());
        });
    }
    void run() {
        while (scheduler_.step()) {
        }
    }
    Scheduler scheduler_;
    Network network_{scheduler_, Random(1), 3};
    std::vector<int> arrived_;
    std::vector<TimeUs> times_;
    int corrupted_ = 0;
};

TEST_F(NetworkTest, messages_take_their_time) {
    LinkQuality quality;
    quality.delay_min_us = 100;
    quality.delay_spread_us = 50;
    network_.set_quality(quality);
    for (int i = 0; i < 100; ++i) {
        send(0, 1, i);
    }
    run();
    ASSERT_EQ(arrived_.size(), 100U);
    for (const TimeUs time : times_) {
        EXPECT_GE(time, 100U);
        EXPECT_LE(time, 150U);
    }
}

TEST_F(NetworkTest, an_ordered_link_keeps_order_and_an_unordered_one_does_not) {
    LinkQuality quality;
    quality.delay_spread_us = 10'000;
    for (const bool ordered : {true, false}) {
        arrived_.clear();
        quality.ordered = ordered;
        network_.set_quality(quality);
        for (int i = 0; i < 50; ++i) {
            send(0, 1, i);
        }
        run();
        EXPECT_EQ(std::is_sorted(arrived_.begin(), arrived_.end()), ordered);
    }
}

TEST_F(NetworkTest, a_blocked_direction_loses_what_is_sent_and_what_is_under_way) {
    send(0, 1, 1);
    network_.block(0, 1);
    send(0, 1, 2);
    send(1, 0, 3);
    run();
    EXPECT_EQ(arrived_, std::vector<int>{3});
    network_.heal();
    send(0, 1, 4);
    run();
    EXPECT_EQ(arrived_, (std::vector<int>{3, 4}));
}

TEST_F(NetworkTest, loss_duplication_and_corruption_happen_as_often_as_asked) {
    LinkQuality quality;
    quality.loss_ppm = 200'000;
    quality.duplicate_ppm = 100'000;
    quality.corrupt_ppm = 50'000;
    network_.set_quality(quality);
    for (int i = 0; i < 10'000; ++i) {
        send(0, 1, i);
    }
    run();
    EXPECT_NEAR(static_cast<double>(network_.counters().lost), 2'000, 200);
    EXPECT_NEAR(static_cast<double>(network_.counters().duplicated), 800, 150);
    EXPECT_NEAR(corrupted_, 440, 120);
    EXPECT_EQ(arrived_.size(), 10'000 - network_.counters().lost + network_.counters().duplicated);
}

TEST_F(NetworkTest, a_fault_of_one_direction_leaves_the_other_and_all_others_alone) {
    replica::LinkFault fault;
    fault.drop = 0.5;
    fault.duplicate = 0.2;
    network_.set_fault(0, 1, fault);
    for (int i = 0; i < 4'000; ++i) {
        send(0, 1, 1);
    }
    run();
    EXPECT_NEAR(static_cast<double>(arrived_.size()), 4'000 * 0.5 * 1.2, 150);
    arrived_.clear();
    for (int i = 0; i < 100; ++i) {
        send(1, 0, 2);
        send(0, 2, 3);
    }
    run();
    EXPECT_EQ(arrived_.size(), 200U);
}

TEST_F(NetworkTest, what_a_fault_swallows_looks_sent_and_what_a_broken_link_loses_does_not) {
    replica::LinkFault cut;
    cut.cut = true;
    network_.set_fault(0, 1, cut);
    EXPECT_TRUE(network_.send(0, 1, [](const Arrival&) { ADD_FAILURE() << "arrived"; }));
    network_.block(1, 0);
    EXPECT_FALSE(network_.send(1, 0, [](const Arrival&) { ADD_FAILURE() << "arrived"; }));
    run();
    network_.heal();
    send(0, 1, 5);
    run();
    EXPECT_EQ(arrived_, std::vector<int>{5});
}

TEST_F(NetworkTest, delay_and_jitter_add_up_and_a_rate_queues) {
    LinkQuality quality;
    quality.delay_min_us = 0;
    quality.delay_spread_us = 0;
    network_.set_quality(quality);
    replica::LinkFault fault;
    fault.delay_ms = 20;
    fault.jitter_ms = 10;
    network_.set_fault(0, 1, fault);
    for (int i = 0; i < 200; ++i) {
        send(0, 1, i);
    }
    run();
    EXPECT_GE(*std::min_element(times_.begin(), times_.end()), 20 * ms);
    EXPECT_LE(*std::max_element(times_.begin(), times_.end()), 30 * ms);
    EXPECT_LE(network_.counters().slowest_us, 30 * ms);

    times_.clear();
    fault = {};
    fault.rate_bytes_s = 1'000;
    network_.set_fault(0, 1, fault);
    const TimeUs begin = scheduler_.now();
    for (int i = 0; i < 3; ++i) {
        network_.send(
            0, 1, [this](const Arrival&) { times_.push_back(scheduler_.now()); }, 500);
    }
    run();
    EXPECT_EQ(times_, (std::vector<TimeUs>{begin + second / 2, begin + second, begin + 3 * second / 2}));
}

TEST_F(NetworkTest, messages_overtake_each_other_where_they_are_told_to) {
    replica::LinkFault fault;
    fault.reorder = 0.5;
    network_.set_fault(0, 1, fault);
    for (int i = 0; i < 50; ++i) {
        send(0, 1, i);
        send(0, 2, 100 + i);
    }
    run();
    std::vector<int> reordered, usual;
    std::partition_copy(arrived_.begin(), arrived_.end(), std::back_inserter(reordered), std::back_inserter(usual),
                        [](int what) { return what < 100; });
    EXPECT_FALSE(std::is_sorted(reordered.begin(), reordered.end()));
    EXPECT_TRUE(std::is_sorted(usual.begin(), usual.end()));
}

TEST(SchedulerTest, events_of_one_instant_run_in_the_order_in_which_they_were_asked_for) {
    Scheduler scheduler;
    std::vector<int> order;
    scheduler.at(5, [&] { order.push_back(1); });
    scheduler.at(3, [&] {
        order.push_back(0);
        scheduler.at(5, [&] { order.push_back(3); });
        scheduler.at(1, [&] { order.push_back(9); });  // the past is now
    });
    scheduler.at(5, [&] { order.push_back(2); });
    while (scheduler.step()) {
    }
    EXPECT_EQ(order, (std::vector<int>{0, 9, 1, 2, 3}));
    EXPECT_EQ(scheduler.now(), 5U);
}

}  // namespace
}  // namespace loyal::sim
