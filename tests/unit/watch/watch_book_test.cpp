// The book of a client against words of replicas that the test makes up.
#include "client/watch_book.h"

#include <gtest/gtest.h>

#include "tests/unit/watch/watch_world.h"

namespace loyal::client {
namespace {

using consensus::ReplicaId;
using kvstore::Change;
using kvstore::ChangeId;
using kvstore::Revision;
using wire::end_of;

constexpr WatchId the_watch{1};

class WatchBookTest : public testing::Test {
 protected:
    WatchBookTest() {
        for (int i = 0; i < 12; ++i) {
            log.change(i % 3 == 2 ? "other" : "key", "v" + std::to_string(i));
            log.block();
        }
        changes = log.all();
        for (Change& change : changes) {
            change.previous.reset();
        }
    }

    void begin(Revision from, WatchBounds bounds = {}) {
        book.emplace(consensus::Quorum::of(consensus::FaultModel::byzantine, 4), bounds);
        for (std::uint16_t i = 0; i < 4; ++i) {
            book->connected(ReplicaId(i), now);
        }
        WatchOptions options;
        options.begin = bytes_of("key");
        options.from = from;
        book->add(
            the_watch, options, [this](const WatchNews& news) { hear(news); }, now);
        take();
    }
    void hear(const WatchNews& news) {
        all_news.push_back(news);
        told.insert(told.end(), news.changes.begin(), news.changes.end());
    }
    // What the book sends and tells.
    void take() {
        book->tell_news();
        for (Outgoing& out : book->take_outgoing()) {
            if (const auto* asked = std::get_if<wire::Watch>(&out.message)) {
                asking[out.to.value] = *asked;
                ++askings;
            } else if (std::holds_alternative<wire::Unwatch>(out.message)) {
                ++unwatches;
            }
        }
    }
    // Honest events of (after, upto].
    [[nodiscard]] wire::WatchEvents events(std::uint16_t replica, std::uint64_t after, std::uint64_t upto) {
        wire::WatchEvents message;
        message.id = the_watch;
        message.nonce = asking[replica].nonce;
        message.number = ++numbers[replica];
        message.after = end_of(Revision(after));
        message.upto = end_of(Revision(upto));
        message.live = true;
        for (const Change& change : changes) {
            if (change.key == bytes_of("key") && change.now.id > message.after && change.now.id <= message.upto) {
                message.changes.push_back(change);
            }
        }
        return message;
    }
    template <class Message>
    void say(std::uint16_t replica, const Message& message) {
        book->receive(ReplicaId(replica), message, now);
        take();
    }
    void pass(std::uint64_t ms) {
        for (std::uint64_t until = now + ms; now < until;) {
            now += 10;
            book->tick(now);
            take();
        }
    }
    [[nodiscard]] std::vector<Revision> revisions() const {
        std::vector<Revision> found;
        for (const Change& change : told) {
            found.push_back(change.now.id.revision);
        }
        return found;
    }
    [[nodiscard]] static std::vector<Revision> list(std::initializer_list<std::uint64_t> numbers) {
        std::vector<Revision> found;
        for (const std::uint64_t number : numbers) {
            found.emplace_back(number);
        }
        return found;
    }

    test::Committed log;
    std::vector<Change> changes;
    std::optional<WatchBook> book;
    std::uint64_t now = 1'000;
    std::map<std::uint16_t, wire::Watch> asking;
    std::map<std::uint16_t, std::uint64_t> numbers;
    std::size_t askings = 0, unwatches = 0;
    std::vector<WatchNews> all_news;
    std::vector<Change> told;
};

TEST_F(WatchBookTest, one_word_is_none_and_w_are_enough) {
    begin(Revision(1));
    ASSERT_EQ(askings, 4U);
    EXPECT_EQ(asking[2].after, end_of(Revision(0)));
    say(0, events(0, 0, 5));
    EXPECT_TRUE(told.empty());
    say(3, events(3, 0, 4));
    EXPECT_EQ(revisions(), list({1, 2, 4}));
    say(3, events(3, 4, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
    say(1, events(1, 0, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8}));
}

TEST_F(WatchBookTest, a_lie_is_never_told_and_holds_nothing_up) {
    begin(Revision(1));
    wire::WatchEvents lie = events(0, 0, 8);
    lie.changes[0].now.value = bytes_of("forged");
    lie.changes.erase(lie.changes.begin() + 1);
    say(0, lie);
    wire::WatchProgress far{end_of(Revision(1'000'000)), numbers[0]};
    say(0, far);  // "nothing else comes for long"
    say(1, events(1, 0, 8));
    EXPECT_TRUE(told.empty());
    say(2, events(2, 0, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8}));
    EXPECT_EQ(told[0].now.value, bytes_of("v0"));
}

TEST_F(WatchBookTest, a_lost_run_is_asked_for_again_from_where_the_watch_is) {
    begin(Revision(1));
    say(0, events(0, 0, 2));
    say(1, events(1, 0, 2));
    (void)events(0, 2, 4);  // lost
    say(0, events(0, 4, 5));
    EXPECT_EQ(revisions(), list({1, 2}));
    const std::size_t before = askings;
    pass(200);
    EXPECT_EQ(askings, before + 1);
    EXPECT_EQ(asking[0].after, end_of(Revision(2)));
    say(0, events(0, 2, 8));
    say(1, events(1, 2, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8}));
}

TEST_F(WatchBookTest, repeated_and_overtaken_runs_change_nothing) {
    begin(Revision(1));
    const auto first = events(0, 0, 2);
    const auto second = events(0, 2, 5);
    say(0, first);
    say(0, second);
    say(0, first);
    say(0, second);
    say(1, events(1, 0, 5));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
    say(1, events(1, 1, 5));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
}

TEST_F(WatchBookTest, progress_counts_only_when_everything_before_it_has_come) {
    begin(Revision(4));
    say(0, events(0, 3, 3));
    say(1, events(1, 3, 3));
    const auto missed = events(0, 3, 4);
    say(0, wire::WatchProgress{end_of(Revision(6)), numbers[0]});  // overtakes it
    say(1, wire::WatchProgress{end_of(Revision(3)), numbers[1]});
    pass(50);
    say(0, missed);
    say(1, events(1, 3, 4));
    EXPECT_EQ(revisions(), list({4}));
    // Another one is lost for good: only the count shows it.
    (void)events(0, 4, 5);
    const std::size_t before = askings;
    say(0, wire::WatchProgress{end_of(Revision(6)), numbers[0]});
    pass(300);
    EXPECT_EQ(askings, before + 1);
    EXPECT_EQ(asking[0].after, end_of(Revision(4)));
}

TEST_F(WatchBookTest, a_position_moves_with_the_progress_of_w) {
    begin(Revision(1));
    for (std::uint16_t replica = 0; replica < 3; ++replica) {
        say(replica, events(replica, 0, 2));
    }
    say(0, wire::WatchProgress{end_of(Revision(90)), numbers[0]});
    say(1, wire::WatchProgress{end_of(Revision(60)), numbers[1]});
    book->disconnected(ReplicaId(3));
    book->connected(ReplicaId(3), now);
    take();
    EXPECT_EQ(asking[3].after, end_of(Revision(60)));  // what one alone says counts for nothing
}

TEST_F(WatchBookTest, compaction_is_believed_of_w_and_names_where_to_go_on) {
    begin(Revision(1));
    const auto compacted = [this](std::uint16_t replica, std::uint64_t oldest) {
        return wire::WatchEnd{the_watch, asking[replica].nonce, ++numbers[replica], wire::WatchEndReason::compacted,
                              Revision(oldest)};
    };
    say(0, compacted(0, 1'000'000));
    pass(2'000);
    say(1, compacted(1, 7));
    EXPECT_EQ(all_news.back().kind, WatchNews::Kind::started);
    say(2, compacted(2, 8));
    ASSERT_EQ(all_news.back().kind, WatchNews::Kind::ended);
    EXPECT_EQ(all_news.back().ending, WatchNews::Ending::compacted);
    EXPECT_EQ(all_news.back().revision, Revision(9));  // the w-th highest is an honest one's, or below
    EXPECT_EQ(book->size(), 0U);
}

TEST_F(WatchBookTest, a_replica_that_was_compacted_does_not_end_a_watch_that_others_feed) {
    begin(Revision(1));
    say(0, wire::WatchEnd{the_watch, asking[0].nonce, ++numbers[0], wire::WatchEndReason::compacted, Revision(3)});
    say(1, events(1, 0, 5));
    say(2, events(2, 0, 5));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
    pass(6'000);
    EXPECT_EQ(asking[0].after, end_of(Revision(5)));  // it is asked again from where it can go on
    say(0, events(0, 5, 8));
    say(1, events(1, 5, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8}));
}

TEST_F(WatchBookTest, denied_is_believed_of_w) {
    begin(Revision(1));
    const auto denied = [this](std::uint16_t replica) {
        return wire::WatchEnd{the_watch, asking[replica].nonce, ++numbers[replica], wire::WatchEndReason::denied, {}};
    };
    say(3, denied(3));
    EXPECT_EQ(all_news.back().kind, WatchNews::Kind::started);
    say(2, denied(2));
    EXPECT_EQ(all_news.back().ending, WatchNews::Ending::denied);
}

TEST_F(WatchBookTest, junk_ahead_takes_bounded_memory_and_honest_words_go_on) {
    WatchBounds bounds;
    bounds.ahead_bytes = 10'000;
    begin(Revision(1), bounds);
    for (std::uint64_t i = 0; i < 1'000; ++i) {
        wire::WatchEvents junk = events(0, 0, 0);
        junk.after = end_of(Revision(100 + i));
        junk.upto = end_of(Revision(101 + i));
        if (i == 0) {
            junk.after = end_of(Revision(0));
        }
        Change change = changes.front();
        change.now.id = {Revision(101 + i), 0};
        change.now.value.assign(1'000, 'j');
        junk.changes = {change};
        say(0, junk);
        EXPECT_LE(book->ahead_bytes(ReplicaId(0)), bounds.ahead_bytes);
    }
    EXPECT_EQ(unwatches, 1U);  // it was told to stop
    say(1, events(1, 0, 12));
    say(2, events(2, 0, 12));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8, 10, 11}));
}

TEST_F(WatchBookTest, an_honest_one_that_was_too_far_ahead_is_asked_again_when_the_others_have_come) {
    WatchBounds bounds;
    bounds.ahead_bytes = 500;  // two changes
    begin(Revision(1), bounds);
    say(0, events(0, 0, 12));
    EXPECT_GT(unwatches, 0U);
    say(1, events(1, 0, 2));
    say(1, events(1, 2, 4));
    pass(500);
    EXPECT_EQ(asking[0].after, (ChangeId{Revision(2), 0}));  // what both told
    wire::WatchEvents from_there = events(0, 2, 5);
    from_there.after = asking[0].after;
    say(0, from_there);
    say(1, events(1, 4, 5));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
}

TEST_F(WatchBookTest, a_mute_replica_is_asked_less_and_less_often) {
    begin(Revision(1));
    for (int i = 0; i < 60; ++i) {
        pass(1'000);
        for (std::uint16_t replica = 1; replica < 4; ++replica) {
            if (numbers[replica] == 0) {
                say(replica, events(replica, 0, 12));
            }
            say(replica, wire::WatchProgress{end_of(Revision(12)), numbers[replica]});
        }
    }
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8, 10, 11}));
    EXPECT_GT(askings, 6U);
    EXPECT_LT(askings, 12U);
}

TEST_F(WatchBookTest, in_the_crash_model_one_word_is_enough) {
    book.emplace(consensus::Quorum::of(consensus::FaultModel::crash, 3), WatchBounds{});
    for (std::uint16_t i = 0; i < 3; ++i) {
        book->connected(ReplicaId(i), now);
    }
    WatchOptions options;
    options.begin = bytes_of("key");
    options.from = Revision(1);
    book->add(
        the_watch, options, [this](const WatchNews& news) { hear(news); }, now);
    take();
    say(2, events(2, 0, 5));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5}));
    say(0, events(0, 0, 8));
    EXPECT_EQ(revisions(), list({1, 2, 4, 5, 7, 8}));
}

TEST_F(WatchBookTest, a_callback_may_end_its_own_watch) {
    begin(Revision(1));
    book->remove(the_watch);
    WatchOptions options;
    options.begin = bytes_of("key");
    options.from = Revision(1);
    std::size_t heard = 0;
    book->add(
        the_watch, options,
        [&](const WatchNews&) {
            ++heard;
            book->remove(the_watch);
        },
        now);
    take();
    EXPECT_EQ(heard, 1U);
    EXPECT_EQ(book->size(), 0U);
}

}  // namespace
}  // namespace loyal::client
