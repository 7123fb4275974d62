// Rotation of tenure (rules L1 and V1), silence (T4), and what a replica says about its peers.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/consensus/timed_cluster.h"

namespace loyal::consensus::test {
namespace {

constexpr std::uint64_t tmin_ms = 400;
const Members everybody{0, 1, 2, 3};

Shape tuned(std::function<void(Options&)> tune, const std::vector<std::string>& rules_off = {}) {
    Shape shape = shape_of(rules_off, {});
    shape.tune = std::move(tune);
    return shape;
}
Shape with_tenure(std::uint64_t tenure_ms) {
    return tuned([tenure_ms](Options& options) { options.tenure_ms = tenure_ms; });
}
std::size_t end_blocks(const TimedCluster& timed, std::size_t replica) {
    const auto& blocks = timed.cluster.replicas[replica].executed_ever;
    return static_cast<std::size_t>(std::count_if(
        blocks.begin(), blocks.end(), [](const auto& block) { return (block.second->header.flags & flag_end) != 0; }));
}
void expect_no_suspicion(const TimedCluster& timed) {
    for (std::size_t i = 0; i < timed.cluster.shape.n; ++i) {
        const Status status = timed.cluster.status(i);
        EXPECT_EQ(status.last_time_out, "") << "at R" << i;
        EXPECT_EQ(status.progress_timeout_ms, tmin_ms) << "at R" << i;
        for (const PeerSuspicion& peer : status.suspicion) {
            EXPECT_EQ(peer.deposed, 0U) << "at R" << i;
            EXPECT_LT(peer.phi, 8.0) << "at R" << i;
        }
    }
}

TEST(Tenure, a_busy_primary_hands_over_by_plan_and_nobody_is_suspected) {
    TimedCluster timed(with_tenure(1'000));
    timed.load = {20, 0, everybody};
    timed.network = [](const Packet&) { return std::optional<std::uint64_t>(10); };
    timed.run(10'500);
    const View view = timed.highest_view();
    EXPECT_GE(view, View(8));
    EXPECT_LE(view, View(10));
    EXPECT_EQ(end_blocks(timed, 2), view.value) << "an END block for each view, and no view without one";
    EXPECT_GE(timed.executed_envelopes(2), 500U);
    expect_no_suspicion(timed);
    timed.cluster.check_agreement();
    const Status status = timed.cluster.status(0);
    for (const PeerSuspicion& peer : status.suspicion) {
        ASSERT_TRUE(peer.order_latency_ms) << "every leader was timed";
        EXPECT_LE(*peer.order_latency_ms, 100.0);
    }
}

// About two delays and two syncs: with 10 ms a message the next view orders within 60 ms of the END block's commit.
TEST(Tenure, a_planned_view_change_is_quick) {
    TimedCluster timed(with_tenure(2'000));
    timed.load = {0, 4, everybody};
    timed.network = [](const Packet&) { return std::optional<std::uint64_t>(10); };
    ASSERT_TRUE(timed.run_until([&] { return timed.highest_view() == View(1); }, 10'000));
    const std::uint64_t ended_ms = timed.now_ms();
    const Height last = timed.cluster.status(0).committed.height;
    ASSERT_TRUE(timed.run_until([&] { return timed.all_in(View(1)); }, 100));
    EXPECT_LE(timed.now_ms() - ended_ms, 30U) << "VIEW-CHANGE and NEWVIEW";
    ASSERT_TRUE(timed.run_until([&] { return timed.cluster.status(2).committed.height > last; }, 1'000));
    EXPECT_LE(timed.now_ms() - ended_ms, 80U) << "and three more delays to the first commit";
}

TEST(Tenure, may_end_by_blocks) {
    TimedCluster timed(tuned([](Options& options) { options.tenure_blocks = 10; }));
    timed.load = {20, 0, everybody};
    timed.run(2'000);
    EXPECT_GE(timed.highest_view(), View(8));
    EXPECT_LE(timed.cluster.status(0).committed.height.value, 11 * (timed.highest_view().value + 1));
    expect_no_suspicion(timed);
}

TEST(Tenure, an_idle_primary_stays_and_writes_nothing) {
    TimedCluster timed(with_tenure(1'000));
    timed.run(60'000);
    EXPECT_TRUE(timed.all_in(View(0)));
    EXPECT_EQ(timed.cluster.status(0).committed.height, Height(0));
    timed.load = {20, 0, everybody};  // its time runs from here, not from an hour ago
    timed.run(900);
    EXPECT_TRUE(timed.all_in(View(0)));
}

// One write, then silence: the END block is an empty one.
TEST(Tenure, a_primary_without_further_work_ends_its_view_with_an_empty_block) {
    TimedCluster timed(with_tenure(1'000));
    timed.cluster.submit(0, "a");
    timed.run(3'000);
    EXPECT_TRUE(timed.all_in(View(1))) << "and the next one has nothing to end";
    const BlockPtr last = timed.cluster.replicas[2].executed_ever.at(Height(2));
    EXPECT_EQ(last->header.flags, flag_end | flag_empty);
    expect_no_suspicion(timed);
}

TEST(Tenure, none_in_the_crash_model_and_none_when_it_is_zero) {
    for (const bool crash : {false, true}) {
        Shape shape = with_tenure(crash ? 1'000 : 0);
        shape.fault_model = crash ? FaultModel::crash : FaultModel::byzantine;
        shape.n = crash ? 3 : 4;
        TimedCluster timed(shape);
        timed.load = {20, 0, crash ? Members{0, 1, 2} : everybody};
        timed.run(40'000);
        EXPECT_TRUE(timed.all_in(View(0)));
        EXPECT_GE(timed.executed_envelopes(1), 1'990U);
    }
}

// R0 does not end its view. The others do, a tenth later.
TEST(Tenure, a_primary_that_stays_is_deposed) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(
                tuned([](Options& options) { options.tenure_ms = options.self == ReplicaId(0) ? 0 : 20'000; }, off));
            timed.load = {50, 0, everybody};
            timed.run(21'500);
            EXPECT_TRUE(timed.all_in(View(0))) << "within the grace";
            timed.run(1'500);
            const bool deposed = timed.highest_view() > View(0);
            if (deposed) {
                EXPECT_EQ(timed.cluster.status(1).last_time_out, "the primary stays beyond its tenure");
            }
            return !deposed;
        },
        {"L1"});
}

// The END block that ended view 0 is only prepared there: it becomes the base of view 1 and commits there. Its own view
// counts, so view 1 does not end with it.
TEST(Pitfall28, an_end_block_that_commits_as_a_base_ends_nothing) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(tuned([](Options& options) { options.tenure_ms = 1'000; }, off));
            std::optional<Height> end;
            timed.network = [&](const Packet& packet) -> std::optional<std::uint64_t> {
                const auto* vote = std::get_if<Vote>(&packet.message);
                const auto* propose = std::get_if<Propose>(&packet.message);
                if (!end && propose != nullptr && (propose->block->header.flags & flag_end) != 0) {
                    end = propose->block->header.height;
                }
                return end && vote != nullptr && vote->view == View(0) && vote->com.height >= *end
                           ? std::nullopt
                           : std::optional<std::uint64_t>(0);
            };
            timed.cluster.submit(0, "a");
            timed.run(5'000);
            EXPECT_TRUE(end);
            EXPECT_GE(end_blocks(timed, 1), 1U);
            return !timed.all_in(View(1));
        },
        {"V1-end"});
}

TEST(Tenure, no_block_of_a_view_follows_its_end) {
    TimedCluster timed(shape_of({}, {0}));
    const BlockPtr plain = timed.cluster.block(0, View(0), timed.cluster.genesis(), Hlc(), "last");
    Header header = plain->header;
    header.flags = flag_end;
    const auto sign = [&](const Header& of) {
        const crypto::Digest id = header_id(timed.cluster.membership.context, of);
        return timed.cluster.signers[0]->sign(
            signed_bytes(timed.cluster.membership.context, SignDomain::propose, id.view()));
    };
    const BlockPtr end = *make_block(timed.cluster.membership.context, header, sign(header), plain->body);
    const BlockPtr more = timed.cluster.block(0, View(0), end->ref(), end->header.hlc, "more");
    const BlockPtr body = timed.cluster.block(0, View(0), timed.cluster.genesis(), Hlc(), "x");
    Header empty = body->header;
    empty.flags = flag_empty;
    empty.envelopes = empty.body_bytes = 0;
    const auto no_body = std::make_shared<const Bytes>();
    empty.body_root = body_root_of(*no_body);
    const BlockPtr idle = *make_block(timed.cluster.membership.context, empty, sign(empty), no_body);
    for (const BlockPtr& block : {idle, end, more}) {
        timed.cluster.inject(0, 1, Propose{block, Height()});
        if (block == idle) {
            EXPECT_EQ(timed.cluster.status(1).prep.height, Height(0)) << "an empty block ends a view or is none";
            timed.cluster.crash(1);
            timed.cluster.restart(1);
        }
    }
    EXPECT_EQ(timed.cluster.status(1).prep, end->ref());
}

// ---- T4

// Silence of the leader of view 0 until somebody wants another view.
std::uint64_t silence_until_deposed(bool adaptive, FaultModel model, double phi_threshold) {
    Shape shape = tuned([=](Options& options) {
        options.adaptive = adaptive;
        options.phi_threshold = phi_threshold;
    });
    shape.fault_model = model;
    TimedCluster timed(shape);
    timed.run(3'000);
    EXPECT_TRUE(timed.all_in(View(0)));
    timed.down = {0};
    const std::uint64_t since = timed.now_ms();
    EXPECT_TRUE(timed.run_until([&] { return timed.cluster.status(1).promised > View(0); }, 5'000));
    EXPECT_EQ(timed.cluster.status(1).last_time_out, "the primary is silent");
    const std::uint64_t silence_ms = timed.now_ms() - since;
    timed.run(3'000);
    EXPECT_GT(timed.cluster.status(1).suspicion[0].phi, 8.0);
    EXPECT_LT(timed.cluster.status(1).suspicion[2].phi, 8.0);
    EXPECT_EQ(timed.cluster.status(1).suspicion[0].deposed, 1U);
    return silence_ms;
}

TEST(Silence, is_noticed_sooner_by_the_adaptive_detector) {
    for (const FaultModel model : {FaultModel::byzantine, FaultModel::crash}) {
        const std::uint64_t adaptive = silence_until_deposed(true, model, 8);
        const std::uint64_t fixed = silence_until_deposed(false, model, 8);
        EXPECT_GE(adaptive, 5 * 50U);
        EXPECT_LT(adaptive, 9 * 50U);
        EXPECT_GE(fixed, 9 * 50U);
        EXPECT_LE(fixed, 11 * 50U);
        EXPECT_LE(silence_until_deposed(true, model, 50), 11 * 50U) << "ten heartbeats are the upper bound";
        EXPECT_GE(silence_until_deposed(true, model, 0.5), 4 * 50U) << "five are the lower one";
    }
}

// Heartbeats that come irregularly, at most 200 ms late, depose nobody.
TEST(Silence, an_irregular_leader_is_left_in_peace) {
    TimedCluster timed(shape_of({}, {}));
    std::uint64_t state = 1;
    timed.network = [&](const Packet& packet) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return std::optional<std::uint64_t>(is<Heartbeat>(packet) ? (state >> 33U) % 200 : 0);
    };
    timed.run(60'000);
    EXPECT_TRUE(timed.all_in(View(0)));
}

// On a narrow link a leader's heartbeats queue behind its blocks, for longer than ten of them. Each silence that ends a
// view without a commit doubles the next one, until a leader gets through; and its blocks, older than MSGDELAY allows,
// are taken once that has grown as well (H3). True: nobody ever gets through.
TEST(Silence, grows_until_a_leader_on_a_narrow_link_gets_through) {
    expect_rule_matters(
        [](const std::vector<std::string>& off) {
            TimedCluster timed(tuned([](Options& options) { options.tenure_ms = 0; }, off));
            timed.load = {500, 0, everybody};
            timed.network = [](const Packet& packet) -> std::optional<std::uint64_t> {
                return is<Propose>(packet) || is<Heartbeat>(packet) ? 1'500 : 1;
            };
            return !timed.run_until([&] { return timed.executed_envelopes(1) > 0; }, 60'000);
        },
        {"T4-backoff", "H3"});
}

}  // namespace
}  // namespace loyal::consensus::test
