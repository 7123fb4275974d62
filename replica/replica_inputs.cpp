#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "config/limits.h"
#include "replica/replica_state.h"
#include "wire/codec.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;

// Queue lengths at which the loop stops reading clients, and then peers. It reads on below half of them.
constexpr std::size_t log_queue_clients = 64, log_queue_peers = 512;
constexpr std::size_t executor_queue_clients = 2 * limits::pending_reads_max, executor_queue_peers = 16'384;
constexpr std::size_t verify_queue_clients = limits::verify_queue_max / 2,
                      verify_queue_peers = limits::verify_queue_max;
constexpr std::size_t verify_bytes_clients = 4 * limits::client_inbound_bytes_max;
// Ticks that are made up for after a pause of the process; the rest of a long one is forgotten.
constexpr int missed_ticks_max = 4;
// Reasons that are counted one by one.
constexpr std::size_t input_reasons_max = 64;

template <class T>
bool over(T value, T limit, bool already) {
    return value > (already ? limit / 2 : limit);
}

bool take_one(std::size_t& left) {
    const bool any = left > 0;
    left -= any ? 1 : 0;
    return any;
}

}  // namespace

// ---- From the sockets

// Changes are worth a line, failed attempts to reach a peer are not.
void Replica::State::on_peer_state(consensus::ReplicaId peer, bool up, const std::string& detail) {
    if (up) {
        peers_up.insert(peer);
        spdlog::info("event=peer_up peer={} address={}", peer.value, detail);
        node.peer_up(peer);
    } else if (peers_up.erase(peer) > 0) {
        spdlog::info("event=peer_down peer={} why=\"{}\"", peer.value, detail);
    } else {
        spdlog::debug("event=peer_unreachable peer={} why=\"{}\"", peer.value, detail);
    }
}

// A short message that nothing waits before is checked on the spot, and a short read in any case: waking a worker takes
// longer than a signature. Only a few a batch, so that a flood still goes to the workers and their turns.
bool Replica::State::check_here(const VerifyTask& task) {
    if (task.frame.size() > check_here_bytes_max) {
        return false;
    }
    if (std::holds_alternative<ClientFrame>(task.author) && wire::begins_as_read(task.frame)) {
        return take_one(reads_here_left);
    }
    return pool->waiting() == 0 && take_one(checks_here_left);
}

void Replica::State::verify(VerifyTask task) {
    if (check_here(task)) {
        verified.push(pool->verify(std::move(task)));
        return;
    }
    pool->submit(std::move(task));
}

void Replica::State::on_peer_frames(consensus::ReplicaId from, Link& link, std::vector<Bytes>&& frames) {
    for (Bytes& frame : frames) {
        link.inbound_bytes += frame.size();
        ++link.inbound_frames;
        verify({link.id(), PeerFrame{from}, std::move(frame)});
    }
    if (link.inbound_bytes > limits::peer_inbound_bytes_max) {
        link.pause(Link::pause_own);
    }
    relieve_pressure();
}

void Replica::State::on_client_frames(Link& link, const consensus::ClientId& client, std::vector<Bytes>&& frames) {
    for (Bytes& frame : frames) {
        link.inbound_bytes += frame.size();
        ++link.inbound_frames;
        verify({link.id(), ClientFrame{client}, std::move(frame)});
    }
    if (link.inbound_bytes > limits::client_inbound_bytes_max ||
        link.inbound_frames > 2 * limits::client_outstanding_envelopes_max) {
        link.pause(Link::pause_own);
    }
    relieve_pressure();
}

void Replica::State::on_client_up(Link& link, const consensus::ClientId& client) {
    client_of[link.id()] = client;
    spdlog::debug("event=client_up link={} address={}", link.id(), link.remote());
    node.client_connected(link.id(), client);
}

void Replica::State::on_client_down(LinkId link) {
    client_of.erase(link);
    if (experiments) {
        experiments->links.closed(link);
    }
    node.client_disconnected(link);
}

// ---- From the other threads

void Replica::State::on_bell() {
    bell.answered();
    auto on_disk_now = durable.take();
    auto executions = executor_results.take();
    auto messages = verified.take();
    auto ranges = served.take();
    auto disk_uses = disk.take();
    auto of_state = keeper_events.take();
    if (stopping) {
        return;
    }
    if (!on_disk_now.empty() || !executions.empty() || !messages.empty() || !of_state.empty()) {
        begin_input();
    }
    if (!on_disk_now.empty()) {
        node.persisted(on_disk_now.back());
        flush();
    }
    for (ExecutorResult& result : executions) {
        on_executor_result(std::move(result));
    }
    for (VerifyResult& result : messages) {
        on_verified(std::move(result));
    }
    for (ServedRange& range : ranges) {
        on_served(std::move(range));
    }
    for (const DiskUse& use : disk_uses) {
        on_disk(use);
        watch_log(use);
    }
    for (KeeperEvent& event : of_state) {
        on_keeper_event(std::move(event));
    }
    relieve_pressure();
    flush();
}

void Replica::State::on_verified(VerifyResult result) {
    if (const auto* peer = std::get_if<PeerFrame>(&result.author)) {
        on_peer_result(peer->from, std::move(result));
    } else {
        const consensus::ClientId client = std::get<ClientFrame>(result.author).client;
        on_client_result(client, std::move(result));
    }
}

void Replica::State::on_peer_result(consensus::ReplicaId from, VerifyResult result) {
    if (Link* link = peers.link_of(from); link != nullptr && link->id() == result.link) {
        link->inbound_bytes -= result.frame_bytes;
        --link->inbound_frames;
        if (link->paused(Link::pause_own) && link->inbound_bytes < limits::peer_inbound_bytes_max / 2) {
            link->resume(Link::pause_own);
        }
    }
    if (auto* message = std::get_if<PeerVerified>(&result.outcome)) {
        if (experiments) {
            experiments->trace.received(from, **message, monotonic_us());
        }
        node.peer_message(from, std::move(*message));
    } else if (const auto* error = std::get_if<Error>(&result.outcome)) {
        count("peer", error->code);
        spdlog::debug("event=rejected peer={} why=\"{}\"", from.value, error->message);
        if (result.proof) {
            node.refused_peer_message(*result.proof);
        }
        peers.strike(from, error->message);
    }
}

void Replica::State::on_client_result(const consensus::ClientId& client, VerifyResult result) {
    Link* link = clients.find(result.link);
    if (link == nullptr) {
        return;  // closed meanwhile: nobody waits for an answer
    }
    link->inbound_bytes -= result.frame_bytes;
    --link->inbound_frames;
    if (link->paused(Link::pause_own) && link->inbound_bytes < limits::client_inbound_bytes_max / 2 &&
        link->inbound_frames < limits::client_outstanding_envelopes_max) {
        link->resume(Link::pause_own);
    }
    if (auto* envelope = std::get_if<EnvelopeVerified>(&result.outcome)) {
        node.client_envelope(result.link, std::move(*envelope));
    } else if (auto* request = std::get_if<wire::ClientMessage>(&result.outcome)) {
        on_client_request(result.link, client, std::move(*request));
    } else if (const auto* error = std::get_if<Error>(&result.outcome)) {
        count("client", error->code);
        spdlog::debug("event=rejected link={} why=\"{}\"", result.link, error->message);
        clients.strike(result.link, error->message);
    }
}

void Replica::State::on_client_request(LinkId link, const consensus::ClientId& client, wire::ClientMessage request) {
    if (auto* read_request = std::get_if<wire::Read>(&request)) {
        node.client_read(link, client, std::move(*read_request));
    } else if (auto* watch = std::get_if<wire::Watch>(&request)) {
        node.client_watch(link, client, std::move(*watch));
    } else if (const auto* unwatch = std::get_if<wire::Unwatch>(&request)) {
        node.client_unwatch(link, *unwatch);
    } else if (const auto* status = std::get_if<wire::StatusRequest>(&request)) {
        answer_operator(link, wire::StatusReply{status->nonce, status_json(report())});
    } else if (const auto* fault = std::get_if<wire::Control>(&request)) {
        answer_control(link, client, *fault);
    } else if (const auto* ask = std::get_if<wire::CheckpointAsk>(&request)) {
        serve_client(link, client, {link, ask->nonce, std::nullopt});
    } else if (auto* part = std::get_if<wire::StateAsk>(&request)) {
        serve_client(link, client, {link, part->nonce, std::move(part->request)});
    } else if (const auto* receipt = std::get_if<wire::ReceiptAsk>(&request)) {
        node.client_receipt(link, client, *receipt);
    } else if (auto* proof = std::get_if<wire::StateProofAsk>(&request)) {
        prove_to_client(link, client, std::move(*proof));
    }
}

void Replica::State::on_executor_result(ExecutorResult result) {
    if (const auto* block = std::get_if<kvstore::ExecutedBlock>(&result)) {
        if (block->clients) {
            clients.set_clients(block->clients);
        }
        node.executed(*block);
    } else if (auto* admission = std::get_if<AdmitDone>(&result)) {
        if (!admission->result) {
            kvstore::AdmissionResult refused;  // the state is being recovered
            refused.verdict = kvstore::Admission::invalid;
            node.admitted(admission->link, std::move(admission->envelope), std::move(refused));
        } else {
            node.admitted(admission->link, std::move(admission->envelope), std::move(*admission->result));
        }
    } else if (auto* answer = std::get_if<ReadDone>(&result)) {
        if (!answer->answer && answer->answer.error().code == Errc::io) {
            set_alarm("state", "the state store cannot be read: " + answer->answer.error().message);
        }
        node.read_done(answer->link, answer->request, answer->lock, answer->answer);
    } else if (const auto* changes = std::get_if<ChangesDone>(&result)) {
        node.changes_read(changes->ticket, changes->page, changes->revision);
    } else if (const auto* failed = std::get_if<StateFailed>(&result)) {
        lose_state(failed->error.message);
    }
}

void Replica::State::on_served(ServedRange range) {
    being_served.erase(range.to);
    if (!range.blocks && range.blocks.error().code == Errc::corrupted) {
        return;  // it is repaired; the peer asks another one
    }
    if (!range.blocks) {
        set_alarm("log", "the consensus log cannot be read: " + range.blocks.error().message);
        return;
    }
    node.served(range.to, std::move(*range.blocks));
}

// A disk that is nearly full takes no new writes, says so, and recovers by itself (contract: a full disk loses
// nothing).
void Replica::State::on_disk(const DiskUse& use) {
    disk_use = disk_use_measured = use;
    if (experiments && experiments->disk->full()) {
        disk_use.free_bytes = 0;
    }
    disk_watch.look(disk_use);
    for (const DiskWatch::Alarm& alarm : disk_watch.alarms()) {
        raise(std::string(alarm.name), alarm.raised, std::string(alarm.text));
    }
    node.refuse_writes(disk_watch.refuses_writes() ? std::optional(wire::RefusalCode::disk_full) : std::nullopt);
}

// ---- Time and batches

void Replica::State::arm_tick() {
    tick_timer.expires_at(next_tick);
    tick_timer.async_wait([this](const boost::system::error_code& error) {
        if (!error && !stopping) {
            on_tick();
            arm_tick();
        }
    });
}

void Replica::State::on_tick() {
    begin_input();
    const auto now = std::chrono::steady_clock::now();
    for (int i = 0; i < missed_ticks_max && next_tick <= now; ++i) {
        node.tick();
        next_tick += tick;
    }
    if (next_tick <= now) {
        next_tick = now + tick;
    }
    watch_state();
    watch_progress();
    relieve_pressure();
    flush();
}

// Inputs that are ready together form one batch (rule N8): its end is posted twice over, so that it runs behind the
// handlers that wait now and behind those that the sockets have ready.
void Replica::State::begin_input() {
    if (std::exchange(batch_open, true)) {
        return;
    }
    node.clock(clock.now_ms());
    asio::post(loop, [this] { asio::post(loop, [this] { end_batch(); }); });
}

void Replica::State::end_batch() {
    batch_open = false;
    checks_here_left = checks_here_max;
    reads_here_left = reads_here_max;
    if (!stopping) {
        node.end_of_batch();
        flush();
    }
}

void Replica::State::flush() {
    peers.flush();
    clients.flush();
}

void Replica::State::relieve_pressure() {
    const std::size_t log_queue = log_writer->waiting();
    const std::size_t executor_queue = executor ? executor->waiting() : 0;
    const std::size_t verify_queue = pool->waiting();
    const bool slow_clients = over(log_queue, log_queue_clients, clients_paused) ||
                              over(executor_queue, executor_queue_clients, clients_paused) ||
                              over(verify_queue, verify_queue_clients, clients_paused) ||
                              over(pool->waiting_bytes(), verify_bytes_clients, clients_paused);
    const bool slow_peers = over(log_queue, log_queue_peers, peers_paused) ||
                            over(executor_queue, executor_queue_peers, peers_paused) ||
                            over(verify_queue, verify_queue_peers, peers_paused);
    if (slow_clients != clients_paused) {
        clients_paused = slow_clients;
        clients.pause_all(slow_clients);
    }
    if (slow_peers != peers_paused) {
        peers_paused = slow_peers;
        peers.pause_all(slow_peers);
    }
}

void Replica::State::count(const std::string& author, Errc reason) {
    const std::string name = author + ": " + std::string(to_string(reason));
    if (rejected.contains(name) || rejected.size() < input_reasons_max) {
        ++rejected[name];
    }
}

}  // namespace loyal::replica
