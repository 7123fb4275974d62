#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <deque>

#include "config/limits.h"
#include "crypto/identity.h"
#include "wire/framing.h"
#include "wire/secure_channel.h"

namespace loyal::wire {
namespace {

std::array<std::uint8_t, 32> seed_of(std::uint8_t number) {
    std::array<std::uint8_t, 32> seed{};
    seed.fill(number);
    return seed;
}

class SecureChannelTest : public testing::Test {
 protected:
    SecureChannelTest() { crypto::initialize(); }

    [[nodiscard]] crypto::LinkOptions options(const crypto::Identity& identity, crypto::LinkRole role,
                                              std::uint8_t cluster = 1) const {
        return {crypto::digest_of("cluster", ByteView(&cluster, 1)), 0, role, &identity, &verifier_};
    }
    [[nodiscard]] SecureChannel caller(std::uint8_t cluster = 1) const {
        return SecureChannel::initiator(options(client_, crypto::LinkRole::client, cluster),
                                        {crypto::LinkRole::replica, replica_.public_key()});
    }
    [[nodiscard]] SecureChannel answerer(bool knows_the_client = true) const {
        return SecureChannel::responder(options(replica_, crypto::LinkRole::replica),
                                        [this, knows_the_client](const crypto::LinkPeer& peer) {
                                            return knows_the_client && peer.key == client_.public_key();
                                        });
    }
    // Runs the handshake; both ends are up afterwards.
    void establish(SecureChannel& client, SecureChannel& replica) const {
        auto hello = replica.receive(client.start());
        ASSERT_TRUE(hello) << hello.error().message;
        auto proof = client.receive(hello->to_send);
        ASSERT_TRUE(proof) << proof.error().message;
        EXPECT_TRUE(proof->established);
        auto done = replica.receive(proof->to_send);
        ASSERT_TRUE(done) << done.error().message;
        EXPECT_TRUE(done->established);
    }

    crypto::Ed25519Verifier verifier_;
    crypto::Identity client_ = crypto::Identity::from_seed(seed_of(1));
    crypto::Identity replica_ = crypto::Identity::from_seed(seed_of(2));
    crypto::Identity stranger_ = crypto::Identity::from_seed(seed_of(3));
};

TEST_F(SecureChannelTest, both_ends_know_each_other_and_talk) {
    SecureChannel client = caller();
    SecureChannel replica = answerer();
    EXPECT_TRUE(replica.start().empty());
    establish(client, replica);
    EXPECT_EQ(replica.peer().key, client_.public_key());
    EXPECT_EQ(replica.peer().role, crypto::LinkRole::client);
    EXPECT_EQ(client.peer().key, replica_.public_key());
    const auto got = replica.receive(client.seal_frame(view_of("hello")));
    ASSERT_TRUE(got);
    ASSERT_EQ(got->frames.size(), 1U);
    EXPECT_EQ(text_of(got->frames[0]), "hello");
    const auto back = client.receive(replica.seal_frame(view_of("welcome")));
    ASSERT_TRUE(back);
    EXPECT_EQ(text_of(back->frames.at(0)), "welcome");
}

TEST_F(SecureChannelTest, the_stream_may_be_split_anywhere_and_the_first_frames_may_come_with_the_proof) {
    rc::check([this] {
        SecureChannel client = caller();
        SecureChannel replica = answerer();
        const auto texts =
            *rc::gen::container<std::vector<std::string>>(rc::gen::nonEmpty(rc::gen::arbitrary<std::string>()));
        const auto hello = replica.receive(client.start());
        RC_ASSERT(hello.has_value());
        const auto proof = client.receive(hello->to_send);
        RC_ASSERT(proof.has_value());
        Bytes stream = proof->to_send;
        for (const std::string& text : texts) {
            const Bytes frame = client.seal_frame(view_of(text));
            stream.insert(stream.end(), frame.begin(), frame.end());
        }
        std::vector<std::string> got;
        std::size_t at = 0;
        while (at < stream.size()) {
            const auto size = *rc::gen::inRange<std::size_t>(1, stream.size() - at + 1);
            const auto received = replica.receive(ByteView(stream).subspan(at, size));
            RC_ASSERT(received.has_value());
            for (const Bytes& frame : received->frames) {
                got.push_back(string_of(frame));
            }
            at += size;
        }
        RC_ASSERT(got == texts);
    });
}

TEST_F(SecureChannelTest, an_unknown_key_is_told_so) {
    SecureChannel client = caller();
    SecureChannel replica = answerer(false);
    const auto refused = replica.receive(client.start());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::permission);
    const auto told = client.receive(replica.take_refusal());
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, Errc::permission);
    EXPECT_NE(told.error().message.find("unknown client key"), std::string::npos) << told.error().message;
    EXPECT_TRUE(replica.take_refusal().empty());
}

TEST_F(SecureChannelTest, another_cluster_is_not_a_question_of_keys) {
    SecureChannel client = caller(2);
    SecureChannel replica = answerer();
    ASSERT_FALSE(replica.receive(client.start()));
    const auto told = client.receive(replica.take_refusal());
    ASSERT_FALSE(told);
    EXPECT_EQ(told.error().code, Errc::conflict);
}

TEST_F(SecureChannelTest, an_impostor_in_the_replicas_place_is_found_out) {
    SecureChannel client = caller();
    SecureChannel impostor = SecureChannel::responder(options(stranger_, crypto::LinkRole::replica),
                                                      [](const crypto::LinkPeer&) { return true; });
    const auto hello = impostor.receive(client.start());
    ASSERT_TRUE(hello);
    EXPECT_FALSE(client.receive(hello->to_send));
    EXPECT_FALSE(client.established());
}

TEST_F(SecureChannelTest, nothing_is_taken_from_a_channel_that_failed) {
    SecureChannel client = caller();
    SecureChannel replica = answerer();
    establish(client, replica);
    Bytes frame = client.seal_frame(view_of("one"));
    frame.back() ^= 1U;
    EXPECT_EQ(replica.receive(frame).error().code, Errc::unauthentic);
    EXPECT_FALSE(replica.receive(client.seal_frame(view_of("two"))));
}

TEST_F(SecureChannelTest, a_replayed_frame_is_refused) {
    SecureChannel client = caller();
    SecureChannel replica = answerer();
    establish(client, replica);
    const Bytes frame = client.seal_frame(view_of("one"));
    EXPECT_TRUE(replica.receive(frame));
    EXPECT_FALSE(replica.receive(frame));
}

TEST_F(SecureChannelTest, a_stranger_may_not_announce_more_than_a_handshake_frame) {
    SecureChannel replica = answerer();
    EXPECT_FALSE(replica.receive(Bytes{0x02, 0x02, 0x00, 0x00}));  // 514
    SecureChannel other = answerer();
    EXPECT_FALSE(other.receive(view_of("GET / HTTP/1.1\r\n\r\n")));
    SecureChannel third = answerer();
    const Bytes garbage(513, 9);
    EXPECT_FALSE(third.receive(with_prefix(garbage)));
}

TEST_F(SecureChannelTest, the_largest_frame_passes_and_a_larger_one_does_not) {
    SecureChannel client = caller();
    SecureChannel replica = answerer();
    establish(client, replica);
    const auto got = replica.receive(client.seal_frame(Bytes(limits::frame_bytes_max, 1)));
    ASSERT_TRUE(got);
    EXPECT_EQ(got->frames.at(0).size(), limits::frame_bytes_max);
    Bytes prefix = with_prefix(Bytes(1, 0));
    const std::size_t size = limits::frame_bytes_max + crypto::LinkCipher::overhead_bytes + 1;
    for (std::size_t i = 0; i < 4; ++i) {
        prefix[i] = static_cast<std::uint8_t>(size >> (8 * i));
    }
    EXPECT_FALSE(replica.receive(ByteView(prefix).first(4)));
}

TEST_F(SecureChannelTest, a_refusal_says_nothing_but_printable_text) {
    SecureChannel client = caller();
    (void)client.start();
    Bytes refusal{2, 0};
    for (int i = 0; i < 256; ++i) {
        refusal.push_back(static_cast<std::uint8_t>(i));
    }
    const auto told = client.receive(with_prefix(refusal));
    ASSERT_FALSE(told);
    for (const char each : told.error().message) {
        EXPECT_TRUE(each >= 0x20 && each < 0x7F);
    }
    EXPECT_LT(told.error().message.size(), 300U);
}

RC_GTEST_FIXTURE_PROP(SecureChannelTest, garbage_never_crashes_either_end, (const Bytes& garbage)) {
    SecureChannel replica = answerer();
    (void)replica.receive(garbage);
    SecureChannel client = caller();
    (void)client.start();
    (void)client.receive(garbage);
    SecureChannel framed = answerer();
    if (!garbage.empty()) {
        (void)framed.receive(with_prefix(garbage));
    }
}

}  // namespace
}  // namespace loyal::wire
