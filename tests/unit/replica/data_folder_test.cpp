#include "replica/data_folder.h"

#include <gtest/gtest.h>

#include "../config/sample_cluster.h"
#include "../config/temporary_folder.h"

namespace loyal::replica {
namespace {

namespace fs = std::filesystem;

class DataFolderTest : public ::testing::Test {
 protected:
    [[nodiscard]] fs::path data() const { return folder_ / "replica-0"; }
    void create() {
        const auto made = create_data_folder(cluster_, 0, data());
        ASSERT_TRUE(made) << made.error().message;
    }
    [[nodiscard]] StartError failure(std::uint16_t id = 0) {
        auto opened = open_data_folder(cluster_, id, data());
        return opened ? StartError{FatalCode::internal, "it opened"} : opened.error();
    }

    test::TemporaryFolder folder_;
    config::Cluster cluster_ = config::test::sample_cluster();
};

TEST_F(DataFolderTest, a_new_folder_opens_as_a_new_replica) {
    create();
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(opened->recovered.fresh);
    EXPECT_FALSE(opened->crashed_before);
    EXPECT_EQ(opened->machine->executed().value, 0U);
}

TEST_F(DataFolderTest, a_missing_folder_is_a_lost_disk) {
    const StartError error = failure();
    EXPECT_EQ(error.code, FatalCode::data_missing);
    EXPECT_NE(error.message.find("--init"), std::string::npos) << error.message;
    EXPECT_FALSE(fs::exists(data())) << "and nothing is made in its place";
}

TEST_F(DataFolderTest, a_lost_log_is_a_lost_disk_although_the_birth_record_is_there) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    fs::remove_all(data() / "log");
    EXPECT_EQ(failure().code, FatalCode::data_missing);
    EXPECT_FALSE(fs::exists(data() / "log"));
}

TEST_F(DataFolderTest, a_folder_of_another_replica_or_cluster_is_refused) {
    create();
    EXPECT_EQ(failure(1).code, FatalCode::data_foreign);
    cluster_.instance = "another";
    cluster_.cluster_id = config::compute_cluster_id(cluster_);
    EXPECT_EQ(failure().code, FatalCode::data_foreign);
}

TEST_F(DataFolderTest, one_process_a_folder) {
    create();
    auto first = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(first);
    EXPECT_EQ(failure().code, FatalCode::data_in_use);
}

TEST_F(DataFolderTest, init_does_not_touch_a_folder_that_is_there) {
    create();
    const auto again = create_data_folder(cluster_, 0, data());
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, FatalCode::data_foreign);
}

TEST_F(DataFolderTest, a_crash_is_seen_at_the_next_start_and_an_orderly_stop_is_none) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    {
        auto after_crash = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(after_crash);
        EXPECT_TRUE(after_crash->crashed_before);
        mark_stopped(data());
    }
    auto after_stop = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(after_stop);
    EXPECT_FALSE(after_stop->crashed_before);
}

TEST_F(DataFolderTest, under_crash_stop_a_replica_that_crashed_may_not_return) {
    cluster_ = config::test::sample_cluster(3);
    cluster_.fault_model = consensus::FaultModel::crash;
    cluster_.crash_mode = config::CrashMode::stop;
    cluster_.cluster_id = config::compute_cluster_id(cluster_);
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    mark_stopped(data());
    ASSERT_TRUE(open_data_folder(cluster_, 0, data())) << "an orderly stop is no crash";
    EXPECT_EQ(failure().code, FatalCode::crash_stop);
    EXPECT_EQ(failure().code, FatalCode::crash_stop) << "and it stays so";
}

}  // namespace
}  // namespace loyal::replica
