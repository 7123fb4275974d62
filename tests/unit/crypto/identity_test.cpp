#include "crypto/identity.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "crypto/random.h"
#include "tests/unit/crypto/hex.h"

namespace loyal::crypto {
namespace {

using test::array_from_hex;
using test::from_hex;
using test::seed_of;

struct Vector {
    const char* seed;
    const char* public_key;
    const char* message;
    const char* signature;
};

// RFC 8032, section 7.1: tests 1, 2, 3 and SHA(abc).
const Vector rfc8032[] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe246"
     "5"
     "5141438e7a100b"},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb"
     "0"
     "0d291612bb0c00"},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc"
     "0"
     "27beceea1ec40a"},
    {"833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
     "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2"
     "a"
     "9ac94fa54ca49f",
     "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad"
     "9"
     "bef1177331a704"},
};

TEST(Identity, signs_as_rfc_8032_says) {
    for (const auto& vector : rfc8032) {
        const Identity identity = Identity::from_seed(array_from_hex<32>(vector.seed));
        EXPECT_EQ(to_hex(identity.public_key().bytes), vector.public_key);
        const Signature signature = identity.sign(from_hex(vector.message));
        EXPECT_EQ(to_hex(signature.bytes), vector.signature);
        EXPECT_TRUE(Ed25519Verifier().verify(identity.public_key(), from_hex(vector.message), signature));
    }
}

TEST(Identity, generated_ones_differ_and_survive_a_move) {
    Identity first = Identity::generate();
    const Identity second = Identity::generate();
    EXPECT_NE(first.public_key(), second.public_key());
    const PublicKey key = first.public_key();
    const Identity moved = std::move(first);
    EXPECT_EQ(moved.public_key(), key);
    EXPECT_TRUE(Ed25519Verifier().verify(key, view_of("m"), moved.sign(view_of("m"))));
}

TEST(Ed25519Verifier, refuses_every_flipped_bit_of_a_signature) {
    const Identity identity = Identity::from_seed(seed_of(1));
    const Signature good = identity.sign(view_of("message"));
    for (std::size_t bit = 0; bit < 512; ++bit) {
        Signature bad = good;
        bad.bytes[bit / 8] = static_cast<std::uint8_t>(bad.bytes[bit / 8] ^ (1U << (bit % 8)));
        EXPECT_FALSE(Ed25519Verifier().verify(identity.public_key(), view_of("message"), bad)) << bit;
    }
}

TEST(Ed25519Verifier, refuses_another_message_or_key) {
    const Identity identity = Identity::from_seed(seed_of(1));
    const Signature signature = identity.sign(view_of("message"));
    EXPECT_FALSE(Ed25519Verifier().verify(identity.public_key(), view_of("massage"), signature));
    const Identity other = Identity::from_seed(seed_of(2));
    EXPECT_FALSE(Ed25519Verifier().verify(other.public_key(), view_of("message"), signature));
}

// A signature must have one form: with S + L in the place of S the equation holds as well.
TEST(Ed25519Verifier, refuses_a_signature_whose_s_is_not_reduced) {
    const Identity identity = Identity::from_seed(seed_of(1));
    Signature signature = identity.sign(view_of("message"));
    const auto order = array_from_hex<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    unsigned carry = 0;
    for (std::size_t i = 0; i < 32; ++i) {
        carry += static_cast<unsigned>(signature.bytes[32 + i]) + order[i];
        signature.bytes[32 + i] = static_cast<std::uint8_t>(carry & 0xFFU);
        carry >>= 8U;
    }
    ASSERT_EQ(carry, 0U);
    EXPECT_FALSE(Ed25519Verifier().verify(identity.public_key(), view_of("message"), signature));
}

// With a key of small order one signature can fit every message.
TEST(Ed25519Verifier, refuses_keys_of_small_order) {
    PublicKey neutral;
    neutral.bytes[0] = 1;
    Signature signature;
    signature.bytes[0] = 1;  // R = the neutral element, S = 0: the equation holds for any message
    EXPECT_FALSE(Ed25519Verifier().verify(neutral, view_of("any"), signature));
    EXPECT_FALSE(is_valid_public_key(neutral));
    EXPECT_FALSE(is_valid_public_key(PublicKey{}));
    PublicKey all_ones;
    all_ones.bytes.fill(0xFF);
    EXPECT_FALSE(is_valid_public_key(all_ones));
    EXPECT_TRUE(is_valid_public_key(Identity::from_seed(seed_of(3)).public_key()));
}

TEST(Base64, known_answers) {
    EXPECT_EQ(to_base64(view_of("")), "");
    EXPECT_EQ(to_base64(view_of("f")), "Zg==");
    EXPECT_EQ(to_base64(view_of("foobar")), "Zm9vYmFy");
    EXPECT_EQ(from_base64("Zm9vYmFy"), bytes_of("foobar"));
    EXPECT_EQ(from_base64(""), Bytes{});
}

TEST(Base64, has_one_form_only) {
    for (const auto* text :
         {"Zg", "Zg=", "Zg===", "Zh==", "Z", "Zm9v\n", " Zm9v", "Zm-v", "Zm9vYmFy=", "====", "aaa\xDE"}) {
        EXPECT_FALSE(from_base64(text)) << text;
    }
}

RC_GTEST_PROP(Base64, round_trip, (const Bytes& bytes)) {
    const auto back = from_base64(to_base64(bytes));
    RC_ASSERT(back.has_value());
    RC_ASSERT(*back == bytes);
}

RC_GTEST_PROP(Base64, whatever_is_accepted_encodes_to_the_same_text, (const std::string& text)) {
    const auto bytes = from_base64(text);
    const bool same = !bytes.has_value() || to_base64(*bytes) == text;
    RC_ASSERT(same);
}

RC_GTEST_PROP(EqualConstantTime, is_equality, (const Bytes& a, const Bytes& b)) {
    RC_ASSERT(equal_constant_time(a, a));
    RC_ASSERT(equal_constant_time(a, b) == (a == b));
}

TEST(Random, does_not_repeat) {
    EXPECT_NE(random_u64(), random_u64());
    std::array<std::uint8_t, 32> bytes{};
    fill_random(bytes);
    const std::array<std::uint8_t, 32> zeros{};
    EXPECT_NE(bytes, zeros);
}

}  // namespace
}  // namespace loyal::crypto
