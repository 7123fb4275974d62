#include "replica/state_transfer/state_fetch.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <set>
#include <tuple>

#include "config/assert.h"
#include "config/limits.h"
#include "replica/state_transfer/serve_state.h"

namespace loyal::replica {
namespace {

using consensus::LeafName;
using consensus::ReplicaId;
using consensus::StateChunk;
using consensus::StatePart;
using consensus::StateRequest;
using crypto::Digest;
using kvstore::Bucket;
using kvstore::Leaf;
using kvstore::StateRecord;

using PeerChoice = std::optional<ReplicaId>;

constexpr std::size_t subtree_bytes = kvstore::subtree_digests * 32;
constexpr std::size_t leaf_bytes = sizeof(LeafName) + 32;
// Leaves that are wanted and not yet asked for: enough for every window.
constexpr std::size_t wanted_buckets_max = 4096;
// The first guess of a record's size, in bytes; then it is measured.
constexpr double record_bytes_guess = 512;
// Answers to requests that were given up may come late; how many a peer are remembered.
constexpr std::size_t given_up_max = 4096;

struct WantedBucket {
    Bucket bucket = 0;
    PeerChoice avoid;
};
struct WantedRecord {
    Leaf leaf;
    PeerChoice avoid;
};

// What identifies an answer.
struct RequestKey {
    ReplicaId peer;
    StatePart part = StatePart::subtree;
    std::uint32_t index = 0;
    friend auto operator<=>(const RequestKey&, const RequestKey&) = default;
};
struct Outstanding {
    std::uint32_t count = 1;   // buckets
    std::vector<Leaf> leaves;  // records
    std::uint64_t asked_ms = 0;
    std::size_t bytes = 0;  // expected
};

// A bucket whose leaves are known and whose records are being gathered.
struct Gathering {
    std::vector<Leaf> leaves;
    std::vector<StateRecord> records;
    std::size_t missing = 0;
    std::size_t bytes = 0;  // of `records`
};

enum class BucketState : std::uint8_t { unknown, wanted, gathering, done };

// In strictly ascending order, of that bucket, and not none.
bool is_of(Bucket bucket, const std::vector<Leaf>& leaves) {
    const auto falls = [](const Leaf& a, const Leaf& b) { return a.name >= b.name; };
    return !leaves.empty() && std::adjacent_find(leaves.begin(), leaves.end(), falls) == leaves.end() &&
           kvstore::bucket_of(leaves.front().name) == bucket && kvstore::bucket_of(leaves.back().name) == bucket;
}

std::size_t weight_of(const StateRecord& record) {
    return record.key.size() + record.content.size() + sizeof(StateRecord);
}

}  // namespace

struct StateFetch::State {
    State(const FetchOptions& fetch_options, const kvstore::StateRoot& wanted_root,
          kvstore::StateBuilder& state_builder, LocalState& local_state)
        : options(fetch_options),
          target(wanted_root),
          builder(&state_builder),
          local(local_state),
          peers(options.self, options.replicas, options.peers) {
        begin();
    }

    void begin();
    void on_chunk(ReplicaId from, const StateChunk& chunk);
    // Each says what is wrong with the chunk, if anything.
    [[nodiscard]] std::string use_subtree(const StateChunk& chunk);
    [[nodiscard]] std::string use_leaves(ReplicaId from, const StateChunk& chunk, const Outstanding& request);
    [[nodiscard]] std::string use_records(const StateChunk& chunk, const Outstanding& request);
    void ask_others(const RequestKey& key, const Outstanding& request);
    void drop(ReplicaId peer, const std::string& why);
    void expire();

    [[nodiscard]] bool open_buckets();
    [[nodiscard]] bool may_open() const;
    void open(Bucket bucket);
    void begin_gathering(Bucket bucket, std::vector<Leaf> leaves, const std::vector<Leaf>& kept);
    // Takes the record if it is the one that the leaf names.
    [[nodiscard]] bool take(const Leaf& leaf, StateRecord record);
    void complete_if_whole(Bucket bucket);
    void finish();

    void ask();
    [[nodiscard]] bool ask_subtree();
    [[nodiscard]] bool ask_leaves();
    [[nodiscard]] bool extends(Bucket first, std::uint32_t count, const WantedBucket& next) const;
    [[nodiscard]] bool ask_records();
    [[nodiscard]] PeerChoice choose(StatePart part, std::uint32_t index, std::size_t bytes, PeerChoice avoid);
    void send(ReplicaId peer, StateRequest request, Outstanding outstanding);

    [[nodiscard]] const Digest& bucket_digest(Bucket bucket) const { return digests[bucket]; }
    [[nodiscard]] bool something_is_wanted() const {
        return !wanted_subtrees.empty() || !wanted_buckets.empty() || !wanted_records.empty();
    }

    FetchOptions options;
    kvstore::StateRoot target;
    kvstore::StateBuilder* builder;
    LocalState& local;
    FetchPeers peers;
    std::uint64_t now_ms = 0;

    std::optional<std::vector<Digest>> top;  // the 256 nodes of level 2, once proved
    std::vector<bool> subtree_known;         // of those
    std::vector<Digest> digests;             // of all buckets, where the subtree is known
    std::vector<BucketState> buckets;
    std::size_t buckets_done = 0;
    Bucket cursor = 0;  // the next bucket to look at

    std::deque<std::pair<std::uint32_t, PeerChoice>> wanted_subtrees;
    std::deque<WantedBucket> wanted_buckets;
    std::deque<WantedRecord> wanted_records;
    std::map<Bucket, Gathering> gathering;
    std::size_t gathered_bytes = 0;
    double record_bytes = record_bytes_guess;

    std::map<RequestKey, Outstanding> outstanding;
    std::map<RequestKey, std::size_t> given_up;  // answers that may still come, of this target
    std::vector<std::pair<ReplicaId, StateRequest>> requests;
    std::vector<DroppedPeer> dropped;
    FetchProgress counts;
    bool finished = false;
    std::optional<Error> failed;
};

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
    digests.assign(kvstore::buckets, Digest{});
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
    } else {
        wanted_subtrees.emplace_back(0, std::nullopt);
    }
}

// ---- Answers

void StateFetch::State::on_chunk(ReplicaId from, const StateChunk& chunk) {
    if (!peers.known(from) || peers.dropped(from)) {
        return;
    }
    const RequestKey key{from, chunk.part, chunk.index};
    const auto found = chunk.checkpoint == target.height ? outstanding.find(key) : outstanding.end();
    if (found == outstanding.end()) {
        if (peers.unasked(from)) {
            drop(from, "it sends what nobody asked for");
        }
        return;
    }
    if (!chunk.available) {
        peers.forgotten(from, found->second.bytes);
        (void)peers.unasked(from);  // this was its answer
        peers.has_no_checkpoint(from, now_ms);
        const Outstanding request = std::move(found->second);
        outstanding.erase(found);
        ask_others(key, request);
        return;
    }
    const Outstanding request = found->second;
    std::string wrong;
    if (chunk.content == nullptr) {
        wrong = "an answer without content";
    } else {
        switch (chunk.part) {
            case StatePart::subtree: wrong = use_subtree(chunk); break;
            case StatePart::leaves: wrong = use_leaves(from, chunk, request); break;
            case StatePart::records: wrong = use_records(chunk, request); break;
        }
    }
    if (wrong.empty()) {
        counts.bytes += chunk.content->size();
        peers.answered(from, request.bytes, request.asked_ms, now_ms);
        outstanding.erase(key);
        return;
    }
    // The answer to an earlier request with the same index, which was given up, proves nothing against anybody.
    if (const auto late = given_up.find(key); late != given_up.end()) {
        if (--late->second == 0) {
            given_up.erase(late);
        }
        (void)peers.unasked(from);
        return;
    }
    drop(from, wrong);
}

std::string StateFetch::State::use_subtree(const StateChunk& chunk) {
    const auto digests_in = kvstore::decode_subtree(*chunk.content);
    if (!digests_in || digests_in->size() != kvstore::subtree_digests) {
        return "malformed digests";
    }
    const Digest above = chunk.index == 0 ? target.root : top->at(chunk.index - 1);
    if (kvstore::node_digest(*digests_in) != above) {
        return "digests that are not below the one above them";
    }
    if (chunk.index == 0) {
        top = *digests_in;
        for (std::uint32_t node = 0; node < kvstore::subtree_digests; ++node) {
            if ((*top)[node] == Digest{}) {
                subtree_known[node] = true;  // nothing below
            } else {
                wanted_subtrees.emplace_back(node + 1, std::nullopt);
            }
        }
        return {};
    }
    const std::size_t node = chunk.index - 1;
    std::copy(digests_in->begin(), digests_in->end(),
              digests.begin() + static_cast<std::ptrdiff_t>(node * kvstore::subtree_digests));
    subtree_known[node] = true;
    return {};
}

std::string StateFetch::State::use_leaves(ReplicaId from, const StateChunk& chunk, const Outstanding& request) {
    auto groups = decode_buckets(chunk.index, request.count, *chunk.content);
    if (!groups) {
        return "malformed leaves";
    }
    for (std::size_t i = 0; i < groups->size(); ++i) {
        const auto bucket = chunk.index + static_cast<Bucket>(i);
        if (kvstore::bucket_digest((*groups)[i]) != bucket_digest(bucket)) {
            return "leaves that are not those of their bucket";
        }
    }
    if (groups->size() < request.count && chunk.content->size() < state_answer_bytes_min) {
        return "fewer buckets than would have fitted";
    }
    for (std::size_t i = 0; i < groups->size(); ++i) {
        const auto bucket = chunk.index + static_cast<Bucket>(i);
        if (buckets[bucket] == BucketState::wanted && !failed) {
            const auto kept = builder->leaves(bucket);
            begin_gathering(bucket, std::move((*groups)[i]), kept ? *kept : std::vector<Leaf>());
        }
    }
    for (auto i = request.count; i > groups->size(); --i) {
        if (buckets[chunk.index + i - 1] == BucketState::wanted) {
            wanted_buckets.push_front({chunk.index + i - 1, from});
        }
    }
    return {};
}

std::string StateFetch::State::use_records(const StateChunk& chunk, const Outstanding& request) {
    auto records = kvstore::decode_records(*chunk.content);
    if (!records) {
        return "malformed records";
    }
    if (records->empty() || records->size() > request.leaves.size()) {
        return "not the records that it was asked for";
    }
    for (std::size_t i = 0; i < records->size(); ++i) {
        const StateRecord& record = (*records)[i];
        const Leaf& leaf = request.leaves[i];
        if (kvstore::leaf_name(options.salt, record.table, record.key) != leaf.name ||
            kvstore::leaf_digest(record.table, record.key, record.content) != leaf.digest) {
            return "a record that is not the one of its leaf";
        }
    }
    if (records->size() < request.leaves.size() && chunk.content->size() < state_answer_bytes_min) {
        return "fewer records than would have fitted";
    }
    for (std::size_t i = request.leaves.size(); i > records->size(); --i) {
        wanted_records.push_front({request.leaves[i - 1], std::nullopt});
    }
    record_bytes =
        0.75 * record_bytes + 0.25 * static_cast<double>(chunk.content->size()) / static_cast<double>(records->size());
    for (std::size_t i = 0; i < records->size(); ++i) {
        ++counts.records_fetched;
        const Bucket bucket = kvstore::bucket_of(request.leaves[i].name);
        Gathering& into = gathering.at(bucket);
        const std::size_t bytes = weight_of((*records)[i]);
        into.records.push_back(std::move((*records)[i]));
        into.bytes += bytes;
        gathered_bytes += bytes;
        --into.missing;
        complete_if_whole(bucket);
    }
    return {};
}

// What a peer was asked for in vain is asked of another one, before what is new.
void StateFetch::State::ask_others(const RequestKey& key, const Outstanding& request) {
    const PeerChoice avoid = key.peer;
    switch (key.part) {
        case StatePart::subtree: wanted_subtrees.emplace_front(key.index, avoid); break;
        case StatePart::leaves:
            for (std::uint32_t i = request.count; i > 0; --i) {
                if (buckets[key.index + i - 1] == BucketState::wanted) {
                    wanted_buckets.push_front({key.index + i - 1, avoid});
                }
            }
            break;
        case StatePart::records:
            for (auto leaf = request.leaves.rbegin(); leaf != request.leaves.rend(); ++leaf) {
                wanted_records.push_front({*leaf, avoid});
            }
            break;
    }
}

void StateFetch::State::drop(ReplicaId peer, const std::string& why) {
    peers.drop(peer);
    dropped.push_back({peer, why});
    for (auto at = outstanding.lower_bound({peer, StatePart{}, 0});
         at != outstanding.end() && at->first.peer == peer;) {
        peers.forgotten(peer, at->second.bytes);
        ask_others(at->first, at->second);
        at = outstanding.erase(at);
    }
    // Not all can lie: rather than never recover, begin with everybody anew.
    peers.forgive_if_all_are_dropped();
}

void StateFetch::State::expire() {
    for (auto at = outstanding.begin(); at != outstanding.end();) {
        const ReplicaId peer = at->first.peer;
        if (now_ms < at->second.asked_ms + peers.timeout_ms(peer)) {
            ++at;
            continue;
        }
        ++counts.late;
        peers.late(peer, at->second.bytes, now_ms);
        if (given_up.size() < given_up_max) {
            ++given_up[at->first];
        }
        ask_others(at->first, at->second);
        at = outstanding.erase(at);
    }
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
    if (Result<void> put = builder->put(bucket, found->second.leaves, found->second.records); !put) {
        failed = std::move(put.error());
        return;
    }
    gathered_bytes -= found->second.bytes;
    gathering.erase(found);
    buckets[bucket] = BucketState::done;
    ++buckets_done;
}

void StateFetch::State::finish() {
    if (Result<void> whole = builder->finish(); !whole) {
        failed = std::move(whole.error());
        return;
    }
    finished = true;
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
    const auto fitting =
        static_cast<std::size_t>(static_cast<double>(limits::state_chunk_bytes_max / 2) / record_bytes);
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

void StateFetch::retarget(const kvstore::StateRoot& target, kvstore::StateBuilder& builder) {
    state_->target = target;
    state_->builder = &builder;
    state_->peers.retarget();
    state_->begin();
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
    const bool more = s.open_buckets();
    if (s.buckets_done == kvstore::buckets) {
        s.finish();
        return false;
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
    return !state_->failed && !state_->finished && state_->something_is_wanted() && state_->peers.nobody_has_it();
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
