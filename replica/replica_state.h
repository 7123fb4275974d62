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
#include "replica/clock.h"
#include "replica/executor.h"
#include "replica/http_server.h"
#include "replica/inbox.h"
#include "replica/log_writer.h"
#include "replica/node.h"
#include "replica/peer_transport.h"
#include "replica/replica.h"
#include "replica/report.h"
#include "replica/verify_pool.h"

namespace loyal::replica {

// Messages of a batch that the event loop may check itself, and how long they may be: votes, small envelopes.
inline constexpr std::size_t checks_here_max = 4;
inline constexpr std::size_t check_here_bytes_max = 1024;

struct Replica::State final : NodePort {
    State(ReplicaOptions replica_options, crypto::Identity key, OpenedData opened);
    ~State() override;

    // ---- NodePort: the node's effects (replica_outputs.cpp)
    void send(consensus::ReplicaId to, const consensus::PeerMessage& message) override;
    void send_each(const std::vector<consensus::ReplicaId>& to, const consensus::PeerMessage& message) override;
    void to_client(LinkId link, const wire::ReplicaMessage& message) override;
    void persist(consensus::Persist persist) override;
    void execute(consensus::BlockPtr block) override;
    void admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) override;
    void read(LinkId link, wire::Read request, consensus::Height lock) override;
    void serve_committed(const consensus::ServeCommitted& request) override;
    void accuse(const consensus::Accuse& evidence) override;
    void note(const std::string& text) override;
    std::uint64_t wall_us() override;

    // ---- Inputs (replica_inputs.cpp)
    void on_peer_state(consensus::ReplicaId peer, bool up, const std::string& detail);
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
    void on_tick();
    void arm_tick();
    // Call before the first input of a batch; the batch ends when nothing more is ready.
    void begin_input();
    void end_batch();
    void flush();
    void relieve_pressure();
    void count(const std::string& author, Errc reason);

    // ---- Operators (replica_report.cpp)
    [[nodiscard]] Report report() const;
    [[nodiscard]] HttpAnswer http_answer(const std::string& path) const;
    void set_alarm(const std::string& name, const std::string& text);
    void clear_alarm(const std::string& name);
    void watch_progress();
    void answer_control(LinkId link, const consensus::ClientId& client, const wire::Control& request);

    [[nodiscard]] Result<void> listen();
    // A line of replica/control.h; the answer, or what is wrong with it.
    [[nodiscard]] Result<std::string> control(const std::string& command);
    [[nodiscard]] Result<void> set_fault(const std::string& line);
    void run();
    void begin_stop(const std::string& why);

    ReplicaOptions options;
    crypto::Identity identity;
    OpenedData data;
    consensus::ReplicaId self;
    consensus::Membership membership;
    crypto::Ed25519Verifier signatures;
    consensus::MessageVerifier verifier;
    SlewedClock clock;
    std::chrono::steady_clock::time_point started;
    std::chrono::milliseconds tick;

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

    PeerTransport peers;
    ClientGateway clients;
    HttpServer http;
    std::map<LinkId, consensus::ClientId> client_of;
    Node node;

    std::set<consensus::ReplicaId> peers_up;
    bool batch_open = false;
    std::size_t checks_here_left = checks_here_max;
    bool clients_paused = false;
    bool peers_paused = false;
    bool stopping = false;
    std::set<consensus::ReplicaId> being_served;
    DiskUse disk_use;
    std::map<std::string, std::string> alarms;
    std::map<std::string, std::uint64_t> rejected;
    std::set<std::pair<consensus::ReplicaId, consensus::EvidenceKind>> accused;
    std::uint64_t accusations = 0;
    consensus::Height progress_height;
    std::chrono::steady_clock::time_point progress_at;

    // Last, so that their threads end before anything that they use.
    std::optional<VerifyPool> pool;
    std::optional<LogWriter> log_writer;
    std::optional<Executor> executor;
    std::optional<Background> background;
};

}  // namespace loyal::replica
