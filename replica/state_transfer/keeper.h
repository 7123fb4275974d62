// StateKeeper: what the background thread does with the state: takes checkpoints, serves their parts to others, scrubs,
// and, when the state is lost, builds the next generation from a certified checkpoint: from the old one as far as its
// records are right, from the peers otherwise (PROTOCOL.md §13 S2 to S6). Every call is one bounded step but for the
// one of a transfer that puts the whole state in its place.
//
// Threads: all calls from one thread, but for status(). It reads the state that it was told to keep while others read
// and write it; what it builds is its own until it is handed over (StateRebuilt).
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "consensus/input_effect.h"
#include "kvstore/consensus_log.h"
#include "kvstore/state_proof.h"
#include "replica/scrub_pace.h"
#include "replica/state_folder.h"
#include "replica/state_transfer/state_fetch.h"

namespace loyal::replica {

struct CheckpointTaken {
    kvstore::StateRoot root;
};
struct StateDamaged {
    std::string why;
};
struct AskPeer {
    consensus::ReplicaId to;
    consensus::StateRequest request;
};
struct AnswerPeer {
    consensus::ReplicaId to;
    consensus::StateChunk chunk;
};
// To a client that takes a backup: a part, or the certificate of the newest checkpoint that is kept here, if there is
// one.
struct AnswerClient {
    std::uint64_t link = 0;
    std::uint64_t nonce = 0;
    std::variant<consensus::StateChunk, std::optional<consensus::CheckpointProof>, Result<kvstore::StateProof>> answer;
};
// A whole state, with the blocks above its checkpoint that the own log holds executed again. The keeper has let go of
// the old one.
struct StateRebuilt {
    OpenState state;
    consensus::FetchState from;
};
using KeeperEvent = std::variant<CheckpointTaken, StateDamaged, AskPeer, AnswerPeer, AnswerClient, StateRebuilt>;

// For status and metrics; monotone but for what its name says.
struct KeeperStatus {
    bool transferring = false;
    consensus::Height target;  // of the transfer under way
    FetchProgress progress;    // of it, or of the last one
    std::string phase;         // "fetching", "executing again"; empty: nothing
    std::uint64_t transfers = 0;
    std::uint64_t peers_dropped = 0;
    std::uint64_t records_scrubbed = 0, scrubs = 0;  // scrubs: rounds through all of it
    std::uint64_t damaged = 0;                       // times that the state was found damaged
    std::uint64_t parts_served = 0;
    consensus::Height checkpoint;  // newest with a root
};

struct KeeperOptions {
    StateSetup setup;
    consensus::ReplicaId self;
    std::size_t replicas = 0;
    consensus::ClusterContext context;
    crypto::Digest genesis_state;  // root at height 0; zero: empty
    consensus::Quorum quorum;
};

class StateKeeper {
 public:
    using Clock = std::chrono::steady_clock;
    // `log` outlives it. `tell` is called on the keeper's thread.
    StateKeeper(KeeperOptions options, const kvstore::ConsensusLog& log, std::function<void(KeeperEvent)> tell);
    ~StateKeeper();

    // The state in force from now on; `checkpoints` may be null when it is lost.
    void keep(std::uint64_t generation, std::unique_ptr<kvstore::Checkpoints> checkpoints);
    // It is lost: no checkpoints are taken any more. A diverged one is of no use to others.
    void lost(bool diverged);
    void stable(consensus::Height height);
    void fetch(const consensus::FetchState& target);
    void serve(consensus::ReplicaId to, const consensus::StateRequest& request);
    // The proof of a key's record, or of its absence, at the newest stable checkpoint; in the crash fault model without
    // anybody's word for the root.
    void prove(std::uint64_t link, std::uint64_t nonce, ByteView key);
    // Without a request it is the certificate that is asked for.
    void serve_client(std::uint64_t link, std::uint64_t nonce, const std::optional<consensus::StateRequest>& request);
    void chunk(consensus::ReplicaId from, const consensus::StateChunk& chunk);
    // When step() should be called next, at the latest.
    [[nodiscard]] Clock::time_point step();

    [[nodiscard]] KeeperStatus status() const;  // any thread

 private:
    enum class Phase : std::uint8_t { none, fetching, opening, executing, waiting, handed_over };

    [[nodiscard]] consensus::StateChunk part_of(const consensus::StateRequest& request);
    [[nodiscard]] std::optional<consensus::CheckpointProof> newest_proof() const;
    [[nodiscard]] Result<kvstore::StateProof> proof_of(ByteView key);
    void begin_fetching();
    void begin_again_later(const std::string& why);
    [[nodiscard]] Clock::time_point fetch_step(Clock::time_point now);
    void open_rebuilt();
    void execute_step();
    void hand_over();
    [[nodiscard]] Clock::time_point take_and_scrub(Clock::time_point now);
    [[nodiscard]] ScrubPace::Step scrub();
    void damaged(const std::string& why);
    void note_progress();
    [[nodiscard]] kvstore::StateRoot root_of(const consensus::FetchState& target) const;
    void follow_target();

    KeeperOptions options_;
    const kvstore::ConsensusLog& log_;
    std::function<void(KeeperEvent)> tell_;

    std::uint64_t generation_ = first_generation;
    std::unique_ptr<kvstore::Checkpoints> checkpoints_;
    bool lost_ = false;
    bool diverged_ = false;
    bool damage_told_ = false;
    consensus::Height told_;  // highest checkpoint that was reported
    ScrubPace scrub_pace_;

    std::optional<consensus::FetchState> target_;
    std::optional<consensus::FetchState> newer_;  // that the fetcher was told of
    Phase phase_ = Phase::none;
    Clock::time_point again_at_;
    OpenState next_;
    std::unique_ptr<kvstore::StateBuilder> builder_;
    std::unique_ptr<LocalState> old_;
    std::unique_ptr<StateFetch> fetch_;
    bool stale_told_ = false;

    mutable std::mutex mutex_;
    KeeperStatus status_;
};

}  // namespace loyal::replica
