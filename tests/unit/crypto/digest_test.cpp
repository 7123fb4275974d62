#include "crypto/digest.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <set>

#include "tests/unit/crypto/hex.h"

namespace loyal::crypto {
namespace {

// Computed with another implementation: Python's hashlib.blake2b(data, digest_size=32, person=tag).
TEST(Digest, equals_personalised_blake2b_256) {
    EXPECT_EQ(digest_of("hdr", {}).hex(), "b66be98c3d3a13df411305801f3c9298d767160eaef99a82e80307527cee1c23");
    EXPECT_EQ(digest_of("body", view_of("abc")).hex(),
              "908bbc40a68ae304e85c76b416eac7996dd75719690f7a98d0c0d7eae33c93b1");
    Bytes data;
    for (int i = 0; i < 5 * 256; ++i) {
        data.push_back(static_cast<std::uint8_t>(i));
    }
    EXPECT_EQ(digest_of("0123456789abcdef", data).hex(),
              "a59af6d6789d3d770fec790f371c3bfeafc97ba1ba96a14728391228730115be");
}

// RFC 7693's function without personalisation, at 32 bytes of output.
TEST(Digest, without_a_tag_is_plain_blake2b_256) {
    EXPECT_EQ(digest_of("", view_of("abc")).hex(), "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

TEST(Digest, of_one_kind_never_equals_that_of_another) {
    std::set<Digest> digests;
    for (const auto* tag : {"", "h", "hd", "hdr", "hdr2", "body", "client", "cluster", "keyfile"}) {
        EXPECT_TRUE(digests.insert(digest_of(tag, view_of("the same bytes"))).second) << tag;
    }
}

TEST(Digest, has_a_hexadecimal_name) {
    const Digest digest = digest_of("body", view_of("abc"));
    EXPECT_EQ(digest.hex().size(), 64U);
    EXPECT_EQ(digest.short_hex(), digest.hex().substr(0, 8));
    EXPECT_TRUE(Digest{}.is_zero());
    EXPECT_FALSE(digest.is_zero());
}

RC_GTEST_PROP(Hasher, equals_the_digest_of_the_concatenation, (const std::vector<Bytes>& pieces)) {
    Hasher hasher("body");
    Bytes all;
    for (const auto& piece : pieces) {
        hasher.update(piece);
        all.insert(all.end(), piece.begin(), piece.end());
    }
    RC_ASSERT(hasher.finish() == digest_of("body", all));
}

RC_GTEST_PROP(Digest, differs_when_a_bit_differs, (Bytes data)) {
    RC_PRE(!data.empty());
    const Digest before = digest_of("body", data);
    const auto bit = *rc::gen::inRange<std::size_t>(0, data.size() * 8);
    data[bit / 8] = static_cast<std::uint8_t>(data[bit / 8] ^ (1U << (bit % 8)));
    RC_ASSERT(digest_of("body", data) != before);
}

}  // namespace
}  // namespace loyal::crypto
