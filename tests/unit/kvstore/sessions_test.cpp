// Client sessions: at most once, also over restarts, evictions and overlapping envelopes (PROTOCOL.md C1, C4; pitfalls
// 12 and 22).
#include "kvstore/sessions.h"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include "config/limits.h"
#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

using consensus::Hlc;
using consensus::Seq;
using test::cas;
using test::client_of;
using test::del;
using test::envelope_of;
using test::get;
using test::horizon_ms;
using test::Machine;
using test::must;
using test::put;
using test::start_ms;
using test::Submission;
using test::two_clients;

// A number that each execution makes larger: a cas chain is of no use here, a delete of what a put made is not either,
// but the version of a key counts its puts.
std::uint64_t version_of(const Machine& machine, std::string_view key) {
    const auto found = machine.read(get(key));
    return found.items.empty() ? 0 : found.items[0].version;
}

Submission puts(std::uint64_t seq0, std::size_t count, std::string_view key = "k") {
    Submission submission;
    submission.seq0 = seq0;
    submission.operations.assign(count, put(key, "v"));
    return submission;
}

TEST(Sessions, a_retry_gets_the_first_outcome_and_changes_nothing) {
    Machine machine;
    const auto first = machine.submit(puts(1, 3));
    machine.one(put("other", "x"));
    EXPECT_EQ(machine.submit(puts(1, 3)), first);
    machine.flush();
    EXPECT_EQ(machine.submit(puts(1, 3)), first);
    machine.flush();
    machine.reopen();
    EXPECT_EQ(machine.submit(puts(1, 3)), first);
    EXPECT_EQ(version_of(machine, "k"), 3U);
}

TEST(Sessions, admission_gives_the_stored_replies_without_consensus) {
    Machine machine;
    const auto envelope = envelope_of(puts(1, 3));
    EXPECT_EQ(must(machine->admit(envelope)).verdict, Admission::admit);
    const auto outcomes = machine.execute({envelope}).replies.at(0).outcomes;
    const auto again = must(machine->admit(envelope));
    EXPECT_EQ(again.verdict, Admission::already_executed);
    EXPECT_EQ(again.replies.outcomes, outcomes);
    EXPECT_EQ(must(machine->admit(envelope_of(puts(3, 2)))).verdict, Admission::admit);  // 4 is new
}

TEST(Sessions, a_range_is_ordered_and_executed_again) {
    Machine machine;
    machine.one(put("k", "1"));
    Submission submission;
    submission.operations = {get("k")};
    const auto first = machine.submit(submission).at(0);
    machine.one(put("k", "2"));
    EXPECT_EQ(must(machine->admit(envelope_of(submission))).verdict, Admission::admit);
    const auto again = machine.submit(submission).at(0);
    EXPECT_GT(again.height, first.height);
    EXPECT_EQ(string_of(must(decode_range_result(again.result)).items.at(0).value), "2");
}

// Otherwise a write under a range's number would execute once for each copy of its envelope.
TEST(Sessions, a_write_under_the_number_of_a_range_is_not_executed) {
    Machine machine;
    Submission submission;
    submission.operations = {get("k")};
    machine.submit(submission);
    EXPECT_EQ(machine.submit(puts(1, 1)).at(0).status, Status::invalid);
    EXPECT_EQ(version_of(machine, "k"), 0U);
}

TEST(Sessions, two_sessions_of_one_key_do_not_collide) {
    Machine machine;
    Submission submission = puts(1, 1);
    machine.submit(submission);
    submission.session = 2;
    machine.submit(submission);
    submission.key = test::key_of('b');
    machine.submit(submission);
    EXPECT_EQ(version_of(machine, "k"), 3U);
}

TEST(Sessions, overlapping_envelopes_execute_each_number_once) {
    Machine machine;
    machine.submit(puts(1, 3));                        // 1 2 3
    const auto outcomes = machine.submit(puts(2, 4));  // 2 3 4 5
    EXPECT_EQ(version_of(machine, "k"), 5U);
    EXPECT_EQ(outcomes.at(0).height, consensus::Height(1));
    EXPECT_EQ(outcomes.at(2).height, consensus::Height(2));
    // Also within one block, and before their turn.
    machine.execute({envelope_of(puts(10, 2)), envelope_of(puts(11, 2)), envelope_of(puts(10, 2))});
    EXPECT_EQ(version_of(machine, "k"), 8U);
}

TEST(Sessions, what_was_acknowledged_is_neither_executed_nor_answered) {
    Machine machine;
    Submission submission = puts(1, 3);
    machine.submit(submission);
    Submission next = puts(4, 1);
    next.ack_low = 4;
    machine.submit(next);
    EXPECT_TRUE(machine.submit(submission).empty());
    EXPECT_EQ(must(machine->admit(envelope_of(submission))).verdict, Admission::already_executed);
    EXPECT_TRUE(must(machine->admit(envelope_of(submission))).replies.outcomes.empty());
    EXPECT_EQ(version_of(machine, "k"), 4U);
    // 6 was acknowledged before it came: the client has given it up, so it never executes.
    next = puts(7, 1);
    next.ack_low = 7;
    machine.submit(next);
    EXPECT_TRUE(machine.submit(puts(6, 1)).empty());
    EXPECT_EQ(version_of(machine, "k"), 5U);
}

TEST(Sessions, a_number_beyond_the_window_is_refused_and_not_recorded) {
    Machine machine;
    machine.submit(puts(1, 1));  // low is 0
    const Submission far = puts(limits::session_window - 1, 2);
    EXPECT_EQ(must(machine->admit(envelope_of(far))).verdict, Admission::window);
    const auto outcomes = machine.submit(far);
    EXPECT_EQ(outcomes.at(0).status, Status::ok);
    EXPECT_EQ(outcomes.at(1).status, Status::window);
    EXPECT_EQ(version_of(machine, "k"), 2U);
    Submission acknowledged = far;
    acknowledged.ack_low = 2;
    EXPECT_EQ(must(machine->admit(envelope_of(acknowledged))).verdict, Admission::admit);
    EXPECT_EQ(machine.submit(acknowledged).at(1).status, Status::ok);
    EXPECT_EQ(version_of(machine, "k"), 3U);
}

TEST(Sessions, an_expired_envelope_is_refused_but_what_it_did_is_still_told) {
    Machine machine;
    Submission submission = puts(1, 1);
    submission.not_after = Hlc(start_ms + 10, std::uint16_t{0});
    Submission late = puts(2, 1);
    late.not_after = submission.not_after;
    const auto done = machine.submit(submission);
    machine.execute_at({}, start_ms + 11);
    EXPECT_EQ(must(machine->admit(envelope_of(late))).verdict, Admission::expired);
    EXPECT_EQ(machine.submit(late).at(0).status, Status::expired);
    EXPECT_EQ(machine.submit(submission), done);
    EXPECT_EQ(version_of(machine, "k"), 1U);
    // Nothing was recorded: signed anew, it executes.
    EXPECT_EQ(machine.submit(puts(2, 1)).at(0).status, Status::ok);
}

TEST(Sessions, an_envelope_executes_up_to_the_instant_of_its_not_after) {
    Machine machine;
    Submission submission = puts(1, 1);
    submission.not_after = Hlc(start_ms + 10, std::uint16_t{0});
    EXPECT_EQ(machine.execute_at({envelope_of(submission)}, start_ms + 10).replies.at(0).outcomes.at(0).status,
              Status::ok);
}

TEST(Sessions, an_envelope_too_far_ahead_is_refused_and_not_recorded) {
    Machine machine;
    Submission submission = puts(1, 1);
    submission.not_after = Hlc(start_ms + 1 + horizon_ms + 1, std::uint16_t{0});
    EXPECT_EQ(machine.submit(submission).at(0).status, Status::beyond_horizon);  // at start_ms + 1
    EXPECT_EQ(machine.submit(submission).at(0).status, Status::ok);              // at start_ms + 2
    EXPECT_EQ(version_of(machine, "k"), 1U);
}

// Opens all sessions a client may have, at start_ms + 1.
void fill_sessions(Machine& machine, const crypto::PublicKey& key) {
    std::vector<consensus::Envelope> envelopes;
    for (std::size_t i = 0; i < test::sessions_max; ++i) {
        Submission submission = puts(1, 1);
        submission.key = key;
        submission.session = 1000 + i;
        envelopes.push_back(envelope_of(submission));
    }
    machine.execute_at(envelopes, start_ms + 1);
}

TEST(Sessions, a_client_with_too_many_sessions_gets_no_other_until_one_is_idle_for_long) {
    Machine machine;
    fill_sessions(machine, test::key_of('a'));
    Submission submission = puts(1, 1, "new");
    EXPECT_EQ(machine.submit(submission).at(0).status, Status::no_session);
    Submission other = submission;
    other.key = test::key_of('b');
    EXPECT_EQ(machine.submit(other).at(0).status, Status::ok);

    const std::uint64_t idle_ms = start_ms + 1 + horizon_ms;
    submission.not_after = Hlc(idle_ms + 1000, std::uint16_t{0});
    EXPECT_EQ(machine.execute_at({envelope_of(submission)}, idle_ms).replies.at(0).outcomes.at(0).status,
              Status::no_session);  // exactly E: not yet
    EXPECT_EQ(machine.execute_at({envelope_of(submission)}, idle_ms + 1).replies.at(0).outcomes.at(0).status,
              Status::ok);
    EXPECT_EQ(version_of(machine, "new"), 2U);  // of clients a and b
}

TEST(Sessions, a_client_is_remembered_up_to_a_bound_that_acknowledging_gives_back) {
    Machine machine;
    std::vector<consensus::Envelope> envelopes;
    constexpr std::size_t batch = limits::envelope_ops_max;
    constexpr std::size_t a_session = limits::session_window / batch;
    for (std::size_t i = 0; i < test::operations_max / batch; ++i) {
        Submission submission = puts(1 + (i % a_session) * batch, batch);
        submission.session = 1000 + i / a_session;
        submission.ack_low = 1;  // so that the window holds the numbers 1 to 1024
        envelopes.push_back(envelope_of(submission));
    }
    machine.execute_at(envelopes, start_ms + 1);
    Submission more = puts(1, 1, "more");
    EXPECT_EQ(machine.submit(more).at(0).status, Status::window);
    machine.flush();
    machine.reopen();
    EXPECT_EQ(machine.submit(more).at(0).status, Status::window);
    Submission acknowledging = puts(limits::session_window + 1, 1);
    acknowledging.session = 1000;
    acknowledging.ack_low = limits::session_window + 1;
    EXPECT_EQ(machine.submit(acknowledging).at(0).status, Status::ok);
    EXPECT_EQ(machine.submit(more).at(0).status, Status::ok);
}

TEST(Sessions, replicas_that_restart_evict_the_same_session) {
    Machine steady;
    Machine restarted;
    for (Machine* machine : {&steady, &restarted}) {
        fill_sessions(*machine, test::key_of('a'));
        Submission busy = puts(2, 1);
        busy.session = 1000;
        machine->submit(busy);
    }
    restarted.flush();
    restarted.reopen();
    Submission late = puts(1, 1, "new");
    late.not_after = Hlc(start_ms + horizon_ms + 5000, std::uint16_t{0});
    Submission evicted = puts(5, 1, "evicted");
    evicted.not_after = late.not_after;
    for (std::uint64_t session : {1000U, 1001U, 1002U}) {
        evicted.session = session;
        late.session = session + 7;
        std::vector<consensus::Envelope> envelopes{envelope_of(late), envelope_of(evicted)};
        EXPECT_EQ(steady.execute_at(envelopes, start_ms + horizon_ms + session).digest,
                  restarted.execute_at(envelopes, start_ms + horizon_ms + session).digest);
    }
}

// Pitfall 22. The session is evicted, then its first envelope is replayed.
std::uint64_t versions_after_replay(std::vector<std::string> rules_off) {
    Machine machine(two_clients(std::move(rules_off)));
    Submission victim = puts(1, 1, "victim");
    victim.not_after = Hlc(start_ms + horizon_ms, std::uint16_t{0});  // as late as it may be
    machine.execute_at({envelope_of(victim)}, start_ms);
    std::vector<consensus::Envelope> others;
    for (std::size_t i = 0; i < test::sessions_max; ++i) {
        Submission other = puts(1, 1);
        other.session = 1000 + i;
        other.not_after = Hlc(start_ms + horizon_ms + 60'000, std::uint16_t{0});
        others.push_back(envelope_of(other));
    }
    machine.execute_at(others, start_ms + horizon_ms + 1);  // the last of them evicts the victim's session
    machine.flush();
    machine.reopen();
    machine.execute_at({envelope_of(victim)}, start_ms + 2 * horizon_ms + 2);  // room again: all others are idle
    return version_of(machine, "victim");
}

TEST(Sessions, an_envelope_of_an_evicted_session_never_executes_again_pitfall_22) {
    EXPECT_EQ(versions_after_replay({}), 1U);
}

TEST(Sessions, without_the_horizon_rule_it_would) {
    EXPECT_EQ(versions_after_replay({"horizon"}), 2U);
}

// Pitfall 12. The envelope is in block 5, prepared; its client sends it to all; the next leader, whose base contains
// block 5, orders it again in block 6.
std::uint64_t versions_after_two_blocks(std::vector<std::string> rules_off, bool restart_between) {
    Machine machine(two_clients(std::move(rules_off)));
    const auto envelope = envelope_of(puts(1, 2));
    machine.execute({envelope});
    if (restart_between) {
        machine.flush();
        machine.reopen();
    }
    machine.execute({envelope});
    return version_of(machine, "k");
}

TEST(Sessions, an_envelope_in_two_blocks_executes_once_pitfall_12) {
    EXPECT_EQ(versions_after_two_blocks({}, false), 2U);
    EXPECT_EQ(versions_after_two_blocks({}, true), 2U);
}

TEST(Sessions, without_deduplication_it_would_execute_twice) {
    EXPECT_EQ(versions_after_two_blocks({"C4"}, false), 4U);
}

TEST(Sessions, overlap_and_eviction_together_execute_each_number_once_pitfall_12) {
    Machine machine;
    fill_sessions(machine, test::key_of('a'));
    const std::uint64_t late_ms = start_ms + 1 + horizon_ms + 1;
    Submission first = puts(1, 3, "x");
    first.not_after = Hlc(late_ms + 100, std::uint16_t{0});
    Submission second = puts(2, 3, "x");
    second.not_after = first.not_after;
    machine.execute_at({envelope_of(first)}, late_ms);  // evicts one, opens session 1
    machine.execute_at({envelope_of(second), envelope_of(first)}, late_ms + 1);
    EXPECT_EQ(version_of(machine, "x"), 4U);
}

TEST(SessionRecords, decode_to_what_was_encoded) {
    Session session;
    session.acknowledge(Seq(5));
    for (std::uint64_t i = 5; i < 5 + limits::session_window; ++i) {
        Outcome outcome;
        outcome.seq = Seq(i);
        outcome.height = consensus::Height(i / 10);
        outcome.hlc = Hlc(i / 10 * 100);
        outcome.revision = Revision(i);
        outcome.status = static_cast<Status>(i % 3);
        session.record(outcome, i % 7 == 0);
    }
    const Bytes bytes = encode_session(session);
    const auto decoded = decode_session(bytes);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, session);
    EXPECT_LT(bytes.size(), 40U * limits::session_window);
    EXPECT_FALSE(decode_session(ByteView(bytes).first(bytes.size() - 1)));
}

TEST(SessionRecordsDeathTest, nothing_is_recorded_outside_the_window) {
    Session session;
    Outcome outcome;
    outcome.seq = Seq(limits::session_window);
    EXPECT_DEATH(session.record(outcome, false), "outside the session's window");
}

// Envelopes of random, overlapping ranges of numbers, with random acknowledgements, restarts and repeats: every number
// executes at most once, and its outcome never changes.
RC_GTEST_PROP(Sessions, every_number_executes_at_most_once, ()) {
    Machine machine;
    std::map<std::uint64_t, Outcome> outcomes;
    std::uint64_t acknowledged = 0;
    const auto steps = *rc::gen::inRange(1, 25);
    for (int step = 0; step < steps; ++step) {
        Submission submission;
        submission.seq0 = *rc::gen::inRange<std::uint64_t>(1, 60);
        const auto count = *rc::gen::inRange<std::uint64_t>(1, 12);
        for (std::uint64_t i = 0; i < count; ++i) {
            submission.operations.emplace_back(put("n" + std::to_string(submission.seq0 + i), "v"));
        }
        if (*rc::gen::inRange(0, 4) == 0) {
            submission.ack_low = *rc::gen::inRange<std::uint64_t>(0, submission.seq0 + 1);
        }
        acknowledged = std::max(acknowledged, submission.ack_low);
        const auto answers = machine.submit(submission);
        for (const Outcome& outcome : answers) {
            RC_ASSERT(outcome.seq.value >= acknowledged);
            const auto known = outcomes.emplace(outcome.seq.value, outcome);
            RC_ASSERT(known.first->second == outcome);
        }
        const auto action = *rc::gen::inRange(0, 6);
        if (action < 2) {
            machine.flush();
        }
        if (action == 0) {
            machine.reopen();
        }
    }
    for (const auto& [seq, outcome] : outcomes) {
        RC_ASSERT(version_of(machine, "n" + std::to_string(seq)) == 1U);
    }
}

}  // namespace
}  // namespace loyal::kvstore
