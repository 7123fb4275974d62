// What an operator can get wrong: each is refused at the start, with one message that names the thing and an exit code
// of its own, and nothing is changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <regex>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string replaced(const std::string& text, const std::string& pattern, const std::string& with) {
    const std::string result =
        std::regex_replace(text, std::regex(pattern), with, std::regex_constants::format_first_only);
    EXPECT_NE(result, text) << "nothing matched " << pattern;
    return result;
}

// Exit code 2 from loyald and loyal alike, with `words` in the message.
void expect_refused(const ClusterOfProcesses& cluster, const std::string& file, const std::string& words) {
    write_text(cluster.folder() / "cluster.toml", file);
    const Ran replica = cluster.start_loyald(0)->finish();
    EXPECT_EQ(replica.exit, 2) << replica.error;
    EXPECT_THAT(replica.error, HasSubstr(words));
    const Ran client = cluster.loyal({"status"});
    EXPECT_EQ(client.exit, 2) << client.error;
    EXPECT_THAT(client.error, HasSubstr(words));
    EXPECT_EQ(cluster.loyal({"cluster", "up"}).exit, 2);
}

TEST(BadInput, a_cluster_file_that_makes_no_sense_is_refused_by_name) {
    const ClusterOfProcesses cluster;
    const std::string good = read_text(cluster.folder() / "cluster.toml");
    expect_refused(cluster, replaced(good, "\nid = 1\n", "\nid = 2\n"), "id");
    expect_refused(cluster, replaced(good, "\nreplicas = 4", "\nreplicas = 5"), "replicas");
    expect_refused(cluster, replaced(good, "\nexperiments = ", "\nexperimentz = "), "experimentz");
    expect_refused(cluster, replaced(good, "\\[timers\\]", "[timers]\nhurry_ms = 1"), "hurry_ms");
    expect_refused(cluster, replaced(good, "\nepoch = 0", "\nepoch = \"zero\""), "epoch");
    expect_refused(cluster, replaced(good, "\nfault_model = \"byzantine\"", "\nfault_model = \"gullible\""),
                   "gullible");
    // A log that could not be cut before it is full would stop the cluster for good.
    expect_refused(cluster, replaced(good, "\nlog_quota_bytes = 0", "\nlog_quota_bytes = 10000000000"),
                   "or a checkpoint_interval of at most");
    expect_refused(cluster, good.substr(0, good.size() / 2), "cluster.toml");
    expect_refused(cluster, "", "cluster.toml");
    // Another key in the file makes it another cluster.
    expect_refused(cluster, replaced(good, "rights = \\[\"read\", \"write\"\\]", "rights = [\"read\"]"), "id");
    write_text(cluster.folder() / "cluster.toml", good);
    EXPECT_EQ(cluster.loyal({"cluster", "up"}).exit, 0) << "the good file still is";
}

TEST(BadInput, a_word_that_is_no_choice_is_named_with_those_that_are) {
    const ClusterOfProcesses cluster;
    const auto refused = [&](const std::vector<std::string>& words, const char* remedy) {
        const Ran ran = cluster.loyal(words);
        EXPECT_EQ(ran.exit, 2);
        EXPECT_THAT(ran.error, ::testing::HasSubstr(remedy));
    };
    refused({"export", "--format", "xml"}, "there is no xml; give jsonl or tsv");
    refused({"import", "-", "--format", "xml"}, "give jsonl or tsv");
    refused({"get", "k", "--consistency", "some"}, "give linearizable or stale");
    refused({"get", "k", "-w", "xml"}, "give json or simple or table");
    refused({"cluster", "init", cluster.path("c"), "--fault-model", "gullible"}, "give byzantine or crash");
    refused({"cluster", "init", cluster.path("c"), "--crash-mode", "halt"}, "give recovery or stop");
    EXPECT_THAT(cluster.loyal({"cluster", "init", "--help"}).out,
                ::testing::HasSubstr("--fault-model MODEL:{byzantine,crash}"));
}

TEST(BadInput, a_replica_key_is_refused_when_others_can_read_it_or_it_is_missing_or_another_replicas) {
    const ClusterOfProcesses cluster;
    const fs::path key = cluster.folder() / "keys" / "replica-0.key";
    fs::permissions(key, fs::perms::group_read | fs::perms::others_read, fs::perm_options::add);
    const Ran open = cluster.start_loyald(0)->finish();
    EXPECT_EQ(open.exit, 5);
    EXPECT_THAT(open.error, HasSubstr("replica-0.key"));
    // `up` shows why.
    const Ran up = cluster.loyal({"cluster", "up", "--only", "0"});
    EXPECT_NE(up.exit, 0);
    EXPECT_THAT(up.error, HasSubstr("exit code 5"));
    EXPECT_THAT(up.error, HasSubstr("replica-0.key"));
    fs::remove(key);
    const Ran missing = cluster.start_loyald(0)->finish();
    EXPECT_EQ(missing.exit, 5);
    EXPECT_THAT(missing.error, HasSubstr("replica-0.key"));
    fs::copy_file(cluster.folder() / "keys" / "replica-1.key", key);
    EXPECT_EQ(cluster.start_loyald(0)->finish().exit, 5);
}

TEST(BadInput, a_port_in_use_is_named) {
    ClusterOfProcesses cluster;
    cluster.up();
    // A second cluster file with the first one's ports.
    const ClusterOfProcesses other;
    std::string file = read_text(other.folder() / "cluster.toml");
    const std::string taken = read_text(cluster.folder() / "cluster.toml");
    for (const char* port : {"peer_port = ", "client_port = ", "http_port = "}) {
        const auto value = [&](const std::string& text) {
            const std::size_t at = text.find(port);
            EXPECT_NE(at, std::string::npos) << "no " << port;
            return text.substr(at, text.find('\n', at) - at);
        };
        write_text(other.folder() / "cluster.toml", replaced(file, value(file), value(taken)));
        const Ran ran = other.start_loyald(0)->finish();
        EXPECT_EQ(ran.exit, 64) << ran.error;
        EXPECT_THAT(ran.error, HasSubstr(value(taken).substr(std::string(port).size()))) << "the port is named";
    }
    EXPECT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0) << "the one that had the ports serves on";
}

TEST(BadInput, a_missing_data_folder_is_a_lost_disk_and_never_started_as_new) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    ASSERT_EQ(cluster.down({"--only", "3"}).exit, 0);
    fs::remove_all(cluster.folder() / "data" / "replica-3");
    cluster.up({"--only", "3"});
    EXPECT_THAT(cluster.log_of(3), HasSubstr("may have forgotten votes"));
    EXPECT_EQ(cluster.get("k"), "v") << "three of four serve on";
}

TEST(BadInput, a_data_folder_of_another_cluster_or_replica_is_refused) {
    const ClusterOfProcesses cluster;
    const ClusterOfProcesses other;
    const fs::path data = cluster.folder() / "data";
    fs::remove_all(data / "replica-0");
    fs::copy(other.folder() / "data" / "replica-0", data / "replica-0", fs::copy_options::recursive);
    const Ran foreign = cluster.start_loyald(0)->finish();
    EXPECT_EQ(foreign.exit, 66);
    EXPECT_THAT(foreign.error, HasSubstr("replica-0"));
    fs::remove_all(data / "replica-0");
    fs::copy(data / "replica-1", data / "replica-0", fs::copy_options::recursive);
    EXPECT_EQ(cluster.start_loyald(0)->finish().exit, 66);
}

TEST(BadInput, a_second_process_on_one_data_folder_is_refused) {
    ClusterOfProcesses cluster;
    cluster.up();
    const Ran second = cluster.start_loyald(1)->finish();
    EXPECT_TRUE(second.exit == 67 || second.exit == 64) << second.error;
    EXPECT_EQ(cluster.loyal({"status"}).exit, 0);
}

TEST(BadInput, loyald_wants_an_id_of_the_cluster) {
    const ClusterOfProcesses cluster;
    EXPECT_EQ(cluster.start_loyald(4)->finish().exit, 2);
    const std::string loyald = (program_folder() / "loyald").string();
    EXPECT_EQ(run({loyald}).exit, 2);
    EXPECT_EQ(run({loyald, "--config", "/does/not/exist", "--id", "0"}).exit, 2);
}

}  // namespace
}  // namespace loyal::system_test
