// Comparison of clocks by whole nodes: in virtual time, over ways of any length, with traitors who lie about theirs.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <functional>

#include "sim/clock.h"
#include "sim/random.h"
#include "sim/scheduler.h"
#include "tests/unit/replica/node_world.h"

namespace loyal::replica::test {
namespace {

using consensus::ClockAnswer;
using consensus::ClockProbe;

constexpr std::int64_t spread_max_us = 125'000;  // half of the default PRECISION

// Says something else of its clock to everybody.
class ClockLiar final : public FaultModel {
 public:
    explicit ClockLiar(std::function<std::int64_t(ReplicaId)> lie) : lie_(std::move(lie)) {}
    [[nodiscard]] std::string name() const override { return "clock liar"; }
    [[nodiscard]] std::vector<PeerSend> to_peer(PeerSend send) override {
        if (auto* answer = std::get_if<ClockAnswer>(&send.message)) {
            const auto by_us = static_cast<std::uint64_t>(lie_(send.to));
            answer->received_us += by_us;
            answer->sent_us += by_us;
        }
        return one(std::move(send));
    }

 private:
    std::function<std::int64_t(ReplicaId)> lie_;
};

// n nodes of which only the clock messages travel: nothing else is under test.
class ClockWorld {
 public:
    struct Shape {
        std::size_t n = 4;
        std::uint64_t seed = 1;
        std::uint64_t delay_max_us = 1'000;
        std::uint32_t loss_ppm = 0;
    };
    explicit ClockWorld(const Shape& shape, consensus::FaultModel model = consensus::FaultModel::byzantine)
        : shape_(shape), random_(shape.seed), cluster_(shape.n, model), clocks(shape.n) {
        for (std::size_t i = 0; i < shape.n * shape.n; ++i) {
            ways_us_.push_back(random_.below(shape.delay_max_us + 1));
        }
    }
    void start() {
        for (std::size_t i = 0; i < shape_.n; ++i) {
            ports_.push_back(std::make_unique<ClockPort>(*this, i));
            NodeOptions options;
            options.core.self = replica(i);
            nodes.push_back(std::make_unique<Node>(options, *cluster_.verifier, *cluster_.signers[i],
                                                   consensus::Recovered{}, *ports_.back()));
            nodes.back()->start(clocks[i].wall_ms(0));
            scheduler_.at(random_.below(10 * sim::ms), [this, i] { tick(i); });
        }
    }
    void run_until(sim::TimeUs time) {
        bool there = false;
        scheduler_.at(time, [&there] { there = true; });
        while (!there) {
            (void)scheduler_.step();
        }
    }
    [[nodiscard]] std::int64_t true_offset_us(std::size_t of, std::size_t seen_by) const {
        return static_cast<std::int64_t>(clocks[of].wall_us(scheduler_.now())) -
               static_cast<std::int64_t>(clocks[seen_by].wall_us(scheduler_.now()));
    }
    sim::Random& random() { return random_; }

 private:
    struct ClockPort final : NodePort {
        ClockPort(ClockWorld& owner, std::size_t index) : world(owner), self(index) {}
        void send(ReplicaId to, const consensus::PeerMessage& message) override { world.send(self, to.value, message); }
        void to_client(LinkId, const wire::ReplicaMessage&) override {}
        void persist(consensus::Persist) override {}
        void execute(consensus::BlockPtr) override {}
        void admit(LinkId, crypto::Verified<consensus::Envelope>) override {}
        void read(LinkId, wire::Read, Height) override {}
        void read_changes(LinkId, std::uint64_t, kvstore::ChangeQuery) override {}
        void serve_committed(const consensus::ServeCommitted&) override {}
        void stable(const consensus::Stable&) override {}
        void fetch_state(const consensus::FetchState&) override {}
        void serve_state(consensus::ReplicaId, consensus::StateRequest) override {}
        void state_chunk(consensus::ReplicaId, consensus::StateChunk) override {}
        void accuse(const consensus::Accuse&) override {}
        void note(const std::string&) override {}
        std::uint64_t wall_us() override { return world.clocks[self].wall_us(world.scheduler_.now()); }
        ClockWorld& world;
        std::size_t self;
    };

    void tick(std::size_t i) {
        nodes[i]->tick();
        scheduler_.after(10 * sim::ms, [this, i] { tick(i); });
    }
    void send(std::size_t from, std::size_t to, const consensus::PeerMessage& message) {
        const bool of_clocks =
            std::holds_alternative<ClockProbe>(message) || std::holds_alternative<ClockAnswer>(message);
        if (!of_clocks || random_.chance(shape_.loss_ppm)) {
            return;
        }
        // The two ways of a link differ, and no two messages take as long.
        const sim::TimeUs delay = 20 + ways_us_[from * shape_.n + to] + random_.below(shape_.delay_max_us + 1);
        auto verified = cluster_.verifier->verify(message, replica(from));
        ASSERT_TRUE(verified.has_value());
        scheduler_.after(delay,
                         [this, from, to, verified = *verified] { nodes[to]->peer_message(replica(from), verified); });
    }

    Shape shape_;
    sim::Random random_;
    sim::Scheduler scheduler_;
    Cluster cluster_;
    std::vector<sim::TimeUs> ways_us_;
    std::vector<std::unique_ptr<ClockPort>> ports_;

 public:
    std::vector<sim::SimClock> clocks;
    std::vector<std::unique_ptr<Node>> nodes;
};

std::int64_t any_offset_ms(sim::Random& random, std::int64_t bound) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * bound + 1))) - bound;
}

TEST(ClockWorldTest, nodes_find_out_how_far_apart_their_clocks_are) {
    ClockWorld world({4, 7, 400, 0});
    world.clocks = {{0, 0}, {12, 0}, {-30, 0}, {3, 0}};
    world.start();
    world.run_until(3 * sim::second);
    const ClockView view = world.nodes[0]->clock_view();
    for (const std::size_t peer : {1UL, 2UL, 3UL}) {
        ASSERT_TRUE(view.peers[peer]) << peer;
        EXPECT_NEAR(static_cast<double>(view.peers[peer]->offset_us),
                    static_cast<double>(world.true_offset_us(peer, 0)), 1'500);
        EXPECT_LT(view.peers[peer]->uncertainty_us, 1'500);
    }
    EXPECT_EQ(view.verdict, ClockVerdict::inside);
    EXPECT_EQ(view.impossible, 0U);
    EXPECT_EQ(view.unasked, 0U);
}

TEST(ClockWorldTest, a_crash_tolerant_cluster_compares_clocks_too) {
    ClockWorld world({3, 7, 400, 0}, consensus::FaultModel::crash);
    world.clocks = {{0, 0}, {2, 0}, {2'000, 0}};
    world.start();
    world.run_until(3 * sim::second);
    EXPECT_EQ(world.nodes[0]->clock_view().verdict, ClockVerdict::inside);
    const ClockView odd = world.nodes[2]->clock_view();
    EXPECT_EQ(odd.verdict, ClockVerdict::outside);
    EXPECT_NEAR(static_cast<double>(odd.offset_us), 1'999'000, 3'000);
}

TEST(ClockWorldTest, a_jump_is_noticed_by_all_and_blamed_on_the_one_who_jumped) {
    for (const std::int64_t by_ms : {-5'000, 5'000}) {
        ClockWorld world({4, 9, 400, 0});
        world.start();
        world.run_until(4 * sim::second);
        world.clocks[1].jump(by_ms);
        world.run_until(10 * sim::second);
        for (const std::size_t i : {0UL, 2UL, 3UL}) {
            const ClockView view = world.nodes[i]->clock_view();
            EXPECT_EQ(view.peer_jumps, (std::vector<std::uint64_t>{0, 1, 0, 0})) << i;
            EXPECT_EQ(view.own_jumps, 0U) << i;
            EXPECT_EQ(view.verdict, ClockVerdict::inside) << i;
        }
        const ClockView own = world.nodes[1]->clock_view();
        EXPECT_EQ(own.own_jumps, 1U);
        EXPECT_EQ(own.peer_jumps, std::vector<std::uint64_t>(4, 0));
        EXPECT_EQ(own.verdict, ClockVerdict::outside);
        EXPECT_NEAR(static_cast<double>(own.outside_by_us), 5'000'000, 3'000);
    }
}

// The true offset is within the claimed uncertainty at any time, for ways of any length, loss, and clocks that drift
// apart by up to 500 ppm.
RC_GTEST_PROP(ClockWorldProperty, the_true_offset_is_within_the_claimed_uncertainty, (std::uint64_t seed)) {
    sim::Random random(seed);
    ClockWorld::Shape shape;
    shape.n = 3 + random.below(5);
    shape.seed = seed;
    shape.delay_max_us = std::uint64_t{1} << random.below(22);
    shape.loss_ppm = random.one_in(2) ? 300'000 : 0;
    ClockWorld world(shape);
    for (sim::SimClock& clock : world.clocks) {
        clock = sim::SimClock(any_offset_ms(random, 100'000), any_offset_ms(random, 250));
    }
    world.start();
    std::size_t estimates = 0;
    for (sim::TimeUs now = 500 * sim::ms; now < 20 * sim::second; now += 100 * sim::ms + random.below(500 * sim::ms)) {
        world.run_until(now);
        for (std::size_t i = 0; i < shape.n; ++i) {
            const ClockView view = world.nodes[i]->clock_view();
            for (std::size_t j = 0; j < shape.n; ++j) {
                if (view.peers[j]) {
                    ++estimates;
                    RC_ASSERT(std::abs(view.peers[j]->offset_us - world.true_offset_us(j, i)) <=
                              view.peers[j]->uncertainty_us);
                }
            }
            RC_ASSERT(view.impossible == 0U);
            RC_ASSERT(view.own_jumps == 0U);
        }
    }
    RC_ASSERT(estimates > 20U * shape.n);
}

struct Lied {
    std::unique_ptr<ClockWorld> world;
    std::vector<bool> liar;
};

Lied with_liars(std::uint64_t seed, std::int64_t honest_bound_ms) {
    sim::Random random(seed);
    ClockWorld::Shape shape;
    shape.n = random.one_in(2) ? 4 : 7;
    shape.seed = seed;
    shape.delay_max_us = std::uint64_t{1} << random.below(15);
    Lied result{std::make_unique<ClockWorld>(shape), std::vector<bool>(shape.n, false)};
    for (sim::SimClock& clock : result.world->clocks) {
        clock = sim::SimClock(any_offset_ms(random, honest_bound_ms), 0);
    }
    for (std::size_t k = 0; k < (shape.n - 1) / 3; ++k) {
        result.liar[random.below(shape.n)] = true;
    }
    return result;
}

void start_with_lies(Lied& lied, std::uint64_t seed) {
    lied.world->start();
    for (std::size_t i = 0; i < lied.liar.size(); ++i) {
        if (!lied.liar[i]) {
            continue;
        }
        auto random = std::make_shared<sim::Random>(seed, i);
        // Small lies that overlap with the truth, large ones, another one to each.
        lied.world->nodes[i]->set_fault(std::make_unique<ClockLiar>(
            [random](ReplicaId) { return any_offset_ms(*random, std::int64_t{1} << (5 + random->below(35))); }));
    }
}

// Correct clocks that show the same time: f liars among n = 3f + 1 cannot move the majority's interval off it.
RC_GTEST_PROP(ClockWorldProperty, liars_do_not_move_the_majority_off_the_truth, (std::uint64_t seed)) {
    Lied lied = with_liars(seed, 0);
    start_with_lies(lied, seed);
    for (sim::TimeUs now = 2 * sim::second; now < 10 * sim::second; now += 700 * sim::ms) {
        lied.world->run_until(now);
        for (std::size_t i = 0; i < lied.liar.size(); ++i) {
            if (lied.liar[i]) {
                continue;
            }
            const ClockView view = lied.world->nodes[i]->clock_view();
            RC_ASSERT(view.verdict == ClockVerdict::inside);
            RC_ASSERT(std::abs(view.offset_us) <= view.uncertainty_us);
            RC_ASSERT(view.own_jumps == 0U);
            // Nor make it wider than what the exchanges with correct replicas leave open.
            std::int64_t open_us = 0;
            for (std::size_t j = 0; j < lied.liar.size(); ++j) {
                if (!lied.liar[j] && view.peers[j]) {
                    open_us = std::max(open_us, std::abs(view.peers[j]->offset_us) + view.peers[j]->uncertainty_us);
                    RC_ASSERT(view.peer_jumps[j] == 0U);
                }
            }
            RC_ASSERT(std::abs(view.offset_us) + view.uncertainty_us <= open_us + 2);
        }
    }
}

// Correct clocks that differ, each two by less than half of PRECISION: no lie makes one of them look wrong to itself.
RC_GTEST_PROP(ClockWorldProperty, no_lie_raises_a_correct_clocks_alarm, (std::uint64_t seed)) {
    Lied lied = with_liars(seed, 45);
    start_with_lies(lied, seed);
    for (sim::TimeUs now = 2 * sim::second; now < 10 * sim::second; now += 700 * sim::ms) {
        lied.world->run_until(now);
        for (std::size_t i = 0; i < lied.liar.size(); ++i) {
            const ClockView view = lied.world->nodes[i]->clock_view();
            RC_ASSERT(lied.liar[i] || view.verdict == ClockVerdict::inside || view.verdict == ClockVerdict::outside);
            RC_ASSERT(lied.liar[i] || view.outside_by_us <= spread_max_us);
            RC_ASSERT(lied.liar[i] || std::abs(view.offset_us) <= 90'000 + view.uncertainty_us);
        }
    }
}

}  // namespace
}  // namespace loyal::replica::test
