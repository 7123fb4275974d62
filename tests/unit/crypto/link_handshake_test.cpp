#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "crypto/canonical.h"
#include "crypto/identity.h"
#include "crypto/link.h"
#include "tests/unit/crypto/hex.h"

namespace loyal::crypto {
namespace {

using test::seed_of;

constexpr std::size_t hello_bytes = 108;

class CountingSigner final : public Signer {
 public:
    explicit CountingSigner(std::uint8_t number) : identity_(Identity::from_seed(seed_of(number))) {}
    [[nodiscard]] Signature sign(ByteView message) const override {
        ++signatures;
        return identity_.sign(message);
    }
    [[nodiscard]] const PublicKey& public_key() const override { return identity_.public_key(); }

    mutable int signatures = 0;

 private:
    Identity identity_;
};

class CountingVerifier final : public SignatureVerifier {
 public:
    [[nodiscard]] bool verify(const PublicKey& key, ByteView message, const Signature& signature) const override {
        ++checks;
        return Ed25519Verifier().verify(key, message, signature);
    }
    mutable int checks = 0;
};

// Replica 1 calls replica 2.
class LinkHandshakeTest : public testing::Test {
 protected:
    LinkHandshakeTest() { initialize(); }

    [[nodiscard]] LinkOptions options_of(const Signer& signer, LinkRole role = LinkRole::replica) const {
        return {digest_of("cluster", view_of("ours")), 4, role, &signer, &verifier_};
    }
    [[nodiscard]] LinkPeer callee() const { return {LinkRole::replica, responder_.public_key()}; }
    [[nodiscard]] LinkHandshake call() const { return LinkHandshake::initiator(options_of(initiator_), callee()); }
    [[nodiscard]] LinkHandshake answer() const {
        return LinkHandshake::responder(options_of(responder_), [this](const LinkPeer& peer) {
            return peer.key == initiator_.public_key() && peer.role == LinkRole::replica;
        });
    }
    [[nodiscard]] int public_key_work() const {
        return initiator_.signatures + responder_.signatures + verifier_.checks;
    }
    static std::string error_of(const Result<std::optional<Bytes>>& result) {
        return result ? "no error" : result.error().message;
    }

    CountingSigner initiator_{1};
    CountingSigner responder_{2};
    CountingSigner stranger_{3};
    CountingVerifier verifier_;
};

// Passes frame number `at` (0, 1, 2) through `change` and tells whether both sides finished.
template <class Change>
bool completes(LinkHandshake caller, LinkHandshake callee, int at, Change change) {
    Bytes first = caller.first_frame();
    if (at == 0) {
        change(first);
    }
    auto second = callee.receive(first);
    if (!second) {
        return false;
    }
    if (at == 1) {
        change(**second);
    }
    auto third = caller.receive(**second);
    if (!third) {
        return false;
    }
    if (at == 2) {
        change(**third);
    }
    return callee.receive(**third).has_value() && caller.done() && callee.done();
}

TEST_F(LinkHandshakeTest, two_replicas_get_a_link) {
    auto caller = call();
    auto callee = answer();
    const auto second = callee.receive(caller.first_frame());
    ASSERT_TRUE(second) << error_of(second);
    EXPECT_FALSE(callee.done());
    const auto third = caller.receive(**second);
    ASSERT_TRUE(third) << error_of(third);
    const auto end = callee.receive(**third);
    ASSERT_TRUE(end) << error_of(end);
    EXPECT_FALSE(end->has_value());
    ASSERT_TRUE(caller.done());
    ASSERT_TRUE(callee.done());
    EXPECT_EQ(caller.peer().key, responder_.public_key());
    EXPECT_EQ(callee.peer().key, initiator_.public_key());
    EXPECT_EQ(callee.peer().role, LinkRole::replica);

    auto near = caller.take_cipher();
    auto far = callee.take_cipher();
    EXPECT_EQ(far.open(near.seal(view_of("ping"))), bytes_of("ping"));
    EXPECT_EQ(near.open(far.seal(view_of("pong"))), bytes_of("pong"));
}

TEST_F(LinkHandshakeTest, a_client_gets_a_link_and_is_known_as_one) {
    auto caller = LinkHandshake::initiator(options_of(stranger_, LinkRole::client), callee());
    auto callee = LinkHandshake::responder(options_of(responder_),
                                           [](const LinkPeer& peer) { return peer.role == LinkRole::client; });
    const auto second = callee.receive(caller.first_frame());
    ASSERT_TRUE(second) << error_of(second);
    const auto third = caller.receive(**second);
    ASSERT_TRUE(third) << error_of(third);
    ASSERT_TRUE(callee.receive(**third));
    EXPECT_EQ(callee.peer().role, LinkRole::client);
    EXPECT_EQ(callee.peer().key, stranger_.public_key());
}

TEST_F(LinkHandshakeTest, every_link_has_keys_of_its_own) {
    const auto link = [this] {
        auto caller = call();
        auto callee = answer();
        const auto second = callee.receive(caller.first_frame());
        const auto third = caller.receive(**second);
        EXPECT_TRUE(callee.receive(**third));
        return std::pair(caller.take_cipher(), callee.take_cipher());
    };
    auto one = link();
    auto two = link();
    EXPECT_FALSE(two.second.open(one.first.seal(view_of("x"))));
}

TEST_F(LinkHandshakeTest, frames_fit_their_bound) {
    auto caller = call();
    auto callee = answer();
    const Bytes first = caller.first_frame();
    const auto second = callee.receive(first);
    const auto third = caller.receive(**second);
    EXPECT_EQ(first.size(), hello_bytes);
    EXPECT_EQ((*second)->size(), hello_bytes + 64);
    EXPECT_EQ((*third)->size(), 65U);
    EXPECT_LE((*second)->size(), LinkHandshake::frame_bytes_max);
}

// ---- Refusals by name, before any public-key work

TEST_F(LinkHandshakeTest, another_cluster_is_refused_by_name) {
    auto options = options_of(initiator_);
    options.cluster_id = digest_of("cluster", view_of("theirs"));
    auto callee = answer();
    const auto result = callee.receive(LinkHandshake::initiator(options, this->callee()).first_frame());
    ASSERT_FALSE(result);
    EXPECT_NE(error_of(result).find("wrong cluster"), std::string::npos) << error_of(result);
    EXPECT_EQ(public_key_work(), 0);
}

TEST_F(LinkHandshakeTest, another_epoch_is_refused_by_name) {
    auto options = options_of(initiator_);
    options.epoch = 5;
    auto callee = answer();
    const auto result = callee.receive(LinkHandshake::initiator(options, this->callee()).first_frame());
    ASSERT_FALSE(result);
    EXPECT_NE(error_of(result).find("wrong epoch"), std::string::npos) << error_of(result);
    EXPECT_EQ(public_key_work(), 0);
}

TEST_F(LinkHandshakeTest, an_unknown_key_is_refused_by_name) {
    auto callee = answer();
    const auto result = callee.receive(LinkHandshake::initiator(options_of(stranger_), this->callee()).first_frame());
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::permission);
    EXPECT_NE(error_of(result).find("unknown replica key"), std::string::npos) << error_of(result);
    EXPECT_EQ(public_key_work(), 0);
}

TEST_F(LinkHandshakeTest, a_known_key_in_another_role_is_refused) {
    auto callee = answer();
    const auto result = callee.receive(
        LinkHandshake::initiator(options_of(initiator_, LinkRole::client), this->callee()).first_frame());
    ASSERT_FALSE(result);
    EXPECT_NE(error_of(result).find("unknown client key"), std::string::npos) << error_of(result);
}

TEST_F(LinkHandshakeTest, an_answer_from_somebody_else_is_refused) {
    auto caller = call();
    auto other = LinkHandshake::responder(options_of(stranger_), [](const LinkPeer&) { return true; });
    const auto second = other.receive(caller.first_frame());
    ASSERT_TRUE(second);
    const auto result = caller.receive(**second);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::permission);
    EXPECT_NE(error_of(result).find("unknown key"), std::string::npos) << error_of(result);
    EXPECT_EQ(verifier_.checks, 0);
}

TEST_F(LinkHandshakeTest, an_answer_from_another_cluster_or_epoch_is_refused_by_name) {
    for (const bool cluster : {true, false}) {
        auto caller = call();
        const Bytes first = caller.first_frame();
        auto callee = answer();
        Bytes second = *callee.receive(first).value();
        second[cluster ? 7 : 7 + 32] ^= 1U;
        const int before = verifier_.checks;
        const auto result = caller.receive(second);
        ASSERT_FALSE(result);
        EXPECT_NE(error_of(result).find(cluster ? "wrong cluster" : "wrong epoch"), std::string::npos);
        EXPECT_EQ(verifier_.checks, before);
    }
}

TEST_F(LinkHandshakeTest, a_reflected_hello_is_refused) {
    auto caller = call();
    const Bytes first = caller.first_frame();
    EXPECT_FALSE(caller.receive(first));
    // A caller that meets itself: its own HELLO comes in at its own listening port, where its key is a known one.
    auto self = LinkHandshake::responder(options_of(initiator_), [](const LinkPeer&) { return true; });
    const auto result = self.receive(first);
    ASSERT_FALSE(result);
    EXPECT_NE(error_of(result).find("reflected"), std::string::npos) << error_of(result);
}

// ---- Attacks on the frames

TEST_F(LinkHandshakeTest, without_a_change_it_completes) {
    EXPECT_TRUE(completes(call(), answer(), -1, [](Bytes&) {}));
}

TEST_F(LinkHandshakeTest, every_flipped_bit_of_every_frame_prevents_the_link) {
    const std::size_t sizes[] = {hello_bytes, hello_bytes + 64, 65};
    for (int at = 0; at < 3; ++at) {
        for (std::size_t bit = 0; bit < sizes[at] * 8; ++bit) {
            const auto flip = [bit](Bytes& frame) {
                frame[bit / 8] = static_cast<std::uint8_t>(frame[bit / 8] ^ (1U << (bit % 8)));
            };
            ASSERT_FALSE(completes(call(), answer(), at, flip)) << "frame " << at << ", bit " << bit;
        }
    }
}

TEST_F(LinkHandshakeTest, every_cut_frame_and_every_longer_one_is_refused) {
    const std::size_t sizes[] = {hello_bytes, hello_bytes + 64, 65};
    for (int at = 0; at < 3; ++at) {
        for (std::size_t size = 0; size < sizes[at]; ++size) {
            EXPECT_FALSE(completes(call(), answer(), at, [size](Bytes& frame) { frame.resize(size); }));
        }
        EXPECT_FALSE(completes(call(), answer(), at, [](Bytes& frame) { frame.push_back(0); }));
        EXPECT_FALSE(completes(call(), answer(), at, [](Bytes& frame) { frame.resize(8U << 20); }));
    }
}

TEST_F(LinkHandshakeTest, frames_of_an_earlier_handshake_are_refused) {
    auto caller = call();
    auto callee = answer();
    const Bytes first = caller.first_frame();
    const Bytes second = *callee.receive(first).value();
    const Bytes third = *caller.receive(second).value();
    ASSERT_TRUE(callee.receive(third));
    // To a responder that starts anew, somebody replays the recorded call ...
    auto fresh_callee = answer();
    ASSERT_TRUE(fresh_callee.receive(first));
    const auto replayed = fresh_callee.receive(third);
    ASSERT_FALSE(replayed);
    EXPECT_EQ(replayed.error().code, Errc::unauthentic);
    // ... and to a new caller the recorded answer.
    auto fresh_caller = call();
    (void)fresh_caller.first_frame();
    const auto answered = fresh_caller.receive(second);
    ASSERT_FALSE(answered);
    EXPECT_EQ(answered.error().code, Errc::unauthentic);
}

TEST_F(LinkHandshakeTest, the_responders_signature_is_no_proof_of_the_initiator) {
    auto callee = answer();
    auto caller = call();
    const Bytes second = *callee.receive(caller.first_frame()).value();
    Bytes proof = {3};
    proof.insert(proof.end(), second.end() - 64, second.end());
    EXPECT_FALSE(callee.receive(proof));
}

TEST_F(LinkHandshakeTest, frames_out_of_turn_are_refused) {
    auto caller = call();
    auto callee = answer();
    const Bytes first = caller.first_frame();
    const Bytes second = *callee.receive(first).value();
    EXPECT_FALSE(callee.receive(first)) << "a second HELLO";
    const Bytes third = *caller.receive(second).value();
    EXPECT_FALSE(callee.receive(third)) << "the handshake failed before";
    EXPECT_FALSE(callee.done());
    EXPECT_FALSE(caller.receive(second)) << "nothing is due any more";
}

// ---- Low-order ephemeral keys: their shared secret is zero, known to anybody on the wire

TEST_F(LinkHandshakeTest, a_low_order_ephemeral_key_of_the_caller_is_refused) {
    for (const auto* point : {"0000000000000000000000000000000000000000000000000000000000000000",
                              "0100000000000000000000000000000000000000000000000000000000000000",
                              "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                              "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"}) {
        auto caller = call();
        auto callee = answer();
        Bytes first = caller.first_frame();
        const Bytes ephemeral = test::from_hex(point);
        std::copy(ephemeral.begin(), ephemeral.end(), first.end() - 32);
        const auto result = callee.receive(first);
        ASSERT_FALSE(result);
        EXPECT_NE(error_of(result).find("low order"), std::string::npos) << error_of(result);
    }
}

// The signed form, spelled out: a known answer for the format, too.
Bytes signed_form(const LinkOptions& options, std::uint8_t kind, ByteView first, ByteView second) {
    CanonicalWriter out;
    out.raw(view_of("LKV1")).number(std::uint8_t{12}).digest(options.cluster_id).number(options.epoch);
    out.number(kind).digest(Hasher("link").update(first).update(second).finish());
    return out.take();
}

TEST_F(LinkHandshakeTest, a_low_order_ephemeral_key_of_a_responder_is_refused_although_it_is_signed) {
    auto caller = call();
    auto callee = answer();
    const Bytes first = caller.first_frame();
    Bytes second = *callee.receive(first).value();
    second.resize(hello_bytes);
    std::fill(second.end() - 32, second.end(), std::uint8_t{0});
    const Signature signature = responder_.sign(signed_form(options_of(responder_), 2, first, second));
    second.insert(second.end(), signature.bytes.begin(), signature.bytes.end());
    const auto result = caller.receive(second);
    ASSERT_FALSE(result);
    EXPECT_NE(error_of(result).find("low order"), std::string::npos) << error_of(result);
}

TEST_F(LinkHandshakeTest, signatures_cover_the_documented_bytes) {
    auto caller = call();
    auto callee = answer();
    const Bytes first = caller.first_frame();
    const Bytes second = *callee.receive(first).value();
    const Bytes third = *caller.receive(second).value();
    const ByteView hello = ByteView(second).first(hello_bytes);
    const auto signature_at_end = [](const Bytes& frame) {
        Signature signature;
        std::copy(frame.end() - 64, frame.end(), signature.bytes.begin());
        return signature;
    };
    const auto form = signed_form(options_of(responder_), 2, first, hello);
    EXPECT_TRUE(Ed25519Verifier().verify(responder_.public_key(), form, signature_at_end(second)));
    const auto proof = signed_form(options_of(initiator_), 3, first, hello);
    EXPECT_TRUE(Ed25519Verifier().verify(initiator_.public_key(), proof, signature_at_end(third)));
}

RC_GTEST_FIXTURE_PROP(LinkHandshakeTest, garbage_is_refused_in_every_state, (const Bytes& garbage)) {
    auto callee = answer();
    RC_ASSERT(!callee.receive(garbage).has_value());
    auto caller = call();
    const Bytes first = caller.first_frame();
    RC_ASSERT(!caller.receive(garbage).has_value());
    auto waiting = answer();
    RC_ASSERT(waiting.receive(first).has_value());
    RC_ASSERT(!waiting.receive(garbage).has_value());
}

}  // namespace
}  // namespace loyal::crypto
