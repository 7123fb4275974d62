// Node: one replica without I/O: the core, the signing guard, the send gate, pending reads, sessions' return routes and
// the fault model in force. loyald drives it with sockets, threads and LMDB; the simulator drives it with its own
// world. Single-threaded. Every call may call the port, which must not call back into the node before it returned;
// answers (persisted, executed, admitted) come later, in the order in which they were asked for, per kind; `executed`,
// `admitted`, `read_done` and `changes_read` come in one common order, because one executor answers all four.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "consensus/core.h"
#include "kvstore/state_machine.h"
#include "kvstore/state_proof.h"
#include "replica/clock_sync.h"
#include "replica/faults/fault_model.h"
#include "replica/watch_hub.h"
#include "wire/client_messages.h"

namespace loyal::replica {

using LinkId = std::uint64_t;         // of a client's connection, never reused
inline constexpr LinkId no_link = 0;  // an envelope that another replica handed over

class NodePort {
 public:
    virtual ~NodePort() = default;
    virtual void send(consensus::ReplicaId to, const consensus::PeerMessage& message) = 0;
    // One message for several, so that a driver need not encode it again for each.
    virtual void send_each(const std::vector<consensus::ReplicaId>& to, const consensus::PeerMessage& message) {
        for (const consensus::ReplicaId replica : to) {
            send(replica, message);
        }
    }
    virtual void to_client(LinkId link, const wire::ReplicaMessage& message) = 0;
    // One synced transaction for this and whatever else waits; answered by Node::persisted.
    virtual void persist(consensus::Persist persist) = 0;
    virtual void execute(consensus::BlockPtr block) = 0;                                  // -> executed
    virtual void admit(LinkId link, crypto::Verified<consensus::Envelope> envelope) = 0;  // -> admitted
    virtual void read(LinkId link, wire::Read request, consensus::Height lock) = 0;       // -> read_done
    // A watch needs older changes of the state -> changes_read.
    virtual void read_changes(LinkId link, std::uint64_t ticket, kvstore::ChangeQuery query) = 0;
    // Bytes that wait to be written to this client.
    [[nodiscard]] virtual std::size_t client_backlog(LinkId) { return 0; }
    // Reads a committed range from the durable log, appends `tail` if it fits, and sends BLOCKS: directly, or by way of
    // Node::served, where the fault model in force sees it.
    virtual void serve_committed(const consensus::ServeCommitted& request) = 0;
    // S5: what lies below may be forgotten.
    virtual void stable(const consensus::Stable& stable) = 0;
    // S6: fetch and install this state in the background, then Node::restart. A later call replaces an earlier one.
    virtual void fetch_state(const consensus::FetchState& target) = 0;
    // A peer asks for a part of a checkpoint that is kept here: read it and answer, by way of Node::state_served.
    virtual void serve_state(consensus::ReplicaId to, consensus::StateRequest request) = 0;
    // An answer of a peer; nobody checked it but for its size.
    virtual void state_chunk(consensus::ReplicaId from, consensus::StateChunk chunk) = 0;
    virtual void accuse(const consensus::Accuse& evidence) = 0;
    virtual void note(const std::string& text) = 0;  // a line for the log
    // This replica's physical clock (that of the HLC), for comparison with its peers' clocks.
    [[nodiscard]] virtual std::uint64_t wall_us() = 0;
};

struct NodeOptions {
    // Of `core.rules_off` the node itself knows "guard", "D1" (the send gate) and "R2" (reads wait for their target).
    consensus::Options core;
    std::size_t pending_reads_max = 0;       // 0: limits
    std::uint64_t read_wait_max_ms = 1'000;  // T_r: then BUSY
};

struct NodeCounters {                               // monotone; for metrics
    std::map<std::string, std::uint64_t> rejected;  // by reason
    std::uint64_t signatures = 0;
    std::uint64_t guard_refusals = 0;  // a signature that would have contradicted an earlier one
    std::uint64_t reads = 0, reads_waited = 0, reads_busy = 0;
    std::uint64_t envelopes_admitted = 0, envelopes_refused = 0, replies_cached = 0;
    std::uint64_t blocks_executed = 0, operations_executed = 0;
    WatchCounters watches;
};

class Node {
 public:
    // References outlive the node.
    Node(NodeOptions options, const consensus::MessageVerifier& verifier, const crypto::Signer& signer,
         const consensus::Recovered& recovered, NodePort& port);
    ~Node();

    // What the log holds against others; before start().
    void remember(const std::vector<consensus::Evidence>& evidence);
    void start(std::uint64_t wall_ms);
    // ---- Inputs
    void peer_message(consensus::ReplicaId from, crypto::Verified<consensus::PeerMessage> message);
    // What a refused message of a peer proves (refused_frames.h).
    void refused_peer_message(const consensus::Evidence& evidence);
    void client_envelope(LinkId link, crypto::Verified<consensus::Envelope> envelope);
    void client_read(LinkId link, const consensus::ClientId& client, wire::Read request);
    // For the receipt of an own operation (P3).
    void client_receipt(LinkId link, const consensus::ClientId& client, const wire::ReceiptAsk& ask);
    // The proof that a client asked for, on its way to it; in the crash fault model it is signed here.
    void client_state_proof(LinkId link, std::uint64_t nonce, Result<kvstore::StateProof> proof);
    void client_watch(LinkId link, const consensus::ClientId& client, wire::Watch request);
    void client_unwatch(LinkId link, const wire::Unwatch& request);
    void client_connected(LinkId link, const consensus::ClientId& client);  // answered with Welcome
    void client_disconnected(LinkId link);
    void persisted(consensus::PersistId id);
    void executed(const kvstore::ExecutedBlock& block);
    void admitted(LinkId link, crypto::Verified<consensus::Envelope> envelope, kvstore::AdmissionResult result);
    void read_done(LinkId link, const wire::Read& request, consensus::Height lock,
                   const Result<kvstore::ReadAnswer>& answer);
    void changes_read(std::uint64_t ticket, const Result<kvstore::ChangePage>& page, kvstore::Revision revision);
    // The answer to serve_committed, on its way to `to`.
    void served(consensus::ReplicaId to, consensus::Blocks blocks);
    // The answer to serve_state, on its way to `to`.
    void state_served(consensus::ReplicaId to, consensus::StateChunk chunk);
    // The link to a peer is up: it is told what this replica holds of its statements (A1).
    void peer_up(consensus::ReplicaId peer);
    // S3: the root of a checkpoint of the own state is durable.
    void checkpoint_ready(const consensus::StateRoot& root);
    // The own state is damaged: see consensus::StateLost. Nothing is asked of the executor from here to restart().
    void state_lost(const std::string& why);
    // Committed blocks that the own log cannot read: see consensus::LogDamaged.
    void log_damaged(std::vector<consensus::BlockRef> blocks);
    // The state was installed or repaired: the core begins anew from the log, as after a crash of the process, while
    // links, routes and clocks stay. Entry: nothing that was given to persist() or execute() is unanswered.
    void restart(const consensus::Recovered& recovered, const std::vector<consensus::Evidence>& evidence);
    void tick();
    void clock(std::uint64_t wall_ms);
    // No more inputs wait: what was decided is written and proposed now.
    void end_of_batch();

    void set_fault(std::unique_ptr<FaultModel> fault);  // null: honest
    [[nodiscard]] std::string fault() const;
    // Writes are refused with this code while set (disk nearly full).
    void refuse_writes(std::optional<wire::RefusalCode> code);
    // What the fault in force does to a frame on its way to a peer; nothing for an honest replica.
    void outgoing_frame(consensus::ReplicaId to, Bytes& frame);

    [[nodiscard]] consensus::Status status() const;
    // The peers' clocks against this replica's (port.wall_us), now; reads the port's clock.
    [[nodiscard]] ClockView clock_view() const;
    [[nodiscard]] const NodeCounters& counters() const;
    [[nodiscard]] const consensus::Core& core() const;
    [[nodiscard]] consensus::Height executed_height() const;
    [[nodiscard]] consensus::Hlc executed_hlc() const;  // of the last executed block of this run
    [[nodiscard]] const crypto::Digest& executed_digest() const;
    // What the last blocks came to, that one included: at most recent_states_max, oldest first.
    static constexpr std::size_t recent_states_max = 64;
    [[nodiscard]] const std::deque<std::pair<consensus::Height, crypto::Digest>>& recent_states() const;
    [[nodiscard]] std::size_t waiting_sends() const;
    [[nodiscard]] std::size_t waiting_reads() const;
    [[nodiscard]] std::size_t watches() const;
    [[nodiscard]] std::size_t watches_behind() const;  // of them, those that are fed from the history

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::replica
