#include "kvstore/data_lock.h"

#include <gtest/gtest.h>

#include "tests/unit/kvstore/support.h"

namespace loyal::kvstore {
namespace {

TEST(DataLock, a_second_holder_is_refused_by_a_message_that_names_the_folder) {
    const test::TemporaryFolder folder;
    const auto first = DataLock::acquire(folder.path());
    ASSERT_TRUE(first);
    const auto second = DataLock::acquire(folder.path());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::conflict);
    EXPECT_NE(second.error().message.find(folder.path().string()), std::string::npos);
    EXPECT_NE(second.error().message.find("in use by another process"), std::string::npos);
}

TEST(DataLock, is_free_again_when_its_holder_is_gone) {
    const test::TemporaryFolder folder;
    { const auto first = DataLock::acquire(folder.path()); }
    auto second = DataLock::acquire(folder.path());
    ASSERT_TRUE(second);
    const DataLock moved = std::move(*second);
    EXPECT_FALSE(DataLock::acquire(folder.path()));
}

TEST(DataLock, a_missing_folder_is_named) {
    const test::TemporaryFolder folder;
    const auto lock = DataLock::acquire(folder.path() / "absent");
    ASSERT_FALSE(lock);
    EXPECT_EQ(lock.error().code, Errc::not_found);
}

}  // namespace
}  // namespace loyal::kvstore
