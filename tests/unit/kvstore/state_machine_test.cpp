#include "kvstore/state_machine.h"

#include <gtest/gtest.h>

#include <thread>

#include "config/limits.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::between;
using test::cas;
using test::client_of;
using test::del;
using test::envelope_of;
using test::get;
using test::keys_of;
using test::Machine;
using test::must;
using test::put;
using test::Submission;

using Keys = std::vector<std::string>;

TEST(StateMachine, begins_empty_at_genesis) {
    Machine machine;
    EXPECT_EQ(machine->executed(), consensus::Height(0));
    EXPECT_EQ(machine->revision(), Revision(0));
    EXPECT_EQ(machine->recent_digests(), (std::vector{std::pair(consensus::Height(0), crypto::Digest{})}));
    EXPECT_FALSE(machine->freeze());
    EXPECT_EQ(machine.value("k"), std::nullopt);
}

TEST(StateMachine, a_put_creates_and_then_changes_a_key) {
    Machine machine;
    EXPECT_EQ(machine.one(put("k", "1")).revision, Revision(1));
    EXPECT_EQ(machine.one(put("other", "x")).revision, Revision(2));
    const auto outcome = machine.one(put("k", "2"));
    EXPECT_EQ(outcome.status, Status::ok);
    EXPECT_EQ(outcome.revision, Revision(3));
    EXPECT_EQ(outcome.height, consensus::Height(3));
    const auto item = machine.read(get("k")).items.at(0);
    EXPECT_EQ(string_of(item.value), "2");
    EXPECT_EQ(item.revision, Revision(3));
    EXPECT_EQ(item.created, Revision(1));
    EXPECT_EQ(item.version, 2U);
    EXPECT_EQ(item.timestamp, outcome.hlc);
    EXPECT_EQ(item.timestamp, machine.chain().back()->header.hlc);
}

TEST(StateMachine, del_says_whether_the_key_was_there) {
    Machine machine;
    machine.one(put("k", "1"));
    EXPECT_EQ(machine.one(del("k")).status, Status::ok);
    const auto again = machine.one(del("k"));
    EXPECT_EQ(again.status, Status::not_found);
    EXPECT_EQ(again.revision, Revision(2));  // nothing changed
    EXPECT_EQ(machine.value("k"), std::nullopt);
    machine.one(put("k", "2"));
    const auto item = machine.read(get("k")).items.at(0);
    EXPECT_EQ(item.created, Revision(3));
    EXPECT_EQ(item.version, 1U);
}

TEST(StateMachine, cas_changes_only_what_compares) {
    Machine machine;
    EXPECT_EQ(machine.one(cas("k", "1", "2")).status, Status::mismatch);
    EXPECT_EQ(machine.one(cas("k", {}, {})).status, Status::ok);
    EXPECT_EQ(machine->revision(), Revision(0));
    EXPECT_EQ(machine.one(cas("k", {}, "1")).status, Status::ok);
    EXPECT_EQ(machine.one(cas("k", {}, "2")).status, Status::mismatch);
    EXPECT_EQ(machine.one(cas("k", "1", "2")).status, Status::ok);
    EXPECT_EQ(machine.value("k"), "2");
    EXPECT_EQ(machine.one(cas("k", "1", {})).status, Status::mismatch);
    EXPECT_EQ(machine.one(cas("k", "2", {})).status, Status::ok);
    EXPECT_EQ(machine.value("k"), std::nullopt);
    EXPECT_EQ(machine->revision(), Revision(3));
}

TEST(StateMachine, an_ordered_range_sees_the_writes_before_it_in_its_block) {
    Machine machine;
    Submission submission;
    submission.operations = {put("a", "1"), get("a"), put("a", "2"), get("a")};
    const auto outcomes = machine.submit(submission);
    ASSERT_EQ(outcomes.size(), 4U);
    EXPECT_EQ(string_of(must(decode_range_result(outcomes[1].result)).items.at(0).value), "1");
    EXPECT_EQ(string_of(must(decode_range_result(outcomes[3].result)).items.at(0).value), "2");
    EXPECT_EQ(outcomes[1].revision, Revision(1));
}

TEST(StateMachine, ranges_merge_what_is_written_frozen_and_stored) {
    Machine machine;
    for (const char* key : {"a", "b", "c", "d", "e"}) {
        machine.one(put(key, "stored"));
    }
    machine.flush();
    machine.one(put("b", "frozen"));
    machine.one(del("c"));
    machine.one(put("bb", "frozen"));
    ASSERT_TRUE(machine->freeze());
    machine.one(put("c", "active"));
    machine.one(del("d"));
    machine.one(put("f", "active"));

    EXPECT_EQ(keys_of(machine.read(between("", ""))), (Keys{"a", "b", "bb", "c", "e", "f"}));
    EXPECT_EQ(keys_of(machine.read(between("b", "e"))), (Keys{"b", "bb", "c"}));
    Range reverse = between("b", "e");
    reverse.reverse = true;
    EXPECT_EQ(keys_of(machine.read(reverse)), (Keys{"c", "bb", "b"}));
    reverse = between("", "");
    reverse.reverse = true;
    EXPECT_EQ(keys_of(machine.read(reverse)), (Keys{"f", "e", "c", "bb", "b", "a"}));
    EXPECT_EQ(machine.value("b"), "frozen");
    EXPECT_EQ(machine.value("c"), "active");
    EXPECT_EQ(machine.value("d"), std::nullopt);
    EXPECT_TRUE(machine.read(between("e", "b")).items.empty());
    EXPECT_TRUE(machine.read(between("e", "e")).items.empty());
}

TEST(StateMachine, a_page_ends_at_its_limit_and_says_that_there_is_more) {
    Machine machine;
    for (int i = 0; i < 10; ++i) {
        machine.one(put("k" + std::to_string(i), "v"));
    }
    Range range = between("k", "l");
    range.limit = 4;
    auto page = machine.read(range);
    EXPECT_EQ(keys_of(page), (Keys{"k0", "k1", "k2", "k3"}));
    EXPECT_TRUE(page.more);
    EXPECT_EQ(page.count, 4U);
    range.limit = 10;
    EXPECT_FALSE(machine.read(range).more);
    range.keys_only = true;
    EXPECT_TRUE(machine.read(range).items.at(0).value.empty());
    range.count_only = true;
    page = machine.read(range);
    EXPECT_EQ(page.count, 10U);
    EXPECT_TRUE(page.items.empty());
}

TEST(StateMachine, a_page_ends_at_its_bytes_but_holds_one_item_at_least) {
    Machine machine;
    const std::string big(limits::value_bytes_max, 'v');
    for (const char* key : {"a", "b", "c"}) {
        machine.one(put(key, big));
    }
    const auto page = machine.read(between("", ""));
    EXPECT_EQ(keys_of(page), (Keys{"a"}));  // a second one would pass range_bytes_max
    EXPECT_TRUE(page.more);
    Range keys = between("", "");
    keys.keys_only = true;
    EXPECT_EQ(keys_of(machine.read(keys)), (Keys{"a", "b", "c"}));
}

TEST(StateMachine, ranges_of_one_envelope_share_one_reply) {
    Machine machine;
    machine.one(put("a", std::string(limits::value_bytes_max, 'v')));
    Submission submission;
    submission.operations.assign(5, get("a"));
    const auto outcomes = machine.submit(submission);
    std::size_t bytes = 0;
    for (const Outcome& outcome : outcomes) {
        bytes += outcome.result.size();
    }
    EXPECT_EQ(outcomes.front().status, Status::ok);
    EXPECT_EQ(outcomes.back().status, Status::too_large);
    EXPECT_LE(bytes, limits::range_bytes_max + 64);
    // Alone it is answered.
    submission.session = 7;
    submission.operations = {get("a")};
    EXPECT_EQ(machine.submit(submission).at(0).status, Status::ok);
}

TEST(StateMachine, malformed_operations_are_executed_as_invalid) {
    Machine machine;
    consensus::EnvelopeContent content;
    content.key = test::key_of('a');
    content.session = consensus::SessionId(1);
    content.seq0 = consensus::Seq(1);
    content.count = 2;
    content.not_after = consensus::Hlc(test::start_ms + 1000, std::uint16_t{0});
    content.operations = bytes_of("garbage");
    const auto bytes = make_envelope(content, test::test_context().cluster_id, consensus::Epoch(0), nullptr);
    const auto envelope = must(consensus::parse_envelope(std::make_shared<const Bytes>(bytes)));
    const auto executed = machine.execute({envelope});
    ASSERT_EQ(executed.replies.at(0).outcomes.size(), 2U);
    EXPECT_EQ(executed.replies[0].outcomes[1].status, Status::invalid);
    EXPECT_EQ(must(machine->admit(envelope)).verdict, Admission::invalid);
    // Recorded: a good envelope under the same numbers does not execute.
    Submission submission;
    submission.operations = {put("k", "v")};
    EXPECT_EQ(machine.submit(submission).at(0).status, Status::invalid);
    EXPECT_EQ(machine.value("k"), std::nullopt);
}

TEST(StateMachine, rights_are_checked_operation_by_operation) {
    Machine machine;
    Submission submission;
    submission.operations = {put("k", "v"), get("k")};
    submission.key = test::key_of('r');
    auto outcomes = machine.submit(submission);
    EXPECT_EQ(outcomes.at(0).status, Status::denied);
    EXPECT_EQ(outcomes.at(1).status, Status::ok);
    EXPECT_EQ(must(machine->admit(envelope_of(submission))).verdict, Admission::denied);
    submission.key = test::key_of('w');
    outcomes = machine.submit(submission);
    EXPECT_EQ(outcomes.at(0).status, Status::ok);
    EXPECT_EQ(outcomes.at(1).status, Status::denied);
    submission.key = test::key_of('?');
    outcomes = machine.submit(submission);
    EXPECT_EQ(outcomes.at(0).status, Status::denied);
    EXPECT_TRUE(machine->may_ask(client_of('r'), get("k")));
    EXPECT_FALSE(machine->may_ask(client_of('w'), get("k")));
    EXPECT_FALSE(machine->may_ask(client_of('?'), get("k")));
}

TEST(StateMachine, equal_blocks_give_equal_digests_and_others_do_not) {
    Machine one;
    Machine two;
    for (int i = 0; i < 5; ++i) {
        EXPECT_EQ(one.one(put("k", std::to_string(i))), two.one(put("k", std::to_string(i))));
        two.flush();  // where a replica writes its state says nothing about it
    }
    EXPECT_EQ(one->recent_digests(), two->recent_digests());
    one.one(put("k", "x"));
    two.one(put("k", "y"));
    EXPECT_NE(one->recent_digests().back(), two->recent_digests().back());
}

TEST(StateMachine, keeps_the_digests_that_headers_after_a_restart_need) {
    Machine machine;
    for (std::size_t i = 0; i < 100; ++i) {
        machine.execute(std::vector<consensus::Envelope>{});
    }
    const auto digests = machine->recent_digests();
    EXPECT_EQ(digests.size(), 2 * limits::window_max + 2);
    EXPECT_EQ(digests.back().first, consensus::Height(100));
    machine.flush();
    machine.reopen();
    EXPECT_EQ(machine->recent_digests(), digests);
}

TEST(StateMachine, a_restart_begins_at_the_durable_height_and_replays_to_the_same_state) {
    Machine machine;
    machine.one(put("a", "1"));
    machine.one(put("b", "1"));
    machine.flush();
    EXPECT_EQ(machine->durable_height(), consensus::Height(2));
    const auto outcome = machine.one(put("a", "2"));
    const auto digests = machine->recent_digests();
    const auto replayed = machine.chain().back();
    machine.reopen();
    EXPECT_EQ(machine->executed(), consensus::Height(2));
    EXPECT_EQ(machine->durable_height(), consensus::Height(2));
    EXPECT_EQ(machine.value("a"), "1");
    EXPECT_EQ(machine.execute(replayed).replies.at(0).outcomes.at(0), outcome);
    EXPECT_EQ(machine->recent_digests(), digests);
}

TEST(StateMachine, a_lazy_batch_does_not_count_as_durable) {
    Machine machine;
    machine.one(put("a", "1"));
    ASSERT_TRUE(machine->freeze());
    EXPECT_FALSE(machine->freeze());
    must(machine->write_frozen(Durability::lazy));
    machine->drop_frozen();
    EXPECT_EQ(machine->durable_height(), consensus::Height(0));
    EXPECT_EQ(machine->overlay_bytes(), 0U);
    machine.one(put("a", "2"));
    machine.flush();
    EXPECT_EQ(machine->durable_height(), consensus::Height(2));
}

TEST(StateMachine, executes_and_reads_while_another_thread_writes_a_batch) {
    Machine machine;
    for (int batch = 0; batch < 20; ++batch) {
        for (int i = 0; i < 10; ++i) {
            machine.one(put("k" + std::to_string(i), std::to_string(batch)));
        }
        ASSERT_TRUE(machine->freeze());
        std::thread writer([&] { must(machine->write_frozen(Durability::lazy)); });
        for (int i = 0; i < 10; ++i) {
            machine.one(put("k" + std::to_string(i), std::to_string(batch) + "+"));
            EXPECT_EQ(machine.value("k" + std::to_string(i)), std::to_string(batch) + "+");
            if (i < 9) {
                EXPECT_EQ(machine.value("k9"), std::to_string(batch));
            }
        }
        EXPECT_EQ(machine.read(between("", "")).items.size(), 10U);
        writer.join();
        machine->drop_frozen();
    }
}

TEST(StateMachineDeathTest, only_the_next_block_may_be_executed_and_only_what_is_written_dropped) {
    Machine machine;
    machine.one(put("a", "1"));
    EXPECT_DEATH((void)machine->execute(*machine.chain().front()), "height order");
    ASSERT_TRUE(machine->freeze());
    EXPECT_DEATH(machine->drop_frozen(), "the store has it");
}

TEST(StateMachine, counting_goes_on_where_one_answer_ends) {
    Machine machine;
    constexpr std::uint64_t keys = range_count_max + 10;
    Submission submission;
    submission.seq0 = 1;
    for (std::uint64_t i = 0; i < keys;) {
        submission.operations.clear();
        for (; i < keys && submission.operations.size() < limits::envelope_ops_max; ++i) {
            std::string key = std::to_string(1'000'000 + i);
            submission.operations.emplace_back(put(key, "v"));
        }
        submission.ack_low = submission.seq0;
        machine.submit(submission);
        submission.seq0 += submission.operations.size();
    }
    Range range = between("", "");
    range.count_only = true;
    auto page = machine.read(range);
    EXPECT_EQ(page.count, range_count_max);
    ASSERT_TRUE(page.more);
    range.begin = page.items.at(0).key;
    range.begin.push_back(0);
    page = machine.read(range);
    EXPECT_EQ(page.count, 10U);
    EXPECT_FALSE(page.more);
}

}  // namespace
}  // namespace loyal::kvstore
