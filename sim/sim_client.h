// SimClient: one client process of a run: the production Session, a workload of puts, gets, deletes, compare-and-sets,
// ranges and transactions on a few hot keys, and of leases and locks on others, and the record of what it saw, which
// the checkers judge.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/session.h"
#include "sim/checkers/chain_checker.h"
#include "sim/checkers/change_ledger.h"
#include "sim/checkers/linearizability.h"
#include "sim/observer.h"
#include "sim/scenario.h"
#include "sim/sim_signer.h"
#include "sim/sim_watch.h"
#include "sim/trace.h"

namespace loyal::sim {

// What a client meets outside itself.
class ClientWorld {
 public:
    virtual ~ClientWorld() = default;
    virtual void client_request(std::size_t client, consensus::ReplicaId to, const wire::ClientMessage& message) = 0;
    virtual ChainChecker& chain() = 0;
    virtual const ChangeLedger& changes() = 0;
    // Real time for the checkers: larger at each call, over all clients.
    virtual std::uint64_t moment() = 0;
    virtual void violation(const std::string& what) = 0;
    virtual Observer* observer() = 0;  // may be null
};

struct ClientContext {  // all outlive the client
    const Scenario& scenario;
    const consensus::Membership& membership;
    Scheduler& scheduler;
    Trace& trace;
    ClientWorld& world;
};

struct ClientCounters {
    std::uint64_t done = 0, unknown = 0, not_applied = 0, reads_failed = 0;
    std::uint64_t reads_fast = 0, reads_ordered = 0;
    TimeUs slowest_us = 0;
};

class SimClient {
 public:
    // `signer` null: crash fault model.
    SimClient(std::size_t index, const ClientContext& context, const crypto::PublicKey& key, const SimSigner* signer,
              Random random);

    void connected(consensus::ReplicaId replica);
    void disconnected(consensus::ReplicaId replica);
    void receive(consensus::ReplicaId from, const wire::ReplicaMessage& message);
    void tick();
    // The faults are over: finish what is left, then the last operations, each of which must succeed.
    void faults_ended();
    // After that: the same again, once more.
    void one_more() { ++further_; }
    // Nothing more is asked; `keys` are read once, and the observer hears of what was there (Ending::read_back).
    void read_back(std::vector<std::string> keys);
    // The run ends here: what is under way may have taken effect or not.
    void abandon();
    [[nodiscard]] bool finished() const;
    // Everything that was to be asked before the end was asked, and all of it got a definite answer.
    [[nodiscard]] bool completed() const;
    [[nodiscard]] std::string waiting_for() const;

    [[nodiscard]] const consensus::ClientId& id() const { return id_; }
    [[nodiscard]] const ClientCounters& counters() const { return counters_; }
    [[nodiscard]] std::uint64_t changes_told() const;
    [[nodiscard]] const std::map<std::string, std::vector<RegisterOp>>& history() const { return history_; }

 private:
    using Kind = RegisterOp::Kind;
    struct Call {
        RegisterOp op;
        std::string key;
        std::optional<std::pair<std::string, std::string>> also_puts;  // of a transaction that succeeds: key and value
        bool on_leases = false;  // on keys that end by themselves: judged by the chain checker alone
        bool is_range = false;
        bool last = false;  // of the last phase
        bool reads_back = false;
        TimeUs begun = 0;
        ChainChecker::Mark mark;
    };

    void add_watches();
    void pump();
    void issue();
    void issue_one(bool last);
    void issue_read(Call call, std::uint64_t draw);
    void issue_txn(Call call);
    void issue_lease(Call call);
    [[nodiscard]] kvstore::LeaseId some_lease();
    void learn_lease(const kvstore::Operation& operation, const kvstore::Outcome& outcome);
    void read_back_next();
    void write(Call call, kvstore::Operation operation);
    void read(Call call, kvstore::Range range);
    void write_ended(const Call& call, const kvstore::Operation& operation, const client::WriteResult& result);
    void read_ended(const Call& call, const kvstore::Range& range, const client::ReadResult& result);
    void ordered_read_ended(const Call& call, const kvstore::Range& range, const client::WriteResult& result);
    void ended(const Call& call, bool success, const char* what);
    void record(const Call& call, bool known, bool applied);
    void report(const Call& call, OperationSeen::Status status, bool applied);
    void saw(const Call& call, const kvstore::RangeResult& range);
    [[nodiscard]] Call begin(bool last);
    [[nodiscard]] std::size_t last_operations() const;
    [[nodiscard]] std::string new_value();

    std::size_t index_;
    ClientContext context_;
    consensus::ClientId id_;
    Random random_;
    consensus::SessionId session_id_;
    std::unique_ptr<client::Session> session_;
    std::vector<std::unique_ptr<SimWatch>> watches_;

    bool last_phase_ = false, reading_back_ = false, abandoned_ = false;
    std::vector<std::string> to_read_back_;
    std::size_t issued_ = 0, outstanding_ = 0, last_outstanding_ = 0, last_done_ = 0, further_ = 0;
    std::uint64_t values_ = 0, calls_ = 0;
    TimeUs next_issue_ = 0;
    std::map<std::string, std::optional<std::string>> last_seen_;
    std::vector<kvstore::LeaseId> leases_;       // that it was granted
    std::map<std::uint64_t, std::string> open_;  // calls under way
    std::map<std::uint64_t, Call> open_writes_;
    std::map<std::string, std::vector<RegisterOp>> history_;  // by key
    ClientCounters counters_;
};

}  // namespace loyal::sim
