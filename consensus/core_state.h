// The inside of Core, shared by the files that each hold one concern of the protocol. Private to consensus/.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "consensus/amnesia.h"
#include "consensus/block_tree.h"
#include "consensus/core.h"
#include "consensus/envelope_pool.h"
#include "consensus/evidence_book.h"
#include "consensus/rules.h"
#include "consensus/suspicion.h"
#include "consensus/vote_set.h"

namespace loyal::consensus {

// A proposal of the current view that cannot be accepted yet.
struct HeldProposal {
    enum class Time { timely, early, late };
    BlockPtr block;
    Time time = Time::timely;  // decided at its first arrival (H2); early turns timely, late waits for a certificate
};

// Why a replica asks for another view.
enum class Leaving : std::uint8_t {
    timed_out,     // the leader of the entered view
    no_new_view,   // the leader of the promised view
    equivocation,  // proved
    tenure_ended,  // a committed END block
    joined,        // others want to
    restarted,     // it led this view before it died (D3)
    recovering,    // another replica lost its votes (A4)
    state_lost,    // it leads, and cannot compute what a header has to say
};

// A checkpoint that a peer offers instead of blocks that its log does not hold any more (S6).
struct CheckpointOffer {
    Height wanted;            // committed height here, to which it was the answer
    std::uint64_t since = 0;  // tick of its first arrival
    StateRoot root;
    Header block;
};

struct Core::State {
    State(const Options& options, const MessageVerifier& verifier, const crypto::Signer& signer,
          const Recovered& recovered);

    // ---- Fixed
    const Options options;
    const MessageVerifier& verifier;
    const crypto::Signer& signer;
    const Quorum quorum;
    const bool crash_mode;
    const std::uint64_t window;               // W
    const std::uint64_t checkpoint_interval;  // C; 0: no checkpoints
    const RuleSet rules;
    const ClusterContext context;
    const BlockRef genesis;

    // ---- Time
    std::uint64_t tick = 0;
    std::uint64_t wall_ms = 0;

    // ---- Voting state: `vs` is what was decided, `durable` what is on disk
    VotingState vs;
    VotingState written;  // as of the last Persist
    VotingState durable;
    Lock base;               // of vs.entered
    bool base_ready = true;  // prep is base or above; otherwise base's bodies are still being fetched (V5)
    std::optional<Certificate> lock_certificate;
    std::optional<NewView> new_view;          // of vs.entered; none in view 0
    std::optional<NewView> waiting_new_view;  // crash mode: accepted once its base's bodies are here
    std::optional<ViewChange> own_view_change;
    std::optional<Vote> last_vote;  // last signed
    bool restarted = false;
    bool prep_damaged = false;  // the log lost blocks of the prepared chain (A6)

    // ---- Chain
    BlockTree tree;
    BlockRef committed;
    std::map<Height, crypto::Digest> committed_ids;  // from the tree's floor up to committed
    Height executed;                                 // by the state machine
    Height execute_asked;                            // Execute was emitted up to here
    std::map<Height, crypto::Digest> executed_digests;
    std::optional<Hlc> next_due;  // of the executed state (Executed::due)
    std::map<Height, HeldProposal> held;
    std::set<crypto::Digest> wanted;  // asked for by id
    bool halted = false;
    std::string halt_reason;

    // ---- Checkpoints
    std::map<Height, crypto::Digest> roots;            // of the own state, computed and durable; the newest two
    std::map<Height, crypto::Digest> certified_roots;  // as committed headers carry them; the newest few
    std::map<Height, Header> checkpoint_headers;       // of the committed blocks at those heights; the newest few
    StateRoot stable;                                  // newest that a certified header carries
    Height stable_told;                                // Stable was emitted up to here
    std::string state_lost;                            // why the state is being fetched; empty: it is not
    // A state below it was passed already: nothing is answered from it, or a reader would be taken back in time.
    Height serves_from;
    std::string lost_at_start;                           // becomes state_lost when the core starts
    std::optional<FetchState> transfer;                  // last emitted
    std::uint64_t transfer_asked = 0;                    // tick of that
    std::vector<std::optional<CheckpointOffer>> offers;  // newest of each peer

    // ---- Peers
    VoteSet votes;
    std::vector<std::optional<ViewChange>> view_changes;  // latest of each
    std::vector<Heartbeat> peers;                         // as each last said
    std::vector<bool> pre_vote_grants;
    EvidenceBook accused;

    // ---- Clients
    EnvelopePool pool;

    // ---- Leading
    BlockRef last_proposed;
    PersistId leading_persist;  // PROPOSE waits for `leading` to be durable, once a view
    Height announced;           // committed height that this leader last told (crash mode)
    bool end_proposed = false;

    // ---- Durability
    PersistId last_persist;  // id of the last Persist emitted
    PersistId durable_persist;
    std::map<PersistId, VotingState> in_flight;
    std::vector<LogRecord> to_write;  // what forces a Persist
    std::vector<LogRecord> to_write_lazily;
    std::vector<Send> after_write;  // released with the Persist of this batch

    // ---- Timers, in ticks
    std::uint64_t last_heartbeat_sent = 0;
    std::uint64_t last_leader_sign = 0;                 // when the leader of the current view was last heard in it
    std::optional<std::uint64_t> progress_deadline;     // T1
    std::optional<std::uint64_t> view_change_deadline;  // T6
    std::uint64_t last_view_change_sent = 0;
    std::uint64_t last_vote_sent = 0;
    std::uint64_t backoff = 0;  // k: Tp doubles with it
    std::uint64_t last_backoff_decay = 0;
    std::uint64_t last_commit = 0;
    bool committed_in_view = true;  // since this view was entered
    bool flush_lazily = false;      // write what waits although nothing forces it
    std::optional<View> pre_vote_for;
    std::uint64_t pre_vote_sent = 0;

    // ---- Failure detection
    std::vector<HeartbeatWindow> heartbeats;  // of each peer (T4)
    LeaderBook leaders;                       // T2, T3
    WorkMeter work;
    Suspects suspects;                                        // L2
    std::optional<std::uint64_t> tenure_began;                // tick of the view's first block (L1)
    std::optional<std::uint64_t> led_until;                   // tick at which the own last view ended
    std::vector<ReplicaId> left_by_time_out;                  // since the last view was entered; at most n
    bool backoff_raised = false;                              // by leaving the view that is entered
    std::deque<std::pair<PersistId, std::uint64_t>> syncing;  // ticks of Persists that are not durable yet
    std::string last_time_out;

    // ---- Catch-up
    std::uint64_t last_fetch = 0;
    std::size_t new_view_turn = 0;  // these rotate over peers
    std::size_t body_turn = 0;
    std::size_t fetch_turn = 0;
    bool fetch_open = false;
    std::optional<View> conflict_asked;  // a vote for an unknown sibling was followed up in this view
    std::vector<std::uint64_t> last_new_view_served;

    // ---- The own log
    std::map<crypto::Digest, Height> damaged;  // committed blocks that it lost
    std::uint64_t last_repair = 0;
    std::size_t repair_turn = 0;

    // ---- Amnesia
    Recovery recovery;                               // while vs.amnesiac
    std::vector<RecoverQuestion> recover_questions;  // of each peer
    std::uint64_t entered_tick = 0;                  // when the view was entered

    // ---- Counters
    std::uint64_t view_change_count = 0;
    std::uint64_t blocks_committed = 0;

    Effects* out = nullptr;  // of the step under way

    // ---- core.cpp: start, dispatch, end of a batch, durability
    void recover_checkpoints(const Recovered& recovered);
    void start();
    void step(const Input& input);
    void on_received(ReplicaId from, const PeerMessage& message);
    void end_batch();
    void write_batch();
    void on_persisted(PersistId id);
    void emit(Effect effect) { out->push_back(std::move(effect)); }
    void send(std::optional<ReplicaId> to, PeerMessage message, PersistId after = PersistId());
    void reject(ReplicaId from, std::string why);
    void halt(std::string why);
    [[nodiscard]] bool in_view() const { return vs.entered == vs.promised; }
    [[nodiscard]] bool is_self(ReplicaId replica) const { return replica == options.self; }
    [[nodiscard]] ReplicaId leader() const { return leader_of(vs.entered, quorum.n); }
    [[nodiscard]] bool leads(View view) const { return leader_of(view, quorum.n) == options.self; }
    [[nodiscard]] PersistId next_persist() const { return last_persist.next(); }
    [[nodiscard]] std::uint64_t ticks_of(std::uint64_t ms) const {
        return (ms + options.tick_ms - 1) / options.tick_ms;
    }

    // ---- normal_case.cpp: N1 to N5, N8
    void on_propose(ReplicaId from, const Propose& message);
    void hold_proposal(const BlockPtr& block);
    void accept_held();
    [[nodiscard]] bool acceptable(const HeldProposal& held_proposal);
    void append(const BlockPtr& block);
    void write_block(BlockTree::Node& node);
    void mend_prepared();
    [[nodiscard]] bool is_durable(const BlockRef& head) const;
    void propose();
    [[nodiscard]] bool may_propose() const;
    // B5: time itself is what the next block brings. Of the own clock, or of the one that a block on `parent` claims.
    [[nodiscard]] bool time_is_due() const { return time_is_due(Hlc(wall_ms, 0), vs.prep.block); }
    [[nodiscard]] bool time_is_due(Hlc now, const BlockRef& parent) const {
        return next_due && now >= *next_due && parent.height == executed;
    }
    [[nodiscard]] std::optional<Hlc> next_hlc(Hlc parent) const;
    void on_vote(ReplicaId from, const Vote& vote);
    void maybe_vote();
    void learn_lock();
    void on_submitted(const Envelope& envelope, bool from_peer);
    [[nodiscard]] std::optional<crypto::Digest> executed_digest(Height height) const;
    [[nodiscard]] std::vector<crypto::Digest> view_chain(Height lower, bool with_held) const;
    [[nodiscard]] Height certified_height() const;

    // ---- commit.cpp: N6, N7, 8c, S1
    void learn_commit();
    void learn_commit_of(View view, const std::vector<Vote>& votes_of_view);
    void commit(const BlockRef& block, std::optional<Certificate> certificate);
    void trust_committed(ReplicaId from, View view, Height height);
    [[nodiscard]] Height committed_to_tell() const;
    void execute_committed();
    void on_executed(const Executed& result);
    void check_executed_digest(Height height);
    void forget_old_blocks();

    // ---- view_change.cpp: V1 to V7
    void start_view_change(View view, Leaving why);
    const ViewChange& make_view_change();
    void on_view_change(ReplicaId from, const ViewChange& message);
    void join_view_change();
    [[nodiscard]] std::size_t view_changes_from(View view) const;
    void try_new_view();
    void on_new_view(ReplicaId from, const NewView& message);
    [[nodiscard]] bool contradicts_committed(const BlockRef& block) const;
    void enter_view(const NewView& message);
    void finish_base();
    void on_equivocation(const BlockPtr& first, const BlockPtr& second);
    void time_out(const char* why);
    void on_pre_vote(ReplicaId from, const PreVote& message);
    void on_pre_vote_grant(ReplicaId from, const PreVoteGrant& message);

    // ---- catch_up.cpp: N10
    void on_heartbeat(ReplicaId from, const Heartbeat& message);
    void on_fetch(ReplicaId from, const Fetch& message);
    void on_blocks(ReplicaId from, const Blocks& message);
    void take_committed(const Blocks& message);
    void take_tail(const Blocks& message);
    void fetch_what_is_missing();
    void advance_prep_by_commit();
    [[nodiscard]] std::optional<ReplicaId> next_peer(std::size_t& turn, bool (*ahead)(const State&, const Heartbeat&));
    [[nodiscard]] Blocks own_tail() const;
    [[nodiscard]] bool takes_more() const;
    void on_log_damaged(const std::vector<BlockRef>& blocks);
    void fetch_damaged();
    void store_again(const BlockPtr& block);

    // ---- checkpoint.cpp: S1, S3 to S6
    void start_checkpoints();
    [[nodiscard]] bool carries_checkpoint(Height height) const;
    [[nodiscard]] std::optional<StateRoot> checkpoint_to_carry(Height height) const;
    [[nodiscard]] bool checkpoint_agrees(const Header& header) const;
    [[nodiscard]] bool awaits_own_root() const;
    void on_checkpoint_ready(const StateRoot& root);
    void note_committed(const Header& header);
    void note_certified(Height top);
    void check_root(Height checkpoint);
    void tell_stable();
    void forget_old_roots();
    void on_state_lost(const std::string& why);
    void note_proven(const StateRoot& root);
    void on_checkpoint_proof(ReplicaId from, const CheckpointProof& proof);
    [[nodiscard]] const CheckpointOffer* best_offer() const;
    void want_state(const StateRoot& root, const Header& block);
    void check_transfer();
    void hand_over_lead();

    // ---- amnesia.cpp: A1 to A5
    void recover_amnesia(const Recovered& recovered);
    void become_amnesiac(const std::string& why);
    [[nodiscard]] bool forgot(const Vote& vote) const;
    [[nodiscard]] bool forgot(const ViewChange& change) const;
    [[nodiscard]] bool mute() const;  // signs nothing (A2)
    [[nodiscard]] std::optional<View> silent_view() const;
    [[nodiscard]] bool may_speak_in(View view) const;
    void remember_enough(View view);
    void recover_amnesiacs();  // once a tick
    void ask_to_recover();
    void answer_recover(ReplicaId to);
    [[nodiscard]] std::optional<RecoverAck> recover_proof(std::uint64_t nonce) const;
    void rotate_for_recovery();
    [[nodiscard]] bool asks_to_recover(ReplicaId peer) const;
    [[nodiscard]] bool somebody_recovers() const;
    void on_echo(ReplicaId from, const Echo& message);
    void on_recover(ReplicaId from, const Recover& message);
    void on_recover_ack(ReplicaId from, const RecoverAck& message);

    // ---- timers.cpp: T1, T4 to T6, C2
    void on_tick();
    void relay_envelopes();
    void check_leader();
    void check_progress_timer(bool retry_due);
    void check_view_change_timer();
    void decay_backoff();
    void resend();
    void heartbeat();
    void note_leader_sign(View view);
    void note_progress();
    void reset_view_timers();
    [[nodiscard]] bool has_work() const;
    [[nodiscard]] bool silent_leader() const;
    [[nodiscard]] bool lags_behind() const;
    [[nodiscard]] std::uint64_t progress_ms(View view) const;           // Tp
    [[nodiscard]] std::uint64_t message_delay_ms() const;               // MSGDELAY of now (H3)
    [[nodiscard]] std::uint64_t progress_ticks() const;                 // of the entered view
    [[nodiscard]] std::uint64_t first_progress_ticks(View view) const;  // L2
    [[nodiscard]] std::uint64_t now_ms() const { return tick * options.tick_ms; }

    // ---- tenure.cpp: T2, T3, L1, L2
    void begin_tenure(ReplicaId former);
    void note_leaving(Leaving why);
    void note_entering(const NewView& message);
    void note_ordered(const BlockTree::Node& node);
    void note_heartbeat(ReplicaId from);
    void note_synced(PersistId id);
    void note_prepared(const BlockTree::Node& node);
    [[nodiscard]] const char* slow_leader();
    [[nodiscard]] bool tenure_limited() const;
    [[nodiscard]] bool tenure_over(std::uint64_t grace_percent) const;
    [[nodiscard]] bool end_in_chain() const;
    void fill(Status& status) const;

    // ---- accountability.cpp: evidence
    void accuse(const Evidence& evidence);
    void write_evidence();
    // Verified messages, and what others carry along, before anything of them is kept.
    void examine(const Vote& vote);
    void examine(const Certificate& certificate);
    void examine(const ViewChange& change);
    void examine(const NewView& message);
    void examine(const BlockPtr& block);
    void compare_votes(const Vote& one, const Vote& other);
    [[nodiscard]] const Header* known_header(const BlockRef& block) const;
    [[nodiscard]] std::vector<Header> diverging_path(const BlockRef& low, const BlockRef& high) const;

    // ---- invariants.cpp
    void check_invariants() const;
};

}  // namespace loyal::consensus
