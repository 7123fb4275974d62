#include "replica/replica.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <csignal>
#include <thread>
#include <utility>

#include "config/limits.h"
#include "config/log_quota.h"
#include "replica/replica_state.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;

NodeOptions node_options(const ReplicaOptions& options) {
    const config::Timers& timers = options.cluster.timers;
    NodeOptions result;
    result.core.self = consensus::ReplicaId(options.id);
    result.core.heartbeat_ms = timers.heartbeat_ms;
    result.core.order_latency_ms = timers.order_latency_ms;
    result.core.progress_min_ms = timers.progress_min_ms;
    result.core.progress_max_ms = timers.progress_max_ms;
    result.core.precision_ms = timers.precision_ms;
    result.core.message_delay_ms = timers.message_delay_ms;
    result.core.adaptive = timers.adaptive;
    result.core.phi_threshold = timers.phi_threshold;
    result.core.tenure_ms = timers.tenure_ms;
    result.core.tenure_blocks = timers.tenure_blocks;
    result.core.recovery_rotation_ms = timers.recovery_rotation_ms;
    return result;
}

// Below the map, which LMDB cannot grow.
constexpr std::uint64_t state_quota_bytes = limits::lmdb_map_bytes / 8 * 7;

std::size_t verify_threads() {
    return std::clamp<std::size_t>(std::thread::hardware_concurrency() / 2, 1, 2);
}

}  // namespace

Replica::State::State(ReplicaOptions replica_options, crypto::Identity key, OpenedData opened)
    : options(std::move(replica_options)),
      identity(std::move(key)),
      data(std::move(opened)),
      self(options.id),
      membership(options.cluster.membership()),
      verifier(membership, signatures),
      started(std::chrono::steady_clock::now()),
      tick(node_options(options).core.tick_ms),
      disk_watch({config::log_quota_of(options.cluster), state_quota_bytes}),
      bell([this] { asio::post(loop, [this] { on_bell(); }); }),
      peers(loop, options.cluster, self, identity, signatures,
            PeerEvents{[this](consensus::ReplicaId from, Link& link, std::vector<Bytes>&& frames) {
                           on_peer_frames(from, link, std::move(frames));
                       },
                       [this](consensus::ReplicaId peer, bool up, const std::string& detail) {
                           on_peer_state(peer, up, detail);
                       }}),
      clients(loop, options.cluster, self, identity, signatures,
              ClientEvents{[this](Link& link, const consensus::ClientId& client) { on_client_up(link, client); },
                           [this](Link& link, const consensus::ClientId& client, std::vector<Bytes>&& frames) {
                               on_client_frames(link, client, std::move(frames));
                           },
                           [this](LinkId link) { on_client_down(link); }}),
      http(loop, [this](const std::string& path) { return http_answer(path); }),
      first_fault(first_model()),
      node(node_options(options), verifier, identity, data.recovered, *this),
      progress_at(started) {
    data.recovered.blocks.clear();  // the core holds what it needs of them
    if (options.cluster.experiments) {
        experiments = std::make_unique<Experiments>(
            loop, options.cluster.replicas.size(), self, data.disk_faults,
            [this](const LinkEnd& to, SharedBytes frame) {
                if (const auto* peer = std::get_if<consensus::ReplicaId>(&to)) {
                    peers.send(*peer, std::move(frame));
                } else {
                    clients.send(std::get<ClientLinkId>(to), std::move(frame));
                }
            },
            [this] { flush(); });
    }
    pool.emplace(verifier, verified, verify_threads());
    log_writer.emplace(*data.log, durable, room);
    if (data.state.machine) {
        clients.set_clients(data.state.machine->clients());
        executor.emplace(*data.state.machine, *data.state.store, executor_results, room, ExecutorOptions{});
    }
    background.emplace(*data.log, keeper_options(), served, keeper_events, disk, room);
    background->submit(KeepState{data.state.generation, std::move(data.state.checkpoints)});
}

Replica::State::~State() {
    background.reset();
    pool.reset();
    log_writer.reset();
    executor.reset();
}

Result<void> Replica::State::listen() {
    if (Result<void> done = peers.listen(); !done) {
        return done;
    }
    if (Result<void> done = clients.listen(); !done) {
        return done;
    }
    const config::ReplicaEntry& own = options.cluster.replicas[options.id];
    return http.listen(own.listen, own.http_port);
}

void Replica::State::run() {
    signals.add(SIGTERM);
    signals.add(SIGINT);
    signals.async_wait([this](const boost::system::error_code& error, int signal) {
        if (!error) {
            begin_stop(signal == SIGINT ? "SIGINT" : "SIGTERM");
        }
    });
    spdlog::info(
        "event=start replica={} replicas={} quorum={} executed={} committed={} entered={} crashed_before={} "
        "executed_again={} opened_in_ms={}",
        options.id, membership.replicas.size(), membership.quorum().q, node.executed_height().value,
        data.recovered.committed.height.value, data.recovered.voting.entered.value, data.crashed_before,
        data.executed_again, data.opened_in_ms);
    for (const std::string& warning : data.warnings) {
        spdlog::warn("event=recovery text=\"{}\"", warning);
    }
    recover_evidence();
    node.start(clock.now_ms());
    begin_input();
    peers.dial_all();
    next_tick = std::chrono::steady_clock::now() + tick;
    arm_tick();
    loop.run();
    // In this order: what was decided goes to the log, what was committed to the state.
    background->stop();
    pool->stop();
    log_writer->stop();
    if (executor) {
        executor->stop();
    }
    mark_stopped(data.path);
    spdlog::info("event=stopped executed={}", node.executed_height().value);
}

void Replica::State::begin_stop(const std::string& why) {
    if (std::exchange(stopping, true)) {
        return;
    }
    spdlog::info("event=stopping why={}", why);
    flush();
    http.stop();
    clients.stop();
    peers.stop();
    tick_timer.cancel();
    signals.cancel();
    // Whatever those closed sockets have to say is said first.
    asio::post(loop, [this] { asio::post(loop, [this] { loop.stop(); }); });
}

Replica::Replica(ReplicaOptions options, crypto::Identity identity, OpenedData data)
    : state_(std::make_unique<State>(std::move(options), std::move(identity), std::move(data))) {}

Replica::~Replica() = default;

Result<void> Replica::listen() {
    return state_->listen();
}

Result<void> Replica::begin_fault() {
    return state_->begin_first_fault();
}

void Replica::run() {
    state_->run();
}

void Replica::stop() {
    asio::post(state_->loop, [state = state_.get()] { state->begin_stop("stop"); });
}

}  // namespace loyal::replica
