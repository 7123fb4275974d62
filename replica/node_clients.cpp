// Clients of a replica: their links, requests and answers (PROTOCOL.md §10 C1 to C4, §11 P1 and R1 to R4).
#include <algorithm>
#include <utility>

#include "config/limits.h"
#include "replica/node_state.h"

namespace loyal::replica {
namespace {

// The clock stands in for the last block's hlc when that is older than this (Welcome, Reply).
constexpr std::uint64_t stale_hlc_ms = 1'000;
// Also sent unasked behind each Welcome: what a client then hands to nobody is surely not applied.
constexpr const char* no_writes_now = "this replica takes no writes now";

wire::RefusalCode refusal_of(kvstore::Admission verdict) {
    switch (verdict) {
        case kvstore::Admission::expired: return wire::RefusalCode::expired;
        case kvstore::Admission::window: return wire::RefusalCode::window;
        case kvstore::Admission::denied: return wire::RefusalCode::denied;
        default: return wire::RefusalCode::invalid;
    }
}

}  // namespace

void Node::State::to_client(LinkId link, const consensus::ClientId& client, const wire::ReplicaMessage& message) {
    if (!fault) {
        port.to_client(link, message);
        return;
    }
    for (const wire::ReplicaMessage& out : fault->to_client(client, message)) {
        port.to_client(link, out);
    }
}

consensus::Hlc Node::State::current_hlc() const {
    return executed_hlc.wall_ms() + stale_hlc_ms >= wall_ms ? executed_hlc : consensus::Hlc(wall_ms, 0);
}

void Node::State::welcome(LinkId link, const consensus::ClientId& client) {
    to_client(link, client, wire::Welcome{self, view, primary, current_hlc()});
    if (writes_refused) {
        to_client(link, client, wire::Refusal{self, *writes_refused, false, {}, 0, no_writes_now});
    }
}

void Node::State::refuse(LinkId link, const consensus::Envelope& envelope, wire::RefusalCode code, std::string why) {
    ++counters.envelopes_refused;
    count(std::string("envelope ") + wire::name_of(code));
    to_client(link, envelope.client,
              wire::Refusal{self, code, false, envelope.session, envelope.seq0.value, std::move(why)});
}

void Node::State::refuse_read(LinkId link, const wire::Read& request) {
    ++counters.reads_busy;
    if (const auto client = routes.client_of(link)) {
        to_client(
            link, *client,
            wire::Refusal{self,
                          wire::RefusalCode::busy,
                          true,
                          {},
                          request.nonce,
                          "the replica did not catch up with its lock in time, or has too many reads; ask again"});
    }
}

void Node::State::submit(crypto::Verified<consensus::Envelope> envelope) {
    ++counters.envelopes_admitted;
    if (!fault) {
        step(consensus::Submitted{std::move(envelope)});
        return;
    }
    for (auto& each : fault->submit(std::move(envelope))) {
        step(consensus::Submitted{std::move(each)});
    }
}

// Rule P1; in the crash model the leader alone replies (8e).
void Node::State::reply(const kvstore::Replies& replies) {
    const bool crash_model = membership.fault_model == consensus::FaultModel::crash;
    if (crash_model && primary != self) {
        return;
    }
    const std::vector<LinkId> links = routes.links(replies.client, replies.session);
    if (links.empty()) {
        return;
    }
    const wire::ReplicaMessage message = make_reply(reply_context(), replies, crash_model);
    for (const LinkId link : links) {
        to_client(link, replies.client, message);
    }
}

void Node::client_envelope(LinkId link, crypto::Verified<consensus::Envelope> envelope) {
    State& s = *state_;
    const consensus::ClientId client = envelope->client;
    s.routes.used(link, client, envelope->session);
    if (!s.serving()) {
        s.refuse(link, *envelope, wire::RefusalCode::busy, "this replica is recovering its state; ask another");
        return;
    }
    std::size_t& waiting = s.admitting[client];
    if (waiting >= limits::client_outstanding_envelopes_max) {
        s.refuse(link, *envelope, wire::RefusalCode::busy, "too many envelopes of this client wait for admission");
        return;
    }
    ++waiting;
    s.port.admit(link, std::move(envelope));
}

void Node::admitted(LinkId link, crypto::Verified<consensus::Envelope> envelope, kvstore::AdmissionResult result) {
    State& s = *state_;
    if (link == no_link) {
        s.relays_admitting -= s.relays_admitting > 0 ? 1 : 0;  // restart() forgets those under way
        if (result.verdict == kvstore::Admission::admit && s.primary == s.self && !s.writes_refused) {
            s.submit(std::move(envelope));
        }
        return;
    }
    if (const auto found = s.admitting.find(envelope->client); found != s.admitting.end() && --found->second == 0) {
        s.admitting.erase(found);
    }
    switch (result.verdict) {
        case kvstore::Admission::admit: break;
        case kvstore::Admission::already_executed:
            ++s.counters.replies_cached;
            if (result.replies.outcomes.empty()) {
                return;  // the client acknowledged all of them: nobody waits
            }
            s.to_client(link, envelope->client, make_reply(s.reply_context(), result.replies, true));
            return;
        default: s.refuse(link, *envelope, refusal_of(result.verdict), "not admitted in the executed state"); return;
    }
    if (s.writes_refused) {
        s.refuse(link, *envelope, *s.writes_refused, no_writes_now);
        return;
    }
    if (s.core->status().pending_envelopes >= limits::envelope_pool_max) {
        s.refuse(link, *envelope, wire::RefusalCode::busy, "the envelope pool is full; try again later");
        return;
    }
    s.submit(std::move(envelope));
}

void Node::client_read(LinkId link, const consensus::ClientId& client, wire::Read request) {
    State& s = *state_;
    if (s.routes.client_of(link) != client || (s.fault && !s.fault->from_client(client, request))) {
        return;  // the link closed meanwhile, or a traitor does not listen
    }
    ++s.counters.reads;
    if (!s.serving()) {
        s.refuse_read(link, request);
        return;
    }
    if (s.reads.submit(link, std::move(request), s)) {
        ++s.counters.reads_waited;
    }
}

void Node::client_receipt(LinkId link, const consensus::ClientId& client, const wire::ReceiptAsk& ask) {
    State& s = *state_;
    if (s.routes.client_of(link) != client) {
        return;
    }
    auto answer = s.receipts.answer(client, ask, s.signer());
    if (answer) {
        s.to_client(link, client, std::move(*answer));
        return;
    }
    const bool later = answer.error().code == Errc::unavailable;
    s.count(later ? "receipt busy" : "receipt invalid");
    s.to_client(link, client,
                wire::Refusal{s.self,
                              later ? wire::RefusalCode::busy : wire::RefusalCode::invalid,
                              true,
                              {},
                              ask.nonce,
                              answer.error().message});
}

void Node::client_state_proof(LinkId link, std::uint64_t nonce, Result<kvstore::StateProof> proof) {
    State& s = *state_;
    const auto client = s.routes.client_of(link);
    if (!client) {
        return;
    }
    if (proof && proof->vouched) {
        kvstore::SignedRoot& word = *proof->vouched;
        word.signature = s.signer().sign(consensus::signed_bytes(
            s.membership.context, consensus::SignDomain::state_root, kvstore::root_content(word.root, word.replica)));
        if (word.signature.is_zero()) {
            proof = fail(Errc::unavailable, "this replica does not sign that state now; ask another");
        }
    }
    if (proof) {
        s.to_client(link, *client, wire::StateProofAnswer{nonce, std::move(*proof)});
    } else {
        s.to_client(link, *client,
                    wire::Refusal{s.self, wire::RefusalCode::busy, true, {}, nonce, proof.error().message});
    }
}

void Node::read_done(LinkId link, const wire::Read& request, consensus::Height lock,
                     const Result<kvstore::ReadAnswer>& answer) {
    State& s = *state_;
    const auto client = s.routes.client_of(link);
    if (!client) {
        return;
    }
    if (!answer) {
        const bool denied = answer.error().code == Errc::permission;
        const bool invalid = answer.error().code == Errc::invalid_argument;
        const auto code = denied    ? wire::RefusalCode::denied
                          : invalid ? wire::RefusalCode::invalid
                                    : wire::RefusalCode::busy;
        s.count(std::string("read ") + wire::name_of(code));
        s.to_client(link, *client, wire::Refusal{s.self, code, true, {}, request.nonce, answer.error().message});
        return;
    }
    wire::ReadReply reply;
    reply.replica = s.self;
    reply.nonce = request.nonce;
    reply.digest = crypto::digest_of("read", answer->result);
    if (request.want_result) {
        reply.result = answer->result;
    }
    reply.revision = answer->revision;
    reply.executed = answer->executed;
    reply.lock = lock;
    reply.hlc = answer->hlc;
    s.to_client(link, *client, std::move(reply));
}

void Node::State::tell(std::uint64_t link, const wire::ReplicaMessage& message) {
    if (const auto client = routes.client_of(link)) {
        to_client(link, *client, message);
    }
}

void Node::client_watch(LinkId link, const consensus::ClientId& client, wire::Watch request) {
    if (state_->routes.client_of(link) == client) {  // the link did not close meanwhile
        state_->watches.ask(link, std::move(request));
    }
}

void Node::client_unwatch(LinkId link, const wire::Unwatch& request) {
    state_->watches.unwatch(link, request);
}

void Node::changes_read(std::uint64_t ticket, const Result<kvstore::ChangePage>& page, kvstore::Revision revision) {
    state_->watches.changes_read(ticket, page, revision);
}

void Node::client_connected(LinkId link, const consensus::ClientId& client) {
    state_->routes.connected(link, client);
    state_->welcome(link, client);
}

void Node::client_disconnected(LinkId link) {
    state_->routes.disconnected(link);
    state_->reads.drop_link(link);
    state_->watches.drop_link(link);
}

}  // namespace loyal::replica
