// StateFetch against servers in memory: honest ones, every kind of liar, interruptions, loss.
#include "replica/state_transfer/state_fetch.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <random>

#include "config/limits.h"
#include "replica/state_transfer/old_state.h"
#include "tests/unit/replica/state_world.h"

namespace loyal::replica::state_test {
namespace {

constexpr std::uint64_t checkpoint = 64;

FetchOptions options_of(std::size_t replicas = 4) {
    FetchOptions options;
    options.self = ReplicaId(0);
    options.replicas = replicas;
    options.salt = test_salt();
    return options;
}

// What a server does with its true answer: none, one, or many chunks; of whatever content.
using Manner = std::function<std::vector<StateChunk>(const StateRequest&, StateChunk)>;

std::vector<StateChunk> honest(const StateRequest&, StateChunk chunk) {
    return {std::move(chunk)};
}

// A network in which an answer takes one step; time goes on by 10 ms a step.
class FetchWorld {
 public:
    explicit FetchWorld(MemoryState& state, std::size_t replicas = 4)
        : replicas_(replicas), manners_(replicas, honest) {
        kept.keep(checkpoint, &state);
        target = state.root(checkpoint);
    }
    void behave(std::uint16_t peer, Manner manner) { manners_[peer] = std::move(manner); }
    void start(LocalState& local) { start(local, options_of(replicas_)); }
    void start(LocalState& local, const FetchOptions& options) {
        builder = std::make_unique<MemoryBuilder>(store, target);
        fetch = std::make_unique<StateFetch>(options, target, *builder, local);
    }
    void step() {
        now_ms += 10;
        fetch->tick(now_ms);
        std::deque<std::pair<ReplicaId, StateChunk>> arriving = std::exchange(on_the_way_, {});
        for (const auto& [from, chunk] : arriving) {
            fetch->on_chunk(from, chunk);
        }
        while (fetch->work()) {
        }
        for (const auto& [to, request] : fetch->take_requests()) {
            ++asked[to.value];
            names_asked += request.names.size();
            outstanding_max = std::max(outstanding_max, fetch->progress().requests);
            if (loses && loses()) {
                continue;
            }
            ServedPart served = serve_state_part(kept, request);
            for (StateChunk& chunk : manners_[to.value](request, std::move(served.chunk))) {
                if (!loses || !loses()) {
                    on_the_way_.emplace_back(to, std::move(chunk));
                }
            }
        }
        for (DroppedPeer& peer : fetch->take_dropped()) {
            dropped.insert(peer.peer.value);
            reasons += peer.why + "; ";
        }
    }
    // True when it was done within so many steps.
    [[nodiscard]] bool run(int steps = 20'000) {
        for (int i = 0; i < steps && !fetch->done() && !fetch->failed(); ++i) {
            step();
        }
        return fetch->done();
    }
    // For a failure's message.
    [[nodiscard]] std::string told() const {
        const FetchProgress now = fetch->progress();
        return std::to_string(now_ms) + " ms, buckets " + std::to_string(now.buckets_done) + ", records " +
               std::to_string(now.records_fetched) + ", requests " + std::to_string(now.requests) + ", late " +
               std::to_string(now.late) + ", dropped " + reasons + (fetch->stale() ? " stale " : "") +
               (fetch->failed() ? fetch->failed()->message : "");
    }
    [[nodiscard]] bool has(const MemoryState& state) const {
        return store.records.size() == state.records().size() &&
               std::all_of(state.records().begin(), state.records().end(), [&](const auto& entry) {
                   const auto found = store.records.find(entry.first);
                   return found != store.records.end() && found->second.second == entry.second;
               });
    }

    MemoryCheckpoints kept;
    StateRoot target;
    MemoryBuilder::Store store;
    std::unique_ptr<MemoryBuilder> builder;
    std::unique_ptr<StateFetch> fetch;
    std::uint64_t now_ms = 0;
    std::map<std::uint16_t, std::uint64_t> asked;
    std::uint64_t names_asked = 0, outstanding_max = 0;
    std::set<std::uint16_t> dropped;
    std::string reasons;
    std::function<bool()> loses;

 private:
    std::size_t replicas_;
    std::vector<Manner> manners_;
    std::deque<std::pair<ReplicaId, StateChunk>> on_the_way_;
};

TEST(StateFetchTest, an_empty_replica_fetches_everything_from_all_peers_at_once) {
    MemoryState state = sample_state(3'000);
    FetchWorld world(state);
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.fetch->progress().records_fetched, 3'000U);
    EXPECT_EQ(world.fetch->progress().buckets_done, kvstore::buckets);
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
    for (std::uint16_t peer = 1; peer < 4; ++peer) {
        EXPECT_GT(world.asked[peer], 20U) << peer;
    }
    EXPECT_EQ(world.asked[0], 0U) << "it does not ask itself";
}

TEST(StateFetchTest, the_empty_state_needs_nobody) {
    MemoryState state;
    FetchWorld world(state);
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.asked.empty());
}

TEST(StateFetchTest, records_of_a_mebibyte_arrive_in_pieces) {
    MemoryState state = sample_state(24, "", limits::value_bytes_max - 100);
    FetchWorld world(state);
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
}

TEST(StateFetchTest, only_what_differs_is_asked_for) {
    MemoryState state = sample_state(3'000);
    MemoryState old = sample_state(3'000);
    for (int i = 0; i < 40; ++i) {
        old.put("key-" + std::to_string(i * 7), "another value");
    }
    FetchWorld world(state);
    MemoryLocal local(&old);
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.fetch->progress().records_fetched, 40U);
    EXPECT_EQ(world.names_asked, 40U);
    EXPECT_EQ(world.fetch->progress().records_local, 2'960U);
}

TEST(StateFetchTest, damaged_records_of_the_own_state_are_not_believed) {
    MemoryState state = sample_state(500);
    MemoryState old = sample_state(500);
    MemoryLocal local(&old);
    int i = 0;
    for (const auto& [name, record] : old.records()) {
        if (++i % 50 == 0) {
            (i % 100 == 0 ? local.rotten : local.unreadable).insert(name);
        }
    }
    FetchWorld world(state);
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.fetch->progress().records_fetched, 10U);
    EXPECT_EQ(world.fetch->progress().records_local, 490U);
}

// ---- Liars

Bytes spoilt(const StateChunk& chunk, std::size_t at) {
    Bytes content = *chunk.content;
    if (!content.empty()) {
        content[at % content.size()] ^= 1U;
    }
    return content;
}

struct Lie {
    const char* name;
    Manner manner;
};
void PrintTo(const Lie& lie, std::ostream* out) {
    *out << lie.name;
}

class StateFetchLies : public ::testing::TestWithParam<Lie> {};

StateChunk with_content(StateChunk chunk, Bytes content) {
    chunk.content = std::make_shared<const Bytes>(std::move(content));
    return chunk;
}

Manner spoils(StatePart part) {
    return [part, n = std::make_shared<std::size_t>(5)](const StateRequest&, StateChunk chunk) {
        *n = *n * 1'103 + 7;
        return chunk.part == part ? std::vector{with_content(chunk, spoilt(chunk, *n))} : std::vector{chunk};
    };
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, StateFetchLies,
    ::testing::Values(
        Lie{"digests", spoils(StatePart::subtree)}, Lie{"leaves", spoils(StatePart::leaves)},
        Lie{"records", spoils(StatePart::records)},
        Lie{"nothing_at_all",
            [](const StateRequest&, StateChunk chunk) { return std::vector{with_content(std::move(chunk), {})}; }},
        Lie{"no_content",
            [](const StateRequest&, StateChunk chunk) {
                chunk.content = nullptr;
                return std::vector{chunk};
            }},
        Lie{"records_of_another_bucket",
            [last = std::make_shared<SharedBytes>()](const StateRequest&, StateChunk chunk) {
                if (chunk.part == StatePart::records) {
                    const SharedBytes now = chunk.content;
                    chunk.content = *last ? *last : std::make_shared<const Bytes>();
                    *last = now;
                }
                return std::vector{chunk};
            }},
        Lie{"one_record_at_a_time",
            [](const StateRequest&, StateChunk chunk) {
                if (chunk.part == StatePart::records) {
                    const auto records = kvstore::decode_records(*chunk.content);
                    if (records && records->size() > 1) {
                        return std::vector{with_content(chunk, kvstore::encode_records({records->front()}))};
                    }
                }
                return std::vector{chunk};
            }},
        Lie{"one_bucket_at_a_time",
            [](const StateRequest& request, StateChunk chunk) {
                if (chunk.part == StatePart::leaves) {
                    const auto groups = decode_buckets(request.index, request.count, *chunk.content);
                    if (groups && groups->size() > 1) {
                        return std::vector{with_content(chunk, encode_buckets({groups->front()}))};
                    }
                }
                return std::vector{chunk};
            }},
        Lie{"endless",
            [](const StateRequest&, const StateChunk& chunk) { return std::vector<StateChunk>(30, chunk); }}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

TEST_P(StateFetchLies, the_liar_is_dropped_and_named_and_the_state_is_right) {
    MemoryState state = sample_state(6'000);
    FetchWorld world(state);
    world.behave(2, GetParam().manner);
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.dropped, std::set<std::uint16_t>{2}) << world.reasons;
    EXPECT_EQ(world.fetch->progress().peers_dropped, 1U);
}

TEST(StateFetchTest, f_liars_of_seven_do_not_keep_the_state_from_coming) {
    MemoryState state = sample_state(2'000);
    FetchWorld world(state, 7);
    world.behave(1, spoils(StatePart::records));
    world.behave(6, [](const StateRequest&, const StateChunk&) { return std::vector<StateChunk>(); });
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.dropped, std::set<std::uint16_t>{1});
}

TEST(StateFetchTest, who_withholds_is_asked_less_and_not_waited_for) {
    MemoryState state = sample_state(6'000);
    FetchWorld world(state);
    world.behave(3, [](const StateRequest&, const StateChunk&) { return std::vector<StateChunk>(); });
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_GT(world.fetch->progress().late, 0U);
    EXPECT_LT(world.asked[3] * 10, world.asked[1]);
    EXPECT_TRUE(world.dropped.empty()) << "slow is not false";
}

TEST(StateFetchTest, who_answers_late_is_not_called_a_liar) {
    MemoryState state = sample_state(3'000);
    FetchWorld world(state);
    auto held = std::make_shared<std::deque<StateChunk>>();
    world.behave(2, [held](const StateRequest&, StateChunk chunk) {
        held->push_back(std::move(chunk));
        std::vector<StateChunk> out;
        if (held->size() > 6) {  // each answer comes six requests later
            out.push_back(held->front());
            held->pop_front();
        }
        return out;
    });
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
}

TEST(StateFetchTest, a_server_that_moved_on_is_not_a_liar_and_when_all_did_a_newer_target_is_wanted) {
    MemoryState state = sample_state(3'000);
    FetchWorld world(state);
    NoLocalState local;
    world.start(local);
    while (world.fetch->progress().records_fetched < 500) {
        world.step();
    }
    EXPECT_FALSE(world.fetch->stale());
    world.kept.forget(checkpoint);
    for (int i = 0; i < 200 && !world.fetch->stale(); ++i) {
        world.step();
    }
    EXPECT_TRUE(world.fetch->stale());
    EXPECT_TRUE(world.dropped.empty());
    // The newer one differs a little: what is done stays done.
    MemoryState newer = sample_state(3'000);
    newer.put("key-1", "changed");
    newer.put("and", "one more");
    world.kept.keep(2 * checkpoint, &newer);
    world.target = newer.root(2 * checkpoint);
    const std::uint64_t before = world.fetch->progress().records_fetched;
    world.fetch->want(world.target);
    EXPECT_FALSE(world.fetch->stale());
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(newer));
    EXPECT_LE(world.fetch->progress().records_fetched, 3'001U + 300U) << "what was there of " << before << " stayed";
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
}

TEST(StateFetchTest, one_peer_without_the_checkpoint_is_no_hindrance) {
    MemoryState state = sample_state(1'000);
    FetchWorld world(state);
    world.behave(
        1, [](const StateRequest& request, const StateChunk&) { return std::vector{no_such_checkpoint(request)}; });
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_FALSE(world.fetch->stale());
    EXPECT_TRUE(world.dropped.empty());
}

TEST(StateFetchTest, an_interrupted_transfer_goes_on_where_it_was) {
    MemoryState state = sample_state(1'500);
    FetchWorld world(state);
    std::uint64_t fetched = 0;
    int lives = 0;
    // A new process every few messages: only the store outlives it.
    for (bool done = false; !done && lives < 60; ++lives) {
        NoLocalState local;
        world.start(local);
        for (int step = 0; step < 4 + lives && !world.fetch->done(); ++step) {
            world.step();
        }
        fetched += world.fetch->progress().records_fetched;
        done = world.fetch->done();
    }
    EXPECT_GT(lives, 2);
    EXPECT_LT(lives, 60);
    EXPECT_TRUE(world.has(state));
    EXPECT_LT(fetched, 4'000U) << "buckets that were complete are not fetched again";
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
}

TEST(StateFetchTest, what_was_begun_goes_on_while_it_is_served_and_then_what_differs_follows) {
    MemoryState first = sample_state(2'000);
    MemoryState second = sample_state(2'000);
    second.put("key-7", "changed");
    FetchWorld world(first);
    world.kept.keep(2 * checkpoint, &second);
    NoLocalState local;
    world.start(local);
    while (world.fetch->progress().records_fetched < 300) {
        world.step();
    }
    const StateRoot before = world.target;
    world.target = second.root(2 * checkpoint);
    world.fetch->want(world.target);
    while (world.fetch->progress().records_fetched < 2'000) {
        ASSERT_EQ(world.fetch->target(), before);
        world.step();
    }
    ASSERT_TRUE(world.run());
    EXPECT_EQ(world.fetch->target(), world.target);
    EXPECT_TRUE(world.has(second));
    EXPECT_EQ(world.fetch->progress().records_fetched, 2'001U);
}

TEST(StateFetchTest, a_newer_state_that_comes_while_the_first_is_put_in_its_place_costs_what_differs) {
    MemoryState first = sample_state(800);
    std::deque<MemoryState> newer;
    FetchWorld world(first);
    NoLocalState local;
    world.start(local);
    int settled = 0;
    world.builder->settling = [&] {
        ++settled;
        newer.push_back(sample_state(800));
        newer.back().put("key-1", "changed");
        world.kept.keep(2 * checkpoint, &newer.back());
        world.kept.forget(checkpoint);
        world.fetch->want(newer.back().root(2 * checkpoint));
    };
    ASSERT_TRUE(world.run());
    EXPECT_EQ(settled, 1) << "the whole of it is read back once";
    EXPECT_EQ(world.fetch->target().height, Height(2 * checkpoint));
    EXPECT_TRUE(world.has(newer.back()));
    EXPECT_EQ(world.fetch->progress().records_fetched, 801U);
}

// Peers keep two checkpoints, and a new one comes long before everything is fetched.
TEST(StateFetchTest, under_load_the_target_moves_all_the_time_and_the_state_comes_all_the_same) {
    constexpr std::size_t keys = 5'000, changed_each = 60;
    constexpr int steps_each = 12;
    std::deque<MemoryState> states;
    states.push_back(sample_state(keys));
    FetchWorld world(states.front());
    NoLocalState local;
    FetchOptions options = options_of();
    options.names_per_request = 16;
    options.peers.requests_per_peer = 8;
    world.start(local, options);
    std::uint64_t height = checkpoint;
    for (int step = 1; step < 4'000 && !world.fetch->done(); ++step) {
        world.step();
        if (step % steps_each != 0) {
            continue;
        }
        MemoryState next = states.back();
        for (std::size_t i = 0; i < changed_each; ++i) {
            next.put("key-" + std::to_string((height * 31 + i * 7) % keys), "of " + std::to_string(height));
        }
        height += checkpoint;
        states.push_back(std::move(next));
        world.kept.keep(height, &states.back());
        if (height > 2 * checkpoint) {
            world.kept.forget(height - 2 * checkpoint);
        }
        world.fetch->want(states.back().root(height));
    }
    ASSERT_TRUE(world.fetch->done()) << world.told();
    EXPECT_GT(height, 5 * checkpoint) << "it did not move while it was fetched";
    EXPECT_GE(world.fetch->target().height.value + 2 * checkpoint, height) << "what is missing in the end is little";
    EXPECT_LT(world.fetch->progress().records_fetched, 2 * keys);
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
    EXPECT_TRUE(world.has(states.at(world.fetch->target().height.value / checkpoint - 1)));
}

// One of three peers may be faulty: that it alone still answers, however slowly, keeps nobody from the newer state.
TEST(StateFetchTest, who_alone_still_serves_the_older_state_does_not_hold_the_transfer_up) {
    MemoryState first = sample_state(2'000);
    MemoryState second = sample_state(2'000);
    second.put("key-7", "changed");
    FetchWorld world(first);
    bool moved_on = false;
    for (std::uint16_t peer = 1; peer < 3; ++peer) {
        world.behave(peer, [&](const StateRequest& request, StateChunk chunk) {
            return std::vector{moved_on && request.checkpoint == Height(checkpoint) ? no_such_checkpoint(request)
                                                                                    : std::move(chunk)};
        });
    }
    NoLocalState local;
    world.start(local);
    while (world.fetch->progress().records_fetched < 300) {
        world.step();
    }
    moved_on = true;
    world.kept.keep(2 * checkpoint, &second);
    world.target = second.root(2 * checkpoint);
    world.fetch->want(world.target);
    for (int i = 0; i < 10 && world.fetch->target() != world.target; ++i) {
        world.step();
    }
    EXPECT_EQ(world.fetch->target(), world.target);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(second));
    EXPECT_TRUE(world.dropped.empty()) << world.reasons;
}

TEST(StateFetchTest, of_the_digest_tree_only_what_differs_from_the_own_one_is_asked_for) {
    MemoryState old = sample_state(3'000);
    MemoryState state = sample_state(3'000);
    state.put("key-1", "changed");
    FetchWorld world(state);
    std::uint64_t subtrees = 0;
    for (std::uint16_t peer = 1; peer < 4; ++peer) {
        world.behave(peer, [&](const StateRequest& request, StateChunk chunk) {
            subtrees += request.part == StatePart::subtree ? 1U : 0U;
            return std::vector{std::move(chunk)};
        });
    }
    MemoryLocal local(&old);
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(subtrees, 2U) << "the root's part and the one that the changed bucket is in";
}

TEST(StateFetchTest, a_newer_state_at_any_moment_is_what_it_ends_with) {
    MemoryState first = sample_state(400);
    MemoryState second = sample_state(400, "new ");
    for (int moment = 0; moment < 25; ++moment) {
        FetchWorld world(first);
        world.kept.keep(2 * checkpoint, &second);
        NoLocalState local;
        world.start(local);
        for (int i = 0; i < moment && !world.fetch->done(); ++i) {
            world.step();
        }
        const bool too_late = world.fetch->done();
        world.fetch->want(second.root(2 * checkpoint));
        ASSERT_TRUE(world.run()) << moment;
        EXPECT_TRUE(world.has(too_late ? first : second)) << moment;
        EXPECT_TRUE(world.dropped.empty()) << world.reasons;
    }
}

TEST(StateFetchTest, with_loss_and_a_liar_the_state_still_comes) {
    MemoryState state = sample_state(600);
    for (std::uint32_t seed = 1; seed <= 12; ++seed) {
        std::mt19937 random(seed);
        FetchWorld world(state);
        world.loses = [&] { return random() % 100 < 25; };
        world.behave(static_cast<std::uint16_t>(1 + seed % 3), [&](const StateRequest&, StateChunk chunk) {
            return random() % 4 == 0 ? std::vector{with_content(chunk, spoilt(chunk, random()))} : std::vector{chunk};
        });
        NoLocalState local;
        world.start(local);
        ASSERT_TRUE(world.run(60'000)) << "seed " << seed << ": " << world.told();
        EXPECT_TRUE(world.has(state)) << "seed " << seed;
        for (const std::uint16_t peer : world.dropped) {
            EXPECT_EQ(peer, 1 + seed % 3) << "seed " << seed << ": " << world.reasons;
        }
    }
}

TEST(StateFetchTest, when_everybody_was_dropped_everybody_gets_another_chance) {
    MemoryState state = sample_state(300);
    FetchWorld world(state);
    auto lies = std::make_shared<int>(3);
    for (std::uint16_t peer = 1; peer < 4; ++peer) {
        world.behave(peer, [lies, own = std::make_shared<bool>(true)](const StateRequest&, StateChunk chunk) {
            if (std::exchange(*own, false) && (*lies)-- > 0) {
                return std::vector{with_content(chunk, spoilt(chunk, 3))};
            }
            return std::vector{chunk};
        });
    }
    NoLocalState local;
    world.start(local);
    ASSERT_TRUE(world.run());
    EXPECT_TRUE(world.has(state));
    EXPECT_EQ(world.dropped.size(), 3U);
}

TEST(StateFetchTest, what_the_builder_refuses_ends_the_transfer) {
    MemoryState state = sample_state(300);
    FetchWorld world(state);
    NoLocalState local;
    world.start(local);
    world.builder->full = true;
    EXPECT_FALSE(world.run(500));
    ASSERT_TRUE(world.fetch->failed());
    EXPECT_EQ(world.fetch->failed()->code, Errc::disk_full);
    EXPECT_TRUE(world.fetch->take_requests().empty());
}

TEST(StateFetchTest, what_is_outstanding_is_bounded) {
    MemoryState state = sample_state(6'000);
    FetchWorld world(state);
    NoLocalState local;
    FetchOptions options = options_of();
    options.peers.requests_max = 10;
    options.peers.requests_per_peer = 5;
    world.start(local, options);
    std::uint64_t before = 0;
    for (int i = 0; i < 20'000 && !world.fetch->done(); ++i) {
        world.step();
        EXPECT_LE(world.fetch->progress().requests - before, 10U);
        before = world.fetch->progress().requests;
    }
    EXPECT_TRUE(world.fetch->done());
}

// ---- Encoding

// A store in which one record rotted: who asks for it gets an error, whatever else was asked for.
class RottenCheckpoints final : public kvstore::Checkpoints {
 public:
    RottenCheckpoints(const MemoryCheckpoints& intact, const LeafName& rotten) : intact_(intact), rotten_(rotten) {}
    [[nodiscard]] Result<bool> work(std::size_t) override { return false; }
    [[nodiscard]] std::vector<StateRoot> roots() const override { return intact_.roots(); }
    void release_below(Height) override {}
    [[nodiscard]] Result<std::vector<crypto::Digest>> subtree(Height at, std::uint32_t index) const override {
        return intact_.subtree(at, index);
    }
    [[nodiscard]] Result<std::vector<Leaf>> leaves(Height at, Bucket bucket) const override {
        return intact_.leaves(at, bucket);
    }
    [[nodiscard]] Result<std::vector<StateRecord>> records(Height at, const std::vector<LeafName>& names,
                                                           std::size_t bytes_max) const override {
        if (std::find(names.begin(), names.end(), rotten_) != names.end()) {
            return fail(Errc::corrupted, "a record rotted");
        }
        return intact_.records(at, names, bytes_max);
    }
    [[nodiscard]] Result<ScrubStep> scrub(std::size_t) override { return ScrubStep{}; }

 private:
    const MemoryCheckpoints& intact_;
    LeafName rotten_;
};

TEST(OldStateTest, a_damaged_record_takes_no_other_with_it) {
    MemoryState state = sample_state(40'000);
    MemoryCheckpoints intact;
    intact.keep(checkpoint, &state);
    Bucket bucket = 0;
    while (state.leaves_of(bucket).size() < 2) {
        ++bucket;
    }
    const std::vector<Leaf> leaves = state.leaves_of(bucket);
    OldState whole(&intact);
    EXPECT_EQ(whole.leaves(bucket).at(0), leaves);
    EXPECT_EQ(whole.records(leaves).size(), leaves.size());
    EXPECT_EQ(kvstore::node_digest(whole.subtrees(0).at(0)), state.root(checkpoint).root);
    const RottenCheckpoints rotten(intact, leaves.front().name);
    OldState damaged(&rotten);
    EXPECT_EQ(damaged.records(leaves).size(), leaves.size() - 1);
    OldState nothing(nullptr);
    EXPECT_TRUE(nothing.subtrees(0).empty() && nothing.leaves(bucket).empty() && nothing.records(leaves).empty());
}

TEST(ServeStateTest, leaves_of_several_buckets_go_there_and_back) {
    MemoryState state = sample_state(2'000);
    std::vector<std::vector<Leaf>> groups;
    for (Bucket bucket = 100; bucket < 164; ++bucket) {
        groups.push_back(state.leaves_of(bucket));
    }
    const Bytes bytes = encode_buckets(groups);
    const auto back = decode_buckets(100, 64, bytes);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, groups);
    EXPECT_FALSE(decode_buckets(100, 63, bytes)) << "more than were asked for";
    EXPECT_FALSE(decode_buckets(101, 64, bytes)) << "of other buckets";
    EXPECT_FALSE(decode_buckets(100, 64, {}));
    for (std::size_t cut = 1; cut < bytes.size(); cut += 97) {
        const auto part = decode_buckets(100, 64, ByteView(bytes).first(cut));
        EXPECT_TRUE(!part || part->size() < groups.size()) << cut;
    }
}

TEST(ServeStateTest, what_is_not_here_or_out_of_range_is_not_available) {
    MemoryState state = sample_state(10);
    MemoryCheckpoints kept;
    kept.keep(64, &state);
    EXPECT_TRUE(serve_state_part(kept, {Height(64), StatePart::subtree, 256, {}}).chunk.available);
    EXPECT_FALSE(serve_state_part(kept, {Height(64), StatePart::subtree, 257, {}}).chunk.available);
    EXPECT_FALSE(serve_state_part(kept, {Height(65), StatePart::subtree, 0, {}}).chunk.available);
    EXPECT_FALSE(serve_state_part(kept, {Height(64), StatePart::leaves, kvstore::buckets, {}}).chunk.available);
    const ServedPart served = serve_state_part(kept, {Height(64), StatePart::leaves, kvstore::buckets - 1, {}, 64});
    EXPECT_TRUE(served.chunk.available);
    EXPECT_FALSE(served.error);
}

}  // namespace
}  // namespace loyal::replica::state_test
