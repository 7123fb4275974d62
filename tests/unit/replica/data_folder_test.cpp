#include "replica/data_folder.h"

#include <gtest/gtest.h>

#include "../config/sample_cluster.h"
#include "../config/temporary_folder.h"
#include "config/files.h"

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
    EXPECT_EQ(opened->state.machine->executed().value, 0U);
}

// "Never started as new": it is made anew, for a replica that may have forgotten votes.
TEST_F(DataFolderTest, a_missing_folder_is_a_lost_disk_and_made_anew_for_an_amnesiac) {
    {
        auto opened = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_TRUE(opened->recovered.voting.amnesiac);
        EXPECT_FALSE(opened->recovered.fresh);
        EXPECT_FALSE(opened->warnings.empty());
    }
    auto again = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->recovered.voting.amnesiac) << "and it does not forget that";
}

TEST_F(DataFolderTest, a_folder_that_was_being_made_anew_is_still_of_a_replica_that_was_before) {
    create();
    fs::remove_all(data());
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    fs::remove_all(data() / "log");  // as if power had failed before the log was opened
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened);
    EXPECT_TRUE(opened->recovered.voting.amnesiac);
}

TEST_F(DataFolderTest, a_folder_without_a_birth_record_is_kept_aside) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    fs::remove(data() / "birth");
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened);
    EXPECT_TRUE(opened->recovered.voting.amnesiac);
    EXPECT_TRUE(fs::exists(folder_ / "replica-0.damaged" / "log" / "data.mdb"));
}

TEST_F(DataFolderTest, a_lost_log_makes_an_amnesiac_although_the_birth_record_is_there) {
    create();
    {
        auto opened = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(opened);
        EXPECT_FALSE(opened->recovered.voting.amnesiac) << "a new replica has forgotten nothing";
    }
    fs::remove_all(data() / "log");
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_TRUE(opened->recovered.voting.amnesiac);
}

TEST_F(DataFolderTest, under_crash_stop_a_lost_disk_stays_lost) {
    cluster_ = config::test::sample_cluster(3);
    cluster_.fault_model = consensus::FaultModel::crash;
    cluster_.crash_mode = config::CrashMode::stop;
    cluster_.cluster_id = config::compute_cluster_id(cluster_);
    EXPECT_EQ(failure().code, FatalCode::data_missing);
    EXPECT_FALSE(fs::exists(data())) << "and nothing is made in its place";
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    mark_stopped(data());
    fs::remove_all(data() / "log");
    EXPECT_EQ(failure().code, FatalCode::data_missing);
}

// ---- The state

TEST_F(DataFolderTest, a_state_that_is_gone_is_fetched_and_votes_are_not_affected) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    EXPECT_EQ(generation_in_force(data()).value(), first_generation);
    fs::remove_all(data() / "state.1");
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_FALSE(opened->recovered.state_lost.empty());
    EXPECT_FALSE(opened->state.machine);
    EXPECT_FALSE(opened->recovered.voting.amnesiac);
}

TEST_F(DataFolderTest, the_file_that_names_the_generation_is_believed_only_whole) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    for (const char* text : {"", "2", "x\n", "-1\n", "0\n", "1\n\n"}) {
        fs::remove(data() / "state");
        ASSERT_TRUE(write_new_file(data() / "state", view_of(text), 0600));
        auto opened = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_FALSE(opened->recovered.state_lost.empty()) << text;
        EXPECT_EQ(opened->state.generation, 1U) << "what is there is of use to the transfer";
    }
}

// A process that found its state wrong and ended before it had another one.
TEST_F(DataFolderTest, a_state_that_was_found_wrong_is_lost_until_another_one_is_in_force) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    ASSERT_TRUE(mark_lost(data(), first_generation, "diverged: of another root"));
    for (int starts = 0; starts < 2; ++starts) {
        auto opened = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_EQ(opened->recovered.state_lost, "diverged: of another root");
        EXPECT_FALSE(opened->state.machine);
        EXPECT_TRUE(opened->state.checkpoints) << "of use to the transfer";
        EXPECT_FALSE(opened->recovered.voting.amnesiac);
    }
    fs::copy(data() / "state.1", data() / "state.2", fs::copy_options::recursive);
    ASSERT_TRUE(put_in_force(data(), 2));
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(opened->recovered.state_lost, "");
    EXPECT_TRUE(opened->state.machine);
    EXPECT_FALSE(fs::exists(data() / "state.lost")) << "it says something of the state before";
}

TEST_F(DataFolderTest, a_mark_that_cannot_be_read_counts) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    for (const char* text : {"", "x\n", "7 later\n", "1"}) {
        fs::remove(data() / "state.lost");
        ASSERT_TRUE(write_new_file(data() / "state.lost", view_of(text), 0600));
        auto opened = open_data_folder(cluster_, 0, data());
        ASSERT_TRUE(opened) << opened.error().message;
        EXPECT_NE(opened->recovered.state_lost, "") << '"' << text << '"';
    }
}

TEST_F(DataFolderTest, a_state_under_construction_stays_and_older_ones_go) {
    create();
    ASSERT_TRUE(open_data_folder(cluster_, 0, data()));
    for (const char* name : {"state.2", "state.3", "state.7"}) {
        fs::create_directory(data() / name);
    }
    auto opened = open_data_folder(cluster_, 0, data());
    ASSERT_TRUE(opened);
    EXPECT_TRUE(opened->recovered.state_lost.empty());
    EXPECT_TRUE(fs::exists(data() / "state.2")) << "the next one: an interrupted transfer goes on";
    EXPECT_FALSE(fs::exists(data() / "state.3"));
    EXPECT_FALSE(fs::exists(data() / "state.7"));
}

TEST_F(DataFolderTest, putting_a_generation_in_force_replaces_the_name_whole) {
    create();
    ASSERT_TRUE(put_in_force(data(), 4));
    EXPECT_EQ(generation_in_force(data()).value(), 4U);
    ASSERT_TRUE(put_in_force(data(), 5));
    EXPECT_EQ(generation_in_force(data()).value(), 5U);
    EXPECT_FALSE(fs::exists(data() / "state.new"));
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
