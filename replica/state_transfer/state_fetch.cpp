#include "replica/state_transfer/state_fetch.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <span>
#include <tuple>

#include "config/assert.h"
#include "config/limits.h"
#include "replica/state_transfer/fetch_state.h"
#include "replica/state_transfer/serve_state.h"

namespace loyal::replica {
namespace {

constexpr std::size_t subtree_bytes = kvstore::subtree_digests * 32;
constexpr std::size_t leaf_bytes = sizeof(LeafName) + 32;
// Leaves that are wanted and not yet asked for: enough for every window.
constexpr std::size_t wanted_buckets_max = 4096;

// In strictly ascending order, of that bucket, and not none.
bool is_of(Bucket bucket, const std::vector<Leaf>& leaves) {
    const auto falls = [](const Leaf& a, const Leaf& b) { return a.name >= b.name; };
    return !leaves.empty() && std::adjacent_find(leaves.begin(), leaves.end(), falls) == leaves.end() &&
           kvstore::bucket_of(leaves.front().name) == bucket && kvstore::bucket_of(leaves.back().name) == bucket;
}

}  // namespace

// ---- Beginning

void StateFetch::State::begin() {
    for (const auto& [key, request] : outstanding) {
        peers.forgotten(key.peer, request.bytes);
    }
    outstanding.clear();
    given_up.clear();
    requests.clear();
    top.reset();
    subtree_known.assign(kvstore::subtree_digests, false);
    earlier_digests = std::exchange(digests, std::vector<Digest>(kvstore::buckets));
    buckets.assign(kvstore::buckets, BucketState::unknown);
    buckets_done = 0;
    cursor = 0;
    wanted_subtrees.clear();
    wanted_buckets.clear();
    wanted_records.clear();
    gathering.clear();
    gathered_bytes = 0;
    finished = false;
    failed.reset();
    if (target.root == Digest{}) {
        // The empty state: nobody need be asked.
        top.emplace(kvstore::subtree_digests);
        subtree_known.assign(kvstore::subtree_digests, true);
    } else if (!know_already(0)) {
        wanted_subtrees.emplace_back(0, std::nullopt);
    }
}

bool StateFetch::State::know_already(std::uint32_t index) {
    const Digest above = digest_above(index);
    const auto is_it = [&](std::span<const Digest> part) { return kvstore::node_digest(part) == above; };
    if (index > 0 && !earlier_digests.empty()) {
        const auto part = std::span<const Digest>(earlier_digests)
                              .subspan((index - 1) * kvstore::subtree_digests, kvstore::subtree_digests);
        if (is_it(part)) {
            use_digests(index, {part.begin(), part.end()});
            return true;
        }
    }
    for (const std::vector<Digest>& part : local.subtrees(index)) {
        if (part.size() == kvstore::subtree_digests && is_it(part)) {
            use_digests(index, part);
            return true;
        }
    }
    return false;
}

// ---- Newer targets

// Those who still serve this one could all be faulty, and as slow as they like.
bool StateFetch::State::should_move_on() const {
    return newer && something_is_wanted() && peers.serving() <= (options.replicas - 1) / 3;
}

void StateFetch::State::move_on() {
    target = *std::exchange(newer, std::nullopt);
    if (Result<void> moved = builder->retarget(target); !moved) {
        failed = std::move(moved.error());
        return;
    }
    peers.retarget();
    begin();
}

bool StateFetch::State::complete() {
    if (!std::exchange(settled, true)) {
        if (Result<void> whole = builder->settle(); !whole) {
            failed = std::move(whole.error());
        }
        return !failed;  // what came meanwhile is looked at first
    }
    // Under load a newer one comes meanwhile every time. Peers keep the blocks above what is fetched for a while, so
    // the state is taken as it is as soon as moving on does not bring it closer to the newest one.
    if (newer && newer->height.minus(target.height.value) < behind) {
        behind = newer->height.minus(target.height.value);
        move_on();
        return !failed;
    }
    if (Result<void> whole = builder->finish(); !whole) {
        failed = std::move(whole.error());
        return false;
    }
    finished = true;
    return false;
}

// ---- Buckets

// Bounded by what is gathered, and by what is wanted and not yet asked for.
bool StateFetch::State::may_open() const {
    const double expected = static_cast<double>(wanted_records.size()) * record_bytes;
    return gathering.empty() || (gathered_bytes + static_cast<std::size_t>(expected) < options.gathered_bytes_max &&
                                 gathering.size() < wanted_buckets_max);
}

// True when there is more to open at once.
bool StateFetch::State::open_buckets() {
    for (std::size_t step = 0; step < options.buckets_per_step; ++step) {
        if (cursor == kvstore::buckets || failed || !top || !subtree_known[cursor / kvstore::subtree_digests] ||
            wanted_buckets.size() >= wanted_buckets_max || !may_open()) {
            return false;
        }
        open(cursor++);
    }
    return cursor < kvstore::buckets;
}

void StateFetch::State::open(Bucket bucket) {
    const Digest& wanted = bucket_digest(bucket);
    const auto mark_done = [&] {
        buckets[bucket] = BucketState::done;
        ++buckets_done;
    };
    if (builder->done(bucket) == wanted) {
        mark_done();
        return;
    }
    if (wanted == Digest{}) {
        if (Result<void> put = builder->put(bucket, {}, {}); !put) {
            failed = std::move(put.error());
            return;
        }
        mark_done();
        return;
    }
    auto kept = builder->leaves(bucket);
    if (!kept) {
        kept = std::vector<Leaf>();  // unreadable: as if there were none
    }
    buckets[bucket] = BucketState::wanted;
    if (is_of(bucket, *kept) && kvstore::bucket_digest(*kept) == wanted) {
        begin_gathering(bucket, *kept, *kept);
        return;
    }
    for (std::vector<Leaf>& leaves : local.leaves(bucket)) {
        if (is_of(bucket, leaves) && kvstore::bucket_digest(leaves) == wanted) {
            begin_gathering(bucket, std::move(leaves), *kept);
            return;
        }
    }
    wanted_buckets.push_back({bucket, std::nullopt});
}

void StateFetch::State::begin_gathering(Bucket bucket, std::vector<Leaf> leaves, const std::vector<Leaf>& kept) {
    Gathering& into = gathering[bucket];
    into.leaves = std::move(leaves);
    buckets[bucket] = BucketState::gathering;
    std::vector<Leaf> missing;
    std::set_difference(into.leaves.begin(), into.leaves.end(), kept.begin(), kept.end(), std::back_inserter(missing));
    counts.records_kept += into.leaves.size() - missing.size();
    std::map<LeafName, const Leaf*> unknown;
    for (const Leaf& leaf : missing) {
        unknown.emplace(leaf.name, &leaf);
    }
    if (!missing.empty()) {
        for (StateRecord& record : local.records(missing)) {
            const auto found = unknown.find(kvstore::leaf_name(options.salt, record.table, record.key));
            if (found == unknown.end() ||
                kvstore::leaf_digest(record.table, record.key, record.content) != found->second->digest) {
                continue;
            }
            ++counts.records_local;
            const std::size_t bytes = weight_of(record);
            into.records.push_back(std::move(record));
            into.bytes += bytes;
            gathered_bytes += bytes;
            unknown.erase(found);
        }
    }
    into.missing = unknown.size();
    for (const auto& [name, leaf] : unknown) {
        wanted_records.push_back({*leaf, std::nullopt});
    }
    complete_if_whole(bucket);
}

void StateFetch::State::complete_if_whole(Bucket bucket) {
    const auto found = gathering.find(bucket);
    if (found->second.missing > 0 || failed) {
        return;
    }
    if (Result<void> put = builder->put(bucket, found->second.leaves, std::move(found->second.records)); !put) {
        failed = std::move(put.error());
        return;
    }
    gathered_bytes -= found->second.bytes;
    gathering.erase(found);
    buckets[bucket] = BucketState::done;
    ++buckets_done;
}

// ---- Questions

void StateFetch::State::ask() {
    while (!failed && !finished && (ask_subtree() || ask_records() || ask_leaves())) {
    }
}

PeerChoice StateFetch::State::choose(StatePart part, std::uint32_t index, std::size_t bytes, PeerChoice avoid) {
    return peers.pick(bytes, avoid, now_ms, [&](ReplicaId peer) {
        return outstanding.contains(RequestKey{peer, part, index});
    });
}

void StateFetch::State::send(ReplicaId peer, StateRequest request, Outstanding one) {
    one.asked_ms = now_ms;
    peers.asked(peer, one.bytes);
    ++counts.requests;
    outstanding[{peer, request.part, request.index}] = std::move(one);
    requests.emplace_back(peer, std::move(request));
}

bool StateFetch::State::ask_subtree() {
    if (wanted_subtrees.empty()) {
        return false;
    }
    const auto [index, avoid] = wanted_subtrees.front();
    const PeerChoice peer = choose(StatePart::subtree, index, subtree_bytes, avoid);
    if (!peer) {
        return false;
    }
    wanted_subtrees.pop_front();
    send(*peer, {target.height, StatePart::subtree, index, {}, 1}, {1, {}, 0, subtree_bytes});
    return true;
}

// A range of buckets may reach over empty ones, whose leaves cost nothing.
bool StateFetch::State::extends(Bucket first, std::uint32_t count, const WantedBucket& next) const {
    if (next.bucket < first + count || next.bucket >= first + limits::state_buckets_max) {
        return false;
    }
    return std::all_of(digests.begin() + first + count, digests.begin() + next.bucket,
                       [](const Digest& digest) { return digest == Digest{}; });
}

bool StateFetch::State::ask_leaves() {
    if (wanted_buckets.empty() || !may_open()) {
        return false;
    }
    const WantedBucket first = wanted_buckets.front();
    std::uint32_t count = 1;   // of the range
    std::size_t together = 1;  // of the wanted ones in it
    while (together < std::min(options.buckets_per_request, wanted_buckets.size()) &&
           wanted_buckets[together].avoid == first.avoid && extends(first.bucket, count, wanted_buckets[together])) {
        count = wanted_buckets[together].bucket - first.bucket + 1;
        ++together;
    }
    // As many leaves a bucket as there were so far.
    const std::size_t bytes = together * 16 * leaf_bytes;
    const PeerChoice peer = choose(StatePart::leaves, first.bucket, bytes, first.avoid);
    if (!peer) {
        return false;
    }
    wanted_buckets.erase(wanted_buckets.begin(), wanted_buckets.begin() + static_cast<std::ptrdiff_t>(together));
    send(*peer, {target.height, StatePart::leaves, first.bucket, {}, count}, {count, {}, 0, bytes});
    return true;
}

bool StateFetch::State::ask_records() {
    if (wanted_records.empty()) {
        return false;
    }
    constexpr std::size_t half_a_chunk = limits::state_chunk_bytes_max / 2;
    const auto fitting = static_cast<std::size_t>(static_cast<double>(half_a_chunk) / record_bytes);
    const std::size_t count_max =
        std::clamp<std::size_t>(fitting, 1, std::min(options.names_per_request, limits::state_names_max));
    const PeerChoice avoid = wanted_records.front().avoid;
    std::size_t count = 1;
    while (count < count_max && count < wanted_records.size() && wanted_records[count].avoid == avoid) {
        ++count;
    }
    const auto bytes = static_cast<std::size_t>(static_cast<double>(count) * record_bytes);
    const Bucket index = kvstore::bucket_of(wanted_records.front().leaf.name);
    const PeerChoice peer = choose(StatePart::records, index, bytes, avoid);
    if (!peer) {
        return false;
    }
    StateRequest request{target.height, StatePart::records, index, {}, 1};
    Outstanding one{1, {}, 0, bytes};
    for (std::size_t i = 0; i < count; ++i) {
        request.names.push_back(wanted_records.front().leaf.name);
        one.leaves.push_back(wanted_records.front().leaf);
        wanted_records.pop_front();
    }
    send(*peer, std::move(request), std::move(one));
    return true;
}

// ---- Face

StateFetch::StateFetch(const FetchOptions& options, const kvstore::StateRoot& target, kvstore::StateBuilder& builder,
                       LocalState& local)
    : state_(std::make_unique<State>(options, target, builder, local)) {}

StateFetch::~StateFetch() = default;

void StateFetch::want(const kvstore::StateRoot& newer) {
    const kvstore::StateRoot& newest = state_->newer ? *state_->newer : state_->target;
    if (newer.height > newest.height) {
        state_->newer = newer;
    }
}

void StateFetch::on_chunk(ReplicaId from, const StateChunk& chunk) {
    if (!state_->failed && !state_->finished) {
        state_->on_chunk(from, chunk);
    }
}

void StateFetch::tick(std::uint64_t now_ms) {
    state_->now_ms = std::max(state_->now_ms, now_ms);
    state_->expire();
}

bool StateFetch::work() {
    State& s = *state_;
    if (s.failed || s.finished) {
        return false;
    }
    if (s.should_move_on()) {
        s.move_on();
    }
    const bool more = s.open_buckets();
    if (s.buckets_done == kvstore::buckets && !s.failed) {
        return s.complete();
    }
    return more && !s.failed;
}

std::vector<std::pair<ReplicaId, StateRequest>> StateFetch::take_requests() {
    state_->ask();
    return std::exchange(state_->requests, {});
}

const kvstore::StateRoot& StateFetch::target() const {
    return state_->target;
}

bool StateFetch::done() const {
    return state_->finished;
}

const std::optional<Error>& StateFetch::failed() const {
    return state_->failed;
}

bool StateFetch::stale() const {
    return !state_->failed && !state_->finished && !state_->newer && state_->something_is_wanted() &&
           state_->peers.nobody_has_it();
}

FetchProgress StateFetch::progress() const {
    FetchProgress result = state_->counts;
    result.buckets_done = state_->buckets_done;
    result.unasked = state_->peers.unasked_count();
    result.peers_dropped = state_->peers.dropped_count();
    return result;
}

std::vector<DroppedPeer> StateFetch::take_dropped() {
    return std::exchange(state_->dropped, {});
}

}  // namespace loyal::replica
