// How messages travel in a world: between replicas, and between clients and replicas.
#include <fmt/format.h>

#include <utility>

#include "replica/refused_frames.h"
#include "sim/message_text.h"
#include "sim/world.h"
#include "wire/codec.h"

namespace loyal::sim {

using consensus::ReplicaId;

namespace {

constexpr TimeUs reconnect_us = 40 * ms;
constexpr TimeUs peer_link_tick_us = 10 * ms;
constexpr std::uint16_t first_client = 1'000;  // in what an observer sees

// Changes 1 to 4 bytes.
void corrupt(Bytes& frame, std::uint64_t entropy) {
    Random random(entropy);
    for (std::uint64_t i = random.between(1, 4); i > 0 && !frame.empty(); --i) {
        frame[random.below(frame.size())] ^= static_cast<std::uint8_t>(random.between(1, 255));
    }
    if (random.one_in(4)) {
        frame.resize(random.below(frame.size() + 1));
    }
}

}  // namespace

struct World::Parcel {
    explicit Parcel(consensus::PeerMessage content) : message(std::move(content)) {}
    [[nodiscard]] const Bytes& frame() {
        if (encoded.empty()) {
            encoded = wire::encode(message);
        }
        return encoded;
    }
    consensus::PeerMessage message;
    Bytes encoded;
};

// ---- What an observer sees of them

template <class Message>
std::uint64_t World::observe_sent(std::uint16_t from, std::uint16_t to, const Message& message) {
    Observer* observer = options_.observer;
    if (observer == nullptr || !observer->wants_messages(scheduler_.now())) {
        return 0;
    }
    MessageSeen what = seen(message);
    what.id = ++messages_seen_;
    what.from = from;
    what.to = to;
    observer->sent(scheduler_.now(), what);
    return what.id;
}

void World::observe_received(std::uint64_t id) {
    if (id != 0) {
        options_.observer->received(scheduler_.now(), id);
    }
}

void World::observe_cost(ReplicaId from, std::size_t bytes) {
    if (is_correct(from)) {
        ++messages_sent_;
        bytes_sent_ += bytes;
    }
}

// ---- Messages between replicas

void World::peer_send(ReplicaId from, const std::vector<ReplicaId>& to, const consensus::PeerMessage& message) {
    if (const auto* propose = std::get_if<consensus::Propose>(&message)) {
        tree_->add(*propose->block);
    }
    if (is_correct(from)) {
        if (auto finding = ledgers_[from.value].sent(message); finding && !put_back_.contains(from.value)) {
            violation(*finding);
        }
    }
    const auto parcel = std::make_shared<Parcel>(message);
    for (const ReplicaId receiver : to) {
        send_parcel(from, receiver, parcel);
    }
}

void World::send_parcel(ReplicaId from, ReplicaId to, const std::shared_ptr<Parcel>& parcel) {
    const std::uint64_t id = observe_sent(from.value, to.value, parcel->message);
    const bool measured = options_.observer != nullptr || network_.has_rate(from.value, to.value);
    const std::size_t bytes = measured ? parcel->frame().size() : 0;
    if (options_.observer != nullptr) {
        observe_cost(from, bytes);
    }
    // What a traitor does to the frame itself, inside the cipher of the link.
    std::shared_ptr<Bytes> garbled;
    if (!is_correct(from)) {
        Bytes frame = parcel->frame();
        replicas_[from.value]->outgoing_frame(to, frame);
        if (frame != parcel->frame()) {
            garbled = std::make_shared<Bytes>(std::move(frame));
        }
    }
    adversary_.schedule(from, to, parcel->message, [this, from, to, parcel, garbled, id, bytes] {
        network_.send(
            from.value, to.value,
            [this, from, to, parcel, garbled, id](const Arrival& arrival) {
                observe_received(id);
                deliver_to_peer(from, to, *parcel, garbled.get(), arrival);
            },
            bytes);
    });
}

// What came of one frame, as in loyald: what does not decode or verify is dropped, and may prove its author's guilt.
void World::deliver_frame(ReplicaId from, ReplicaId to, ByteView frame) {
    SimReplica& receiver = *replicas_[to.value];
    auto decoded = wire::decode_peer(membership_.context, frame);
    const std::uint64_t before = signatures_.verifications();
    auto verified = std::move(decoded).and_then(
        [&](consensus::PeerMessage&& message) { return verifier_->verify(std::move(message), from); });
    verifications_[to.value] += signatures_.verifications() - before;
    if (verified) {
        return receiver.receive(from, std::move(*verified));
    }
    if (is_correct(from)) {
        violation(fmt::format("a frame of correct replica {} was refused: {}", from.value, verified.error().message));
    }
    if (auto proof = replica::proof_in_refused(*verifier_, frame)) {
        receiver.receive_proof(std::move(*proof));
    }
}

// What the link itself damaged, its cipher would refuse. It is decoded and verified all the same, to see that nothing
// breaks.
void World::deliver_damaged(ReplicaId from, Bytes frame, std::uint64_t entropy) {
    corrupt(frame, entropy);
    auto decoded = wire::decode_peer(membership_.context, frame);
    if (decoded) {
        (void)verifier_->verify(std::move(*decoded), from);
    }
}

void World::deliver_to_peer(ReplicaId from, ReplicaId to, Parcel& parcel, const Bytes* garbled,
                            const Arrival& arrival) {
    SimReplica& receiver = *replicas_[to.value];
    if (!receiver.up()) {
        return;
    }
    if (arrival.corrupted) {
        return deliver_damaged(from, garbled != nullptr ? *garbled : parcel.frame(), arrival.entropy);
    }
    if (garbled != nullptr) {
        return deliver_frame(from, to, *garbled);
    }
    if (is_correct(from) && arrival.entropy % 1'000'000 >= scenario_.codec_ppm) {
        return receiver.receive(from, verifier_->own(parcel.message));
    }
    deliver_frame(from, to, parcel.frame());
}

// Links between replicas come up when both ends run and hear each other; each end then tells the other what it holds of
// its statements (A1). What is lost on a link that is up is lost: only its coming up is modelled here.
void World::peer_links_tick() {
    for (std::size_t a = 0; a < scenario_.n; ++a) {
        for (std::size_t b = a + 1; b < scenario_.n; ++b) {
            const bool may = may_link(a, b);
            if (may && !peer_links_[a][b]) {
                replicas_[a]->peer_up(ReplicaId(static_cast<std::uint16_t>(b)));
                replicas_[b]->peer_up(ReplicaId(static_cast<std::uint16_t>(a)));
            }
            peer_links_[a][b] = may;
        }
    }
    scheduler_.after(peer_link_tick_us, [this] { peer_links_tick(); });
}

bool World::may_link(std::size_t a, std::size_t b) const {
    return replicas_[a]->up() && replicas_[b]->up() && !network_.blocked(a, b) && !network_.blocked(b, a);
}

void World::break_peer_links() {
    peer_links_.assign(scenario_.n, std::vector<bool>(scenario_.n));
}

// ---- Clients

void World::client_tick(std::size_t client) {
    for (std::size_t replica = 0; replica < scenario_.n; ++replica) {
        if (!links_[client][replica].up() && scheduler_.now() >= links_[client][replica].next_attempt) {
            connect(client, replica);
        }
    }
    clients_[client]->tick();
    scheduler_.after(client_tick_us, [this, client] { client_tick(client); });
}

void World::connect(std::size_t client, std::size_t replica) {
    ClientLink& link = links_[client][replica];
    if (!replicas_[replica]->up() || replicas_[replica]->paused() ||
        network_.blocked(client_process(client), replica) || network_.blocked(replica, client_process(client))) {
        link.next_attempt = scheduler_.now() + reconnect_us;
        return;
    }
    link.id = next_link_++;
    link_ends_[link.id] = {client, replica};
    trace_.event("link", client, replica, link.id);
    replicas_[replica]->link_up(link.id, client_ids_[client]);
    clients_[client]->connected(ReplicaId(static_cast<std::uint16_t>(replica)));
}

void World::drop_link(std::size_t client, std::size_t replica) {
    ClientLink& link = links_[client][replica];
    if (!link.up()) {
        return;
    }
    trace_.event("unlink", client, replica, link.id);
    link_ends_.erase(link.id);
    replicas_[replica]->link_down(link.id);
    link.id = 0;
    link.next_attempt = scheduler_.now() + reconnect_us;
    // Not from within a step of either end.
    scheduler_.after(
        0, [this, client, replica] { clients_[client]->disconnected(ReplicaId(static_cast<std::uint16_t>(replica))); });
}

void World::client_request(std::size_t client, ReplicaId to, const wire::ClientMessage& message) {
    const replica::LinkId link = links_[client][to.value].id;
    if (link == 0) {
        return;
    }
    auto frame = std::make_shared<Bytes>(wire::encode(message));
    const std::uint64_t id = observe_sent(static_cast<std::uint16_t>(first_client + client), to.value, message);
    const bool leaves =
        network_.send(client_process(client), to.value, [this, client, to, link, frame, id](const Arrival& arrival) {
            if (links_[client][to.value].id != link) {
                return;
            }
            if (arrival.corrupted) {  // the link's cipher notices and closes the link
                corrupt(*frame, arrival.entropy);
                (void)wire::decode_client(*frame);
                return drop_link(client, to.value);
            }
            auto decoded = wire::decode_client(*frame);
            if (!decoded) {
                return violation("a client's message does not decode: " + decoded.error().message);
            }
            observe_received(id);
            const std::uint64_t before = signatures_.verifications();
            replicas_[to.value]->receive(link, client_ids_[client], std::move(*decoded));
            verifications_[to.value] += signatures_.verifications() - before;
        });
    if (!leaves) {
        drop_link(client, to.value);  // a stream loses nothing without breaking
    }
}

void World::client_send(ReplicaId from, replica::LinkId link, const wire::ReplicaMessage& message) {
    const auto ends = link_ends_.find(link);
    if (ends == link_ends_.end()) {
        return;
    }
    const std::size_t client = ends->second.first;
    auto frame = std::make_shared<Bytes>(wire::encode(message));
    const std::uint64_t id = observe_sent(from.value, static_cast<std::uint16_t>(first_client + client), message);
    if (options_.observer != nullptr) {
        observe_cost(from, frame->size());
    }
    const auto deliver = [this, from, client, link, frame, id](const Arrival& arrival) {
        if (links_[client][from.value].id != link) {
            return;
        }
        if (arrival.corrupted) {
            corrupt(*frame, arrival.entropy);
            (void)wire::decode_replica(*frame);
            return drop_link(client, from.value);
        }
        const auto decoded = wire::decode_replica(*frame);
        if (!decoded) {
            return violation("an answer does not decode: " + decoded.error().message);
        }
        observe_received(id);
        clients_[client]->receive(from, *decoded);
    };
    const bool leaves = network_.send(from.value, client_process(client), deliver, frame->size());
    if (!leaves) {
        scheduler_.after(0, [this, client, from, link] {
            if (links_[client][from.value].id == link) {
                drop_link(client, from.value);
            }
        });
    }
}

}  // namespace loyal::sim
