// Rights below prefixes: what they cover, who may change them, and that replicas enforce them when they execute.
#include "kvstore/rights.h"

#include <gtest/gtest.h>

#include "kvstore/operation.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using test::client_of;
using test::key_of;
using test::Machine;
using test::must;

// `a` is the operator, `b` may do nothing but what it is given.
StateMachineOptions an_operator_and_a_guest() {
    StateMachineOptions options = test::two_clients();
    options.clients.clear();
    options.clients[client_of('a')] = client_with("a", key_of('a'), rights_all);
    options.clients[client_of('b')] = client_with("b", key_of('b'), 0);
    return options;
}

struct Rights : ::testing::Test {
    Machine machine{an_operator_and_a_guest()};
    std::uint64_t next = 1;

    Outcome as(char name, const Operation& operation) {
        test::Submission submission;
        submission.key = key_of(name);
        submission.seq0 = submission.ack_low = next++;
        submission.operations = {operation};
        submission.not_after = consensus::Hlc(machine.now_ms() + 60'000, std::uint16_t{0});
        return machine.submit(submission).at(0);
    }
    Status status(char name, const Operation& operation) { return as(name, operation).status; }
    ClientReport list() { return must(decode_client_report(machine.ask(ClientQuery{}).result)); }
};

RightGrant grant(const std::string& client, std::string_view prefix, std::uint8_t rights) {
    return {client, bytes_of(prefix), rights};
}
RightRevoke revoke(const std::string& client, std::string_view prefix, std::uint8_t rights) {
    return {client, bytes_of(prefix), rights};
}

bool covers(std::string_view prefix, std::string_view begin, std::optional<std::string_view> end) {
    ClientRecord client;
    add_rights(client, bytes_of(prefix), right_read);
    const std::optional<ByteView> until = end ? std::optional(view_of(*end)) : std::nullopt;
    return may(client, {view_of(begin), until}, right_read);
}

TEST_F(Rights, a_prefix_covers_its_keys_and_the_ranges_within) {
    EXPECT_TRUE(covers("app/", "app/", {}));
    EXPECT_TRUE(covers("app/", "app/x", {}));
    EXPECT_FALSE(covers("app/", "app", {}));
    EXPECT_FALSE(covers("app/", "apq", {}));
    EXPECT_TRUE(covers("app/", "app/", "app0"));
    EXPECT_TRUE(covers("app/", "app/a", "app/b"));
    EXPECT_FALSE(covers("app/", "app/", "app1"));
    EXPECT_FALSE(covers("app/", "app/", "")) << "to the end of all keys";
    EXPECT_FALSE(covers("app/", "a", "app/b"));
    EXPECT_TRUE(covers("", "", ""));
    EXPECT_TRUE(covers("\xff", "\xff", "")) << "nothing is behind it";
}

TEST_F(Rights, what_was_granted_is_allowed_and_nothing_else) {
    EXPECT_EQ(status('b', test::put("b/x", "1")), Status::denied);
    EXPECT_EQ(status('a', grant("b", "b/", right_write)), Status::ok);
    EXPECT_EQ(status('b', test::put("b/x", "1")), Status::ok);
    EXPECT_EQ(status('b', test::put("c/x", "1")), Status::denied);
    EXPECT_EQ(status('b', test::get("b/x")), Status::denied);
    EXPECT_EQ(status('b', test::cas("b/x", "1", "2")), Status::ok);
    EXPECT_EQ(status('b', Delete{bytes_of("b/"), bytes_of("b0")}), Status::ok);
    EXPECT_EQ(status('b', Delete{bytes_of("b/"), Bytes()}), Status::denied);
    EXPECT_EQ(status('b', LockAcquire{bytes_of("c"), LeaseId(1)}), Status::denied);
    EXPECT_EQ(status('b', Compact{Revision(1)}), Status::denied);
    EXPECT_EQ(status('b', ClientQuery{}), Status::denied);
    EXPECT_EQ(status('a', revoke("b", "b/", right_write)), Status::ok);
    EXPECT_EQ(status('b', test::put("b/x", "1")), Status::denied);
}

TEST_F(Rights, a_transaction_needs_the_rights_of_both_branches_and_of_its_comparisons) {
    EXPECT_EQ(status('a', grant("b", "b/", right_write)), Status::ok);
    Txn txn;
    txn.then.emplace_back(test::put("b/x", "1"));
    EXPECT_EQ(status('b', txn), Status::ok);
    txn.otherwise.emplace_back(test::put("c", "1"));
    EXPECT_EQ(status('b', txn), Status::denied);
    txn.otherwise.clear();
    txn.compares.push_back({bytes_of("b/x"), CompareTarget::version, Relation::greater, 0, {}});
    EXPECT_EQ(status('b', txn), Status::denied) << "it may not read";
    EXPECT_EQ(status('a', grant("b", "b/", right_read)), Status::ok);
    EXPECT_EQ(status('b', txn), Status::ok);
}

TEST_F(Rights, an_admin_of_a_prefix_passes_rights_on_below_it) {
    EXPECT_EQ(status('a', grant("b", "b/", right_admin)), Status::ok);
    EXPECT_EQ(status('b', grant("b", "b/", right_write)), Status::ok);
    EXPECT_EQ(status('b', grant("b", "b/c/", right_read)), Status::ok);
    EXPECT_EQ(status('b', grant("b", "b", right_read)), Status::denied);
    EXPECT_EQ(status('b', grant("b", "", right_read)), Status::denied);
    EXPECT_EQ(status('b', ClientAdd{"c", key_of('c')}), Status::denied);
}

TEST_F(Rights, clients_come_and_go) {
    EXPECT_EQ(status('c', test::put("x", "1")), Status::denied);
    EXPECT_EQ(status('a', ClientAdd{"c", key_of('c')}), Status::ok);
    EXPECT_EQ(status('a', ClientAdd{"c", key_of('d')}), Status::exists);
    EXPECT_EQ(status('a', ClientAdd{"d", key_of('c')}), Status::exists);
    EXPECT_EQ(status('a', grant("nobody", "", right_read)), Status::no_client);
    EXPECT_EQ(status('a', revoke("c", "", right_read)), Status::no_client) << "it never had that";
    EXPECT_EQ(status('a', grant("c", "", right_write)), Status::ok);
    EXPECT_EQ(status('c', test::put("x", "1")), Status::ok);
    ASSERT_EQ(list().clients.size(), 3U);
    EXPECT_EQ(list().clients[2], client_with("c", key_of('c'), right_write));
    EXPECT_EQ(status('a', ClientRemove{"c"}), Status::ok);
    EXPECT_EQ(status('c', test::put("x", "1")), Status::denied);
    EXPECT_EQ(status('a', ClientRemove{"b"}), Status::ok) << "of genesis";
    EXPECT_EQ(list().clients.size(), 1U);
}

TEST_F(Rights, somebody_must_be_left_who_may_change_them) {
    EXPECT_EQ(status('a', ClientRemove{"a"}), Status::last_operator);
    EXPECT_EQ(status('a', revoke("a", "", right_admin)), Status::last_operator);
    EXPECT_EQ(status('a', grant("b", "", right_admin)), Status::ok);
    EXPECT_EQ(status('a', revoke("a", "", right_admin)), Status::ok);
    EXPECT_EQ(status('a', grant("a", "", right_admin)), Status::denied);
}

TEST_F(Rights, survive_a_restart_and_are_the_same_everywhere) {
    Machine other(an_operator_and_a_guest());
    EXPECT_EQ(status('a', ClientAdd{"c", key_of('c')}), Status::ok);
    EXPECT_EQ(status('a', grant("c", "c/", right_write)), Status::ok);
    EXPECT_EQ(status('a', ClientRemove{"b"}), Status::ok);
    machine.flush();
    machine.reopen();
    EXPECT_EQ(list().clients.size(), 2U);
    EXPECT_EQ(status('c', test::put("c/x", "1")), Status::ok);
    EXPECT_EQ(status('c', test::put("x", "1")), Status::denied);
    EXPECT_EQ(status('b', test::put("x", "1")), Status::denied);
    for (const auto& block : machine.chain()) {
        other.execute(block);
    }
    EXPECT_EQ(other->recent_digests().back(), machine->recent_digests().back());
}

TEST_F(Rights, an_operation_is_judged_by_the_rights_before_it_in_its_envelope) {
    test::Submission submission;
    submission.seq0 = submission.ack_low = 1;
    submission.session = 5;
    submission.operations = {grant("b", "", right_admin), revoke("a", "", right_write), test::put("x", "1")};
    submission.not_after = consensus::Hlc(machine.now_ms() + 60'000, std::uint16_t{0});
    const auto outcomes = machine.submit(submission);
    EXPECT_EQ(outcomes.at(1).status, Status::ok);
    EXPECT_EQ(outcomes.at(2).status, Status::denied);
}

TEST_F(Rights, a_block_that_changes_them_says_so) {
    EXPECT_EQ(machine.execute(std::vector<consensus::Envelope>{}).clients, nullptr);
    test::Submission submission;
    submission.seq0 = submission.ack_low = 1;
    submission.session = 5;
    submission.operations = {grant("b", "", right_read)};
    submission.not_after = consensus::Hlc(machine.now_ms() + 60'000, std::uint16_t{0});
    const auto executed = machine.execute({test::envelope_of(submission)});
    ASSERT_NE(executed.clients, nullptr);
    EXPECT_TRUE(may_anything(*executed.clients->find(client_of('b')), right_read));
}

}  // namespace
}  // namespace loyal::kvstore
