// Client: LoyalKV's asynchronous client library. It keeps an encrypted link to every replica, collects concurrent
// operations into signed envelopes, finds the primary, retries, and believes an answer only when the quorum rules allow
// it (client/session.h is that logic without I/O; PROTOCOL.md C1, C2, C4, P2, R1 to R4).
//
//     auto client = client::Client::open({.cluster = cluster, .identity = key});
//     client::WriteResult put = (*client)->write_sync(kvstore::Put{key, value});
//
// Threads: one thread of its own does the work. Every method may be called from any thread, also from inside a
// completion (but a blocking one, `*_sync` and `close`, not: it would wait for itself, which is asserted). Completions
// run on the client's thread, once each, also when the client closes; they should be quick and must not throw. Any
// number of calls may be under way at once; beyond `operations_max` new ones are answered at once with "not applied".
//
// Errors are in the results: WriteResult::certainty says whether something surely happened, surely did not, or may have
// (exit codes 0, 3 and 4 of the tool); `denied` is 5; ReadResult::integrity is 6.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/session.h"
#include "config/cluster.h"
#include "config/result.h"
#include "crypto/signature.h"

namespace loyal::client {

struct ClientOptions {
    config::Cluster cluster;
    // The client's key: std::make_shared<crypto::Identity>(std::move(key_file.identity)). Also needed in the crash
    // fault model, for the links. Used on the client's thread only.
    std::shared_ptr<const crypto::Signer> identity;
    std::uint64_t timeout_ms = 5'000;  // of each operation, unless the call says otherwise
    std::uint64_t retry_ms = 0;        // T_retry before a request goes to all; 0: 2 * timers.order_latency_ms
    std::uint64_t connect_timeout_ms = 2'000;
    std::uint64_t backoff_max_ms = 1'000;  // between attempts to reach a replica
    std::size_t operations_max = 100'000;  // under way at once
    // True: an operation that could be handed to nobody fails as soon as one attempt to reach each replica has failed
    // since it was asked for. False: it waits for its timeout, as a long-running program may prefer.
    bool fail_fast = true;
};

// A replica's answer to `status`, or why there is none.
struct ReplicaStatus {
    consensus::ReplicaId replica;
    bool reachable = false;
    std::string json;     // one `replicas[]` element of `status -w json`; empty when unreachable
    std::string why;      // when unreachable
    bool denied = false;  // the replica does not know this client's key
};

class Client {
 public:
    // Starts the thread and the first attempts to connect; does not wait for them. Errors: Errc::invalid_argument for
    // options that make no sense, Errc::internal when no thread can be started.
    [[nodiscard]] static Result<std::unique_ptr<Client>> open(ClientOptions options);
    ~Client();  // close()
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    using OnWrite = Session::OnWrite;
    using OnRead = Session::OnRead;
    using OnStatus = std::function<void(const std::vector<ReplicaStatus>&)>;
    using OnControl = std::function<void(const Result<std::string>&)>;
    using OnCheckpoint = std::function<void(const Result<wire::CheckpointAnswer>&)>;
    using OnStatePart = std::function<void(const Result<consensus::StateChunk>&)>;

    // ---- Callbacks
    void write(kvstore::Operation operation, OnWrite done);
    // Linearizable.
    void read(kvstore::Query query, OnRead done);
    // The same as an operation in the order of writes: its revision is exact.
    void read_in_order(kvstore::Query query, OnRead done);
    // One replica's word: `from`, or a connected one when absent. Says how old (hlc, executed); trust it as you trust
    // it.
    void read_stale(kvstore::Query query, OnRead done, std::optional<consensus::ReplicaId> from = {});
    // One element a replica, in order of id; waits at most `timeout_ms` for the slowest.
    void status(OnStatus done, std::uint64_t timeout_ms = 2'000);
    // An operator's order, a line as in replica/control.h; needs the admin right, and for experiments a cluster with
    // experiments = true. Gives the replica's answer. Errors: Errc::permission, Errc::invalid_argument (the line),
    // Errc::unavailable, Errc::timed_out.
    void control(consensus::ReplicaId replica, std::string command, OnControl done);

    // What a backup asks (client/backup/fetch.h); both need the admin right. Nothing in the answers was checked but for
    // its form. Errors as those of control().
    void checkpoint(consensus::ReplicaId replica, OnCheckpoint done);
    void state_part(consensus::ReplicaId replica, consensus::StateRequest request, OnStatePart done);

    // What a receipt is collected from (client/proof/collect.h): one replica's, of an own operation that is done; and
    // its proof of a key's record at its newest stable checkpoint. Nothing in the answers was checked but for its form.
    // Errors as those of control(); Errc::unavailable also when the replica cannot answer yet, Errc::invalid_argument
    // when it cannot any more.
    using OnReceipt = std::function<void(const Result<wire::ReceiptAnswer>&)>;
    using OnStateProof = std::function<void(const Result<wire::StateProofAnswer>&)>;
    void receipt(consensus::ReplicaId replica, wire::ReceiptAsk ask, OnReceipt done);
    void state_proof(consensus::ReplicaId replica, Bytes key, OnStateProof done);
    // ---- Watches
    // Changes from now on or from a revision, in order, each once; `told` runs as completions do, and may be slow: who
    // does not keep up is fed from the history. It is told how the watch ended unless that was by unwatch(), after
    // which nothing is told that was not under way (with close(): Ending::closed).
    WatchId watch(WatchOptions watched, OnWatch told);
    void unwatch(WatchId id);

    // ---- Futures
    [[nodiscard]] std::future<WriteResult> write(kvstore::Operation operation);
    [[nodiscard]] std::future<ReadResult> read(kvstore::Query query);

    // ---- Blocking
    [[nodiscard]] WriteResult write_sync(kvstore::Operation operation);
    [[nodiscard]] ReadResult read_sync(kvstore::Query query);
    [[nodiscard]] ReadResult read_in_order_sync(kvstore::Query query);
    [[nodiscard]] ReadResult read_stale_sync(kvstore::Query query, std::optional<consensus::ReplicaId> from = {});
    [[nodiscard]] std::vector<ReplicaStatus> status_sync(std::uint64_t timeout_ms = 2'000);
    [[nodiscard]] Result<std::string> control_sync(consensus::ReplicaId replica, std::string command);

    // What is known of the session now.
    [[nodiscard]] SessionStatus session_status();
    // Ends everything that is under way (its certainty is told) and the thread. Idempotent; calls after it are answered
    // with "not applied".
    void close();

 private:
    struct State;
    explicit Client(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace loyal::client
