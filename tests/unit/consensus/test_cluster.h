// A cluster of bare cores for directed tests: every message waits in a bag until the test delivers it, every Persist
// until the test (or `auto_persist`) completes it, and a crash forgets what was not persisted. Messages between
// replicas pass the real verifier. A traitor is a replica whose core the test does not start; its messages are made
// with its signer.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "consensus/core.h"
#include "sim/sim_signer.h"

namespace loyal::consensus::test {

struct Packet {
    ReplicaId from;
    ReplicaId to;
    PeerMessage message;
};

struct Shape {
    std::size_t n = 4;
    FaultModel fault_model = FaultModel::byzantine;
    std::uint64_t window = 8;
    std::vector<std::string> rules_off;
    std::set<std::size_t> traitors;  // no core of their own
    std::uint64_t tick_ms = 10;
    std::function<void(Options&)> tune = nullptr;  // changes the options of each core before it is made
    std::uint64_t checkpoint_interval = 0;         // C
    // When something is due in the state that a block leads to (B5); absent: never.
    std::function<std::optional<Hlc>(const Header&)> due = nullptr;
};

class TestCluster {
 public:
    explicit TestCluster(Shape shape);

    struct Replica {
        std::unique_ptr<Core> core;
        std::vector<LogRecord> log;  // durable
        std::deque<Persist> unsynced;
        std::vector<BlockPtr> executed;  // volatile state, rebuilt from the log
        std::map<Height, BlockPtr> executed_ever;
        std::vector<crypto::Digest> digests{crypto::Digest{}};
        std::deque<BlockPtr> to_execute;
        std::vector<Accuse> accusations;
        std::vector<std::string> traces;
        std::vector<std::string> rejections;
        std::vector<Send> gated;  // waits for its PersistId
        PersistId durable;
        bool auto_persist = true;
        bool auto_execute = true;
        std::string votes_lost;                                          // its driver tells the next core (A1)
        std::vector<std::map<Height, BlockPtr>> executed_before_losses;  // of its disk

        // ---- Checkpoints, with Shape::checkpoint_interval. What survives a crash of the state store is the state at
        // `base`; everything above it is executed again from the log, and roots above it are computed again.
        BlockRef base;
        std::map<Height, crypto::Digest> roots;      // durable
        std::map<Height, Header> checkpoint_blocks;  // of what was executed or installed at those heights
        std::deque<Height> roots_due;                // executed, but not computed yet
        std::vector<Stable> stable;
        std::vector<FetchState> fetches;
        std::optional<Header> installed;
        Height log_first;          // lowest height of a block in the log
        std::string lost;          // the state store is damaged
        bool wrong_roots = false;  // it computes other roots than the others, from the same state
        bool auto_root = true;     // roots are there as soon as the block is executed
        bool truncates = true;     // the log, at each stable checkpoint
        bool knows_stable = true;  // a restart finds the newest checkpoint in the log and hands it in
    };

    // ---- Inputs
    void submit(std::size_t replica, const std::string& text, std::uint64_t seq = 1, std::uint64_t session = 1);
    void tick(std::size_t replica, std::size_t times = 1);
    void tick_all(std::size_t times = 1);
    void end_batch(std::size_t replica);
    void persist_one(std::size_t replica);  // completes the oldest unsynced Persist
    void execute_all(std::size_t replica);
    void set_clock(std::size_t replica, std::uint64_t wall_ms);
    void root_all(std::size_t replica);       // computes the roots that are due
    void corrupt_state(std::size_t replica);  // bad memory: what it executes next is not what the others have
    void lose_state(std::size_t replica, const std::string& why);  // its driver found damage
    // Its driver cannot read these committed blocks in the log any more.
    void log_damaged(std::size_t replica, std::vector<BlockRef> blocks);
    // S6 at once: the state that was last asked for, as some replica kept it; a new core starts from it. False when
    // nothing was asked for, nobody has that state, or the state does not hold the block that was named.
    bool install(std::size_t replica);

    // ---- Network
    using Filter = std::function<bool(const Packet&)>;
    // Delivers what is in the bag now and whatever that brings, as far as `filter` lets it; the rest stays.
    void deliver(const Filter& filter = [](const Packet&) { return true; });
    // Throws away what matches.
    void drop(const Filter& filter);
    // Straight to a core, through the verifier. False when the verifier refuses it; the core is told what that proves.
    bool inject(std::size_t from, std::size_t to, const PeerMessage& message);
    // Everything goes on by itself for a while: ticks, delivery among `members`.
    void run(std::size_t ticks, const std::set<std::size_t>& members);
    void run(std::size_t ticks);

    // ---- Crashes
    void crash(std::size_t replica);  // forgets the unsynced and the volatile
    void restart(std::size_t replica);
    [[nodiscard]] Recovered recover(std::size_t replica) const;
    // The log is gone, with all that was promised; the driver notices, as it would an empty data folder.
    void lose_disk(std::size_t replica);
    // The log is what it was when it had so many records, and nobody noticed.
    void roll_back(std::size_t replica, std::size_t records);
    // A link comes up: each tells the other what it holds of the other's statements (A1).
    void link_up(std::size_t one, std::size_t other);

    // ---- What a traitor signs
    [[nodiscard]] Vote vote(std::size_t voter, View view, BlockRef prep, BlockRef com = {}) const;
    [[nodiscard]] ViewChange view_change(std::size_t voter, View view, Lock lock, Prepared last_prep,
                                         std::optional<Certificate> certificate = {}) const;
    [[nodiscard]] NewView new_view(std::size_t leader, View view, std::vector<ViewChange> changes, Lock base,
                                   std::optional<Certificate> certificate = {}) const;
    // A block on `parent`; `text` makes it different from others. Fill `executed` fields by `window`.
    [[nodiscard]] BlockPtr block(std::size_t leader, View view, const BlockRef& parent, Hlc parent_hlc,
                                 const std::string& text, const crypto::Digest& executed_digest = {},
                                 const StateRoot& checkpoint = {}) const;
    [[nodiscard]] Envelope envelope(const std::string& text, std::uint64_t seq = 1, std::uint64_t session = 1) const;

    // ---- What to look at
    [[nodiscard]] Status status(std::size_t replica) const { return replicas[replica].core->status(); }
    [[nodiscard]] BlockRef genesis() const { return genesis_block(membership.context); }
    // Throws Unsafe if two replicas executed different blocks at a height, ever.
    struct Unsafe : std::runtime_error {
        using std::runtime_error::runtime_error;
    };
    void check_agreement() const;
    // The last VIEW-CHANGE that `replica` put into the bag or sent.
    [[nodiscard]] std::optional<ViewChange> last_view_change(std::size_t replica) const;
    [[nodiscard]] std::vector<Packet> sent_by(std::size_t replica) const;
    [[nodiscard]] bool executed_text(std::size_t replica, const std::string& text) const;
    [[nodiscard]] static crypto::Digest root_of(const crypto::Digest& executed_digest);
    // What `replica` can prove of its newest checkpoint with what its log holds.
    [[nodiscard]] std::optional<CheckpointProof> newest_checkpoint(std::size_t replica) const;

    Shape shape;
    Membership membership;
    std::vector<std::unique_ptr<sim::SimSigner>> signers;
    std::unique_ptr<sim::SimSigner> client;
    sim::SimVerifier signatures;
    std::unique_ptr<MessageVerifier> verifier;
    std::vector<Replica> replicas;
    std::vector<Packet> bag;
    std::vector<Packet> history;        // everything that ever left a replica
    std::vector<PeerMessage> injected;  // and what traitors gave to one, also what was refused
    std::uint64_t wall_ms = 1'700'000'000'000;
    std::uint64_t tick_ms = shape.tick_ms;

 private:
    void step(std::size_t replica, const Input& input);
    void apply(std::size_t replica, Effects effects);
    void apply_checkpoint(std::size_t replica, const Effect& effect);
    void note_executed(std::size_t replica, const Block& block);
    void compute_root(std::size_t replica, Height height);
    [[nodiscard]] Blocks serve(std::size_t replica, const ServeCommitted& request) const;
    void recover_state(std::size_t replica, Recovered& recovered) const;
    void release(std::size_t replica);
    void make_core(std::size_t replica, const Recovered& recovered);
};

}  // namespace loyal::consensus::test
