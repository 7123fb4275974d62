// Inside of StateFetch: state_fetch.cpp asks and decides, fetch_answers.cpp takes what comes. Private to
// state_transfer/.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "replica/state_transfer/state_fetch.h"

namespace loyal::replica {

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

// The first guess of a record's size, in bytes; then it is measured.
inline constexpr double record_bytes_guess = 512;

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

// Memory that a gathered record takes.
[[nodiscard]] inline std::size_t weight_of(const StateRecord& record) {
    return record.key.size() + record.content.size() + sizeof(StateRecord);
}

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
    // Takes a part of the tree that is known already, if it is the one that is wanted.
    [[nodiscard]] bool know_already(std::uint32_t index);
    void use_digests(std::uint32_t index, const std::vector<Digest>& part);
    [[nodiscard]] Digest digest_above(std::uint32_t index) const {
        return index == 0 ? target.root : top->at(index - 1);
    }
    [[nodiscard]] bool should_move_on() const;
    void move_on();
    // All buckets are done. True: there is more to do.
    [[nodiscard]] bool complete();
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
    std::optional<kvstore::StateRoot> newer;  // wanted when this one is done with
    bool settled = false;
    consensus::Height behind{~std::uint64_t{0}};  // so many blocks the last time that a whole state was moved on from
    kvstore::StateBuilder* builder;
    LocalState& local;
    FetchPeers peers;
    std::uint64_t now_ms = 0;

    std::optional<std::vector<Digest>> top;  // the 256 nodes of level 2, once proved
    std::vector<bool> subtree_known;         // of those
    std::vector<Digest> digests;             // of all buckets, where the subtree is known
    std::vector<Digest> earlier_digests;     // of the target before this one; empty: there was none
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

}  // namespace loyal::replica
