// SimReplica: one replica process of a run: the production Node, ConsensusLog and StateMachine over a simulated disk,
// clock and event loop. It does what loyald's threads do, as events: inputs collect in an inbox and are handled in
// batches; one sync at a time writes every Persist that waits; one executor answers execute, admit and read in order;
// the overlay is written back in the background. A crash forgets everything but what the disk holds.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kvstore/checkpoints.h"
#include "kvstore/consensus_log.h"
#include "kvstore/state_builder.h"
#include "kvstore/state_machine.h"
#include "replica/node.h"
#include "replica/state_transfer/log_release.h"
#include "replica/state_transfer/state_fetch.h"
#include "sim/checkers/reference_model.h"
#include "sim/clock.h"
#include "sim/scenario.h"
#include "sim/sim_signer.h"
#include "sim/sim_store.h"
#include "sim/trace.h"

namespace loyal::sim {

// What a replica meets outside itself. Called in the middle of a replica's step: may schedule, must not call back.
class ReplicaWorld {
 public:
    virtual ~ReplicaWorld() = default;
    virtual void peer_send(consensus::ReplicaId from, const std::vector<consensus::ReplicaId>& to,
                           const consensus::PeerMessage& message) = 0;
    virtual void client_send(consensus::ReplicaId from, replica::LinkId link, const wire::ReplicaMessage& message) = 0;
    virtual void on_durable(consensus::ReplicaId replica, const std::vector<consensus::Persist>& group) = 0;
    virtual void on_recovered(consensus::ReplicaId replica, const consensus::Recovered& recovered) = 0;
    virtual void on_executed(consensus::ReplicaId replica, const consensus::Block& block,
                             const kvstore::ExecutedBlock& result) = 0;
    virtual void on_crashed(consensus::ReplicaId replica) = 0;
    // The process ended because of its disk, after on_crashed: whoever supervises it may start it again.
    virtual void on_ended_itself(consensus::ReplicaId replica) = 0;
    // The root of a checkpoint of its own state is there.
    virtual void on_root(consensus::ReplicaId replica, const consensus::StateRoot& root) = 0;
    // A state came by transfer, or the first one was put in its place; the core begins anew with this.
    virtual void on_installed(consensus::ReplicaId replica, const consensus::Recovered& recovered) = 0;
    // A state transfer asks this peer no more.
    virtual void on_dropped(consensus::ReplicaId by, consensus::ReplicaId peer, const std::string& why) = 0;
    virtual void on_step(consensus::ReplicaId replica, const consensus::Status& status) = 0;
    virtual void on_accused(consensus::ReplicaId by, const consensus::Accuse& evidence) = 0;
    virtual void violation(const std::string& what) = 0;
};

struct ReplicaContext {  // all outlive the replica
    const Scenario& scenario;
    const consensus::Membership& membership;
    const consensus::MessageVerifier& verifier;
    const kvstore::StateMachineOptions& state_options;
    Scheduler& scheduler;
    Trace& trace;
    ReplicaWorld& world;
    // Of all traitors: they share (FaultContext::accomplices).
    const std::map<consensus::ReplicaId, std::shared_ptr<const crypto::Signer>>& traitors_keys;
    const std::map<std::string, consensus::ClientId>& client_names;
};

class SimReplica final : private replica::NodePort {
 public:
    SimReplica(consensus::ReplicaId id, const ReplicaContext& context, const SimSigner& signer, Random random);
    ~SimReplica() override;

    // ---- Life
    void start();  // also after a crash
    void crash();
    void crash_after_calls(std::uint64_t calls) { calls_left_ = calls; }
    void crash_in_next_sync() { crash_in_sync_ = true; }
    // The next commit to the log or to the state fails, as of a disk that is broken: the process ends itself.
    void fail_next_sync(bool of_state);
    // No crash that was asked for and has not come yet comes any more.
    void disarm();
    void pause_until(TimeUs time);
    void behave(const std::string& fault);  // now and after every restart
    void slow_disk(std::uint64_t factor) { slow_factor_ = factor == 0 ? 1 : factor; }
    void delay_disk(TimeUs by) { disk_delay_us_ = by; }
    void refuse_writes(bool refuse);  // as with a full disk; until told otherwise, also after restarts
    // ---- A bad disk (sim_disk.cpp). What ends the process leaves it down: whoever wants it back calls start().
    void set_disk_faults(const DiskFaults& faults);  // of log and state alike, until told otherwise
    void rot(DiskPart part, bool hide);
    void lose_disk(DiskPart part);
    void keep_image();
    bool roll_back(DiskPart part);  // false, and nothing happens: there is no image
    bool diverge();                 // false: nothing is stored that could change
    [[nodiscard]] SimClock& clock() { return clock_; }
    [[nodiscard]] bool up() const { return node_ != nullptr; }
    [[nodiscard]] bool paused() const { return context_.scheduler.now() < paused_until_; }
    [[nodiscard]] consensus::ReplicaId id() const { return id_; }

    // ---- Inputs
    void receive(consensus::ReplicaId from, crypto::Verified<consensus::PeerMessage> message);
    void refused(ByteView frame);                   // a peer's, that did not decode or verify
    void receive_proof(consensus::Evidence proof);  // found in a frame that was refused
    void peer_up(consensus::ReplicaId peer);        // the link to it
    void receive(replica::LinkId link, const consensus::ClientId& client, wire::ClientMessage message);
    void link_up(replica::LinkId link, const consensus::ClientId& client);
    void link_down(replica::LinkId link);

    // ---- What it costs, over all its lives
    [[nodiscard]] std::uint64_t signatures() const;
    [[nodiscard]] std::uint64_t syncs() const { return syncs_; }

    // ---- While up
    [[nodiscard]] const replica::Node& node() const { return *node_; }
    void outgoing_frame(consensus::ReplicaId to, Bytes& frame) { node_->outgoing_frame(to, frame); }
    [[nodiscard]] const std::string& told() const { return fault_; }
    [[nodiscard]] crypto::Digest digest() const;  // of the state after executed()
    // Every key reads as the model says, with all that is said about it.
    [[nodiscard]] bool holds(const ReferenceModel& model) const;
    [[nodiscard]] consensus::Height executed() const;
    // Nothing that is known to be damaged in its log is left.
    [[nodiscard]] bool log_is_whole() const { return log_->damaged_blocks().empty() && !log_->wants_append(); }
    [[nodiscard]] std::string log_trouble() const;

 private:
    using Job = std::function<void()>;
    static constexpr TimeUs scrub_us = 150 * ms;

    // NodePort
    void send(consensus::ReplicaId to, const consensus::PeerMessage& message) override;
    void send_each(const std::vector<consensus::ReplicaId>& to, const consensus::PeerMessage& message) override;
    void to_client(replica::LinkId link, const wire::ReplicaMessage& message) override;
    void persist(consensus::Persist persist) override;
    void execute(consensus::BlockPtr block) override;
    void admit(replica::LinkId link, crypto::Verified<consensus::Envelope> envelope) override;
    void read(replica::LinkId link, wire::Read request, consensus::Height lock) override;
    void read_changes(replica::LinkId link, std::uint64_t ticket, kvstore::ChangeQuery query) override;
    std::size_t client_backlog(replica::LinkId link) override;
    void serve_committed(const consensus::ServeCommitted& request) override;
    void stable(const consensus::Stable& stable) override;  // sim_recovery.cpp
    void fetch_state(const consensus::FetchState& target) override;
    void serve_state(consensus::ReplicaId to, consensus::StateRequest request) override;
    void state_chunk(consensus::ReplicaId from, consensus::StateChunk chunk) override;
    void accuse(const consensus::Accuse& evidence) override;
    void note(const std::string& text) override;
    std::uint64_t wall_us() override { return clock_.wall_us(context_.scheduler.now()); }

    // False when the process died before this call (crash_midway).
    [[nodiscard]] bool alive_for_call();
    void after(TimeUs delay, Job job);  // dropped when the process has died meanwhile
    void post(Job input);               // into the inbox
    void schedule_wake();
    void wake();
    void tick();
    void start_sync();
    void finish_sync();
    void submit(Job job);  // to the executor
    void deliver(Job result);
    void run_executor();
    void write_back();  // sim_disk.cpp
    void freeze();
    [[nodiscard]] bool freeze_if_due();
    void write_frozen();
    void set_full(bool full);
    [[nodiscard]] std::unique_ptr<replica::FaultModel> make_fault() const;
    void sent(const consensus::PeerMessage& message, std::uint64_t to);

    consensus::ReplicaId id_;
    ReplicaContext context_;
    const SimSigner& signer_;
    Random random_;
    SimClock clock_;

    // ---- sim_disk.cpp
    // Opens the data as loyald does and executes what only the log has. False: the process has ended, or a violation
    // was told.
    [[nodiscard]] bool open_data();
    [[nodiscard]] bool open_log(bool lost);
    [[nodiscard]] Result<consensus::Recovered> recover_data();
    [[nodiscard]] Result<void> execute_again();
    // What an error of a store means: the state is damaged, or the process ends. Of its own disk, or a violation.
    void state_failed(const char* what, const Error& error);
    void disk_failed(const char* what, const Error& error);
    void log_unreadable(const Error& error);
    void end_process();
    [[nodiscard]] bool disk_may_fail() const;
    [[nodiscard]] bool open_state();
    void lose_state(std::string why);
    void release_log();
    [[nodiscard]] std::unique_ptr<SimStore> new_state_store();

    // ---- sim_recovery.cpp
    [[nodiscard]] kvstore::CheckpointOptions checkpoint_options() const;
    [[nodiscard]] Result<void> open_checkpoints();
    void background_soon();
    void background();
    void tell_roots();
    void scrub();
    void scrub_log();
    void begin_fetch();
    void fetch_tick();
    [[nodiscard]] bool step_fetch();
    void fetch_failed(Error error);
    void install();
    void switch_state();
    [[nodiscard]] Result<bool> is_of_target(SimStore& state);
    void watch_state(const consensus::Status& status);
    void append_nothing();
    [[nodiscard]] bool holds_all(const ReferenceModel& model) const;

    // The disk.
    SimStore log_store_;
    std::unique_ptr<SimStore> kv_store_;    // of the generation in force
    std::unique_ptr<SimStore> next_store_;  // the next one, under construction
    bool folder_gone_ = false;              // made anew by who starts the process, never as new (A1)
    std::optional<SimStore::Image> log_image_, kv_image_;
    std::string state_mark_, image_mark_;  // why the state must not be used, as the folder says
    bool disk_touched_ =
        false;  // something of it was lost, changed or put back: what is read need not be what was written
    std::uint64_t slow_factor_ = 1;
    TimeUs disk_delay_us_ = 0;

    // The process; gone after a crash.
    std::unique_ptr<kvstore::ConsensusLog> log_;
    std::unique_ptr<kvstore::StateMachine> machine_;  // none: the state is damaged
    std::unique_ptr<kvstore::Checkpoints> checkpoints_;
    std::optional<kvstore::Durability> frozen_;  // how the generation that is with the writer is written
    std::uint64_t generation_ = 0;
    std::vector<kvstore::StateRoot> roots_told_;
    std::string state_lost_;  // why neither is used any more; empty: they are
    replica::LogRelease log_release_;
    std::optional<consensus::FetchState> target_, newer_;  // newer_: that the fetcher was told of
    std::unique_ptr<kvstore::StateBuilder> builder_;
    std::unique_ptr<replica::StateFetch> fetch_;
    std::unique_ptr<replica::LocalState> local_;
    bool diverged_ = false;  // why it was lost: what is there is of no use to others
    bool append_scheduled_ = false;
    bool log_damage_told_ = false;
    std::unique_ptr<replica::Node> node_;
    std::size_t unanswered_persists_ = 0, undelivered_ = 0;  // to the node
    bool background_scheduled_ = false;
    std::deque<Job> inbox_;
    std::deque<Job> jobs_;
    std::vector<consensus::Persist> to_sync_, syncing_;
    std::map<replica::LinkId, consensus::ClientId> links_;
    bool wake_scheduled_ = false, executor_scheduled_ = false, tick_posted_ = false, handling_ = false;
    bool dying_ = false;
    std::uint64_t incarnation_ = 0;

    TimeUs paused_until_ = 0;
    std::string fault_;
    bool writes_refused_ = false;
    bool disk_fails_ = false;  // fail_next_sync
    bool full_ = false;        // the last write found no space
    bool ended_itself_ = false;
    std::vector<consensus::Persist> failed_sync_;  // on disk or not
    std::uint64_t syncs_ = 0, signatures_before_ = 0;
    std::optional<std::uint64_t> calls_left_;
    bool crash_in_sync_ = false;
    std::uint64_t armed_ = 0;  // counts disarm()

    // holds() was true or not of these: revision, height, changes of the store, generations.
    using Looked = std::array<std::uint64_t, 4>;
    mutable std::optional<Looked> looked_;
    mutable bool held_ = false;
};

}  // namespace loyal::sim
