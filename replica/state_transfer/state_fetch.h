// StateFetch: fetches a certified state from the other replicas and puts it together in a StateBuilder (PROTOCOL.md
// §13 S6; PBFT's hierarchical state transfer, Castro's thesis §5.3.2). Everything is asked for top-down and checked
// against what is above it before it is used: the parts of the digest tree against the root, a bucket's leaves against
// its digest, a record against its leaf. What the local source has with the right leaf is taken from there; only what
// differs is asked for, from all peers at once.
//
// A peer that answers wrongly is dropped for this transfer and named; one that is late is asked less, others instead;
// one that no longer has the checkpoint is asked again later. Sans-IO and single-threaded: its driver hands in chunks
// and the time, calls work() while that says that there is more to do, and sends what take_requests() returns.
//
// Memory: the tree's lowest level (2 MiB; twice after a change of target), and at most about bytes_max of answers and
// as much of records whose bucket is not complete; one bucket and one answer may exceed that.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consensus/messages.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_digest.h"
#include "replica/state_transfer/fetch_peers.h"

namespace loyal::replica {

// What is left of the own state: may be old, damaged in part, or nothing at all. Nothing that it gives is believed.
class LocalState {
 public:
    virtual ~LocalState() = default;
    // Parts of the digest trees that are known here (StatePart::subtree); possibly none.
    [[nodiscard]] virtual std::vector<std::vector<crypto::Digest>> subtrees(std::uint32_t index) = 0;
    // Sets of leaves that the bucket has here, one for each state that is known; possibly none.
    [[nodiscard]] virtual std::vector<std::vector<kvstore::Leaf>> leaves(kvstore::Bucket bucket) = 0;
    // Those of them that can be read, as they are here now or at some checkpoint, in any order. `wanted` are of one
    // bucket.
    [[nodiscard]] virtual std::vector<kvstore::StateRecord> records(const std::vector<kvstore::Leaf>& wanted) = 0;
};
// Where nothing is left.
class NoLocalState final : public LocalState {
 public:
    [[nodiscard]] std::vector<std::vector<crypto::Digest>> subtrees(std::uint32_t) override { return {}; }
    [[nodiscard]] std::vector<std::vector<kvstore::Leaf>> leaves(kvstore::Bucket) override { return {}; }
    [[nodiscard]] std::vector<kvstore::StateRecord> records(const std::vector<kvstore::Leaf>&) override { return {}; }
};

struct FetchOptions {
    consensus::ReplicaId self;
    std::size_t replicas = 0;
    kvstore::Salt salt;
    FetchPeerLimits peers;
    std::size_t buckets_per_request = 16;  // at most state_buckets_max
    std::size_t names_per_request = 256;   // at most state_names_max
    std::size_t buckets_per_step = 64;     // looked at by one work()
    std::size_t gathered_bytes_max = std::size_t{16} << 20;
};

struct FetchProgress {
    std::size_t buckets_done = 0;
    std::size_t buckets_total = kvstore::buckets;
    std::uint64_t records_fetched = 0;
    std::uint64_t records_local = 0;  // taken from the own old state
    std::uint64_t records_kept = 0;   // already under construction when the transfer began or was resumed
    std::uint64_t bytes = 0;          // of chunks that were of use
    std::uint64_t requests = 0;
    std::uint64_t late = 0;     // requests that were not answered in time
    std::uint64_t unasked = 0;  // chunks that nobody had asked for
    std::size_t peers_dropped = 0;
};

struct DroppedPeer {
    consensus::ReplicaId peer;
    std::string why;
};

class StateFetch {
 public:
    // References outlive the object. `builder` was begun with `target`.
    StateFetch(const FetchOptions& options, const kvstore::StateRoot& target, kvstore::StateBuilder& builder,
               LocalState& local);
    ~StateFetch();
    StateFetch(const StateFetch&) = delete;
    StateFetch& operator=(const StateFetch&) = delete;

    // There is a newer certified state. It takes the target's place when so few peers serve that one any more that they
    // might all be faulty, or when that one is whole: then what differs is fetched, so that not more is missing in the
    // end than what the cluster did meanwhile. Until then what was begun goes on: under load a newer one comes every
    // moment. Of several the newest counts.
    void want(const kvstore::StateRoot& newer);

    void on_chunk(consensus::ReplicaId from, const consensus::StateChunk& chunk);
    // Monotonic; before the first work() and then every few ticks.
    void tick(std::uint64_t now_ms);
    // One step of what can be done without others: bounded, but for the one that puts everything in its place
    // (StateBuilder::settle). True: call again.
    [[nodiscard]] bool work();
    [[nodiscard]] std::vector<std::pair<consensus::ReplicaId, consensus::StateRequest>> take_requests();

    [[nodiscard]] const kvstore::StateRoot& target() const;
    [[nodiscard]] bool done() const;
    // What the builder said; the transfer is over. Errc::corrupted: what was built is not the target.
    [[nodiscard]] const std::optional<Error>& failed() const;
    // Nobody who may be asked has this checkpoint (any more), and no newer one is known. They are asked again
    // meanwhile.
    [[nodiscard]] bool stale() const;
    [[nodiscard]] FetchProgress progress() const;
    // Each is named once.
    [[nodiscard]] std::vector<DroppedPeer> take_dropped();

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::replica
