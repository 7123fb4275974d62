#include <gmock/gmock.h>

#include "fault_fixture.h"

namespace loyal::replica {
namespace {

TEST_F(FaultTest, every_listed_behaviour_without_argument_can_be_made_and_says_its_name) {
    EXPECT_FALSE(behaviours().empty());
    for (const BehaviourInfo& info : behaviours()) {
        if (info.argument.empty()) {
            EXPECT_EQ(make(info.name)->name(), "byzantine " + std::string(info.name));
        }
    }
    EXPECT_EQ(make("none"), nullptr);
}

TEST_F(FaultTest, an_unknown_behaviour_is_refused_with_the_list_of_known_ones) {
    const auto spec = parse_fault("lazy");
    ASSERT_FALSE(spec.has_value());
    EXPECT_EQ(spec.error().code, Errc::invalid_argument);
    EXPECT_THAT(spec.error().message, testing::AllOf(testing::HasSubstr("lazy"), testing::HasSubstr("equivocate")));
}

TEST_F(FaultTest, a_silent_replica_says_nothing_to_anybody) {
    const auto silent = make("silent");
    EXPECT_TRUE(silent->to_peer({replica(1), consensus::Heartbeat{}}).empty());
    EXPECT_TRUE(silent->to_client(client_, wire::Welcome{}).empty());
}

TEST_F(FaultTest, bad_memory_flips_one_bit_of_one_block_and_no_more) {
    const auto fault = make("bad-memory");
    kvstore::ExecutedBlock first;
    first.height = consensus::Height(7);
    first.digest = crypto::digest_of("example", {});
    kvstore::ExecutedBlock second = first;
    const crypto::Digest right = first.digest;
    fault->executed(first);
    fault->executed(second);
    EXPECT_NE(first.digest, right);
    first.digest.bytes[0] ^= 1U;
    EXPECT_EQ(first.digest, right);
    EXPECT_EQ(second.digest, right);
}

}  // namespace
}  // namespace loyal::replica
