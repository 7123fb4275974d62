// Core: one replica's protocol state machine, chained PBFT with a stable leader (PROTOCOL.md; PBFT, OSDI'99; view
// change with one lock per replica as in Jolteon, FC'22). Pure: no I/O, clock, thread or random source; the same state
// and the same input give the same effects. It is driven by one thread: step() each input, end a batch with EndOfBatch.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "consensus/input_effect.h"
#include "consensus/quorum.h"
#include "consensus/verifier.h"

namespace loyal::consensus {

struct Options {
    ReplicaId self;
    std::uint64_t tick_ms = 10;
    // Timers of PROTOCOL.md §11 (LAN defaults), in ms; the core counts them in ticks.
    std::uint64_t heartbeat_ms = 50;         // Thb
    std::uint64_t order_latency_ms = 50;     // L0
    std::uint64_t progress_min_ms = 400;     // Tmin
    std::uint64_t progress_max_ms = 20'000;  // Tmax
    std::uint64_t precision_ms = 250;        // PRECISION (H2)
    std::uint64_t message_delay_ms = 1'000;  // MSGDELAY (H2)
    // Adaptive failure detection: T2's order latencies, T3's slow guard, T4's phi accrual, L2's short first time-out.
    // False: Tp = clamp(8*L0, Tmin, Tmax) and 10 missed heartbeats, whatever was observed.
    bool adaptive = true;
    double phi_threshold = 8;  // T4: suspicion at which a leader is silent
    // L1: a leader ends its view after so long or so many blocks (0: never); byzantine mode only.
    std::uint64_t tenure_ms = 30'000;
    std::uint64_t tenure_blocks = 50'000;
    // A4: for replicas that lost their votes a leader ends its view at most once in so long.
    std::uint64_t recovery_rotation_ms = 10'000;
    // Test switches: names of rules to leave out, so that a directed test can show that it fails without the rule.
    std::vector<std::string> rules_off;
};

// What a replica thinks of a peer from what it observed of it; estimates, never facts (Chandra and Toueg, JACM'96).
struct PeerSuspicion {
    double phi = 0;                          // phi accrual of its heartbeats (Hayashibara et al., SRDS'04)
    double interval_ms = 0;                  // EWMA between its heartbeats
    std::optional<double> order_latency_ms;  // p90 in its last tenure as leader (T2)
    std::uint64_t deposed = 0;               // times that this replica saw it deposed by a time-out
};

struct Status {
    View entered;
    View promised;
    BlockRef prep;
    BlockRef committed;
    Height executed;
    Lock lock;
    ReplicaId leader;
    bool is_leader = false;       // may propose now
    bool in_view_change = false;  // promised > entered
    std::size_t pending_envelopes = 0;
    std::uint64_t view_changes = 0;
    std::uint64_t blocks_committed = 0;
    bool halted = false;  // what a quorum certified contradicts what was committed here: it does nothing any more
    std::string halt_reason;
    bool amnesiac = false;                  // may have forgotten votes (§14): signs nothing, answers no reads
    std::string state_lost;                 // why its state is being fetched from others; empty: it is not
    Height stable_checkpoint;               // S4; 0: genesis
    std::vector<Height> peer_committed;     // as each last said
    std::vector<PeerSuspicion> suspicion;   // of each replica; own entry unused
    std::uint64_t progress_timeout_ms = 0;  // Tp now
    std::string last_time_out;              // why the last view change was asked for here; empty: never
};

// What a linearizable read must have executed before it may be answered (rule R2).
struct ReadTarget {
    BlockRef block;
    View view;  // entered; capture again when it changes
};

class Core {
 public:
    // Keeps references to the verifier (for own messages and re-checks) and the signer.
    Core(const Options& options, const MessageVerifier& verifier, const crypto::Signer& signer,
         const Recovered& recovered);
    ~Core();
    Core(Core&&) noexcept;
    Core& operator=(Core&&) noexcept;

    // First call after construction: what restart must send, execute and persist (rules D2, D3).
    void start(Effects& out);
    void step(const Input& input, Effects& out);

    // ---- Evidence (PROTOCOL.md §16)
    // What the log holds from earlier runs; call before start().
    void remember(const std::vector<Evidence>& evidence);
    // Proof that was found outside, in a message that the verifier refused. Accused and kept unless it proves nothing,
    // is known, or too much is kept already.
    void accuse(const Evidence& evidence, Effects& out);

    // The newest statements of `peer` that are held here; nothing when there are none.
    [[nodiscard]] std::optional<Echo> echo_for(ReplicaId peer) const;

    [[nodiscard]] Status status() const;
    // Its own state is at hand, not older than what its log knows to be committed, and it forgot no votes: it may
    // answer reads and take requests (A2, S1, S6).
    [[nodiscard]] bool serving() const;
    [[nodiscard]] ReadTarget read_target() const;
    // True if `block` is on this replica's committed chain or beyond memory's lower end, and the state is in order.
    [[nodiscard]] bool is_executed(const BlockRef& block) const;
    // Asserts I1, I2, I4 to I7, I11 and the bounds of memory of PROTOCOL.md §20. Called after every step.
    void check_invariants() const;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::consensus
