// Links over 127.0.0.1: what comes over the wire may be anything; the transport closes, counts and lives.
#include <gtest/gtest.h>

#include <memory>

#include "../config/sample_cluster.h"
#include "config/limits.h"
#include "crypto/identity.h"
#include "loop_fixture.h"
#include "replica/client_gateway.h"
#include "replica/peer_transport.h"
#include "wire/framing.h"

namespace loyal::replica {
namespace {

using namespace std::chrono_literals;
using consensus::ReplicaId;

crypto::Identity identity_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return crypto::Identity::from_seed(seed);
}
SharedBytes frame(std::string_view text) {
    return std::make_shared<const Bytes>(bytes_of(text));
}

// A caller whose every byte the test may choose.
class Caller {
 public:
    Caller(boost::asio::io_context& loop, const config::Cluster& cluster, std::uint8_t key, crypto::LinkRole role,
           const crypto::PublicKey& callee, std::uint16_t port)
        : identity_(identity_of(key)),
          socket_(loop),
          channel_(wire::SecureChannel::initiator({cluster.cluster_id, cluster.epoch, role, &identity_, &verifier_},
                                                  {crypto::LinkRole::replica, callee})) {
        socket_.connect({boost::asio::ip::make_address("127.0.0.1"), port});
        write(channel_.start());
        read();
    }
    void write(const Bytes& bytes) {
        boost::system::error_code ignored;
        boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
    }
    Bytes seal(std::string_view text) { return channel_.seal_frame(view_of(text)); }
    void hang_up() {
        boost::system::error_code ignored;
        socket_.close(ignored);
    }
    void stop_reading() { reading_ = false; }

    bool up = false;
    bool closed = false;
    std::string why;
    std::vector<Bytes> frames;

 private:
    void read() {
        if (!reading_) {
            return;
        }
        socket_.async_read_some(
            boost::asio::buffer(buffer_),
            [this, here = std::weak_ptr<int>(here_)](const boost::system::error_code& error, std::size_t bytes) {
                if (here.expired()) {
                    return;
                }
                if (error) {
                    closed = true;
                    return;
                }
                auto got = channel_.receive(ByteView(buffer_).first(bytes));
                if (!got) {
                    why = got.error().message;
                    closed = true;
                    return;
                }
                write(got->to_send);
                up = up || got->established;
                for (Bytes& one : got->frames) {
                    frames.push_back(std::move(one));
                }
                read();
            });
    }

    crypto::Ed25519Verifier verifier_;
    crypto::Identity identity_;
    boost::asio::ip::tcp::socket socket_;
    wire::SecureChannel channel_;
    std::array<std::uint8_t, 16'384> buffer_{};
    bool reading_ = true;
    std::shared_ptr<int> here_ = std::make_shared<int>(0);  // a callback may come when the caller is gone
};

// One end of the peers' network, with a kernel-picked port.
struct Peer {
    Peer(boost::asio::io_context& loop, config::Cluster the_cluster, std::uint16_t id,
         PeerTransportOptions options = {})
        : cluster(std::move(the_cluster)),
          identity(identity_of(static_cast<std::uint8_t>(id + 1))),
          transport(loop, cluster, ReplicaId(id), identity, verifier,
                    PeerEvents{[this](ReplicaId from, Link&, std::vector<Bytes>&& frames) {
                                   for (Bytes& one : frames) {
                                       got.emplace_back(from.value, string_of(one));
                                   }
                               },
                               [this](ReplicaId peer, bool up, const std::string&) {
                                   (up ? ups : downs).push_back(peer.value);
                               }},
                    options) {}

    config::Cluster cluster;
    crypto::Identity identity;
    crypto::Ed25519Verifier verifier;
    std::vector<std::pair<std::uint16_t, std::string>> got;
    std::vector<std::uint16_t> ups, downs;
    PeerTransport transport;
};

class TransportTest : public test::LoopTest {
 protected:
    // Replica 3 listens; replica 0 knows where.
    void start(PeerTransportOptions options = {}) {
        crypto::initialize();
        cluster_ = config::test::sample_cluster();
        for (config::ReplicaEntry& entry : cluster_.replicas) {
            entry.peer_port = 0;
        }
        callee_ = std::make_unique<Peer>(loop_, cluster_, 3, options);
        ASSERT_TRUE(callee_->transport.listen());
        port_ = callee_->transport.port();
        for (config::ReplicaEntry& entry : cluster_.replicas) {
            entry.peer_port = port_;
        }
    }
    void TearDown() override {
        // Sockets say goodbye before the objects behind their callbacks are gone.
        for (auto* peer : {caller_.get(), callee_.get()}) {
            if (peer != nullptr) {
                peer->transport.stop();
            }
        }
        if (gateway_) {
            gateway_->stop();
        }
        loop_.restart();
        loop_.run_for(50ms);
    }
    void dial(PeerTransportOptions options = {}) {
        caller_ = std::make_unique<Peer>(loop_, cluster_, 0, options);
        caller_->transport.dial_all();
        ASSERT_TRUE(
            until([&] { return caller_->transport.link_of(ReplicaId(3)) && callee_->transport.links_up() == 1; }));
    }
    std::unique_ptr<Caller> call(std::uint8_t key, crypto::LinkRole role = crypto::LinkRole::replica) {
        return std::make_unique<Caller>(loop_, cluster_, key, role, cluster_.replicas[3].public_key, port_);
    }
    // The transport still takes a well-behaved replica.
    void still_alive() {
        const auto good = call(2);
        EXPECT_TRUE(until([&] { return good->up; }));
    }

    config::Cluster cluster_;
    std::uint16_t port_ = 0;
    std::unique_ptr<Peer> callee_, caller_;
    std::unique_ptr<ClientGateway> gateway_;
};

TEST_F(TransportTest, two_replicas_link_up_and_talk_both_ways) {
    start();
    dial();
    caller_->transport.send(ReplicaId(3), frame("hello"));
    caller_->transport.send(ReplicaId(3), frame("again"));
    callee_->transport.send(ReplicaId(0), frame("back"));
    caller_->transport.flush();
    callee_->transport.flush();
    ASSERT_TRUE(until([&] { return callee_->got.size() == 2 && caller_->got.size() == 1; }));
    EXPECT_EQ(callee_->got[0], (std::pair<std::uint16_t, std::string>{0, "hello"}));
    EXPECT_EQ(callee_->got[1].second, "again");
    EXPECT_EQ(caller_->got[0], (std::pair<std::uint16_t, std::string>{3, "back"}));
    EXPECT_GT(callee_->transport.stats().bytes_in, 0U);
    EXPECT_EQ(callee_->transport.stats().frames_in, 2U);
}

TEST_F(TransportTest, a_frame_of_the_largest_size_arrives_whole) {
    start();
    dial();
    caller_->transport.send(ReplicaId(3), std::make_shared<const Bytes>(limits::frame_bytes_max, 0x41));
    caller_->transport.flush();
    ASSERT_TRUE(until([&] { return callee_->got.size() == 1; }));
    EXPECT_EQ(callee_->got[0].second.size(), limits::frame_bytes_max);
    caller_->transport.send(ReplicaId(3), std::make_shared<const Bytes>(limits::frame_bytes_max + 1, 0x41));
    EXPECT_EQ(caller_->transport.stats().frames_dropped, 1U) << "too large for any frame: dropped, not asserted";
}

TEST_F(TransportTest, a_lost_link_is_dialled_again) {
    start();
    dial();
    callee_->transport.link_of(ReplicaId(0))->close("test");
    ASSERT_TRUE(until([&] { return caller_->ups.size() == 2 && callee_->transport.links_up() == 1; }));
    caller_->transport.send(ReplicaId(3), frame("after"));
    caller_->transport.flush();
    EXPECT_TRUE(until([&] { return callee_->got.size() == 1; }));
}

TEST_F(TransportTest, a_replica_that_starts_later_is_reached) {
    start();
    callee_->transport.stop();
    callee_.reset();
    loop_.restart();
    loop_.run_for(20ms);
    caller_ = std::make_unique<Peer>(loop_, cluster_, 0);
    caller_->transport.dial_all();
    ASSERT_TRUE(until([&] { return caller_->downs.size() >= 6; })) << "refused, and tried again";
    EXPECT_EQ(caller_->transport.links_up(), 0U);
    cluster_.replicas[3].peer_port = port_;
    callee_ = std::make_unique<Peer>(loop_, cluster_, 3);
    ASSERT_TRUE(callee_->transport.listen());
    EXPECT_TRUE(until([&] { return caller_->transport.link_of(ReplicaId(3)) != nullptr; }));
}

TEST_F(TransportTest, a_newer_link_of_the_same_replica_replaces_the_older) {
    start();
    const auto first = call(2);
    ASSERT_TRUE(until([&] { return first->up && callee_->transport.links_up() == 1; }));
    const auto second = call(2);
    ASSERT_TRUE(until([&] { return second->up && first->closed; }));
    EXPECT_EQ(callee_->transport.links_up(), 1U);
    second->write(second->seal("mine"));
    ASSERT_TRUE(until([&] { return callee_->got.size() == 1; }));
}

TEST_F(TransportTest, an_unknown_key_is_refused_and_told_why) {
    start();
    const auto stranger = call(77);
    ASSERT_TRUE(until([&] { return stranger->closed; }));
    EXPECT_FALSE(stranger->up);
    EXPECT_FALSE(stranger->why.empty());
    ASSERT_TRUE(until([&] { return callee_->transport.refused() == 1; }));
    EXPECT_EQ(callee_->transport.links_up(), 0U);
    still_alive();
}

TEST_F(TransportTest, a_client_key_is_no_replica) {
    start();
    const auto client = call(101, crypto::LinkRole::client);
    ASSERT_TRUE(until([&] { return client->closed; }));
    EXPECT_FALSE(client->up);
    still_alive();
}

TEST_F(TransportTest, another_cluster_is_refused) {
    start();
    config::Cluster mine = cluster_;
    cluster_.cluster_id.bytes[0] ^= 1;
    const auto foreign = call(2);
    ASSERT_TRUE(until([&] { return foreign->closed; }));
    EXPECT_FALSE(foreign->up);
    cluster_ = mine;
    still_alive();
}

TEST_F(TransportTest, garbage_and_oversized_and_truncated_openings_are_closed_and_counted) {
    start({.handshake_timeout = 200ms});
    const std::vector<Bytes> openings = {
        Bytes(1'000, 0xFF),                             // a length over every bound
        Bytes{0, 0, 0, 0, 1, 2, 3},                     // length zero
        wire::with_prefix(Bytes(300, 0x07)),            // a whole frame of nonsense
        Bytes{200, 0, 0, 0, 1, 2, 3},                   // a frame that never ends: the handshake times out
        {},                                             // nothing at all
        bytes_of("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),  // another protocol
    };
    for (std::size_t i = 0; i < openings.size(); ++i) {
        Socket socket = connect(port_);
        write(socket, openings[i]);
        EXPECT_TRUE(closed(socket)) << "opening " << i;
        EXPECT_TRUE(until([&] { return callee_->transport.refused() == i + 1; })) << "opening " << i;
    }
    EXPECT_EQ(callee_->transport.links_up(), 0U);
    still_alive();
}

TEST_F(TransportTest, a_connection_that_is_cut_within_the_handshake_is_forgotten) {
    start();
    {
        Socket socket = connect(port_);
        write(socket, Bytes{200, 0, 0, 0, 1});
    }
    ASSERT_TRUE(until([&] { return callee_->transport.refused() == 1; }));
    still_alive();
}

TEST_F(TransportTest, a_replayed_frame_ends_the_link) {
    start();
    const auto peer = call(2);
    ASSERT_TRUE(until([&] { return peer->up; }));
    const Bytes sealed = peer->seal("once");
    peer->write(sealed);
    ASSERT_TRUE(until([&] { return callee_->got.size() == 1; }));
    peer->write(sealed);
    ASSERT_TRUE(until([&] { return peer->closed && callee_->transport.links_up() == 0; }));
    EXPECT_EQ(callee_->got.size(), 1U) << "taken once";
    EXPECT_EQ(callee_->transport.expelled(), 1U);
    still_alive();
}

TEST_F(TransportTest, a_changed_frame_ends_the_link) {
    start();
    const auto peer = call(2);
    ASSERT_TRUE(until([&] { return peer->up; }));
    Bytes sealed = peer->seal("text");
    sealed.back() ^= 1;
    peer->write(sealed);
    ASSERT_TRUE(until([&] { return peer->closed; }));
    EXPECT_TRUE(callee_->got.empty());
    still_alive();
}

TEST_F(TransportTest, an_oversized_frame_after_the_handshake_ends_the_link) {
    start();
    const auto peer = call(2);
    ASSERT_TRUE(until([&] { return peer->up; }));
    peer->write(Bytes{0xFF, 0xFF, 0xFF, 0x7F, 1});
    ASSERT_TRUE(until([&] { return peer->closed; }));
    still_alive();
}

// PROTOCOL.md §17.
TEST_F(TransportTest, three_bad_messages_disconnect_and_keep_out_for_a_while) {
    start();
    const auto peer = call(2);
    ASSERT_TRUE(until([&] { return peer->up && callee_->transport.links_up() == 1; }));
    callee_->transport.strike(ReplicaId(1), "bad");
    callee_->transport.strike(ReplicaId(1), "bad");
    EXPECT_EQ(callee_->transport.links_up(), 1U);
    callee_->transport.strike(ReplicaId(1), "bad");
    ASSERT_TRUE(until([&] { return peer->closed; }));
    EXPECT_EQ(callee_->transport.expelled(), 1U);
    const auto again = call(2);
    ASSERT_TRUE(until([&] { return again->closed; }));
    EXPECT_FALSE(again->up);
    std::unique_ptr<Caller> later;
    EXPECT_TRUE(until([&] {
        if (!later || later->closed) {
            later = call(2);
        }
        return later->up;
    })) << "the ban ends";
}

TEST_F(TransportTest, what_waits_for_a_slow_peer_is_bounded_and_the_oldest_goes) {
    start({.outbound_bytes_max = 1U << 20U});
    const auto peer = call(2);
    ASSERT_TRUE(until([&] { return peer->up && callee_->transport.links_up() == 1; }));
    peer->stop_reading();
    for (int i = 0; i < 200; ++i) {
        callee_->transport.send(ReplicaId(1), std::make_shared<const Bytes>(200'000, 0x41));
        callee_->transport.flush();
        EXPECT_LE(callee_->transport.outbound_bytes(), (std::size_t{1} << 20U) + 200'000);
        loop_.restart();
        loop_.poll();
    }
    EXPECT_GT(callee_->transport.stats().frames_dropped, 0U);
    EXPECT_EQ(callee_->transport.links_up(), 1U) << "slow is not gone";
}

TEST_F(TransportTest, a_paused_transport_reads_nothing_until_it_goes_on) {
    start();
    dial();
    callee_->transport.pause_all(true);
    for (int i = 0; i < 50; ++i) {
        caller_->transport.send(ReplicaId(3), std::make_shared<const Bytes>(100'000, 0x41));
    }
    caller_->transport.flush();
    loop_.restart();
    loop_.run_for(200ms);
    EXPECT_LE(callee_->got.size(), 1U) << "what one read brings that was under way";
    callee_->transport.pause_all(false);
    EXPECT_TRUE(until([&] { return callee_->got.size() == 50; }));
}

class GatewayTest : public TransportTest {
 protected:
    void start_gateway(ClientGatewayOptions options = {}) {
        crypto::initialize();
        cluster_ = config::test::sample_cluster();
        own_ = cluster_;
        own_.replicas[3].client_port = 0;
        identity_ = std::make_unique<crypto::Identity>(identity_of(4));
        gateway_ = std::make_unique<ClientGateway>(
            loop_, own_, ReplicaId(3), *identity_, verifier_,
            ClientEvents{[this](Link& link, const consensus::ClientId& client) { up_.emplace_back(link.id(), client); },
                         [this](Link&, const consensus::ClientId&, std::vector<Bytes>&& frames) {
                             for (Bytes& one : frames) {
                                 got_.push_back(string_of(one));
                             }
                         },
                         [this](std::uint64_t link) { down_.push_back(link); }},
            options);
        ASSERT_TRUE(gateway_->listen());
        port_ = gateway_->port();
    }
    std::unique_ptr<Caller> client(std::uint8_t key) { return call(key, crypto::LinkRole::client); }

    config::Cluster own_;
    crypto::Ed25519Verifier verifier_;
    std::unique_ptr<crypto::Identity> identity_;
    std::vector<std::pair<std::uint64_t, consensus::ClientId>> up_;
    std::vector<std::string> got_;
    std::vector<std::uint64_t> down_;
};

TEST_F(GatewayTest, a_known_client_gets_in_and_is_answered) {
    start_gateway();
    const auto one = client(101);
    ASSERT_TRUE(until([&] { return one->up && up_.size() == 1; }));
    EXPECT_EQ(up_[0].second, config::client_id_of(config::test::key_of(101)));
    EXPECT_NE(gateway_->clients().find(up_[0].second), nullptr);
    one->write(one->seal("ask"));
    ASSERT_TRUE(until([&] { return got_.size() == 1; }));
    gateway_->send(up_[0].first, frame("answer"));
    gateway_->flush();
    ASSERT_TRUE(until([&] { return one->frames.size() == 1; }));
    one->hang_up();
    ASSERT_TRUE(until([&] { return down_.size() == 1; }));
    EXPECT_EQ(down_[0], up_[0].first);
    gateway_->send(up_[0].first, frame("into the void"));
    gateway_->flush();
}

TEST_F(GatewayTest, unknown_keys_and_replicas_are_refused) {
    start_gateway();
    const auto stranger = client(55);
    const auto replica = call(2, crypto::LinkRole::replica);
    ASSERT_TRUE(until([&] { return stranger->closed && replica->closed && gateway_->refused() == 2; }));
    EXPECT_TRUE(up_.empty());
    EXPECT_EQ(gateway_->connections(), 0U);
}

TEST_F(GatewayTest, connections_are_bounded) {
    start_gateway({.connections_max = 2});
    const auto one = client(101);
    const auto two = client(101);
    ASSERT_TRUE(until([&] { return gateway_->connections() == 2; }));
    const auto three = client(101);
    ASSERT_TRUE(until([&] { return three->closed; }));
    EXPECT_FALSE(three->up);
    EXPECT_EQ(gateway_->connections(), 2U);
}

TEST_F(GatewayTest, a_client_that_reads_nothing_is_disconnected) {
    start_gateway({.outbound_bytes_max = 1U << 20U});
    const auto one = client(101);
    ASSERT_TRUE(until([&] { return one->up && up_.size() == 1; }));
    one->stop_reading();
    EXPECT_TRUE(until([&] {
        gateway_->send(up_[0].first, std::make_shared<const Bytes>(300'000, 0x41));
        gateway_->flush();
        return gateway_->connections() == 0;
    }));
    EXPECT_EQ(down_.size(), 1U);
}

TEST_F(GatewayTest, three_bad_messages_disconnect_a_client) {
    start_gateway();
    const auto one = client(101);
    const auto other = client(102);
    ASSERT_TRUE(until([&] { return up_.size() == 2; }));
    const std::uint64_t bad =
        up_[0].second == config::client_id_of(config::test::key_of(101)) ? up_[0].first : up_[1].first;
    for (int i = 0; i < 3; ++i) {
        gateway_->strike(bad, "bad");
    }
    ASSERT_TRUE(until([&] { return one->closed; }));
    EXPECT_EQ(gateway_->connections(), 1U);
    EXPECT_EQ(gateway_->expelled(), 1U);
    EXPECT_FALSE(other->closed);
}

}  // namespace
}  // namespace loyal::replica
