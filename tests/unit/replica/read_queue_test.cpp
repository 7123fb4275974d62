#include "replica/read_queue.h"

#include <gtest/gtest.h>

#include <map>

namespace loyal::replica {
namespace {

using consensus::BlockRef;
using consensus::Height;
using consensus::View;

BlockRef block(std::uint64_t height, std::string_view name) {
    return {Height(height), crypto::digest_of("block", view_of(name))};
}

struct FakeView final : ReadView {
    [[nodiscard]] consensus::ReadTarget target() const override { return {lock, view}; }
    [[nodiscard]] bool contains(const BlockRef& block) const override {
        const auto found = chain.find(block.height);
        return found != chain.end() && found->second == block.id;
    }
    [[nodiscard]] Height executed() const override { return chain.empty() ? Height(0) : chain.rbegin()->first; }
    void execute(const BlockRef& block) { chain[block.height] = block.id; }

    BlockRef lock;
    View view;
    std::map<Height, crypto::Digest> chain;
};

class ReadQueueTest : public ::testing::Test {
 protected:
    static wire::Read request(std::uint64_t nonce, std::uint64_t min_executed = 0) {
        wire::Read read;
        read.nonce = nonce;
        read.min_executed = Height(min_executed);
        return read;
    }
    FakeView view_;
    std::vector<std::pair<std::uint64_t, std::uint64_t>> ready_;  // nonce, lock_h
    std::vector<std::uint64_t> busy_;
    ReadQueue queue_{
        3, 5, [this](std::uint64_t, wire::Read read, Height lock) { ready_.emplace_back(read.nonce, lock.value); },
        [this](std::uint64_t, const wire::Read& read) { busy_.push_back(read.nonce); }};
};

using Ready = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

// Pitfall 9, first variant: R1 locked b and has not executed it. It must not answer from the old state.
TEST_F(ReadQueueTest, a_read_waits_until_the_own_lock_is_executed) {
    view_.execute(block(1, "a"));
    view_.lock = block(2, "b");
    EXPECT_TRUE(queue_.submit(1, request(7), view_));
    queue_.progress(view_);
    EXPECT_TRUE(ready_.empty());
    view_.execute(block(2, "b"));
    queue_.progress(view_);
    EXPECT_EQ(ready_, (Ready{{7, 2}}));
}

TEST_F(ReadQueueTest, an_executed_lock_is_answered_at_once) {
    view_.execute(block(1, "a"));
    view_.lock = block(1, "a");
    EXPECT_FALSE(queue_.submit(1, request(7), view_));
    EXPECT_EQ(ready_, (Ready{{7, 1}}));
}

// Ancestry, not height, counts: another block of the lock's height is executed.
TEST_F(ReadQueueTest, a_lock_that_lost_is_not_taken_for_executed) {
    view_.lock = block(2, "lost");
    view_.execute(block(1, "a"));
    view_.execute(block(2, "won"));
    view_.execute(block(3, "more"));
    EXPECT_TRUE(queue_.submit(1, request(7), view_));
    queue_.progress(view_);
    EXPECT_TRUE(ready_.empty());
}

TEST_F(ReadQueueTest, a_new_view_captures_targets_again) {
    view_.execute(block(1, "a"));
    view_.lock = block(2, "lost");
    queue_.submit(1, request(7), view_);
    view_.execute(block(2, "won"));
    view_.view = View(1);
    view_.lock = block(2, "won");
    queue_.view_entered(view_);
    EXPECT_EQ(ready_, (Ready{{7, 2}}));
}

TEST_F(ReadQueueTest, a_new_view_may_also_raise_the_target) {
    view_.execute(block(1, "a"));
    view_.lock = block(2, "b");
    queue_.submit(1, request(7), view_);
    view_.view = View(1);
    view_.lock = block(4, "d");
    queue_.view_entered(view_);
    view_.execute(block(2, "b"));
    queue_.progress(view_);
    EXPECT_TRUE(ready_.empty());
    view_.execute(block(3, "c"));
    view_.execute(block(4, "d"));
    queue_.progress(view_);
    EXPECT_EQ(ready_, (Ready{{7, 4}}));
}

TEST_F(ReadQueueTest, waits_for_the_height_that_the_client_asks_for) {
    view_.execute(block(1, "a"));
    view_.lock = block(1, "a");
    EXPECT_TRUE(queue_.submit(1, request(7, 3), view_));
    view_.execute(block(2, "b"));
    queue_.progress(view_);
    EXPECT_TRUE(ready_.empty());
    view_.execute(block(3, "c"));
    queue_.progress(view_);
    EXPECT_EQ(ready_, (Ready{{7, 1}})) << "lock_h stays the height of the target";
}

TEST_F(ReadQueueTest, says_busy_after_the_longest_wait) {
    view_.lock = block(2, "b");
    queue_.submit(1, request(7), view_);
    for (int i = 0; i < 4; ++i) {
        queue_.tick();
    }
    queue_.submit(1, request(8), view_);
    EXPECT_TRUE(busy_.empty());
    queue_.tick();
    EXPECT_EQ(busy_, (std::vector<std::uint64_t>{7}));
    EXPECT_EQ(queue_.size(), 1U);
}

TEST_F(ReadQueueTest, is_bounded) {
    view_.lock = block(2, "b");
    for (std::uint64_t nonce = 1; nonce <= 4; ++nonce) {
        queue_.submit(1, request(nonce), view_);
    }
    EXPECT_EQ(busy_, (std::vector<std::uint64_t>{4}));
    EXPECT_EQ(queue_.size(), 3U);
}

TEST_F(ReadQueueTest, a_stale_read_waits_for_nothing) {
    view_.lock = block(2, "b");
    wire::Read stale = request(7);
    stale.stale = true;
    EXPECT_FALSE(queue_.submit(1, std::move(stale), view_));
    EXPECT_EQ(ready_.size(), 1U);
}

TEST_F(ReadQueueTest, a_closed_link_takes_its_reads_along) {
    view_.lock = block(2, "b");
    queue_.submit(1, request(7), view_);
    queue_.submit(2, request(8), view_);
    queue_.drop_link(1);
    view_.execute(block(2, "b"));
    queue_.progress(view_);
    EXPECT_EQ(ready_, (Ready{{8, 2}}));
}

}  // namespace
}  // namespace loyal::replica
