#include <gtest/gtest.h>

#include "config/limits.h"
#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client {
namespace {

using namespace test;

class SessionRead : public testing::Test {
 protected:
    std::vector<std::pair<std::size_t, wire::Read>> asked() {
        cluster.connect_all();
        index = cluster.read(key_range("k"));
        return cluster.take_reads();
    }
    [[nodiscard]] const std::optional<ReadResult>& result() const { return cluster.reads.at(index); }
    [[nodiscard]] std::string value() const { return string_of(result()->range.items.at(0).value); }

    ScriptedCluster cluster;
    std::size_t index = 0;
    const Bytes old_value = ScriptedCluster::value_result("k", "old");
    const Bytes new_value = ScriptedCluster::value_result("k", "new");
};

TEST_F(SessionRead, asks_all_and_believes_q_equal_answers) {
    const auto questions = asked();
    ASSERT_EQ(questions.size(), 4U);
    std::size_t in_full = 0;
    for (const auto& [to, read] : questions) {
        in_full += read.want_result ? 1U : 0U;
    }
    EXPECT_EQ(in_full, 2U) << "f+1 send the result, the others its digest";
    for (std::size_t i = 0; i < 2; ++i) {
        cluster.answer_read(questions[i].first, questions[i].second, new_value, 10, 10);
        EXPECT_FALSE(result());
    }
    cluster.answer_read(questions[2].first, questions[2].second, new_value, 12, 12);
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->ok);
    EXPECT_EQ(result()->path, ReadPath::fast);
    EXPECT_EQ(value(), "new");
    EXPECT_EQ(result()->replicas.size(), 3U);
    EXPECT_EQ(result()->executed, Height(10));
}

// ---- A quorum is asked first while that goes well

class SparingRead : public SessionRead {
 protected:
    // Reads that go well, asked of everybody, until only a quorum is asked; the questions of that one.
    std::vector<std::pair<std::size_t, wire::Read>> spared() {
        for (int i = 0; i < 1'000; ++i) {
            const auto questions = asked();
            if (questions.size() < 4) {
                return questions;
            }
            for (std::size_t k = 0; k < 3; ++k) {
                cluster.answer_read(questions[k].first, questions[k].second, new_value, 10, 10);
            }
        }
        return {};
    }
};

TEST_F(SparingRead, asks_a_quorum_of_which_enough_send_the_result) {
    const auto questions = spared();
    ASSERT_EQ(questions.size(), 3U);
    EXPECT_EQ(questions[0].second.want_result + questions[1].second.want_result + questions[2].second.want_result, 2);
    for (const auto& [to, read] : questions) {
        EXPECT_FALSE(result());
        cluster.answer_read(to, read, new_value, 10, 10);
    }
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->path, ReadPath::fast);
    EXPECT_EQ(asked().size(), 3U) << "and goes on so";
}

TEST_F(SparingRead, asks_the_rest_when_those_do_not_agree) {
    const auto questions = spared();
    ASSERT_EQ(questions.size(), 3U);
    cluster.answer_read(questions[0].first, questions[0].second, new_value, 10, 10);
    cluster.answer_read(questions[1].first, questions[1].second, old_value, 10, 10);  // a lie
    EXPECT_TRUE(cluster.take_reads().empty());
    cluster.answer_read(questions[2].first, questions[2].second, old_value, 9, 10);  // honest, but behind its lock
    ASSERT_FALSE(result());
    const auto rest = cluster.take_reads();
    ASSERT_EQ(rest.size(), 1U);
    EXPECT_TRUE(rest[0].second.want_result);
    cluster.answer_read(rest[0].first, rest[0].second, new_value, 10, 10);
    ASSERT_TRUE(result());
    EXPECT_EQ(value(), "new");
}

TEST_F(SparingRead, asks_the_rest_when_one_is_mute_and_then_everybody_for_a_while) {
    const auto questions = spared();
    ASSERT_EQ(questions.size(), 3U);
    cluster.answer_read(questions[0].first, questions[0].second, new_value, 10, 10);
    cluster.answer_read(questions[1].first, questions[1].second, new_value, 10, 10);
    cluster.advance(10);
    EXPECT_TRUE(cluster.take_reads().empty());
    cluster.advance(20);
    const auto rest = cluster.take_reads();
    ASSERT_EQ(rest.size(), 1U);
    cluster.answer_read(rest[0].first, rest[0].second, new_value, 10, 10);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->path, ReadPath::fast);
    EXPECT_EQ(asked().size(), 4U);
}

// Found by SessionLiars: its round never ended then.
TEST_F(SparingRead, a_round_ends_also_when_the_rest_came_by_itself) {
    cluster.advance(10);
    const auto questions = spared();
    ASSERT_EQ(questions.size(), 3U);
    const std::size_t left_out = 6 - questions[0].first - questions[1].first - questions[2].first;
    cluster.disconnect(left_out);
    cluster.connect(left_out);
    EXPECT_EQ(cluster.take_reads().size(), 1U);
    cluster.advance(250);
    EXPECT_TRUE(cluster.take_reads().empty());
    cluster.advance(100);
    EXPECT_EQ(cluster.take_reads().size(), 4U) << "the second round";
}

TEST_F(SparingRead, who_loses_its_link_is_made_up_for_at_once) {
    const auto questions = spared();
    ASSERT_EQ(questions.size(), 3U);
    cluster.answer_read(questions[0].first, questions[0].second, new_value, 10, 10);
    cluster.answer_read(questions[1].first, questions[1].second, new_value, 10, 10);
    cluster.disconnect(questions[2].first);
    const auto rest = cluster.take_reads();
    ASSERT_EQ(rest.size(), 1U);
    cluster.answer_read(rest[0].first, rest[0].second, new_value, 10, 10);
    EXPECT_TRUE(result());
}

TEST_F(SessionRead, believes_w_answers_that_reach_the_index) {
    const auto questions = asked();
    cluster.answer_read(questions[2].first, questions[2].second, old_value, 8, 8);
    cluster.answer_read(questions[0].first, questions[0].second, new_value, 10, 10);
    EXPECT_FALSE(result());
    cluster.answer_read(questions[1].first, questions[1].second, new_value, 10, 9);
    ASSERT_TRUE(result());
    EXPECT_EQ(value(), "new");
}

// Pitfall 9, the client's side: R2 knows nothing of the write, R3 lies the same old value; without a third answer
// nothing is believed, and the third has waited for its lock.
TEST_F(SessionRead, an_old_answer_and_a_lie_of_the_same_are_no_quorum) {
    const auto questions = asked();
    std::map<std::size_t, wire::Read> to;
    for (const auto& [replica, read] : questions) {
        to[replica] = read;
    }
    cluster.answer_read(2, to[2], old_value, 4, 4);
    cluster.answer_read(3, to[3], old_value, 4, 4);
    EXPECT_FALSE(result());
    cluster.answer_read(1, to[1], new_value, 5, 5);
    EXPECT_FALSE(result());
    cluster.answer_read(0, to[0], new_value, 5, 5);
    if (!result()) {
        // Neither of R0 and R1 had been asked for the result in full: the second round brings it.
        for (const auto& [replica, read] : cluster.take_reads()) {
            cluster.answer_read(replica, read, replica <= 1 ? new_value : old_value, replica <= 1 ? 5 : 4,
                                replica <= 1 ? 5 : 4);
        }
    }
    ASSERT_TRUE(result());
    EXPECT_EQ(value(), "new");
}

TEST_F(SessionRead, a_result_that_does_not_hash_to_its_digest_is_no_answer) {
    const auto questions = asked();
    wire::ReadReply forged;
    forged.nonce = questions[0].second.nonce;
    forged.digest = crypto::digest_of("read", old_value);
    forged.result = new_value;
    forged.executed = forged.lock = Height(10);
    cluster.deliver(questions[0].first, forged);
    cluster.answer_read(questions[1].first, questions[1].second, old_value, 10, 10);
    cluster.answer_read(questions[2].first, questions[2].second, old_value, 10, 10);
    EXPECT_FALSE(result()) << "two honest answers are not q";
    cluster.answer_read(questions[3].first, questions[3].second, old_value, 10, 10);
    ASSERT_TRUE(result());
    EXPECT_EQ(value(), "old");
}

TEST_F(SessionRead, one_replica_is_heard_once) {
    const auto questions = asked();
    for (int i = 0; i < 4; ++i) {
        cluster.answer_read(questions[0].first, questions[0].second, old_value, 10, 10);
    }
    EXPECT_FALSE(result());
}

TEST_F(SessionRead, without_agreement_it_asks_again_from_the_height_that_w_claim_and_then_reads_in_order) {
    auto questions = asked();
    const auto disagree = [&] {
        std::uint64_t executed = 10;
        for (const auto& [to, read] : questions) {
            cluster.answer_read(to, read, ScriptedCluster::value_result("k", std::to_string(executed)), executed, 20);
            ++executed;
        }
    };
    disagree();
    EXPECT_FALSE(result());
    const std::uint64_t first_nonce = questions[0].second.nonce;
    questions = cluster.take_reads();
    ASSERT_EQ(questions.size(), 4U);
    for (const auto& [to, read] : questions) {
        EXPECT_TRUE(read.want_result);
        EXPECT_EQ(read.min_executed, Height(12)) << "10 to 13 were claimed; two replicas claim 12";
        EXPECT_NE(read.nonce, first_nonce);
    }
    disagree();
    const auto envelopes = cluster.take_envelopes();
    ASSERT_EQ(envelopes.size(), 1U);
    kvstore::Outcome outcome = ScriptedCluster::outcome(envelopes[0].second.seq0);
    outcome.result = new_value;
    cluster.reply(1, envelopes[0].second, outcome);
    cluster.reply(2, envelopes[0].second, outcome, false);
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->ok);
    EXPECT_EQ(result()->path, ReadPath::ordered);
    EXPECT_EQ(value(), "new");
}

TEST_F(SessionRead, silent_replicas_do_not_keep_it_from_going_on) {
    (void)asked();
    cluster.advance(300);
    EXPECT_EQ(cluster.take_reads().size(), 4U);
    cluster.advance(300);
    EXPECT_EQ(cluster.take_envelopes().size(), 1U);
    cluster.advance(5'000);
    ASSERT_TRUE(result());
    EXPECT_FALSE(result()->ok);
    EXPECT_FALSE(result()->integrity) << "silence is no contradiction";
}

TEST_F(SessionRead, answers_of_a_quorum_that_never_agree_are_an_integrity_failure) {
    auto questions = asked();
    while (!result()) {
        std::uint64_t number = 0;
        for (const auto& [to, read] : questions) {
            cluster.answer_read(to, read, ScriptedCluster::value_result("k", std::to_string(number++)), 10, 10);
        }
        cluster.advance(10);
        questions = cluster.take_reads();
    }
    EXPECT_FALSE(result()->ok);
    EXPECT_TRUE(result()->integrity);
}

TEST_F(SessionRead, late_answers_to_the_first_round_are_no_answers_to_the_second) {
    const auto first = asked();
    cluster.advance(300);
    (void)cluster.take_reads();
    for (const auto& [to, read] : first) {
        cluster.answer_read(to, read, old_value, 10, 10);
    }
    EXPECT_FALSE(result());
}

TEST_F(SessionRead, is_denied_when_w_replicas_say_so) {
    const auto questions = asked();
    cluster.refuse_read(questions[0].first, questions[0].second, wire::RefusalCode::denied);
    EXPECT_FALSE(result());
    cluster.refuse_read(questions[1].first, questions[1].second, wire::RefusalCode::denied);
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->denied);
}

TEST_F(SessionRead, a_replica_that_comes_back_is_asked) {
    cluster.connect(0);
    cluster.connect(1);
    index = cluster.read(key_range("k"));
    auto questions = cluster.take_reads();
    ASSERT_EQ(questions.size(), 2U);
    cluster.answer_read(0, questions[0].second, new_value, 10, 10);
    cluster.answer_read(1, questions[0].second, new_value, 10, 10);
    EXPECT_FALSE(result());
    cluster.connect(2);
    questions = cluster.take_reads();
    ASSERT_EQ(questions.size(), 1U);
    cluster.answer_read(2, questions[0].second, new_value, 10, 10);
    ASSERT_TRUE(result());
    EXPECT_EQ(value(), "new");
}

TEST_F(SessionRead, stale_is_one_replicas_word_as_it_is) {
    cluster.connect_all();
    index = cluster.read(key_range("k"), ReplicaId(2));
    const auto questions = cluster.take_reads();
    ASSERT_EQ(questions.size(), 1U);
    EXPECT_EQ(questions[0].first, 2U);
    EXPECT_TRUE(questions[0].second.stale);
    cluster.answer_read(1, questions[0].second, new_value, 10, 10);
    EXPECT_FALSE(result()) << "another replica was not asked";
    cluster.answer_read(2, questions[0].second, old_value, 7, 0);
    ASSERT_TRUE(result());
    EXPECT_EQ(result()->path, ReadPath::stale);
    EXPECT_EQ(result()->executed, Height(7));
    EXPECT_EQ(value(), "old");
}

TEST_F(SessionRead, a_malformed_question_is_refused_here) {
    cluster.connect_all();
    index = cluster.read(key_range(std::string(limits::key_bytes_max + 1, 'k')));
    cluster.advance(10);
    ASSERT_TRUE(result());
    EXPECT_FALSE(result()->ok);
    EXPECT_EQ(result()->status, kvstore::Status::invalid);
    EXPECT_TRUE(cluster.take_reads().empty());
}

TEST_F(SessionRead, a_negative_answer_is_agreed_on_like_any_other) {
    const auto questions = asked();
    const kvstore::QueryAnswer compacted{kvstore::Status::compacted, kvstore::encode_count(17)};
    cluster.answer_query(questions[0].first, questions[0].second, compacted, 10, 10);
    cluster.answer_read(questions[3].first, questions[3].second, new_value, 10, 10);
    EXPECT_FALSE(result()) << "one says so, another has a value";
    cluster.answer_query(questions[1].first, questions[1].second, compacted, 10, 10);
    ASSERT_TRUE(result());
    EXPECT_FALSE(result()->ok);
    EXPECT_FALSE(result()->integrity);
    EXPECT_EQ(result()->status, kvstore::Status::compacted);
    EXPECT_EQ(kvstore::decode_count(result()->result), 17U);
    EXPECT_EQ(result()->replicas.size(), 2U);
}

TEST_F(SessionRead, other_queries_get_their_own_kind_of_answer) {
    cluster.connect_all();
    index = cluster.read(kvstore::LockQuery{bytes_of("lock")});
    kvstore::LockReport report;
    report.token = 3;
    report.queue.push_back({kvstore::LeaseId(5), {}, bytes_of("me")});
    for (const auto& [to, read] : cluster.take_reads()) {
        cluster.answer_query(to, read, {kvstore::Status::ok, kvstore::encode_lock_report(report)}, 10, 10);
    }
    ASSERT_TRUE(result());
    EXPECT_TRUE(result()->ok);
    EXPECT_EQ(kvstore::decode_lock_report(result()->result), report);
}

TEST_F(SessionRead, an_answer_of_another_kind_than_was_asked_for_is_no_answer) {
    cluster.connect_all();
    index = cluster.read(kvstore::LockQuery{bytes_of("lock")});
    for (const auto& [to, read] : cluster.take_reads()) {
        cluster.answer_query(to, read, {kvstore::Status::ok, Bytes{1, 2, 3}}, 10, 10);
    }
    ASSERT_TRUE(result());
    EXPECT_FALSE(result()->ok);
    EXPECT_TRUE(result()->integrity);
}

TEST_F(SessionRead, a_read_in_order_is_an_operation_from_the_beginning) {
    cluster.connect_all();
    std::optional<ReadResult> read;
    cluster.session.read_in_order(key_range("k"), cluster.now_ms, [&](const ReadResult& answer) { read = answer; });
    const auto envelopes = cluster.take_envelopes();
    ASSERT_EQ(envelopes.size(), 1U);
    const auto operations = kvstore::decode_operations(envelopes[0].second.operations, envelopes[0].second.count);
    ASSERT_TRUE(operations);
    EXPECT_TRUE(std::holds_alternative<kvstore::Range>(operations->front()));
    kvstore::Outcome outcome = ScriptedCluster::outcome(envelopes[0].second.seq0);
    outcome.result = new_value;
    cluster.reply(0, envelopes[0].second, outcome);
    EXPECT_FALSE(read);
    cluster.reply(1, envelopes[0].second, outcome);
    ASSERT_TRUE(read);
    EXPECT_TRUE(read->ok);
    EXPECT_EQ(read->path, ReadPath::ordered);
    EXPECT_EQ(read->revision, outcome.revision) << "exact: it is part of what was agreed on";
    EXPECT_EQ(string_of(read->range.items.at(0).value), "new");
}

TEST_F(SessionRead, any_number_of_reads_may_be_asked_for_and_a_bounded_number_is_under_way) {
    cluster.connect_all();
    for (int i = 0; i < 2'000; ++i) {
        cluster.read(key_range("k"));
    }
    std::size_t answered = 0;
    for (;;) {
        const auto questions = cluster.take_reads();
        if (questions.empty()) {
            break;
        }
        EXPECT_LE(questions.size(), 4 * 512U);
        for (const auto& [to, read] : questions) {
            cluster.answer_read(to, read, new_value, 10, 10);
        }
    }
    for (const auto& read : cluster.reads) {
        answered += read && read->ok ? 1U : 0U;
    }
    EXPECT_EQ(answered, 2'000U);
}

TEST(SessionReadCrash, a_majority_sets_the_index_and_one_answer_that_reaches_it_is_enough) {
    ScriptedCluster cluster(3, FaultModel::crash);
    cluster.connect_all();
    const std::size_t index = cluster.read(key_range("k"));
    auto questions = cluster.take_reads();
    const Bytes old_value = ScriptedCluster::value_result("k", "old");
    const Bytes new_value = ScriptedCluster::value_result("k", "new");
    cluster.answer_read(questions[1].first, questions[1].second, old_value, 7, 7);
    EXPECT_FALSE(cluster.reads[index]);
    cluster.answer_read(questions[0].first, questions[0].second, new_value, 10, 10);
    ASSERT_TRUE(cluster.reads[index]);
    EXPECT_EQ(string_of(cluster.reads[index]->range.items.at(0).value), "new");
}

}  // namespace
}  // namespace loyal::client
