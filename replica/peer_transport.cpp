#include "replica/peer_transport.h"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <map>
#include <random>
#include <utility>

#include "config/limits.h"
#include "replica/listener.h"
#include "replica/offences.h"

namespace loyal::replica {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;

// Accepted connections that have not finished their handshake; more are closed at once.
constexpr std::size_t unproven_peers_max = 64;

}  // namespace

struct PeerTransport::State : std::enable_shared_from_this<PeerTransport::State> {
    struct Peer {
        std::shared_ptr<Link> link;  // up
        std::shared_ptr<tcp::resolver> resolver;
        std::shared_ptr<tcp::socket> connecting;
        std::shared_ptr<asio::steady_timer> timer;  // to dial again, or of the attempt under way
        std::chrono::milliseconds backoff{0};
        bool dialling = false;  // an attempt or a handshake is under way
    };

    State(asio::io_context& io, const config::Cluster& the_cluster, consensus::ReplicaId own,
          const crypto::Signer& signer, const crypto::SignatureVerifier& verifier, PeerEvents peer_events,
          PeerTransportOptions transport_options)
        : loop(io),
          cluster(the_cluster),
          self(own),
          link_options{cluster.cluster_id, cluster.epoch, crypto::LinkRole::replica, &signer, &verifier},
          events(std::move(peer_events)),
          options(transport_options),
          peers(cluster.replicas.size()) {
        for (const config::ReplicaEntry& entry : cluster.replicas) {
            ids[entry.public_key] = consensus::ReplicaId(entry.id);
        }
    }

    [[nodiscard]] bool allowed(const crypto::LinkPeer& caller) const {
        const auto found = ids.find(caller.key);
        return caller.role == crypto::LinkRole::replica && found != ids.end() && found->second < self &&
               !offences.banned(caller.key, Offences::Clock::now());
    }
    [[nodiscard]] LinkLimits link_limits() const {
        LinkLimits result;
        result.outbound_bytes_max =
            options.outbound_bytes_max == 0 ? limits::peer_outbound_bytes_max : options.outbound_bytes_max;
        result.drop_oldest = true;
        result.handshake_timeout = options.handshake_timeout;
        return result;
    }
    [[nodiscard]] Link::Events link_events();
    void accepted(tcp::socket socket);
    void dial(consensus::ReplicaId peer);
    void connect(consensus::ReplicaId peer, const tcp::resolver::results_type& where);
    void connected(consensus::ReplicaId peer);
    void dial_later(consensus::ReplicaId peer, const std::string& why);
    void link_up(Link& link);
    void link_down(Link& link, const std::string& why, bool hostile);

    asio::io_context& loop;
    const config::Cluster& cluster;
    consensus::ReplicaId self;
    crypto::LinkOptions link_options;
    PeerEvents events;
    PeerTransportOptions options;
    std::map<crypto::PublicKey, consensus::ReplicaId> ids;
    std::vector<Peer> peers;
    std::map<std::uint64_t, std::shared_ptr<Link>> unproven;  // handshake under way
    std::map<std::uint64_t, consensus::ReplicaId> dialled;    // of them, those that this side opened
    std::shared_ptr<Listener> listener;
    Offences offences;
    LinkStats stats;
    std::uint64_t next_link = 1;
    std::uint64_t refused = 0;
    std::uint64_t expelled = 0;
    bool paused = false;
    bool stopped = false;
    std::mt19937 jitter{std::random_device{}()};
};

Link::Events PeerTransport::State::link_events() {
    return {[this](Link& link) { link_up(link); },
            [this](Link& link, std::vector<Bytes>&& frames) {
                const auto found = ids.find(link.peer_key());
                if (found != ids.end() && peers[found->second.value].link.get() == &link) {
                    events.frames(found->second, link, std::move(frames));
                }
            },
            [this](Link& link, const std::string& why, bool hostile) { link_down(link, why, hostile); }};
}

void PeerTransport::State::accepted(tcp::socket socket) {
    if (unproven.size() >= unproven_peers_max) {
        ++refused;
        return;  // closed with the socket
    }
    auto channel = wire::SecureChannel::responder(link_options,
                                                  [this](const crypto::LinkPeer& caller) { return allowed(caller); });
    const auto link =
        Link::open(next_link++, std::move(socket), std::move(channel), link_events(), link_limits(), stats);
    unproven[link->id()] = link;
    link->start();
}

void PeerTransport::State::dial(consensus::ReplicaId id) {
    Peer& peer = peers[id.value];
    if (stopped || peer.link || peer.dialling) {
        return;
    }
    peer.dialling = true;
    const config::ReplicaEntry& entry = cluster.replicas[id.value];
    peer.resolver = std::make_shared<tcp::resolver>(loop);
    peer.timer = std::make_shared<asio::steady_timer>(loop, options.connect_timeout);
    peer.timer->async_wait([this, id, keep = shared_from_this()](const boost::system::error_code& error) {
        Peer& late = peers[id.value];
        if (error || stopped) {
            return;
        }
        late.resolver->cancel();
        if (late.connecting) {
            boost::system::error_code ignored;
            late.connecting->close(ignored);
        }
    });
    peer.resolver->async_resolve(entry.advertise, std::to_string(entry.peer_port),
                                 [this, id, keep = shared_from_this()](const boost::system::error_code& error,
                                                                       const tcp::resolver::results_type& found) {
                                     if (stopped) {
                                         return;
                                     }
                                     if (error) {
                                         dial_later(id, "cannot resolve its address: " + error.message());
                                         return;
                                     }
                                     connect(id, found);
                                 });
}

void PeerTransport::State::connect(consensus::ReplicaId id, const tcp::resolver::results_type& where) {
    Peer& peer = peers[id.value];
    peer.connecting = std::make_shared<tcp::socket>(loop);
    asio::async_connect(
        *peer.connecting, where,
        [this, id, keep = shared_from_this()](const boost::system::error_code& error, const tcp::endpoint&) {
            if (stopped) {
                return;
            }
            if (error) {
                dial_later(id, error.message());
            } else {
                connected(id);
            }
        });
}

void PeerTransport::State::connected(consensus::ReplicaId id) {
    Peer& peer = peers[id.value];
    peer.timer->cancel();
    auto channel = wire::SecureChannel::initiator(link_options,
                                                  {crypto::LinkRole::replica, cluster.replicas[id.value].public_key});
    const auto link =
        Link::open(next_link++, std::move(*peer.connecting), std::move(channel), link_events(), link_limits(), stats);
    peer.connecting.reset();
    unproven[link->id()] = link;
    dialled[link->id()] = id;
    link->start();
}

void PeerTransport::State::dial_later(consensus::ReplicaId id, const std::string& why) {
    Peer& peer = peers[id.value];
    peer.dialling = false;
    peer.connecting.reset();
    if (stopped) {
        return;
    }
    events.state(id, false, why);
    peer.backoff = std::clamp(peer.backoff * 2, options.backoff_min, options.backoff_max);
    auto wait = std::chrono::milliseconds(
        std::uniform_int_distribution<std::int64_t>(peer.backoff.count() / 2, peer.backoff.count())(jitter));
    if (offences.banned(cluster.replicas[id.value].public_key, Offences::Clock::now())) {
        wait = std::max<std::chrono::milliseconds>(wait, options.backoff_max);
    }
    peer.timer = std::make_shared<asio::steady_timer>(loop, wait);
    peer.timer->async_wait([this, id, keep = shared_from_this()](const boost::system::error_code& error) {
        if (error || stopped) {
            return;
        }
        if (offences.banned(cluster.replicas[id.value].public_key, Offences::Clock::now())) {
            dial_later(id, "kept out after bad messages");
        } else {
            dial(id);
        }
    });
}

void PeerTransport::State::link_up(Link& link) {
    const auto kept = unproven.find(link.id());
    if (kept == unproven.end()) {
        return;
    }
    const consensus::ReplicaId id = ids.at(link.peer_key());
    Peer& peer = peers[id.value];
    const std::shared_ptr<Link> old = std::exchange(peer.link, kept->second);
    unproven.erase(kept);
    dialled.erase(link.id());
    peer.dialling = false;
    peer.backoff = std::chrono::milliseconds(0);
    if (old) {
        old->close("replaced by a newer link");
    }
    if (paused) {
        link.pause(Link::pause_global);
    }
    events.state(id, true, link.remote());
}

void PeerTransport::State::link_down(Link& link, const std::string& why, bool hostile) {
    if (const auto found = unproven.find(link.id()); found != unproven.end()) {
        const std::shared_ptr<Link> keep = found->second;
        unproven.erase(found);
        ++refused;
        if (const auto mine = dialled.find(link.id()); mine != dialled.end()) {
            const consensus::ReplicaId id = mine->second;
            dialled.erase(mine);
            dial_later(id, why);
        }
        return;
    }
    const consensus::ReplicaId id = ids.at(link.peer_key());
    Peer& peer = peers[id.value];
    if (hostile) {
        ++expelled;
    }
    if (peer.link.get() != &link) {
        return;  // replaced
    }
    peer.link.reset();
    if (self < id) {
        dial_later(id, why);
    } else {
        events.state(id, false, why);
    }
}

PeerTransport::PeerTransport(asio::io_context& loop, const config::Cluster& cluster, consensus::ReplicaId self,
                             const crypto::Signer& signer, const crypto::SignatureVerifier& verifier, PeerEvents events,
                             PeerTransportOptions options)
    : state_(std::make_shared<State>(loop, cluster, self, signer, verifier, std::move(events), options)) {}

PeerTransport::~PeerTransport() {
    stop();
}

Result<void> PeerTransport::listen() {
    const config::ReplicaEntry& own = state_->cluster.replicas[state_->self.value];
    auto listener = Listener::open(state_->loop, "peers", own.listen, own.peer_port,
                                   [state = state_.get()](tcp::socket socket) { state->accepted(std::move(socket)); });
    if (!listener) {
        return tl::unexpected<Error>(std::move(listener.error()));
    }
    state_->listener = *listener;
    state_->listener->start();
    return {};
}

void PeerTransport::dial_all() {
    for (std::size_t i = state_->self.value + std::size_t{1}; i < state_->peers.size(); ++i) {
        state_->dial(consensus::ReplicaId(static_cast<std::uint16_t>(i)));
    }
}

void PeerTransport::send(consensus::ReplicaId to, SharedBytes frame) {
    if (const auto& link = state_->peers.at(to.value).link) {
        link->send(std::move(frame));
    } else {
        ++state_->stats.frames_dropped;
    }
}

void PeerTransport::flush() {
    for (State::Peer& peer : state_->peers) {
        if (peer.link) {
            peer.link->flush();
        }
    }
}

void PeerTransport::strike(consensus::ReplicaId from, const std::string& why) {
    const crypto::PublicKey& key = state_->cluster.replicas.at(from.value).public_key;
    if (!state_->offences.strike(key, Offences::Clock::now())) {
        return;
    }
    if (const auto& link = state_->peers[from.value].link) {
        link->close("too many bad messages, the last one: " + why, true);
    }
}

void PeerTransport::pause_all(bool paused) {
    state_->paused = paused;
    for (State::Peer& peer : state_->peers) {
        if (peer.link) {
            paused ? peer.link->pause(Link::pause_global) : peer.link->resume(Link::pause_global);
        }
    }
}

void PeerTransport::stop() {
    if (std::exchange(state_->stopped, true)) {
        return;
    }
    if (state_->listener) {
        state_->listener->stop();
    }
    for (State::Peer& peer : state_->peers) {
        if (peer.timer) {
            peer.timer->cancel();
        }
        if (peer.resolver) {
            peer.resolver->cancel();
        }
        if (peer.connecting) {
            boost::system::error_code ignored;
            peer.connecting->close(ignored);
        }
        if (peer.link) {
            peer.link->close("stopping");
        }
    }
    for (const auto& [id, link] : state_->unproven) {
        link->close("stopping");
    }
}

Link* PeerTransport::link_of(consensus::ReplicaId peer) const {
    return state_->peers.at(peer.value).link.get();
}

std::size_t PeerTransport::links_up() const {
    return static_cast<std::size_t>(std::count_if(state_->peers.begin(), state_->peers.end(),
                                                  [](const State::Peer& peer) { return peer.link != nullptr; }));
}

std::size_t PeerTransport::outbound_bytes() const {
    std::size_t total = 0;
    for (const State::Peer& peer : state_->peers) {
        total += peer.link ? peer.link->outbound_bytes() : 0;
    }
    return total;
}

const LinkStats& PeerTransport::stats() const {
    return state_->stats;
}

std::uint64_t PeerTransport::refused() const {
    return state_->refused;
}

std::uint64_t PeerTransport::expelled() const {
    return state_->expelled;
}

std::uint16_t PeerTransport::port() const {
    return state_->listener ? state_->listener->port() : std::uint16_t{0};
}

}  // namespace loyal::replica
