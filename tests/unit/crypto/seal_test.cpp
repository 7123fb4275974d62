#include "crypto/seal.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace loyal::crypto {
namespace {

Bytes sample() {
    return seal("kv", view_of("key"), view_of("content"));
}

// Computed with another implementation: Python's hashlib.blake2b over u64-length-framed table, key and content.
TEST(Seal, has_a_fixed_format) {
    const Bytes sealed = sample();
    EXPECT_EQ(text_of(ByteView(sealed).first(7)), "content");
    EXPECT_EQ(to_hex(ByteView(sealed).last(seal_bytes)), "61f4c465ff1ec2691cd992cca6855021");
}

TEST(Seal, every_flipped_bit_is_noticed) {
    for (std::size_t bit = 0; bit < sample().size() * 8; ++bit) {
        Bytes sealed = sample();
        sealed[bit / 8] = static_cast<std::uint8_t>(sealed[bit / 8] ^ (1U << (bit % 8)));
        const auto content = unseal("kv", view_of("key"), sealed);
        ASSERT_FALSE(content) << bit;
        EXPECT_EQ(content.error().code, Errc::corrupted);
    }
}

TEST(Seal, every_cut_record_is_noticed) {
    for (std::size_t size = 0; size < sample().size(); ++size) {
        EXPECT_FALSE(unseal("kv", view_of("key"), ByteView(sample()).first(size))) << size;
    }
}

TEST(Seal, a_record_under_another_key_or_table_is_noticed) {
    EXPECT_FALSE(unseal("kv", view_of("kez"), sample()));
    EXPECT_FALSE(unseal("log", view_of("key"), sample()));
    // The same bytes, cut differently between table, key and content.
    EXPECT_FALSE(unseal("kvk", view_of("ey"), sample()));
    EXPECT_FALSE(unseal("kv", view_of("ke"), seal("kv", view_of("k"), view_of("econtent"))));
}

TEST(Seal, the_error_names_table_and_key) {
    const auto content = unseal("blocks", view_of("\x01\x02"), view_of("short"));
    ASSERT_FALSE(content);
    EXPECT_NE(content.error().message.find("blocks"), std::string::npos);
    EXPECT_NE(content.error().message.find("0102"), std::string::npos);
}

RC_GTEST_PROP(Seal, gives_back_what_was_sealed, (const std::string& table, const Bytes& key, const Bytes& content)) {
    const Bytes sealed = seal(table, key, content);
    RC_ASSERT(sealed.size() == content.size() + seal_bytes);
    const auto opened = unseal(table, key, sealed);
    RC_ASSERT(opened.has_value());
    RC_ASSERT(Bytes(opened->begin(), opened->end()) == content);
}

RC_GTEST_PROP(Unseal, survives_any_bytes, (const Bytes& key, const Bytes& garbage)) {
    RC_ASSERT(!unseal("kv", key, garbage).has_value());
}

}  // namespace
}  // namespace loyal::crypto
