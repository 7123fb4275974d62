// `loyal inspect` on data folders that were made by hand.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "config/cluster.h"
#include "kvstore/consensus_log.h"
#include "kvstore/data_lock.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/log_records.h"
#include "kvstore/state_digest.h"
#include "kvstore/state_machine.h"

namespace loyal::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

struct Inspected {
    int exit = 0;
    std::string out, error;
    [[nodiscard]] nlohmann::json document() const { return nlohmann::json::parse(out); }
};

class InspectTest : public ::testing::Test {
 protected:
    InspectTest() {
        std::string pattern = (fs::temp_directory_path() / "loyal-inspect-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        ::unsetenv("LOYAL_CLUSTER");
        ::unsetenv("LOYAL_KEY");
        EXPECT_EQ(said({"cluster", "init", (folder_ / "c").string(), "--base-port", "0"}).exit, 0);
        cluster_ = *config::load_cluster(folder_ / "c");
        data_ = cluster_.data_path(0);
    }
    ~InspectTest() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    static Inspected said(const std::vector<std::string>& arguments) {
        ::testing::internal::CaptureStdout();
        ::testing::internal::CaptureStderr();
        Inspected answer;
        answer.exit = run(arguments);
        (void)std::fflush(stdout);
        answer.out = ::testing::internal::GetCapturedStdout();
        answer.error = ::testing::internal::GetCapturedStderr();
        return answer;
    }
    [[nodiscard]] Inspected inspect(const std::string& format = "json") const {
        return said({"--cluster", (folder_ / "c").string(), "inspect", data_.string(), "-w", format});
    }
    [[nodiscard]] Inspected expect_damage(const std::string& line) const {
        Inspected answer = inspect();
        EXPECT_EQ(answer.exit, 6) << answer.out << answer.error;
        EXPECT_THAT(answer.out, HasSubstr(line));
        EXPECT_EQ(answer.document()["clean"], false);
        return answer;
    }

    [[nodiscard]] std::unique_ptr<kvstore::LmdbStore> open_log() const {
        return *kvstore::LmdbStore::open({data_ / "log", kvstore::ConsensusLog::log_tables(), false});
    }
    // A log of three empty blocks, two of them committed, and the state after them.
    void serve() {
        const auto store = open_log();
        const auto log = *kvstore::ConsensusLog::open(*store, cluster_.membership().context);
        const auto state_store =
            *kvstore::LmdbStore::open({data_ / "state.1", kvstore::StateMachine::state_tables(), true});
        kvstore::StateMachineOptions options;
        options.checkpoint_interval = cluster_.checkpoint_interval;
        options.history_revisions = cluster_.history_revisions;
        options.salt = kvstore::salt_of(cluster_.salt_id());
        const auto machine = *kvstore::StateMachine::open(*state_store, options);
        consensus::BlockRef parent = consensus::genesis_block(cluster_.membership().context);
        for (std::uint64_t height = 1; height <= 3; ++height) {
            consensus::Header header;
            header.height = consensus::Height(height);
            header.parent = parent.id;
            header.hlc = consensus::Hlc(1'700'000'000'000 + height, std::uint16_t{0});
            header.flags = consensus::flag_empty;
            const auto body = std::make_shared<const Bytes>(consensus::make_body({}));
            header.body_bytes = static_cast<std::uint32_t>(body->size());
            header.body_root = consensus::body_root_of(*body);
            const auto block = *consensus::make_block(cluster_.membership().context, header, {}, body);
            consensus::Persist persist;
            persist.records = {consensus::BlockRecord{block}};
            if (height < 3) {
                persist.records.emplace_back(consensus::CommitRecord{block->ref(), std::nullopt});
                ASSERT_TRUE(machine->execute(*block));
            }
            consensus::VotingState voting;
            voting.prep.block = block->ref();
            voting.lock.block = consensus::genesis_block(cluster_.membership().context);
            persist.records.emplace_back(voting);
            ASSERT_TRUE(log->append({persist}));
            parent = block->ref();
        }
        (void)machine->freeze();
        ASSERT_TRUE(machine->write_frozen(kvstore::Durability::synced));
        machine->drop_frozen();
        std::ofstream(data_ / "state") << "1\n";
        std::ofstream(data_ / "opened") << "";
    }
    static void rot(kvstore::Store& store, kvstore::TableIndex table, const Bytes& key, std::size_t from_end) {
        auto txn = *store.begin_write();
        const auto found = *txn->get(table, key);
        Bytes value(found->begin(), found->end());
        value.at(value.size() - from_end) ^= 1U;
        ASSERT_TRUE(txn->put(table, key, value));
        ASSERT_TRUE(txn->commit(kvstore::Durability::synced));
    }
    fs::path folder_;
    fs::path data_;
    config::Cluster cluster_;
};

TEST_F(InspectTest, a_clean_folder_is_clean_in_every_form_and_stays_as_it_is) {
    serve();
    const auto size = fs::file_size(data_ / "log" / "data.mdb");
    const Inspected answer = inspect();
    EXPECT_EQ(answer.exit, 0) << answer.out << answer.error;
    const auto document = answer.document();
    EXPECT_EQ(document["clean"], true);
    EXPECT_EQ(document["replica"], 0);
    EXPECT_EQ(document["log"]["blocks"], 3);
    EXPECT_EQ(document["log"]["commits"], 2);
    EXPECT_EQ(document["log"]["committed"], 2);
    EXPECT_EQ(document["log"]["voting"]["prepared"]["block"]["height"], 3);
    EXPECT_EQ(document["log"]["voting"]["amnesiac"], false);
    EXPECT_GE(document["state"]["records"].get<int>(), 1);
    EXPECT_THAT(inspect("simple").out, HasSubstr("clean"));
    EXPECT_THAT(inspect("table").out, HasSubstr("committed"));
    EXPECT_EQ(fs::file_size(data_ / "log" / "data.mdb"), size);
}

TEST_F(InspectTest, a_folder_of_a_replica_that_never_ran_is_clean) {
    EXPECT_EQ(inspect().exit, 0);
}

TEST_F(InspectTest, what_is_no_data_folder_or_is_in_use_is_refused) {
    EXPECT_EQ(said({"--cluster", (folder_ / "c").string(), "inspect", folder_.string()}).exit, 2);
    EXPECT_EQ(said({"--cluster", (folder_ / "c").string(), "inspect", (folder_ / "none").string()}).exit, 2);
    serve();
    const auto lock = kvstore::DataLock::acquire(data_);
    ASSERT_TRUE(lock);
    const Inspected answer = inspect();
    EXPECT_EQ(answer.exit, 2);
    EXPECT_THAT(answer.error, HasSubstr("stop the replica"));
}

TEST_F(InspectTest, a_damaged_body_in_the_log_is_named) {
    serve();
    {
        const auto store = open_log();
        rot(*store, kvstore::records_table, kvstore::sequence_key(3), 20);
    }
    (void)expect_damage("log record 3");
}

TEST_F(InspectTest, votes_that_cannot_be_trusted_are_named_and_left_as_they_are) {
    serve();
    {
        const auto store = open_log();
        const Bytes key = bytes_of(kvstore::vote_key);
        rot(*store, kvstore::vote_a_table, key, 1);
        rot(*store, kvstore::vote_b_table, key, 1);
    }
    for (int round = 0; round < 2; ++round) {
        const auto document = expect_damage("no copy of the voting state is intact").document();
        EXPECT_EQ(document["log"]["voting"]["amnesiac"], false) << "a start would write that, this does not";
    }
}

TEST_F(InspectTest, a_damaged_record_of_the_state_is_named) {
    serve();
    {
        const auto store = kvstore::LmdbStore::open({data_ / "state.1", kvstore::StateMachine::state_tables(), true});
        rot(**store, 2, bytes_of("state"), 1);
    }
    (void)expect_damage("\"state\"");
    EXPECT_THAT(inspect("simple").out, HasSubstr("damage: state: "));
}

TEST_F(InspectTest, pages_that_kill_who_reads_them_are_survived_and_named) {
    serve();
    fs::resize_file(data_ / "log" / "data.mdb", 2 * 4096);
    const Inspected answer = expect_damage("\"log\"");
    EXPECT_FALSE(answer.document()["log"]["damage"].empty());
    EXPECT_TRUE(answer.document()["state"]["damage"].empty()) << answer.out;
}

TEST_F(InspectTest, what_is_gone_is_named) {
    serve();
    fs::remove_all(data_ / "state.1");
    fs::remove_all(data_ / "log");
    const Inspected answer = expect_damage("consensus log is gone");
    EXPECT_THAT(answer.out, HasSubstr("state in force is gone"));
}

}  // namespace
}  // namespace loyal::cli
