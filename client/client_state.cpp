#include "client/client_state.h"

#include <algorithm>
#include <boost/asio/post.hpp>

#include "config/assert.h"
#include "crypto/random.h"
#include "wire/codec.h"

namespace loyal::client {

namespace asio = boost::asio;
using consensus::ReplicaId;

namespace {

constexpr std::uint64_t tick_ms = 10;

Errc code_of(wire::RefusalCode code) {
    switch (code) {
        case wire::RefusalCode::denied:
        case wire::RefusalCode::not_allowed: return Errc::permission;
        case wire::RefusalCode::invalid: return Errc::invalid_argument;
        default: return Errc::unavailable;
    }
}

template <class Message>
void set_nonce(Message& message, std::uint64_t nonce) {
    message.nonce = nonce;
}
void set_nonce(wire::Submit& /*message*/, std::uint64_t /*nonce*/) {}

// Of the answers that are no session's business.
template <class Message>
std::optional<std::uint64_t> control_nonce(const Message& /*message*/) {
    return std::nullopt;
}
std::optional<std::uint64_t> control_nonce(const wire::StatusReply& reply) {
    return reply.nonce;
}
std::optional<std::uint64_t> control_nonce(const wire::ControlReply& reply) {
    return reply.nonce;
}
std::optional<std::uint64_t> control_nonce(const wire::CheckpointAnswer& answer) {
    return answer.nonce;
}
std::optional<std::uint64_t> control_nonce(const wire::StateAnswer& answer) {
    return answer.nonce;
}

std::optional<std::uint64_t> control_nonce(const wire::ReceiptAnswer& answer) {
    return answer.nonce;
}
std::optional<std::uint64_t> control_nonce(const wire::StateProofAnswer& answer) {
    return answer.nonce;
}

SessionOptions session_options(const ClientOptions& options) {
    SessionOptions session;
    session.key = options.identity->public_key();
    session.session = consensus::SessionId(crypto::random_u64());
    session.retry_ms = options.retry_ms != 0 ? options.retry_ms : 2 * options.cluster.timers.order_latency_ms;
    session.timeout_ms = options.timeout_ms;
    return session;
}

}  // namespace

Client::State::State(ClientOptions chosen)
    : options(std::move(chosen)),
      membership(options.cluster.membership()),
      session(membership, membership.fault_model == consensus::FaultModel::crash ? nullptr : options.identity.get(),
              session_options(options)),
      last_failure_ms(options.cluster.replicas.size(), 0) {
    for (const config::ReplicaEntry& replica : options.cluster.replicas) {
        ReplicaLinkOptions link;
        link.replica = replica;
        link.link = {options.cluster.cluster_id, options.cluster.epoch, crypto::LinkRole::client,
                     options.identity.get(), &verifier};
        link.connect_timeout_ms = options.connect_timeout_ms;
        link.backoff_max_ms = options.backoff_max_ms;
        link.jitter_seed = crypto::random_u64();
        links.push_back(std::make_unique<ReplicaLink>(io, std::move(link), *this));
    }
}

// ---- Threads

bool Client::State::submit(std::function<void()> task) {
    bool wake = false;
    {
        const std::lock_guard lock(mutex);
        if (!open) {
            return false;
        }
        wake = inbox.empty();
        inbox.push_back(std::move(task));
    }
    // One wake-up for all that arrive until it is served: concurrent callers share an envelope.
    if (wake) {
        asio::post(io, [this] { run_inbox(); });
    }
    return true;
}

void Client::State::run_inbox() {
    std::vector<std::function<void()>> tasks;
    {
        const std::lock_guard lock(mutex);
        tasks.swap(inbox);
    }
    for (auto& task : tasks) {
        task();
    }
    settle();
}

void Client::State::run() {
    for (auto& link : links) {
        link->start();
    }
    io.run();
}

void Client::State::stop() {
    LOYAL_ASSERT(std::this_thread::get_id() != thread.get_id(), "close() from a completion would wait for itself");
    {
        const std::lock_guard lock(mutex);
        if (!open) {
            return;
        }
        open = false;
    }
    asio::post(io, [this] { shut_down(); });
    thread.join();
}

void Client::State::shut_down() {
    std::vector<std::function<void()>> tasks;
    {
        const std::lock_guard lock(mutex);
        tasks.swap(inbox);
    }
    for (auto& task : tasks) {
        task();
    }
    closing = true;
    session.close("the client was closed");
    while (!asks.empty()) {
        answer(asks.begin()->first, fail(Errc::unavailable, "the client was closed"));
    }
    io.stop();
}

// ---- Links

void Client::State::link_up(std::uint16_t replica) {
    session.connected(ReplicaId(replica), now_ms());
    for (auto& [nonce, each] : asks) {
        if (each.replica.value == replica && !each.sent) {
            send_ask(each);
        }
    }
}

void Client::State::link_down(std::uint16_t replica, const std::string& why) {
    fail_asks(ReplicaId(replica), true, Errc::unavailable, why);
    session.disconnected(ReplicaId(replica), now_ms());
}

void Client::State::link_failed(std::uint16_t replica, const std::string& why, bool denied) {
    last_failure_ms[replica] = now_ms();
    fail_asks(ReplicaId(replica), false, denied ? Errc::permission : Errc::unavailable, why);
    if (options.fail_fast) {
        session.not_reached(ReplicaId(replica), why, denied, now_ms());
    }
    fail_what_nobody_took();
}

// Every replica that is not connected was tried in vain since this moment; what was asked for before it, and could be
// handed to nobody, has no chance that it had not.
void Client::State::fail_what_nobody_took() {
    if (!options.fail_fast) {
        return;
    }
    std::uint64_t tried_by_ms = now_ms();
    std::size_t denials = 0;
    for (std::size_t i = 0; i < links.size(); ++i) {
        if (!links[i]->is_up()) {
            tried_by_ms = std::min(tried_by_ms, last_failure_ms[i]);
            denials += links[i]->was_denied() ? 1U : 0U;
        }
    }
    if (tried_by_ms == 0) {
        return;
    }
    const bool denied = denials >= membership.quorum().w;
    session.unreachable(tried_by_ms - 1, links_text(), denied, now_ms());
}

std::string Client::State::links_text() const {
    std::size_t up = 0;
    std::string errors;
    for (std::size_t i = 0; i < links.size(); ++i) {
        up += links[i]->is_up() ? 1U : 0U;
        if (!links[i]->is_up()) {
            errors += (errors.empty() ? "" : "; ") + ("replica " + std::to_string(i) + ": ") + links[i]->last_error();
        }
    }
    return std::to_string(up) + " of " + std::to_string(links.size()) + " replicas can be reached, at least " +
           std::to_string(membership.quorum().w) + " must be; are they running? (" + errors + ")";
}

void Client::State::frame_received(std::uint16_t replica, const Bytes& frame) {
    const auto message = wire::decode_replica(frame);
    // What cannot be read is this replica's fault; the others' answers do not depend on it.
    if (message && !take_control_message(ReplicaId(replica), *message)) {
        session.receive(ReplicaId(replica), *message, now_ms());
    }
}

// ---- After each batch of events

void Client::State::settle() {
    send_outgoing();
    arm_tick();
}

// A message to all is encoded once.
void Client::State::send_outgoing() {
    const std::uint8_t* encoded_of = nullptr;
    Bytes encoded;
    for (const Outgoing& out : session.take_outgoing()) {
        ReplicaLink& link = *links[out.to.value];
        const auto* submit = std::get_if<wire::Submit>(&out.message);
        const std::uint8_t* identity = submit != nullptr ? submit->envelope.bytes.data() : nullptr;
        if (identity == nullptr || identity != encoded_of) {
            encoded = wire::encode(out.message);
            encoded_of = identity;
        }
        link.send(encoded);
    }
    for (auto& link : links) {
        link->flush();
    }
}

void Client::State::arm_tick() {
    if (ticking || (!session.busy() && asks.empty())) {
        return;
    }
    ticking = true;
    tick_timer.expires_after(std::chrono::milliseconds(tick_ms));
    tick_timer.async_wait([this](const boost::system::error_code& error) {
        ticking = false;
        if (!error) {
            on_tick();
        }
    });
}

void Client::State::on_tick() {
    const std::uint64_t now = now_ms();
    session.tick(now);
    std::vector<std::uint64_t> late;
    for (const auto& [nonce, each] : asks) {
        if (each.deadline_ms <= now) {
            late.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : late) {
        const Ask& each = asks.at(nonce);
        const std::string& error = links[each.replica.value]->last_error();
        answer(nonce, each.sent ? fail(Errc::timed_out, "no answer in time")
                                : fail(Errc::unavailable, error.empty() ? "not connected in time" : error));
    }
    settle();
}

// ---- Operations

bool Client::State::take_place(const char*& why) {
    if (under_way >= options.operations_max) {
        why = "too many operations are under way in this client";
        return false;
    }
    ++under_way;
    return true;
}

void Client::State::write(kvstore::Operation operation, OnWrite done) {
    const char* why = nullptr;
    if (!take_place(why)) {
        done({Certainty::not_applied, {}, {}, std::string("not applied: ") + why, false});
        return;
    }
    session.write(std::move(operation), now_ms(), [this, done = std::move(done)](const WriteResult& result) {
        --under_way;
        done(result);
    });
}

void Client::State::read(kvstore::Query query, OnRead done, std::optional<ReplicaId> stale_from, bool in_order) {
    const char* why = nullptr;
    if (!take_place(why)) {
        ReadResult refused;
        refused.why = why;
        done(refused);
        return;
    }
    auto finish = [this, done = std::move(done)](const ReadResult& result) {
        --under_way;
        done(result);
    };
    if (in_order) {
        session.read_in_order(std::move(query), now_ms(), std::move(finish));
    } else {
        session.read(std::move(query), now_ms(), std::move(finish), stale_from);
    }
}

// From whoever can be reached: at the start nobody knows yet who that is.
void Client::State::read_from_somebody(const kvstore::Query& query, const OnRead& done, std::size_t attempts,
                                       std::uint64_t deadline_ms) {
    read(
        query,
        [this, query, done, attempts, deadline_ms](const ReadResult& result) {
            const bool answered = result.ok || result.status != kvstore::Status::ok;
            const bool again = !answered && !result.denied && attempts > 1 && now_ms() < deadline_ms && !closing;
            if (again) {
                read_from_somebody(query, done, attempts - 1, deadline_ms);
            } else {
                done(result);
            }
        },
        some_replica());
}

// In turn, those that are connected first.
ReplicaId Client::State::some_replica() {
    const std::size_t first = next_stale++;
    for (std::size_t i = 0; i < links.size(); ++i) {
        const std::size_t candidate = (first + i) % links.size();
        if (links[candidate]->is_up()) {
            return ReplicaId(static_cast<std::uint16_t>(candidate));
        }
    }
    return ReplicaId(static_cast<std::uint16_t>(first % links.size()));
}

// ---- Status and faults

void Client::State::ask(ReplicaId replica, wire::ClientMessage message, std::uint64_t timeout_ms,
                        std::function<void(Result<wire::ReplicaMessage>)> done) {
    const std::uint64_t nonce = next_nonce++;
    std::visit([nonce](auto& each) { set_nonce(each, nonce); }, message);
    Ask& each = asks[nonce];
    each = Ask{replica, std::move(message), now_ms() + timeout_ms, false, std::move(done)};
    if (links[replica.value]->is_up()) {
        send_ask(each);
    } else {
        links[replica.value]->hurry();
    }
}

void Client::State::send_ask(Ask& each) {
    each.sent = true;
    links[each.replica.value]->send(wire::encode(each.message));
}

void Client::State::answer(std::uint64_t nonce, Result<wire::ReplicaMessage> result) {
    auto node = asks.extract(nonce);
    if (!node.empty()) {
        node.mapped().done(std::move(result));
    }
}

void Client::State::answered_by(ReplicaId from, std::uint64_t nonce, Result<wire::ReplicaMessage> result) {
    const auto asked = asks.find(nonce);
    if (asked != asks.end() && asked->second.replica == from) {
        answer(nonce, std::move(result));
    }
}

void Client::State::fail_asks(ReplicaId replica, bool sent_only, Errc code, const std::string& why) {
    std::vector<std::uint64_t> failed;
    for (const auto& [nonce, each] : asks) {
        if (each.replica == replica && (each.sent || !sent_only)) {
            failed.push_back(nonce);
        }
    }
    for (const std::uint64_t nonce : failed) {
        answer(nonce, fail(code, why));
    }
}

bool Client::State::take_control_message(ReplicaId from, const wire::ReplicaMessage& message) {
    const auto nonce = std::visit([](const auto& each) { return control_nonce(each); }, message);
    if (nonce) {
        answered_by(from, *nonce, message);
        return true;
    }
    const auto* refusal = std::get_if<wire::Refusal>(&message);
    if (refusal != nullptr && refusal->nonce >= first_control_nonce) {
        const std::string why = refusal->why.empty() ? wire::name_of(refusal->code) : refusal->why;
        answered_by(from, refusal->nonce, fail(code_of(refusal->code), why));
        return true;
    }
    return false;
}

void Client::State::status(OnStatus done, std::uint64_t timeout_ms) {
    struct Gathering {
        std::vector<ReplicaStatus> replicas;
        std::size_t missing = 0;
        OnStatus done;
    };
    auto gathering = std::make_shared<Gathering>();
    gathering->replicas.resize(links.size());
    gathering->missing = links.size();
    gathering->done = std::move(done);
    for (std::uint16_t id = 0; id < links.size(); ++id) {
        const auto take = [gathering, id](Result<wire::StatusReply> answered) {
            ReplicaStatus& status = gathering->replicas[id];
            status.replica = ReplicaId(id);
            status.reachable = answered.has_value();
            if (answered) {
                status.json = std::move(answered->json);
            } else {
                status.why = answered.error().message;
                status.denied = answered.error().code == Errc::permission;
            }
            if (--gathering->missing == 0) {
                gathering->done(gathering->replicas);
            }
        };
        ask_for<wire::StatusReply>(ReplicaId(id), wire::StatusRequest{}, timeout_ms, take);
    }
}

}  // namespace loyal::client
