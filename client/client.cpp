#include "client/client.h"

#include <system_error>

#include "client/client_state.h"
#include "config/assert.h"
#include "config/limits.h"

namespace loyal::client {

using consensus::ReplicaId;

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() {
    close();
}

Result<std::unique_ptr<Client>> Client::open(ClientOptions options) {
    crypto::initialize();
    const std::size_t n = options.cluster.replicas.size();
    if (n == 0 || n > limits::replicas_max) {
        return fail(Errc::invalid_argument, "a cluster has 1 to " + std::to_string(limits::replicas_max) +
                                                " replicas, this one has " + std::to_string(n));
    }
    if (!options.identity) {
        return fail(Errc::invalid_argument, "a client needs a key");
    }
    if (options.timeout_ms == 0 || options.connect_timeout_ms == 0 || options.operations_max == 0) {
        return fail(Errc::invalid_argument, "time-outs and operations_max are at least 1");
    }
    auto state = std::make_unique<State>(std::move(options));
    State* running = state.get();
    try {
        state->thread = std::thread([running] { running->run(); });
    } catch (const std::system_error& error) {
        return fail(Errc::internal, std::string("cannot start the client's thread: ") + error.what());
    }
    return std::unique_ptr<Client>(new Client(std::move(state)));
}

void Client::close() {
    state_->stop();
}

namespace {
constexpr const char* closed_text = "the client is closed";
}

void Client::write(kvstore::Operation operation, OnWrite done) {
    auto shared = std::make_shared<OnWrite>(std::move(done));
    if (!state_->submit([state = state_.get(), operation = std::move(operation), shared]() mutable {
            state->write(std::move(operation), std::move(*shared));
        })) {
        (*shared)({Certainty::not_applied, {}, {}, std::string("not applied: ") + closed_text, false});
    }
}

void Client::read(kvstore::Query query, OnRead done) {
    auto shared = std::make_shared<OnRead>(std::move(done));
    if (!state_->submit([state = state_.get(), query = std::move(query), shared]() mutable {
            state->read(std::move(query), std::move(*shared), std::nullopt);
        })) {
        ReadResult refused;
        refused.why = closed_text;
        (*shared)(refused);
    }
}

void Client::read_in_order(kvstore::Query query, OnRead done) {
    auto shared = std::make_shared<OnRead>(std::move(done));
    if (!state_->submit([state = state_.get(), query = std::move(query), shared]() mutable {
            state->read(std::move(query), std::move(*shared), std::nullopt, true);
        })) {
        ReadResult refused;
        refused.why = closed_text;
        (*shared)(refused);
    }
}

void Client::read_stale(kvstore::Query query, OnRead done, std::optional<ReplicaId> from) {
    auto shared = std::make_shared<OnRead>(std::move(done));
    if (!state_->submit([state = state_.get(), query = std::move(query), shared, from]() mutable {
            if (from) {
                state->read(std::move(query), std::move(*shared), from);
            } else {
                state->read_from_somebody(query, *shared, state->links.size(),
                                          state->now_ms() + state->options.timeout_ms);
            }
        })) {
        ReadResult refused;
        refused.why = closed_text;
        (*shared)(refused);
    }
}

void Client::status(OnStatus done, std::uint64_t timeout_ms) {
    auto shared = std::make_shared<OnStatus>(std::move(done));
    if (!state_->submit(
            [state = state_.get(), shared, timeout_ms] { state->status(std::move(*shared), timeout_ms); })) {
        std::vector<ReplicaStatus> unreachable(state_->links.size());
        for (std::uint16_t id = 0; id < unreachable.size(); ++id) {
            unreachable[id].replica = ReplicaId(id);
            unreachable[id].why = closed_text;
        }
        (*shared)(unreachable);
    }
}

void Client::control(ReplicaId replica, std::string command, OnControl done) {
    if (replica.value >= state_->options.cluster.replicas.size()) {
        done(fail(Errc::invalid_argument, "there is no replica " + std::to_string(replica.value)));
        return;
    }
    auto shared = std::make_shared<OnControl>(std::move(done));
    if (!state_->submit([state = state_.get(), shared, replica, command = std::move(command)]() mutable {
            state->ask_for<wire::ControlReply>(
                replica, wire::Control{0, std::move(command)}, state->options.timeout_ms,
                [shared](const Result<wire::ControlReply>& answered) {
                    (*shared)(answered.map([](const wire::ControlReply& reply) { return reply.text; }));
                });
        })) {
        (*shared)(fail(Errc::unavailable, closed_text));
    }
}

void Client::checkpoint(ReplicaId replica, OnCheckpoint done) {
    if (replica.value >= state_->options.cluster.replicas.size()) {
        done(fail(Errc::invalid_argument, "there is no replica " + std::to_string(replica.value)));
        return;
    }
    auto shared = std::make_shared<OnCheckpoint>(std::move(done));
    if (!state_->submit([state = state_.get(), shared, replica] {
            state->ask_for<wire::CheckpointAnswer>(replica, wire::CheckpointAsk{}, state->options.timeout_ms, *shared);
        })) {
        (*shared)(fail(Errc::unavailable, closed_text));
    }
}

void Client::state_part(ReplicaId replica, consensus::StateRequest request, OnStatePart done) {
    if (replica.value >= state_->options.cluster.replicas.size()) {
        done(fail(Errc::invalid_argument, "there is no replica " + std::to_string(replica.value)));
        return;
    }
    auto shared = std::make_shared<OnStatePart>(std::move(done));
    if (!state_->submit([state = state_.get(), shared, replica, request = std::move(request)]() mutable {
            state->ask_for<wire::StateAnswer>(
                replica, wire::StateAsk{0, std::move(request)}, state->options.timeout_ms,
                [shared](const Result<wire::StateAnswer>& answered) {
                    (*shared)(answered.map([](const wire::StateAnswer& answer) { return answer.chunk; }));
                });
        })) {
        (*shared)(fail(Errc::unavailable, closed_text));
    }
}

void Client::receipt(ReplicaId replica, wire::ReceiptAsk ask, OnReceipt done) {
    if (replica.value >= state_->options.cluster.replicas.size()) {
        done(fail(Errc::invalid_argument, "there is no replica " + std::to_string(replica.value)));
        return;
    }
    auto shared = std::make_shared<OnReceipt>(std::move(done));
    if (!state_->submit([state = state_.get(), shared, replica, ask] {
            state->ask_for<wire::ReceiptAnswer>(replica, ask, state->options.timeout_ms, *shared);
        })) {
        (*shared)(fail(Errc::unavailable, closed_text));
    }
}

void Client::state_proof(ReplicaId replica, Bytes key, OnStateProof done) {
    if (replica.value >= state_->options.cluster.replicas.size()) {
        done(fail(Errc::invalid_argument, "there is no replica " + std::to_string(replica.value)));
        return;
    }
    auto shared = std::make_shared<OnStateProof>(std::move(done));
    if (!state_->submit([state = state_.get(), shared, replica, key = std::move(key)]() mutable {
            state->ask_for<wire::StateProofAnswer>(replica, wire::StateProofAsk{0, std::move(key)},
                                                   state->options.timeout_ms, *shared);
        })) {
        (*shared)(fail(Errc::unavailable, closed_text));
    }
}

WatchId Client::watch(WatchOptions watched, OnWatch told) {
    const WatchId id(state_->next_watch++);
    auto shared = std::make_shared<OnWatch>(std::move(told));
    if (!state_->submit([state = state_.get(), id, watched = std::move(watched), shared]() mutable {
            state->session.watch(id, std::move(watched), state->now_ms(), std::move(*shared));
            state->session.tick(state->now_ms());  // what is refused at once is told now
        })) {
        WatchNews news;
        news.kind = WatchNews::Kind::ended;
        news.why = closed_text;
        (*shared)(news);
    }
    return id;
}

void Client::unwatch(WatchId id) {
    (void)state_->submit([state = state_.get(), id] { state->session.unwatch(id, state->now_ms()); });
}

std::future<WriteResult> Client::write(kvstore::Operation operation) {
    auto promise = std::make_shared<std::promise<WriteResult>>();
    write(std::move(operation), [promise](const WriteResult& result) { promise->set_value(result); });
    return promise->get_future();
}

std::future<ReadResult> Client::read(kvstore::Query query) {
    auto promise = std::make_shared<std::promise<ReadResult>>();
    read(std::move(query), [promise](const ReadResult& result) { promise->set_value(result); });
    return promise->get_future();
}

namespace {

// A blocking call from a completion would wait for the thread that it is on.
template <class T>
T wait_for(std::future<T> future, const std::thread& own) {
    LOYAL_ASSERT(std::this_thread::get_id() != own.get_id(), "a blocking call from a completion would wait for itself");
    return future.get();
}

}  // namespace

WriteResult Client::write_sync(kvstore::Operation operation) {
    return wait_for(write(std::move(operation)), state_->thread);
}

ReadResult Client::read_sync(kvstore::Query query) {
    return wait_for(read(std::move(query)), state_->thread);
}

ReadResult Client::read_in_order_sync(kvstore::Query query) {
    auto promise = std::make_shared<std::promise<ReadResult>>();
    read_in_order(std::move(query), [promise](const ReadResult& result) { promise->set_value(result); });
    return wait_for(promise->get_future(), state_->thread);
}

ReadResult Client::read_stale_sync(kvstore::Query query, std::optional<ReplicaId> from) {
    auto promise = std::make_shared<std::promise<ReadResult>>();
    read_stale(
        std::move(query), [promise](const ReadResult& result) { promise->set_value(result); }, from);
    return wait_for(promise->get_future(), state_->thread);
}

std::vector<ReplicaStatus> Client::status_sync(std::uint64_t timeout_ms) {
    auto promise = std::make_shared<std::promise<std::vector<ReplicaStatus>>>();
    status([promise](const std::vector<ReplicaStatus>& replicas) { promise->set_value(replicas); }, timeout_ms);
    return wait_for(promise->get_future(), state_->thread);
}

Result<std::string> Client::control_sync(ReplicaId replica, std::string command) {
    auto promise = std::make_shared<std::promise<Result<std::string>>>();
    control(replica, std::move(command), [promise](const Result<std::string>& result) { promise->set_value(result); });
    return wait_for(promise->get_future(), state_->thread);
}

SessionStatus Client::session_status() {
    auto promise = std::make_shared<std::promise<SessionStatus>>();
    if (!state_->submit([state = state_.get(), promise] { promise->set_value(state->session.status()); })) {
        return {};
    }
    return wait_for(promise->get_future(), state_->thread);
}

}  // namespace loyal::client
