#include "tests/unit/client/loopback_cluster.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <future>
#include <map>
#include <set>
#include <thread>

#include "wire/codec.h"
#include "wire/secure_channel.h"

namespace loyal::client::test {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using consensus::Height;
using consensus::Hlc;
using consensus::ReplicaId;
using consensus::View;

namespace {

crypto::Identity identity_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed);
}

}  // namespace

struct LoopbackCluster::State {
    struct Link {
        Link(tcp::socket accepted, wire::SecureChannel secure)
            : socket(std::move(accepted)), channel(std::move(secure)) {}
        tcp::socket socket;
        wire::SecureChannel channel;
        std::array<std::uint8_t, 16384> buffer;
        Bytes queued;
        Bytes writing;
    };
    using LinkPtr = std::shared_ptr<Link>;
    struct Replica {
        crypto::Identity identity = identity_of(1);
        std::unique_ptr<tcp::acceptor> acceptor;
        std::uint16_t port = 0;
        std::set<LinkPtr> links;
    };

    asio::io_context io{1};
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
    crypto::Ed25519Verifier verifier;
    std::shared_ptr<crypto::Identity> client = std::make_shared<crypto::Identity>(identity_of(101));
    std::shared_ptr<crypto::Identity> stranger = std::make_shared<crypto::Identity>(identity_of(102));
    config::Cluster cluster;
    std::vector<Replica> replicas;
    bool silent = false;
    // The shared state of the replicas.
    std::map<Bytes, Bytes> data;
    std::map<std::pair<std::uint64_t, std::uint64_t>, kvstore::Outcome> outcomes;  // by session and sequence number
    std::uint64_t height = 0;
    std::thread thread;

    // Runs `task` on the cluster's thread and waits.
    void run(std::function<void()> task) {
        std::promise<void> done;
        asio::post(io, [&] {
            task();
            done.set_value();
        });
        done.get_future().wait();
    }

    void listen(std::size_t index) {
        Replica& replica = replicas[index];
        const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), replica.port);
        replica.acceptor = std::make_unique<tcp::acceptor>(io, endpoint);
        replica.port = replica.acceptor->local_endpoint().port();
        accept(index);
    }
    void accept(std::size_t index) {
        replicas[index].acceptor->async_accept([this, index](const error_code& error, tcp::socket socket) {
            if (error) {
                return;
            }
            const crypto::LinkOptions link{cluster.cluster_id, cluster.epoch, crypto::LinkRole::replica,
                                           &replicas[index].identity, &verifier};
            auto channel = wire::SecureChannel::responder(link, [this](const crypto::LinkPeer& peer) {
                return peer.role == crypto::LinkRole::client && peer.key == client->public_key();
            });
            auto accepted = std::make_shared<Link>(std::move(socket), std::move(channel));
            replicas[index].links.insert(accepted);
            read(index, accepted);
            accept(index);
        });
    }
    void read(std::size_t index, const LinkPtr& link) {
        link->socket.async_read_some(
            asio::buffer(link->buffer), [this, index, link](const error_code& error, std::size_t size) {
                if (error) {
                    drop(index, link);
                    return;
                }
                auto got = link->channel.receive(ByteView(link->buffer).first(size));
                if (!got) {
                    const Bytes refusal = link->channel.take_refusal();
                    error_code ignored;
                    asio::write(link->socket, asio::buffer(refusal), ignored);
                    drop(index, link);
                    return;
                }
                append(link, got->to_send);
                if (got->established) {
                    send(link, wire::Welcome{id(index), View(0), ReplicaId(0), Hlc(1'700'000'000'000, 0)});
                }
                for (const Bytes& frame : got->frames) {
                    if (const auto message = wire::decode_client(frame)) {
                        take(index, link, *message);
                    }
                }
                read(index, link);
            });
    }
    void drop(std::size_t index, const LinkPtr& link) {
        error_code ignored;
        link->socket.close(ignored);
        replicas[index].links.erase(link);
    }
    void append(const LinkPtr& link, const Bytes& bytes) {
        link->queued.insert(link->queued.end(), bytes.begin(), bytes.end());
        write(link);
    }
    void write(const LinkPtr& link) {
        if (!link->writing.empty() || link->queued.empty()) {
            return;
        }
        link->writing.swap(link->queued);
        asio::async_write(link->socket, asio::buffer(link->writing),
                          [this, link](const error_code& error, std::size_t) {
                              link->writing.clear();
                              if (!error) {
                                  write(link);
                              }
                          });
    }
    void send(const LinkPtr& link, const wire::ReplicaMessage& message) {
        append(link, link->channel.seal_frame(wire::encode(message)));
    }
    static ReplicaId id(std::size_t index) { return ReplicaId(static_cast<std::uint16_t>(index)); }

    void take(std::size_t index, const LinkPtr& link, const wire::ClientMessage& message) {
        if (const auto* submit = std::get_if<wire::Submit>(&message)) {
            if (!silent) {
                execute(submit->envelope);
                reply(submit->envelope);
            }
        } else if (const auto* question = std::get_if<wire::Read>(&message)) {
            if (!silent) {
                answer(index, link, *question);
            }
        } else if (const auto* status = std::get_if<wire::StatusRequest>(&message)) {
            send(link, wire::StatusReply{status->nonce, R"({"id":)" + std::to_string(index) + "}"});
        } else if (const auto* set = std::get_if<wire::Control>(&message)) {
            if (set->command == "none") {
                send(link, wire::ControlReply{set->nonce, "none"});
            } else {
                send(link,
                     wire::Refusal{
                         id(index), wire::RefusalCode::not_allowed, false, {}, set->nonce, "experiments are off"});
            }
        }
    }
    void execute(const consensus::Envelope& envelope) {
        const auto operations = kvstore::decode_operations(envelope.operations, envelope.count);
        ++height;
        for (std::uint16_t i = 0; operations && i < envelope.count; ++i) {
            const consensus::Seq seq = envelope.seq0.plus(i);
            const std::pair key{envelope.session.value, seq.value};
            if (outcomes.contains(key)) {
                continue;
            }
            if (const auto* put = std::get_if<kvstore::Put>(&(*operations)[i])) {
                data[put->key] = put->value;
            }
            outcomes[key] = {seq,
                             Height(height),
                             View(0),
                             Hlc(1'700'000'000'001, 0),
                             kvstore::Revision(outcomes.size() + 1),
                             kvstore::Status::ok,
                             {}};
        }
    }
    void reply(const consensus::Envelope& envelope) {
        wire::Reply message{{}, envelope.session, View(0), Hlc(1'700'000'000'001, 0), {}};
        for (std::uint16_t i = 0; i < envelope.count; ++i) {
            const kvstore::Outcome& outcome = outcomes[{envelope.session.value, envelope.seq0.value + i}];
            message.outcomes.push_back({outcome.seq, outcome, kvstore::outcome_digest(outcome)});
        }
        for (std::size_t index = 0; index < replicas.size(); ++index) {
            message.replica = id(index);
            for (const LinkPtr& link : replicas[index].links) {
                if (link->channel.established()) {
                    send(link, message);
                }
            }
        }
    }
    void answer(std::size_t index, const LinkPtr& link, const wire::Read& question) {
        kvstore::RangeResult result;
        if (const auto found = data.find(std::get<kvstore::Range>(question.query).begin); found != data.end()) {
            result.items.push_back({found->first, found->second, {}, {}, 1, {}});
            result.count = 1;
        }
        wire::ReadReply reply;
        reply.replica = id(index);
        reply.nonce = question.nonce;
        reply.result = kvstore::encode_query_answer({kvstore::Status::ok, kvstore::encode_range_result(result)});
        reply.digest = crypto::digest_of("read", *reply.result);
        if (!question.want_result) {
            reply.result.reset();
        }
        reply.executed = reply.lock = Height(height);
        send(link, reply);
    }
};

LoopbackCluster::LoopbackCluster(std::size_t n) {
    crypto::initialize();
    state_ = std::make_unique<State>();
    State& s = *state_;
    s.cluster.cluster_id = crypto::digest_of("cluster", view_of("loopback"));
    s.replicas.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        s.replicas[i].identity = identity_of(static_cast<std::uint8_t>(i + 1));
        s.listen(i);
        config::ReplicaEntry entry;
        entry.id = static_cast<std::uint16_t>(i);
        entry.public_key = s.replicas[i].identity.public_key();
        entry.advertise = i % 2 == 0 ? "127.0.0.1" : "localhost";
        entry.client_port = s.replicas[i].port;
        s.cluster.replicas.push_back(entry);
    }
    s.cluster.clients.push_back({"default", s.client->public_key(), 7});
    s.thread = std::thread([this] { state_->io.run(); });
}

LoopbackCluster::~LoopbackCluster() {
    state_->io.stop();
    state_->thread.join();
}

ClientOptions LoopbackCluster::options(bool known_key) const {
    ClientOptions options;
    options.cluster = state_->cluster;
    options.identity = known_key ? state_->client : state_->stranger;
    return options;
}

void LoopbackCluster::stop(std::size_t replica) {
    state_->run([&] { state_->replicas[replica].acceptor.reset(); });
    cut_links(replica);
}
void LoopbackCluster::start(std::size_t replica) {
    state_->run([&] { state_->listen(replica); });
}
void LoopbackCluster::cut_links(std::size_t replica) {
    state_->run([&] {
        const auto links = state_->replicas[replica].links;
        for (const auto& link : links) {
            state_->drop(replica, link);
        }
    });
}
void LoopbackCluster::set_silent(bool silent) {
    state_->run([&] { state_->silent = silent; });
}
std::size_t LoopbackCluster::executed() const {
    std::size_t count = 0;
    state_->run([&] { count = state_->outcomes.size(); });
    return count;
}

}  // namespace loyal::client::test
