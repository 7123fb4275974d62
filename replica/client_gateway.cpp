#include "replica/client_gateway.h"

#include <boost/asio/io_context.hpp>
#include <map>
#include <utility>

#include "config/limits.h"
#include "replica/listener.h"
#include "replica/offences.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

constexpr std::size_t unproven_clients_max = 128;

}  // namespace

struct ClientGateway::State {
    struct Connection {
        std::shared_ptr<Link> link;
        consensus::ClientId client;
    };

    State(asio::io_context& io, const config::Cluster& the_cluster, consensus::ReplicaId own,
          const crypto::Signer& signer, const crypto::SignatureVerifier& verifier, ClientEvents client_events,
          ClientGatewayOptions gateway_options)
        : loop(io),
          cluster(the_cluster),
          self(own),
          link_options{cluster.cluster_id, cluster.epoch, crypto::LinkRole::replica, &signer, &verifier},
          events(std::move(client_events)),
          options(gateway_options) {
        kvstore::ClientDirectory::Clients genesis;
        for (const config::ClientEntry& entry : cluster.clients) {
            genesis[config::client_id_of(entry.public_key)] =
                kvstore::client_with(entry.name, entry.public_key, entry.rights);
        }
        clients = std::make_shared<const kvstore::ClientDirectory>(std::move(genesis));
        if (options.connections_max == 0) {
            options.connections_max = limits::client_connections_max;
        }
    }

    [[nodiscard]] bool is_known(const crypto::PublicKey& key) const {
        return clients->find(config::client_id_of(key)) != nullptr;
    }
    [[nodiscard]] bool allowed(const crypto::LinkPeer& caller) const {
        return caller.role == crypto::LinkRole::client && is_known(caller.key) &&
               connections.size() < options.connections_max && !offences.banned(caller.key, Offences::Clock::now());
    }
    void accepted(tcp::socket socket);
    void link_up(Link& link);
    void link_down(Link& link, bool hostile);

    asio::io_context& loop;
    const config::Cluster& cluster;
    consensus::ReplicaId self;
    crypto::LinkOptions link_options;
    ClientEvents events;
    ClientGatewayOptions options;
    std::shared_ptr<const kvstore::ClientDirectory> clients;
    std::map<std::uint64_t, std::shared_ptr<Link>> unproven;
    std::map<std::uint64_t, Connection> connections;
    std::vector<std::weak_ptr<Link>> to_flush;
    std::shared_ptr<Listener> listener;
    Offences offences;
    LinkStats stats;
    // Apart from the ids of peer links, so that both may share one verify pool.
    std::uint64_t next_link = std::uint64_t{1} << 32U;
    std::uint64_t refused = 0;
    std::uint64_t expelled = 0;
    bool paused = false;
    bool stopped = false;
};

void ClientGateway::State::accepted(tcp::socket socket) {
    if (unproven.size() >= unproven_clients_max || connections.size() >= options.connections_max) {
        ++refused;
        return;
    }
    LinkLimits link_limits;
    link_limits.outbound_bytes_max =
        options.outbound_bytes_max == 0 ? limits::client_outbound_bytes_max : options.outbound_bytes_max;
    link_limits.handshake_timeout = options.handshake_timeout;
    auto channel = wire::SecureChannel::responder(link_options,
                                                  [this](const crypto::LinkPeer& caller) { return allowed(caller); });
    Link::Events link_events{[this](Link& link) { link_up(link); },
                             [this](Link& link, std::vector<Bytes>&& frames) {
                                 if (const auto found = connections.find(link.id()); found != connections.end()) {
                                     events.frames(link, found->second.client, std::move(frames));
                                 }
                             },
                             [this](Link& link, const std::string&, bool hostile) { link_down(link, hostile); }};
    const auto link =
        Link::open(next_link++, std::move(socket), std::move(channel), std::move(link_events), link_limits, stats);
    unproven[link->id()] = link;
    link->start();
}

void ClientGateway::State::link_up(Link& link) {
    const auto kept = unproven.find(link.id());
    if (kept == unproven.end()) {
        return;
    }
    const consensus::ClientId client = config::client_id_of(link.peer_key());
    connections[link.id()] = {kept->second, client};
    unproven.erase(kept);
    if (paused) {
        link.pause(Link::pause_global);
    }
    events.up(link, client);
}

void ClientGateway::State::link_down(Link& link, bool hostile) {
    if (unproven.erase(link.id()) > 0) {
        ++refused;
        return;
    }
    expelled += hostile ? 1 : 0;
    if (connections.erase(link.id()) > 0) {
        events.down(link.id());
    }
}

ClientGateway::ClientGateway(asio::io_context& loop, const config::Cluster& cluster, consensus::ReplicaId self,
                             const crypto::Signer& signer, const crypto::SignatureVerifier& verifier,
                             ClientEvents events, ClientGatewayOptions options)
    : state_(std::make_shared<State>(loop, cluster, self, signer, verifier, std::move(events), options)) {}

ClientGateway::~ClientGateway() {
    stop();
}

Result<void> ClientGateway::listen() {
    const config::ReplicaEntry& own = state_->cluster.replicas[state_->self.value];
    auto listener = Listener::open(state_->loop, "clients", own.listen, own.client_port,
                                   [state = state_.get()](tcp::socket socket) { state->accepted(std::move(socket)); });
    if (!listener) {
        return tl::unexpected<Error>(std::move(listener.error()));
    }
    state_->listener = *listener;
    state_->listener->start();
    return {};
}

void ClientGateway::send(std::uint64_t link, SharedBytes frame) {
    const auto found = state_->connections.find(link);
    if (found == state_->connections.end()) {
        return;
    }
    const std::shared_ptr<Link>& target = found->second.link;
    if (target->outbound_bytes() == 0) {
        state_->to_flush.push_back(target);
    }
    target->send(std::move(frame));
}

void ClientGateway::flush() {
    for (const std::weak_ptr<Link>& link : std::exchange(state_->to_flush, {})) {
        if (const auto alive = link.lock()) {
            alive->flush();
        }
    }
}

void ClientGateway::strike(std::uint64_t link, const std::string& why) {
    const auto found = state_->connections.find(link);
    if (found == state_->connections.end()) {
        return;
    }
    Link& target = *found->second.link;
    if (state_->offences.strike(target.peer_key(), Offences::Clock::now())) {
        target.close("too many bad messages, the last one: " + why, true);
    }
}

void ClientGateway::pause_all(bool paused) {
    state_->paused = paused;
    for (auto& [id, connection] : state_->connections) {
        paused ? connection.link->pause(Link::pause_global) : connection.link->resume(Link::pause_global);
    }
}

void ClientGateway::stop() {
    if (std::exchange(state_->stopped, true)) {
        return;
    }
    if (state_->listener) {
        state_->listener->stop();
    }
    for (const auto& [id, connection] : state_->connections) {
        connection.link->close("stopping");
    }
    for (const auto& [id, link] : state_->unproven) {
        link->close("stopping");
    }
}

Link* ClientGateway::find(std::uint64_t link) const {
    const auto found = state_->connections.find(link);
    return found == state_->connections.end() ? nullptr : found->second.link.get();
}

void ClientGateway::set_clients(std::shared_ptr<const kvstore::ClientDirectory> clients) {
    state_->clients = std::move(clients);
    std::vector<std::shared_ptr<Link>> unknown;
    for (const auto& [id, connection] : state_->connections) {
        if (state_->clients->find(connection.client) == nullptr) {
            unknown.push_back(connection.link);
        }
    }
    for (const auto& link : unknown) {
        link->close("its client was removed");
    }
}

const kvstore::ClientDirectory& ClientGateway::clients() const {
    return *state_->clients;
}

bool ClientGateway::is_operator(const consensus::ClientId& client) const {
    const kvstore::ClientRecord* record = state_->clients->find(client);
    return record != nullptr && kvstore::is_operator(*record);
}

std::size_t ClientGateway::connections() const {
    return state_->connections.size();
}

const LinkStats& ClientGateway::stats() const {
    return state_->stats;
}

std::uint64_t ClientGateway::refused() const {
    return state_->refused;
}

std::uint64_t ClientGateway::expelled() const {
    return state_->expelled;
}

std::uint16_t ClientGateway::port() const {
    return state_->listener ? state_->listener->port() : std::uint16_t{0};
}

}  // namespace loyal::replica
