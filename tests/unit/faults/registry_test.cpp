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

}  // namespace
}  // namespace loyal::replica
