#include "replica/send_gate.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal::replica {
namespace {

using consensus::PersistId;
using consensus::ReplicaId;
using consensus::Send;

Send message(std::uint64_t name, std::uint64_t after) {
    return {ReplicaId(1), consensus::PreVote{consensus::View(name)}, PersistId(after)};
}
std::uint64_t name_of(const Send& send) {
    return std::get<consensus::PreVote>(send.message).new_view.value;
}

class SendGateTest : public ::testing::Test {
 protected:
    void submit(Send send) {
        gate_.submit(std::move(send), [this](Send out) { left_.push_back(name_of(out)); });
    }
    void persisted(std::uint64_t id) {
        gate_.persisted(PersistId(id), [this](Send out) { left_.push_back(name_of(out)); });
    }
    SendGate gate_;
    std::vector<std::uint64_t> left_;
};

TEST_F(SendGateTest, nothing_leaves_before_its_record_is_durable) {
    submit(message(1, 1));
    submit(message(2, 2));
    EXPECT_TRUE(left_.empty());
    EXPECT_EQ(gate_.waiting(), 2U);
    persisted(1);
    EXPECT_EQ(left_, (std::vector<std::uint64_t>{1}));
    persisted(2);
    EXPECT_EQ(left_, (std::vector<std::uint64_t>{1, 2}));
    EXPECT_EQ(gate_.waiting(), 0U);
}

TEST_F(SendGateTest, a_message_without_a_record_does_not_wait_for_others) {
    submit(message(1, 5));
    submit(message(2, 0));
    EXPECT_EQ(left_, (std::vector<std::uint64_t>{2}));
}

TEST_F(SendGateTest, one_group_commit_releases_all_before_it_in_order) {
    submit(message(1, 3));
    submit(message(2, 3));
    submit(message(3, 4));
    submit(message(4, 9));
    persisted(7);
    EXPECT_EQ(left_, (std::vector<std::uint64_t>{1, 2, 3}));
}

TEST_F(SendGateTest, an_older_persisted_takes_nothing_back) {
    persisted(7);
    persisted(3);
    submit(message(1, 5));
    EXPECT_EQ(left_, (std::vector<std::uint64_t>{1}));
}

RC_GTEST_PROP(SendGateProperty, each_message_leaves_once_after_its_record_and_in_order,
              (std::vector<std::pair<bool, std::uint8_t>> steps)) {
    SendGate gate;
    std::uint64_t durable = 0;
    std::uint64_t next_name = 1;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> left;  // after, name
    std::size_t submitted = 0;
    const auto leave = [&](const Send& send) {
        RC_ASSERT(send.after.value <= durable);
        left.emplace_back(send.after.value, name_of(send));
    };
    for (const auto& [submit, value] : steps) {
        if (submit) {
            gate.submit(message(next_name++, value), leave);
            ++submitted;
        } else {
            durable = std::max<std::uint64_t>(durable, value);
            gate.persisted(PersistId(value), leave);
        }
    }
    durable = 1'000;
    gate.persisted(PersistId(durable), leave);
    RC_ASSERT(left.size() == submitted);
    for (std::size_t i = 0; i < left.size(); ++i) {
        for (std::size_t j = i + 1; j < left.size(); ++j) {
            const bool swapped = left[i].first == left[j].first && left[i].second > left[j].second;
            RC_ASSERT(!swapped);
        }
    }
}

}  // namespace
}  // namespace loyal::replica
