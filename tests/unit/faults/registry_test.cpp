#include <gmock/gmock.h>

#include "fault_fixture.h"

namespace loyal::replica {
namespace {

TEST_F(FaultTest, every_listed_behaviour_can_be_made_and_says_its_name) {
    EXPECT_THAT(fault_names(), testing::ElementsAre("none", "silent", "equivocate", "lie-to-clients"));
    for (const std::string& name : fault_names()) {
        const auto made = make(name);
        if (name == "none") {
            EXPECT_EQ(made, nullptr);
        } else {
            EXPECT_EQ(made->name(), name);
        }
    }
}

TEST_F(FaultTest, an_unknown_behaviour_is_refused_with_the_list_of_known_ones) {
    const auto made = make_fault("lazy", {membership_, self_, keys_[0], 1});
    ASSERT_FALSE(made.has_value());
    EXPECT_EQ(made.error().code, Errc::invalid_argument);
    EXPECT_THAT(made.error().message, testing::AllOf(testing::HasSubstr("lazy"), testing::HasSubstr("equivocate")));
}

TEST_F(FaultTest, a_silent_replica_says_nothing_to_anybody) {
    const auto silent = make("silent");
    EXPECT_TRUE(silent->to_peer({replica(1), consensus::Heartbeat{}}).empty());
    EXPECT_TRUE(silent->to_client(client_, wire::Welcome{}).empty());
}

}  // namespace
}  // namespace loyal::replica
