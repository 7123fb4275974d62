// World: one run of a scenario: replicas, clients, network, plan of faults and checkers on one virtual clock.
// Everything follows from the scenario; two runs of it are equal to the last event.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "sim/adversary.h"
#include "sim/checkers/chain_checker.h"
#include "sim/checkers/signing_ledger.h"
#include "sim/network.h"
#include "sim/sim_client.h"
#include "sim/sim_replica.h"

namespace loyal::sim {

struct RunNumbers {  // trivially copyable: they travel between processes as they are
    std::uint64_t trace_hash = 0;
    TimeUs virtual_us = 0;
    TimeUs recovery_us = 0;  // from the end of the faults to the end of the run
    TimeUs slowest_us = 0;   // operation
    std::uint64_t events = 0;
    std::uint64_t messages = 0;
    TimeUs delay_max_us = 0;  // longest that the network took for one of them
    std::uint64_t lost = 0;   // of them, by the network
    std::uint64_t blocks = 0;
    std::uint64_t operations = 0;  // executed
    std::uint64_t done = 0;        // answered
    std::uint64_t unknown = 0;     // timed out at a client: may have taken effect
    std::uint64_t reads_fast = 0, reads_ordered = 0, reads_failed = 0;
    std::uint64_t changes_told = 0;  // by watches
    std::uint64_t view = 0;          // highest entered
    std::uint64_t view_changes = 0;  // the same; sums do not lose it
    std::uint64_t completed = 0;     // 1: everything that was asked got a definite answer
    std::uint64_t disagreed = 0;     // 1: correct replicas executed different blocks, or came to different states
    std::uint64_t unsafe = 0;        // 1: something was violated that must hold whatever the timing (no LIVENESS)
    std::uint64_t crashes = 0;
    std::uint64_t checkpoint = 0;   // highest whose root a correct replica had
    std::uint64_t installs = 0;     // states that came by transfer, or began anew
    std::uint64_t amnesias = 0;     // times that a replica found out that it had lost votes
    std::uint64_t accusations = 0;  // of traitors
    std::uint64_t undecided = 0;    // keys whose history was too much for the checker's bound
};

struct RunResult {
    bool passed = false;
    std::string failure;  // the first violation, with its time
    RunNumbers numbers;
};

struct RunOptions {
    Trace::Write trace;            // text of every event
    Observer* observer = nullptr;  // outlives the run
    TimeUs sample_us = 200 * ms;   // how often the observer is shown the replicas
    bool go_on = false;            // after a violation, too: what happens then is to be seen
};

[[nodiscard]] RunResult run_scenario(const Scenario& scenario, const RunOptions& options = {});

class World final : private ReplicaWorld, private ClientWorld {
 public:
    World(Scenario scenario, const RunOptions& options);
    ~World() override;
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    [[nodiscard]] RunResult run();

 private:
    struct ClientLink {
        replica::LinkId id = 0;
        TimeUs next_attempt = 0;
        [[nodiscard]] bool up() const { return id != 0; }
    };
    static constexpr TimeUs client_tick_us = 10 * ms;
    struct Parcel;  // a message under way, encoded at most once

    // ReplicaWorld
    void peer_send(consensus::ReplicaId from, const std::vector<consensus::ReplicaId>& to,
                   const consensus::PeerMessage& message) override;
    void client_send(consensus::ReplicaId from, replica::LinkId link, const wire::ReplicaMessage& message) override;
    void on_durable(consensus::ReplicaId replica, const std::vector<consensus::Persist>& group) override;
    void on_recovered(consensus::ReplicaId replica, const consensus::Recovered& recovered) override;
    void on_executed(consensus::ReplicaId replica, const consensus::Block& block,
                     const kvstore::ExecutedBlock& result) override;
    void on_crashed(consensus::ReplicaId replica) override;
    void on_ended_itself(consensus::ReplicaId replica) override;
    void on_root(consensus::ReplicaId replica, const consensus::StateRoot& root) override;
    void on_installed(consensus::ReplicaId replica, const consensus::Recovered& recovered) override;
    void on_dropped(consensus::ReplicaId by, consensus::ReplicaId peer, const std::string& why) override;
    void on_step(consensus::ReplicaId replica, const consensus::Status& status) override;
    void on_accused(consensus::ReplicaId by, const consensus::Accuse& evidence) override;
    // ClientWorld
    void client_request(std::size_t client, consensus::ReplicaId to, const wire::ClientMessage& message) override;
    ChainChecker& chain() override { return chain_; }
    const ChangeLedger& changes() override { return changes_; }
    std::uint64_t moment() override { return ++moments_; }
    void violation(const std::string& what) override;
    Observer* observer() override { return options_.observer; }

    // world.cpp: the run
    void make_members();
    void start();
    void end_faults();
    void recover();
    void read_back();
    void read_back_when_idle();
    void poll();  // after the faults: is everything done?
    void adversary_tick();
    void sample();
    void finish();
    [[nodiscard]] bool converged() const;
    [[nodiscard]] bool is_deceived() const;
    [[nodiscard]] bool has_converged(const SimReplica& replica) const;
    void check_histories(RunNumbers& numbers);
    void count(RunNumbers& numbers) const;
    [[nodiscard]] bool is_correct(consensus::ReplicaId replica) const { return !traitors_.contains(replica.value); }
    [[nodiscard]] bool is_deceived(consensus::ReplicaId replica) const {
        return put_back_.contains(replica.value) || diverged_.contains(replica.value);
    }
    [[nodiscard]] bool is_stopped(consensus::ReplicaId replica) const { return stopped_.contains(replica.value); }
    [[nodiscard]] std::string lagging() const;
    [[nodiscard]] CostsSeen costs() const;
    void observe(Observer::Happening what, std::optional<consensus::ReplicaId> replica, const std::string& text);

    // world_faults.cpp
    void apply(std::size_t index);
    void apply_to(const FaultEvent& event, SimReplica& victim);
    void apply_to_disk(const FaultEvent& event, SimReplica& victim);
    void roll_back(SimReplica& victim, DiskPart part);
    [[nodiscard]] bool apply_to_network(const FaultEvent& event, consensus::ReplicaId victim);
    [[nodiscard]] consensus::ReplicaId who(std::uint16_t replica) const;
    void start_replica(SimReplica& replica);
    void separate(std::uint32_t mask, bool both_ways);
    void spoil_link(const FaultEvent& event, consensus::ReplicaId from);
    void heal_peers();
    void heal_clients();
    void heal_all();
    void cut_client(const FaultEvent& event);

    // world_messages.cpp
    template <class Message>
    [[nodiscard]] std::uint64_t observe_sent(std::uint16_t from, std::uint16_t to, const Message& message);
    void observe_received(std::uint64_t id);
    void observe_cost(consensus::ReplicaId from, std::size_t bytes);
    void send_parcel(consensus::ReplicaId from, consensus::ReplicaId to, const std::shared_ptr<Parcel>& parcel);
    void deliver_to_peer(consensus::ReplicaId from, consensus::ReplicaId to, Parcel& parcel, const Bytes* garbled,
                         const Arrival& arrival);
    void deliver_frame(consensus::ReplicaId from, consensus::ReplicaId to, ByteView frame);
    void deliver_damaged(consensus::ReplicaId from, Bytes frame, std::uint64_t entropy);
    void client_tick(std::size_t client);
    void connect(std::size_t client, std::size_t replica);
    void drop_link(std::size_t client, std::size_t replica);
    void peer_links_tick();
    void break_peer_links();  // all: they come up again one after the other
    [[nodiscard]] bool may_link(std::size_t a, std::size_t b) const;
    [[nodiscard]] ProcessIndex client_process(std::size_t client) const { return scenario_.n + client; }

    Scenario scenario_;
    RunOptions options_;
    Scheduler scheduler_;
    Trace trace_;
    Random random_;
    Network network_;
    Adversary adversary_;
    consensus::Membership membership_;
    std::vector<SimSigner> replica_keys_, client_keys_;
    std::vector<consensus::ClientId> client_ids_;
    std::map<std::string, consensus::ClientId> client_names_;  // c0, c1, ...
    SimVerifier signatures_;
    std::unique_ptr<consensus::MessageVerifier> verifier_;
    kvstore::StateMachineOptions state_options_;
    std::unique_ptr<HeaderTree> tree_;
    ChainChecker chain_;
    ChangeLedger changes_;
    std::vector<SigningLedger> ledgers_;
    std::vector<std::unique_ptr<SimReplica>> replicas_;
    std::vector<std::unique_ptr<SimClient>> clients_;
    std::vector<std::vector<ClientLink>> links_;  // [client][replica]
    std::map<replica::LinkId, std::pair<std::size_t, std::size_t>> link_ends_;
    std::vector<std::vector<bool>> peer_links_;  // [a][b], a < b: up
    replica::LinkId next_link_ = 1;
    std::set<std::uint16_t> traitors_, stopped_;
    // Correct replicas whose disk or memory deceives them count among the faulty: an old image is there, until they
    // know that votes are lost, or a state that is a wrong one, until another is in its place.
    std::set<std::uint16_t> put_back_, diverged_, diverged_images_, ever_deceived_;
    std::set<std::uint16_t> unaware_;  // of those put back: no disk says yet that they are amnesiac
    std::map<consensus::ReplicaId, std::shared_ptr<const crypto::Signer>> traitors_keys_;
    std::optional<std::string> failure_;
    bool finished_ = false, completed_ = false, only_slow_ = false, disagreed_ = false;
    std::uint64_t crashes_ = 0, accusations_ = 0, moments_ = 0;
    std::uint64_t installs_ = 0, amnesias_ = 0;
    std::map<consensus::Height, crypto::Digest> roots_;  // of correct replicas
    std::set<std::uint16_t> amnesiac_;
    std::uint64_t highest_view_ = 0, messages_seen_ = 0;
    std::uint64_t bytes_sent_ = 0, messages_sent_ = 0;  // by correct replicas; counted for an observer
    std::vector<std::uint64_t> verifications_;          // by receiver
    std::vector<Adversary::Views> views_;               // by replica, as of its last step
};

}  // namespace loyal::sim
