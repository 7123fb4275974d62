// From a backup file to the folder of a new cluster, on disk.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "client/backup/restore.h"
#include "client/backup/take.h"
#include "kvstore/checkpoints.h"
#include "kvstore/lmdb_store.h"
#include "kvstore/state_machine.h"
#include "tests/unit/client/backup_world.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::backup {
namespace {

using loyal::test::entries_in;
using loyal::test::read_text;
using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using test::interval;
using test::MemorySource;
using test::sample_cluster;
using test::sample_data;
using test::Snapshot;
using testing::HasSubstr;

class Restore : public testing::Test {
 protected:
    void SetUp() override {
        MemorySource source(4);
        const auto snapshot = std::make_shared<const Snapshot>(cluster, interval, sample_data(300));
        for (auto& each : source.current) {
            each = snapshot;
        }
        TakeOptions options;
        options.cluster = cluster;
        options.cluster_text = config::render_cluster(cluster);
        options.path = folder / "backup";
        const auto taken = take_backup(options, source);
        ASSERT_TRUE(taken) << taken.error().message;
    }
    [[nodiscard]] RestoreOptions options() const {
        RestoreOptions options;
        options.file = folder / "backup";
        options.directory = folder / "new";
        options.init.checkpoint_interval = interval;
        return options;
    }
    // Of a stopped replica's state.
    static std::map<std::string, kvstore::Item> items_of(const config::Cluster& made, std::uint16_t id,
                                                         kvstore::Revision& revision) {
        kvstore::LmdbOptions lmdb;
        lmdb.path = made.data_path(id) / "state.1";
        lmdb.tables = kvstore::StateMachine::state_tables();
        lmdb.lazy = true;
        auto store = kvstore::LmdbStore::open(lmdb);
        EXPECT_TRUE(store) << store.error().message;
        auto checkpoints = kvstore::Checkpoints::open(**store, {kvstore::salt_of(made.salt_id()), interval});
        EXPECT_TRUE(checkpoints) << checkpoints.error().message;
        const auto top = (*checkpoints)->subtree(consensus::Height(0), 0);
        EXPECT_TRUE(top) << "others may ask for the state that the cluster began with";
        EXPECT_EQ(top ? kvstore::node_digest(*top) : crypto::Digest{}, made.genesis_state);
        auto machine = kvstore::StateMachine::open(**store, {});
        EXPECT_TRUE(machine) << machine.error().message;
        EXPECT_EQ((*machine)->executed(), consensus::Height(0));
        revision = (*machine)->revision();
        kvstore::Range all;
        all.begin = bytes_of("a");
        all.end = bytes_of("z");
        all.limit = 1000;
        const auto answer = (*machine)->read(all);
        EXPECT_TRUE(answer) << answer.error().message;
        std::map<std::string, kvstore::Item> items;
        const auto range = kvstore::decode_query_answer(answer->result).and_then([](const auto& each) {
            return kvstore::decode_range_result(each.result);
        });
        EXPECT_TRUE(range);
        for (const kvstore::Item& item : range->items) {
            const std::string key = string_of(item.key);
            items.emplace(key, item);
        }
        return items;
    }

    const TemporaryFolder folder;
    const config::Cluster cluster = sample_cluster();
};

TEST_F(Restore, makes_a_cluster_that_begins_with_the_data) {
    const auto report = restore_backup(options());
    ASSERT_TRUE(report) << report.error().message;
    const auto made = config::load_cluster(folder / "new");
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_NE(made->cluster_id, cluster.cluster_id);
    EXPECT_EQ(made->genesis_cluster, cluster.cluster_id);
    EXPECT_FALSE(made->genesis_state.is_zero());
    EXPECT_EQ(report->from.keys, 300U);
    for (const config::ReplicaEntry& replica : made->replicas) {
        EXPECT_TRUE(config::check_birth(made->data_path(replica.id), {made->cluster_id, replica.id}));
        kvstore::Revision revision;
        const auto items = items_of(*made, replica.id, revision);
        EXPECT_EQ(revision, kvstore::Revision(300));
        const auto data = sample_data(300);
        ASSERT_EQ(items.size(), data.size());
        std::uint64_t expected = 0;
        for (const auto& [key, value] : data) {
            ++expected;
            const kvstore::Item& item = items.at(key);
            EXPECT_EQ(string_of(item.value), value);
            EXPECT_EQ(item.revision, kvstore::Revision(expected));
            EXPECT_EQ(item.timestamp, consensus::Hlc(1'700'000'000'000 + expected, 0));
        }
    }
}

TEST_F(Restore, of_one_backup_twice_gives_two_clusters_with_one_state) {
    RestoreOptions second = options();
    second.directory = folder / "other";
    const auto one = restore_backup(options());
    const auto two = restore_backup(second);
    ASSERT_TRUE(one && two);
    EXPECT_EQ(one->made.cluster.genesis_state, two->made.cluster.genesis_state);
    EXPECT_NE(one->made.cluster.cluster_id, two->made.cluster.cluster_id);
}

TEST_F(Restore, of_a_damaged_file_leaves_nothing_behind) {
    std::string text = read_text(folder / "backup");
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 1);
    write_text(folder / "backup", text);
    const auto report = restore_backup(options());
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::corrupted);
    EXPECT_EQ(entries_in(folder.path()), 1U);
}

TEST_F(Restore, leaves_nothing_behind_in_a_folder_that_is_taken) {
    std::filesystem::create_directories(folder / "new");
    write_text(folder / "new/cluster.toml", "somebody's");
    const auto report = restore_backup(options());
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::conflict);
    EXPECT_EQ(entries_in(folder / "new"), 1U);
}

}  // namespace
}  // namespace loyal::backup
