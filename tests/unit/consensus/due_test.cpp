// Time goes on when nobody writes (rule B5): when something is due in the executed state, the leader orders a block
// without envelopes, the others see to it that it does, and nobody takes such a block before.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/consensus/timed_cluster.h"

namespace loyal::consensus::test {
namespace {

const Members all_four{0, 1, 2, 3};

// Half a second after each block something is due, but in the state of genesis nothing is.
Shape with_deadlines(FaultModel model = FaultModel::byzantine) {
    Shape shape = shape_of({}, {});
    shape.fault_model = model;
    shape.n = model == FaultModel::crash ? 3 : 4;
    shape.due = [](const Header& header) { return std::optional(Hlc(header.hlc.wall_ms() + 500, 0)); };
    return shape;
}

std::vector<Header> executed_headers(const TimedCluster& timed, std::size_t replica) {
    std::vector<Header> headers;
    for (const auto& [height, block] : timed.cluster.replicas[replica].executed_ever) {
        headers.push_back(block->header);
    }
    return headers;
}

TEST(Due, an_idle_cluster_makes_a_block_whenever_one_is_due_and_suspects_nobody) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        TimedCluster timed(with_deadlines(model));
        timed.network = [](const Packet&) { return std::optional<std::uint64_t>(10); };
        timed.run(3'000);
        EXPECT_EQ(timed.cluster.status(0).committed.height, Height(0)) << "nothing was due";
        timed.cluster.submit(0, "a");
        timed.run(10'000);
        const auto headers = executed_headers(timed, 1);
        EXPECT_GE(headers.size(), 15U);
        EXPECT_LE(headers.size(), 21U);
        for (std::size_t i = 1; i < headers.size(); ++i) {
            EXPECT_EQ(headers[i].flags, flag_empty);
            EXPECT_GE(headers[i].hlc.wall_ms(), headers[i - 1].hlc.wall_ms() + 500) << "not before";
        }
        EXPECT_TRUE(timed.all_in(View(0)));
        EXPECT_EQ(timed.cluster.status(1).last_time_out, "");
        timed.cluster.check_agreement();
    }
}

TEST(Due, who_leads_next_makes_the_block_of_a_leader_that_is_gone) {
    TimedCluster timed(with_deadlines());
    timed.cluster.submit(0, "a");
    timed.run(200);
    ASSERT_EQ(timed.cluster.status(1).committed.height, Height(1));
    timed.down = {0};
    timed.run(5'000);
    const auto headers = executed_headers(timed, 1);
    ASSERT_GE(headers.size(), 3U);
    EXPECT_GE(headers[1].view, View(1));
    EXPECT_EQ(headers[1].flags, flag_empty);
}

// It is heard and votes, but orders nothing that nobody asked for.
TEST(Due, a_leader_that_lets_time_stand_still_is_deposed) {
    TimedCluster timed(with_deadlines());
    timed.network = [](const Packet& packet) {
        const auto* propose = std::get_if<Propose>(&packet.message);
        const bool empty = propose != nullptr && propose->block->envelopes.empty();
        const bool withheld = packet.from == ReplicaId(0) && (empty || std::holds_alternative<Blocks>(packet.message));
        return withheld ? std::optional<std::uint64_t>() : std::optional<std::uint64_t>(0);
    };
    timed.cluster.submit(0, "a");
    ASSERT_TRUE(timed.run_until([&] { return timed.highest_view() > View(0); }, 10'000));
    EXPECT_EQ(timed.cluster.status(1).last_time_out, "no progress");
    timed.run(3'000);
    EXPECT_GE(timed.cluster.status(1).committed.height, Height(3));
    timed.cluster.check_agreement();
}

// A traitor leads view 0.
BlockPtr empty_block(const TestCluster& cluster) {
    Header header;
    header.height = Height(1);
    header.parent = cluster.genesis().id;
    const auto body = std::make_shared<const Bytes>();
    header.body_root = body_root_of(*body);
    header.flags = flag_empty;
    header.hlc = Hlc(cluster.wall_ms, 0);
    const auto& context = cluster.membership.context;
    const crypto::Digest id = header_id(context, header);
    return *make_block(context, header, cluster.signers[0]->sign(signed_bytes(context, SignDomain::propose, id.view())),
                       body);
}

TEST(Due, an_empty_block_before_its_time_is_nobodys) {
    for (const bool empty : {false, true}) {
        Shape shape = with_deadlines();
        shape.traitors = {0};
        TimedCluster timed(shape);
        timed.down = {0};
        timed.run(10);
        const BlockPtr block =
            empty ? empty_block(timed.cluster) : timed.cluster.block(0, View(0), timed.cluster.genesis(), Hlc(), "a");
        for (const std::size_t to : {1U, 2U, 3U}) {
            ASSERT_TRUE(timed.cluster.inject(0, to, Propose{block, Height(0)}));
            timed.cluster.end_batch(to);
        }
        timed.run(50);
        for (const std::size_t replica : {1U, 2U, 3U}) {
            EXPECT_EQ(timed.cluster.status(replica).committed.height, Height(empty ? 0 : 1)) << "R" << replica;
        }
    }
}

}  // namespace
}  // namespace loyal::consensus::test
