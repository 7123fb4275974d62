// Inside of Node, shared by node.cpp (core, peers, life) and node_clients.cpp (requests and answers). Private to
// replica/.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "replica/node.h"
#include "replica/read_queue.h"
#include "replica/receipt_book.h"
#include "replica/replies.h"
#include "replica/return_routes.h"
#include "replica/send_gate.h"
#include "replica/signing_guard.h"

namespace loyal::replica {

struct Node::State final : ReadView, WatchPort {
    State(NodeOptions node_options, const consensus::MessageVerifier& message_verifier,
          const crypto::Signer& own_signer, const consensus::Recovered& recovered, NodePort& node_port);

    // ---- ReadView
    [[nodiscard]] consensus::ReadTarget target() const override {
        return rule_off("R2") ? consensus::ReadTarget{} : core->read_target();
    }
    [[nodiscard]] bool contains(const consensus::BlockRef& block) const override {
        return rule_off("R2") || core->is_executed(block);
    }
    [[nodiscard]] consensus::Height executed() const override { return executed_height; }

    // ---- WatchPort
    void tell(std::uint64_t link, const wire::ReplicaMessage& message) override;
    [[nodiscard]] std::size_t backlog(std::uint64_t link) override { return port.client_backlog(link); }
    void read_changes(std::uint64_t link, std::uint64_t ticket, kvstore::ChangeQuery query) override {
        port.read_changes(link, ticket, std::move(query));
    }

    [[nodiscard]] bool rule_off(std::string_view rule) const;
    [[nodiscard]] bool serving() const { return core->serving(); }
    void begin(const consensus::Recovered& recovered);
    void start();
    void step(const consensus::Input& input);
    void apply(consensus::Effects& effects);
    void on(consensus::Persist& effect) {
        guard.persisting(effect);
        port.persist(std::move(effect));
    }
    void on(consensus::Send& effect);
    void on(consensus::Execute& effect) { port.execute(std::move(effect.block)); }
    void on(consensus::ServeCommitted& effect) { port.serve_committed(effect); }
    void on(consensus::Stable& effect) { port.stable(effect); }
    void on(consensus::FetchState& effect) { port.fetch_state(effect); }
    void on(consensus::Accuse& effect) { port.accuse(effect); }
    void on(consensus::Rejected& effect) { count(effect.why); }
    void on(consensus::ViewEntered& effect);
    void on(consensus::Trace& effect) { port.note(effect.text); }

    void leave(consensus::Send send);
    void to_client(LinkId link, const consensus::ClientId& client, const wire::ReplicaMessage& message);
    void welcome(LinkId link, const consensus::ClientId& client);
    void refuse(LinkId link, const consensus::Envelope& envelope, wire::RefusalCode code, std::string why);
    void refuse_read(LinkId link, const wire::Read& request);
    void reply(const kvstore::Replies& replies);
    void submit(crypto::Verified<consensus::Envelope> envelope);
    void misbehave();
    void compare_clocks();
    // True if it was one of those, and is done with.
    [[nodiscard]] bool on_clock_message(consensus::ReplicaId from, const consensus::PeerMessage& message);
    [[nodiscard]] bool on_state_message(consensus::ReplicaId from, const consensus::PeerMessage& message);
    void count(const std::string& why);
    [[nodiscard]] consensus::Hlc current_hlc() const;
    [[nodiscard]] ReplyContext reply_context() const { return {self, quorum, view, current_hlc()}; }

    [[nodiscard]] const crypto::Signer& signer() const {
        return guard_off ? plain_signer : static_cast<const crypto::Signer&>(guard);
    }

    NodeOptions options;
    NodePort& port;
    const consensus::MessageVerifier& verifier;
    const crypto::Signer& plain_signer;
    const consensus::Membership& membership;
    consensus::Quorum quorum;
    consensus::ReplicaId self;
    bool guard_off;
    bool gate_off;
    std::vector<consensus::ReplicaId> others;

    SigningGuard guard;
    std::optional<consensus::Core> core;  // never empty after construction
    SendGate gate;
    ReadQueue reads;
    ReturnRoutes routes;
    ReceiptBook receipts;
    WatchHub watches;
    ClockSync clocks;
    std::unique_ptr<FaultModel> fault;
    std::optional<wire::RefusalCode> writes_refused;
    std::size_t relays_admitting = 0;                      // envelopes of backups that wait for admission
    std::map<consensus::ClientId, std::size_t> admitting;  // envelopes of a client that wait for admission

    consensus::View view;
    consensus::ReplicaId primary;
    consensus::Height executed_height;
    crypto::Digest executed_digest;
    std::deque<std::pair<consensus::Height, crypto::Digest>> recent_states;
    consensus::Hlc executed_hlc;
    std::uint64_t wall_ms = 0;
    std::uint64_t monotonic_ms = 0;  // counted in ticks
    bool view_moved = false;
    mutable NodeCounters counters;
};

}  // namespace loyal::replica
