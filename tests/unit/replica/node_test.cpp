#include <gtest/gtest.h>

#include "node_world.h"

namespace loyal::replica {
namespace {

using Model = consensus::FaultModel;
using test::replica;
using test::World;

void connect(World& world, std::size_t node, LinkId link) {
    world.nodes[node]->client_connected(link, world.cluster.client);
}
void submit(World& world, std::size_t node, LinkId link, std::uint64_t seq) {
    world.nodes[node]->client_envelope(link, world.cluster.verified_envelope(seq));
}

TEST(NodeTest, a_client_is_welcomed_with_the_view_and_its_primary) {
    World world(4);
    connect(world, 2, 11);
    const auto welcomes = world.ports[2].told_to<wire::Welcome>(11);
    ASSERT_EQ(welcomes.size(), 1U);
    EXPECT_EQ(welcomes[0].replica, replica(2));
    EXPECT_EQ(welcomes[0].primary, replica(0));
    EXPECT_EQ(welcomes[0].hlc.wall_ms(), world.wall_ms) << "nothing executed yet: the clock";
}

TEST(NodeTest, all_replicas_reply_to_a_write_in_the_byzantine_model) {
    World world(4);
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle();
    for (std::size_t i = 0; i < 4; ++i) {
        const auto replies = world.ports[i].told_to<wire::Reply>(10 + i);
        ASSERT_EQ(replies.size(), 1U) << "replica " << i;
        EXPECT_EQ(replies[0].session, consensus::SessionId(1));
        ASSERT_EQ(replies[0].outcomes.size(), 1U);
        EXPECT_TRUE(replies[0].outcomes[0].outcome);
        EXPECT_EQ(world.nodes[i]->counters().operations_executed, 1U);
        EXPECT_EQ(world.nodes[i]->counters().guard_refusals, 0U);
    }
}

TEST(NodeTest, a_long_result_comes_in_full_from_f_plus_one) {
    World world(4);
    world.result_bytes = 1000;
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle();
    std::size_t full = 0;
    for (std::size_t i = 0; i < 4; ++i) {
        const auto replies = world.ports[i].told_to<wire::Reply>(10 + i);
        ASSERT_EQ(replies.size(), 1U);
        full += replies[0].outcomes[0].outcome ? 1 : 0;
    }
    EXPECT_EQ(full, 2U);
}

// Rule 8e.
TEST(NodeTest, only_the_leader_replies_in_the_crash_model) {
    World world(3, Model::crash);
    world.result_bytes = 1000;
    for (std::size_t i = 0; i < 3; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle();
    world.tick(10);
    EXPECT_EQ(world.ports[0].told_to<wire::Reply>(10).size(), 1U);
    EXPECT_TRUE(world.ports[0].told_to<wire::Reply>(10)[0].outcomes[0].outcome) << "nobody else could send it";
    for (std::size_t i = 1; i < 3; ++i) {
        EXPECT_EQ(world.nodes[i]->counters().blocks_executed, 1U) << "replica " << i;
        EXPECT_TRUE(world.ports[i].told_to<wire::Reply>(10 + i).empty()) << "replica " << i;
    }
}

// Rule D1 and pitfall 2: neither a vote nor a view change is out before the disk has it.
TEST(NodeTest, nothing_leaves_before_its_record_is_durable) {
    World world(4);
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    world.settle();
    for (auto& port : world.ports) {
        port.sent.clear();
    }
    submit(world, 0, 10, 1);
    world.admit_all(0);
    world.nodes[0]->end_of_batch();
    ASSERT_EQ(world.ports[0].sent_of<consensus::Propose>().size(), 3U) << "a proposal does not wait for the vote";
    EXPECT_TRUE(world.ports[0].sent_of<consensus::Vote>().empty());
    world.deliver();
    world.nodes[1]->end_of_batch();
    ASSERT_FALSE(world.ports[1].persists.empty());
    EXPECT_TRUE(world.ports[1].sent_of<consensus::Vote>().empty());
    world.persist_all(1);
    EXPECT_EQ(world.ports[1].sent_of<consensus::Vote>().size(), 3U);
}

TEST(NodeTest, a_view_change_leaves_only_when_the_promise_is_durable) {
    World world(4);
    connect(world, 1, 11);
    world.settle();
    world.disconnected[0] = true;
    submit(world, 1, 11, 1);
    world.admit_all(1);
    // Nobody but the clock moves now, and nothing becomes durable at replica 1.
    for (int i = 0; i < 500; ++i) {
        world.nodes[1]->tick();
        world.nodes[1]->end_of_batch();
    }
    ASSERT_TRUE(world.nodes[1]->status().in_view_change);
    EXPECT_TRUE(world.ports[1].sent_of<consensus::ViewChange>().empty());
    EXPECT_GT(world.nodes[1]->waiting_sends(), 0U);
    world.persist_all(1);
    EXPECT_FALSE(world.ports[1].sent_of<consensus::ViewChange>().empty());
}

TEST(NodeTest, without_the_gate_the_view_change_would_leave_too_early) {
    World world(4, Model::byzantine, {"D1"});
    connect(world, 1, 11);
    world.settle();
    submit(world, 1, 11, 1);
    world.admit_all(1);
    for (int i = 0; i < 500; ++i) {
        world.nodes[1]->tick();
        world.nodes[1]->end_of_batch();
    }
    EXPECT_FALSE(world.ports[1].sent_of<consensus::ViewChange>().empty());
}

TEST(NodeTest, clients_hear_of_a_new_view) {
    World world(4);
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    world.settle();
    world.disconnected[0] = true;
    for (std::size_t i = 1; i < 4; ++i) {
        submit(world, i, 10 + i, 1);
    }
    world.tick(300);
    const auto welcomes = world.ports[2].told_to<wire::Welcome>(12);
    ASSERT_GE(welcomes.size(), 2U);
    EXPECT_EQ(welcomes.back().primary, replica(welcomes.back().view.value % 4));
    EXPECT_GT(welcomes.back().view.value, 0U);
    EXPECT_EQ(world.ports[2].told_to<wire::Reply>(12).size(), 1U) << "and the write is done in it";
    EXPECT_EQ(world.nodes[2]->counters().guard_refusals, 0U);
}

TEST(NodeTest, a_retry_of_something_executed_gets_the_stored_reply) {
    World world(4);
    connect(world, 2, 12);
    submit(world, 2, 12, 1);
    kvstore::AdmissionResult cached;
    cached.verdict = kvstore::Admission::already_executed;
    kvstore::Outcome outcome;
    outcome.seq = consensus::Seq(1);
    outcome.result = Bytes(1000, 1);
    cached.replies = {world.cluster.client, consensus::SessionId(1), {outcome}};
    auto& waiting = world.ports[2].admits.front();
    world.nodes[2]->admitted(12, std::move(waiting.envelope), cached);
    const auto replies = world.ports[2].told_to<wire::Reply>(12);
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_TRUE(replies[0].outcomes[0].outcome);
    EXPECT_EQ(world.nodes[2]->counters().replies_cached, 1U);
}

TEST(NodeTest, a_backup_of_the_crash_model_answers_a_retry_that_it_executed) {
    World world(3, Model::crash);
    connect(world, 2, 12);
    submit(world, 2, 12, 1);
    kvstore::AdmissionResult cached;
    cached.verdict = kvstore::Admission::already_executed;
    cached.replies = {world.cluster.client, consensus::SessionId(1), {kvstore::Outcome{}}};
    world.nodes[2]->admitted(12, std::move(world.ports[2].admits.front().envelope), cached);
    EXPECT_EQ(world.ports[2].told_to<wire::Reply>(12).size(), 1U);
}

TEST(NodeTest, what_is_not_admitted_is_refused_by_name) {
    using kvstore::Admission;
    using wire::RefusalCode;
    const std::vector<std::pair<Admission, RefusalCode>> cases = {{Admission::expired, RefusalCode::expired},
                                                                  {Admission::window, RefusalCode::window},
                                                                  {Admission::invalid, RefusalCode::invalid},
                                                                  {Admission::denied, RefusalCode::denied}};
    World world(4);
    connect(world, 0, 10);
    for (std::size_t i = 0; i < cases.size(); ++i) {
        submit(world, 0, 10, i + 1);
        kvstore::AdmissionResult result;
        result.verdict = cases[i].first;
        world.nodes[0]->admitted(10, std::move(world.ports[0].admits.front().envelope), result);
        world.ports[0].admits.pop_front();
        const auto refusals = world.ports[0].told_to<wire::Refusal>(10);
        ASSERT_EQ(refusals.size(), i + 1);
        EXPECT_EQ(refusals.back().code, cases[i].second);
        EXPECT_EQ(refusals.back().nonce, i + 1) << "names the envelope by its seq0";
        EXPECT_FALSE(refusals.back().is_read);
    }
    EXPECT_EQ(world.nodes[0]->counters().envelopes_refused, 4U);
}

TEST(NodeTest, a_full_disk_refuses_new_writes_until_there_is_room_again) {
    World world(4);
    connect(world, 0, 10);
    world.nodes[0]->refuse_writes(wire::RefusalCode::disk_full);
    const auto announced = world.ports[0].told_to<wire::Refusal>(10);
    ASSERT_EQ(announced.size(), 1U) << "a client hears of it before it hands anything over";
    EXPECT_EQ(announced[0].code, wire::RefusalCode::disk_full);
    EXPECT_EQ(announced[0].nonce, 0U);
    world.nodes[0]->refuse_writes(wire::RefusalCode::disk_full);
    connect(world, 0, 11);
    EXPECT_EQ(world.ports[0].told_to<wire::Refusal>(11).size(), 1U) << "who comes later, too";
    submit(world, 0, 10, 1);
    world.settle();
    ASSERT_EQ(world.ports[0].told_to<wire::Refusal>(10).size(), 2U) << "said once, and once for the envelope";
    EXPECT_EQ(world.ports[0].told_to<wire::Refusal>(10)[1].nonce, 1U);
    const std::size_t welcomes = world.ports[0].told_to<wire::Welcome>(10).size();
    world.nodes[0]->refuse_writes(std::nullopt);
    EXPECT_EQ(world.ports[0].told_to<wire::Welcome>(10).size(), welcomes + 1) << "there is room again";
    submit(world, 0, 10, 2);
    world.settle();
    EXPECT_EQ(world.ports[0].told_to<wire::Reply>(10).size(), 1U);
}

TEST(NodeTest, a_client_has_a_bounded_number_of_envelopes_in_admission) {
    World world(4);
    connect(world, 0, 10);
    for (std::uint64_t seq = 1; seq <= limits::client_outstanding_envelopes_max + 1; ++seq) {
        submit(world, 0, 10, seq);
    }
    EXPECT_EQ(world.ports[0].admits.size(), limits::client_outstanding_envelopes_max);
    ASSERT_EQ(world.ports[0].told_to<wire::Refusal>(10).size(), 1U);
    EXPECT_EQ(world.ports[0].told_to<wire::Refusal>(10)[0].code, wire::RefusalCode::busy);
}

// Pitfall 9 at a whole node: a lock that is not executed holds reads back; the executed state answers with its height.
TEST(NodeTest, a_read_waits_for_the_lock_and_answers_with_its_height) {
    World world(4);
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle(12, false);  // committed, and executed nowhere
    ASSERT_EQ(world.nodes[1]->status().lock.block.height.value, 1U);
    wire::Read read;
    read.nonce = 77;
    world.nodes[1]->client_read(11, world.cluster.client, read);
    EXPECT_TRUE(world.ports[1].reads.empty());
    EXPECT_EQ(world.nodes[1]->counters().reads_waited, 1U);
    world.execute_one(1);
    ASSERT_EQ(world.ports[1].reads.size(), 1U);
    EXPECT_EQ(world.ports[1].reads[0].lock.value, 1U);

    kvstore::ReadAnswer answer;
    answer.executed = consensus::Height(1);
    answer.result = bytes_of("the result");
    world.nodes[1]->read_done(11, world.ports[1].reads[0].request, world.ports[1].reads[0].lock, answer);
    const auto replies = world.ports[1].told_to<wire::ReadReply>(11);
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_EQ(replies[0].nonce, 77U);
    EXPECT_EQ(replies[0].lock.value, 1U);
    EXPECT_EQ(replies[0].executed.value, 1U);
    EXPECT_EQ(replies[0].digest, crypto::digest_of("read", view_of("the result")));
    EXPECT_EQ(replies[0].result, bytes_of("the result"));
}

TEST(NodeTest, a_read_that_does_not_wait_for_the_lock_is_what_rule_r2_forbids) {
    World world(4, Model::byzantine, {"R2"});
    connect(world, 0, 10);
    connect(world, 1, 11);
    submit(world, 0, 10, 1);
    world.settle(12, false);
    world.nodes[1]->client_read(11, world.cluster.client, wire::Read{});
    EXPECT_EQ(world.ports[1].reads.size(), 1U);
}

TEST(NodeTest, a_read_that_waits_too_long_is_told_busy) {
    World world(4);
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle(12, false);
    wire::Read read;
    read.nonce = 77;
    world.nodes[1]->client_read(11, world.cluster.client, read);
    for (int i = 0; i < 20; ++i) {  // read_wait_max_ms = 200
        world.nodes[1]->tick();
    }
    const auto refusals = world.ports[1].told_to<wire::Refusal>(11);
    ASSERT_EQ(refusals.size(), 1U);
    EXPECT_EQ(refusals[0].code, wire::RefusalCode::busy);
    EXPECT_TRUE(refusals[0].is_read);
    EXPECT_EQ(refusals[0].nonce, 77U);
    EXPECT_EQ(world.nodes[1]->waiting_reads(), 0U);
}

TEST(NodeTest, a_digest_is_enough_when_the_client_says_so) {
    World world(4);
    connect(world, 1, 11);
    wire::Read read;
    read.want_result = false;
    kvstore::ReadAnswer answer;
    answer.result = bytes_of("long");
    world.nodes[1]->read_done(11, read, consensus::Height(0), answer);
    const auto replies = world.ports[1].told_to<wire::ReadReply>(11);
    ASSERT_EQ(replies.size(), 1U);
    EXPECT_FALSE(replies[0].result);
    EXPECT_EQ(replies[0].digest, crypto::digest_of("read", view_of("long")));
}

TEST(NodeTest, a_reader_without_the_right_is_refused) {
    World world(4);
    connect(world, 1, 11);
    world.nodes[1]->read_done(11, wire::Read{}, consensus::Height(0), fail(Errc::permission, "no right to read"));
    const auto refusals = world.ports[1].told_to<wire::Refusal>(11);
    ASSERT_EQ(refusals.size(), 1U);
    EXPECT_EQ(refusals[0].code, wire::RefusalCode::denied);
}

class Mute final : public FaultModel {
 public:
    [[nodiscard]] std::string name() const override { return "mute"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend) override { return {}; }
    [[nodiscard]] std::vector<wire::ReplicaMessage> to_client(const consensus::ClientId&,
                                                              wire::ReplicaMessage) override {
        return {};
    }
};

TEST(NodeTest, a_fault_model_sees_everything_that_leaves) {
    World world(4);
    EXPECT_EQ(world.nodes[3]->fault(), "none");
    world.nodes[3]->set_fault(std::make_unique<Mute>());
    EXPECT_EQ(world.nodes[3]->fault(), "mute");
    world.ports[3].sent.clear();
    for (std::size_t i = 0; i < 4; ++i) {
        connect(world, i, 10 + i);
    }
    submit(world, 0, 10, 1);
    world.settle();
    world.nodes[3]->served(replica(0), {});
    EXPECT_TRUE(world.ports[3].sent.empty());
    EXPECT_TRUE(world.ports[3].told.empty());
    EXPECT_EQ(world.ports[0].told_to<wire::Reply>(10).size(), 1U) << "three of four go on";
    world.nodes[3]->set_fault(nullptr);
    world.nodes[3]->served(replica(0), {});
    EXPECT_EQ(world.ports[3].sent.size(), 1U);
}

}  // namespace
}  // namespace loyal::replica
