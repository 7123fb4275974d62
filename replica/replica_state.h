// Inside of Replica: one object that the loop owns. replica.cpp wires it and runs the loop, replica_inputs.cpp feeds
// the node, replica_outputs.cpp is the node's port to the world, replica_report.cpp answers operators.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>
#include <set>

#include "consensus/verifier.h"
#include "crypto/identity.h"
#include "replica/background.h"
#include "replica/client_gateway.h"
#include "replica/clock_steps.h"
#include "replica/control.h"
#include "replica/counted_verifier.h"
#include "replica/disk_watch.h"
#include "replica/executor.h"
#include "replica/experiments/experiments.h"
#include "replica/experiments/faulty_clock.h"
#include "replica/http_server.h"
#include "replica/inbox.h"
#include "replica/log_writer.h"
#include "replica/node.h"
#include "replica/peer_transport.h"
#include "replica/replica.h"
#include "replica/report.h"
#include "replica/state_transfer/log_release.h"
#include "replica/verify_pool.h"

namespace loyal::replica {

// CLOCK_MONOTONIC.
[[nodiscard]] inline std::uint64_t monotonic_us() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

// Messages of a batch that the event loop may check itself, and how long they may be: votes, small envelopes.
inline constexpr std::size_t checks_here_max = 4;
inline constexpr std::size_t check_here_bytes_max = 1024;
// Reads have no signature to be checked.
inline constexpr std::size_t reads_here_max = 128;

struct Replica::State final : NodePort {
    State(ReplicaOptions replica_options, crypto::Identity key, OpenedData opened);
    ~State() override;

    // ---- NodePort: the node's effects (replica_outputs.cpp)
    void send(consensus::ReplicaId to, const consensus::PeerMessage& message) override;
    void send_each(const std::vector<consensus::ReplicaId>& to, const consensus::PeerMessage& message) override;
    void to_client(LinkId link, const wire::ReplicaMessage& message) override;
    void leave(consensus::ReplicaId to, const consensus::PeerMessage& message, SharedBytes frame);
    void persist(consensus::Persist persist) override;
    void execute(consensus::BlockPtr block) override;
    void admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) override;
    void read(LinkId link, wire::Read request, consensus::Height lock) override;
    void read_changes(LinkId link, std::uint64_t ticket, kvstore::ChangeQuery query) override;
    std::size_t client_backlog(LinkId link) override;
    void serve_committed(const consensus::ServeCommitted& request) override;
    void stable(const consensus::Stable& checkpoint) override;  // replica_recovery.cpp
    void fetch_state(const consensus::FetchState& target) override;
    void serve_state(consensus::ReplicaId to, consensus::StateRequest request) override;
    void state_chunk(consensus::ReplicaId from, consensus::StateChunk chunk) override;
    void accuse(const consensus::Accuse& accusation) override;  // replica_evidence.cpp
    void note(const std::string& text) override;
    std::uint64_t wall_us() override;

    // ---- Inputs (replica_inputs.cpp)
    void on_peer_state(consensus::ReplicaId peer, bool up, const std::string& detail);
    [[nodiscard]] bool check_here(const VerifyTask& task);
    void verify(VerifyTask task);
    void on_peer_frames(consensus::ReplicaId from, Link& link, std::vector<Bytes>&& frames);
    void on_client_frames(Link& link, const consensus::ClientId& client, std::vector<Bytes>&& frames);
    void on_client_up(Link& link, const consensus::ClientId& client);
    void on_client_down(LinkId link);
    void on_bell();
    void on_verified(VerifyResult result);
    void on_peer_result(consensus::ReplicaId from, VerifyResult result);
    void on_client_result(const consensus::ClientId& client, VerifyResult result);
    void on_client_request(LinkId link, const consensus::ClientId& client, wire::ClientMessage request);
    void on_executor_result(ExecutorResult result);
    void on_served(ServedRange range);
    void on_disk(const DiskUse& use);

    // ---- Checkpoints, state transfer, repair (replica_recovery.cpp)
    [[nodiscard]] KeeperOptions keeper_options() const;
    void on_keeper_event(KeeperEvent event);
    void lose_state(const std::string& why);
    // A client's backup (client_state.cpp).
    void serve_client(LinkId link, const consensus::ClientId& client, ServeClient task);
    void prove_to_client(LinkId link, const consensus::ClientId& client, wire::StateProofAsk ask);
    void on_client_answer(AnswerClient answer);
    void install(StateRebuilt whole);
    void drain_log();
    // Now and then: what depends on how far the state and the log are on disk.
    void watch_state();
    void release_log();
    void watch_log(const DiskUse& use);
    void mark_loss(const std::string& why);
    void on_tick();
    void arm_tick();
    // Call before the first input of a batch; the batch ends when nothing more is ready.
    void begin_input();
    void end_batch();
    void flush();
    void relieve_pressure();
    void count(const std::string& author, Errc reason);

    // ---- Evidence (replica_evidence.cpp)
    void recover_evidence();
    [[nodiscard]] Result<std::string> evidence_json() const;  // at most control_text_bytes_max

    // ---- Operators (replica_report.cpp)
    [[nodiscard]] Report report() const;
    [[nodiscard]] HttpAnswer http_answer(const std::string& path) const;
    void set_alarm(const std::string& name, const std::string& text);
    void clear_alarm(const std::string& name);
    void raise(const std::string& name, bool wrong, const std::string& text);  // one or the other
    void watch_progress();
    void watch_clock();

    // ---- Orders and experiments (replica_control.cpp)
    void answer_control(LinkId link, const consensus::ClientId& client, const wire::Control& request);
    [[nodiscard]] Result<std::string> obey(const FaultSpec& spec);
    [[nodiscard]] Result<std::string> obey(const NetShow& question);
    [[nodiscard]] Result<std::string> obey(const NetHeal& order);
    [[nodiscard]] Result<std::string> obey(const NetSet& order);
    [[nodiscard]] Result<std::string> obey(const ClockFault& fault);
    [[nodiscard]] Result<std::string> obey(const Pause& pause);
    [[nodiscard]] Result<std::string> obey(const DiskFault& fault);
    [[nodiscard]] Result<std::string> obey(const TraceSince& since);
    [[nodiscard]] Result<std::string> obey(const EvidenceList& question);
    [[nodiscard]] Result<std::string> rot(std::uint64_t bits);
    [[nodiscard]] Result<void> set_fault(const FaultSpec& spec);
    [[nodiscard]] Result<void> begin_first_fault();
    // All of them, as `status` shows them: "byzantine silent; net to=1 drop=0.3"; "none".
    [[nodiscard]] std::string faults_in_force() const;
    [[nodiscard]] Result<std::unique_ptr<FaultModel>> first_model();
    [[nodiscard]] Result<std::unique_ptr<FaultModel>> make_model(const FaultSpec& spec) const;
    [[nodiscard]] Result<void> add_accomplices(const FaultSpec& spec, FaultContext& context) const;
    [[nodiscard]] Result<void> check_process_fault(const FaultSpec& spec) const;
    void put_in_force(const FaultSpec& spec, std::unique_ptr<FaultModel> model);
    [[noreturn]] void crash();
    // Past bad links: who can break them must be able to hear that they are broken.
    void answer_operator(LinkId link, const wire::ReplicaMessage& message);

    [[nodiscard]] Result<void> listen();
    void run();
    void begin_stop(const std::string& why);

    ReplicaOptions options;
    crypto::Identity identity;
    OpenedData data;
    consensus::ReplicaId self;
    consensus::Membership membership;
    CountedVerifier signatures;
    consensus::MessageVerifier verifier;
    FaultyClock clock;
    ClockSteps clock_steps;
    std::chrono::steady_clock::time_point started;
    std::chrono::milliseconds tick;
    DiskWatch disk_watch;

    boost::asio::io_context loop{1};
    boost::asio::signal_set signals{loop};
    boost::asio::steady_timer tick_timer{loop};
    std::chrono::steady_clock::time_point next_tick;
    Doorbell bell;
    Inbox<VerifyResult> verified{bell};
    Inbox<ExecutorResult> executor_results{bell};
    Inbox<consensus::PersistId> durable{bell};
    Inbox<ServedRange> served{bell};
    Inbox<DiskUse> disk{bell};
    Inbox<KeeperEvent> keeper_events{bell};
    Room room;

    PeerTransport peers;
    ClientGateway clients;
    HttpServer http;
    std::map<LinkId, consensus::ClientId> client_of;
    std::unique_ptr<Experiments> experiments;  // null in clusters that are not made for them
    Result<std::unique_ptr<FaultModel>> first_fault;
    Node node;

    std::set<consensus::ReplicaId> peers_up;
    bool batch_open = false;
    std::size_t checks_here_left = checks_here_max;
    std::size_t reads_here_left = reads_here_max;
    bool clients_paused = false;
    bool peers_paused = false;
    bool stopping = false;
    std::set<consensus::ReplicaId> being_served;
    DiskUse disk_use, disk_use_measured;  // a disk that is told to be full is less free than it is
    std::map<std::string, std::string> alarms;
    std::map<std::string, std::uint64_t> rejected;
    std::vector<consensus::Evidence> evidence;  // all that the log holds and will hold; bounded by the core
    std::uint64_t accusations = 0;              // of this run
    std::map<std::pair<std::uint16_t, std::string>, std::uint64_t> accusations_by;
    std::optional<StateRebuilt> rebuilt;  // waits until the log can be written
    LogRelease log_release;
    consensus::Height log_released;
    bool loss_told = false;        // to the background thread
    bool loss_marked = false;      // in the data folder
    bool log_damage_told = false;  // to the node
    kvstore::LogRepairs log_repairs;
    std::uint64_t state_repairs = 0;
    consensus::Height progress_height;
    std::chrono::steady_clock::time_point progress_at;
    std::chrono::steady_clock::time_point clocks_compared_at;

    // Last, so that their threads end before anything that they use.
    std::optional<VerifyPool> pool;
    std::optional<LogWriter> log_writer;
    std::optional<Executor> executor;
    std::optional<Background> background;
};

}  // namespace loyal::replica
