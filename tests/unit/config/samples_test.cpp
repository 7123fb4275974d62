#include <gtest/gtest.h>

#include "config/cluster.h"
#include "kvstore/state_machine.h"

namespace loyal::config {
namespace {

TEST(Samples, are_clusters) {
    int seen = 0;
    for (const auto& entry : std::filesystem::directory_iterator(LOYAL_SAMPLES)) {
        const auto cluster = load_cluster(entry.path());
        EXPECT_TRUE(cluster) << cluster.error().message;
        ++seen;
    }
    EXPECT_GE(seen, 2);
}

// Two libraries that may not see each other name the same bits.
TEST(Rights, are_those_of_the_state_machine) {
    EXPECT_EQ(right_read, kvstore::right_read);
    EXPECT_EQ(right_write, kvstore::right_write);
    EXPECT_EQ(right_admin, kvstore::right_admin);
}

}  // namespace
}  // namespace loyal::config
