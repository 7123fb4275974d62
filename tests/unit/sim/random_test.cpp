#include "sim/random.h"

#include <gtest/gtest.h>

#include "sim/sim_signer.h"

namespace loyal::sim {
namespace {

// Fixed for ever: a change here would change what every recorded seed means.
TEST(RandomTest, the_sequence_of_a_seed_is_fixed) {
    Random random(42);
    EXPECT_EQ(random.next(), 1546998764402558742ULL);
    EXPECT_EQ(random.next(), 6990951692964543102ULL);
}

TEST(RandomTest, streams_of_a_seed_differ) {
    Random a(42, 1), b(42, 2), again(42, 1);
    const auto first = a.next();
    EXPECT_NE(first, b.next());
    EXPECT_EQ(first, again.next());
}

TEST(RandomTest, draws_stay_in_bounds_and_cover_them) {
    Random random(7);
    std::array<int, 6> seen{};
    for (int i = 0; i < 6'000; ++i) {
        ++seen.at(random.between(0, 5));
    }
    for (const int count : seen) {
        EXPECT_NEAR(count, 1'000, 200);
    }
    EXPECT_EQ(random.below(0), 0U);
    EXPECT_FALSE(random.chance(0));
    EXPECT_TRUE(random.chance(1'000'000));
}

TEST(SimSignerTest, a_signature_verifies_for_its_key_and_message_only) {
    const SimSigner one(1), two(2);
    SimVerifier verifier;
    verifier.learn(one);
    verifier.learn(two);
    auto signature = one.sign(view_of("message"));
    EXPECT_TRUE(verifier.verify(one.public_key(), view_of("message"), signature));
    EXPECT_FALSE(verifier.verify(one.public_key(), view_of("massage"), signature));
    EXPECT_FALSE(verifier.verify(two.public_key(), view_of("message"), signature));
    EXPECT_FALSE(verifier.verify(SimSigner(3).public_key(), view_of("message"), SimSigner(3).sign(view_of("message"))))
        << "an unknown key";
    for (std::size_t i = 0; i < signature.bytes.size(); ++i) {
        signature.bytes[i] ^= 1U;
        EXPECT_FALSE(verifier.verify(one.public_key(), view_of("message"), signature)) << "byte " << i;
        signature.bytes[i] ^= 1U;
    }
}

}  // namespace
}  // namespace loyal::sim
