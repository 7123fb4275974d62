#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <set>
#include <thread>

#include "config/cluster.h"
#include "config/limits.h"
#include "consensus/quorum.h"
#include "crypto/identity.h"
#include "tests/unit/config/temporary_folder.h"

namespace loyal::config {
namespace {

using consensus::FaultModel;
using loyal::test::entries_in;
using loyal::test::read_text;
using loyal::test::TemporaryFolder;
using loyal::test::write_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

mode_t mode_of(const std::filesystem::path& path) {
    struct stat status {};
    EXPECT_EQ(::lstat(path.c_str(), &status), 0) << path;
    return status.st_mode & 07777U;
}

InitOptions options_for(std::size_t replicas, FaultModel model = FaultModel::byzantine) {
    InitOptions options;
    options.replicas = replicas;
    options.fault_model = model;
    return options;
}

TEST(InitCluster, writes_a_cluster_as_the_contract_says) {
    const TemporaryFolder folder;
    const auto directory = folder / "c";
    const auto report = init_cluster(directory, {});
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_THAT(report->warnings, IsEmpty());
    const auto cluster = load_cluster(directory);
    ASSERT_TRUE(cluster) << cluster.error().message;
    EXPECT_EQ(cluster->cluster_id, report->cluster.cluster_id);
    EXPECT_EQ(cluster->fault_model, FaultModel::byzantine);
    EXPECT_FALSE(cluster->experiments);
    ASSERT_EQ(cluster->replicas.size(), 4U);
    for (const auto& replica : cluster->replicas) {
        EXPECT_EQ(replica.peer_port, 7400 + replica.id);
        EXPECT_EQ(replica.client_port, 7500 + replica.id);
        EXPECT_EQ(replica.http_port, 7600 + replica.id);
        EXPECT_EQ(replica.listen, "127.0.0.1");
        EXPECT_EQ(replica.advertise, "127.0.0.1");
        const auto key = crypto::read_key_file(cluster->replica_key_path(replica.id));
        ASSERT_TRUE(key) << key.error().message;
        EXPECT_EQ(key->kind, "replica");
        EXPECT_EQ(key->name, std::to_string(replica.id));
        EXPECT_EQ(key->identity.public_key(), replica.public_key);
        EXPECT_TRUE(check_birth(cluster->data_path(replica.id), {cluster->cluster_id, replica.id}));
        EXPECT_EQ(mode_of(cluster->replica_key_path(replica.id)), 0600U);
    }
    ASSERT_EQ(cluster->clients.size(), 2U);
    EXPECT_EQ(cluster->clients[0].name, "default");
    EXPECT_EQ(cluster->clients[0].rights, right_read | right_write);
    EXPECT_EQ(cluster->clients[1].name, "admin");
    EXPECT_EQ(cluster->clients[1].rights, right_read | right_write | right_admin);
    for (const auto& client : cluster->clients) {
        const auto key = crypto::read_key_file(cluster->client_key_path(client.name));
        ASSERT_TRUE(key) << key.error().message;
        EXPECT_EQ(key->identity.public_key(), client.public_key);
    }
    EXPECT_EQ(mode_of(directory / "keys"), 0700U);
    EXPECT_EQ(mode_of(directory / "data" / "replica-0"), 0700U);
    EXPECT_EQ(mode_of(directory / "cluster.toml"), 0644U);
    EXPECT_TRUE(std::filesystem::is_directory(directory / "run"));
    EXPECT_EQ(entries_in(directory), 4U) << "no temporary file may stay";
}

TEST(InitCluster, works_for_every_size_of_both_models) {
    for (const auto model : {FaultModel::byzantine, FaultModel::crash}) {
        for (std::size_t n = limits::replicas_min; n <= limits::replicas_max; ++n) {
            const TemporaryFolder folder;
            const auto report = init_cluster(folder.path(), options_for(n, model));
            ASSERT_TRUE(report) << n << ": " << report.error().message;
            const auto cluster = load_cluster(folder.path());
            ASSERT_TRUE(cluster) << n << ": " << cluster.error().message;
            EXPECT_EQ(cluster->replicas.size(), n);
            EXPECT_EQ(cluster->fault_model, model);
            const auto quorum = cluster->membership().quorum();
            EXPECT_TRUE(quorum.is_sound());
            const std::size_t enough = (model == FaultModel::byzantine ? 3 : 2) * quorum.f + 1;
            EXPECT_EQ(report->warnings.empty(), n == enough && quorum.f > 0) << n;
        }
    }
}

TEST(InitCluster, warns_of_a_wasted_replica_and_of_no_tolerance) {
    const auto warnings = [](std::size_t n, FaultModel model) {
        const TemporaryFolder folder;
        return init_cluster(folder.path(), options_for(n, model)).value().warnings;
    };
    EXPECT_THAT(warnings(3, FaultModel::byzantine), ElementsAre(HasSubstr("tolerate no byzantine fault")));
    EXPECT_THAT(warnings(5, FaultModel::byzantine), ElementsAre(HasSubstr("than 4 do (f = 1); use 4, or 7")));
    EXPECT_THAT(warnings(6, FaultModel::byzantine), ElementsAre(HasSubstr("than 4 do")));
    EXPECT_THAT(warnings(4, FaultModel::crash), ElementsAre(HasSubstr("than 3 do (f = 1); use 3, or 5")));
    EXPECT_THAT(warnings(3, FaultModel::crash), IsEmpty());
    EXPECT_THAT(warnings(7, FaultModel::byzantine), IsEmpty());
}

TEST(InitCluster, two_clusters_have_nothing_in_common) {
    const TemporaryFolder folder;
    const auto one = init_cluster(folder / "a", {});
    const auto two = init_cluster(folder / "b", {});
    ASSERT_TRUE(one && two);
    EXPECT_NE(one->cluster.cluster_id, two->cluster.cluster_id);
    EXPECT_NE(one->cluster.instance, two->cluster.instance);
    EXPECT_NE(one->cluster.replicas[0].public_key, two->cluster.replicas[0].public_key);
}

TEST(InitCluster, takes_hosts_clients_ports_and_modes) {
    const TemporaryFolder folder;
    InitOptions options = options_for(3, FaultModel::crash);
    options.crash_mode = CrashMode::stop;
    options.experiments = true;
    options.base_port = 9000;
    options.hosts = {"alpha.example", "10.0.0.7", "fd00::9"};
    options.clients = {{"web", right_read}, {"batch", right_write}};
    const auto report = init_cluster(folder.path(), options);
    ASSERT_TRUE(report) << report.error().message;
    const auto cluster = load_cluster(folder.path());
    ASSERT_TRUE(cluster) << cluster.error().message;
    EXPECT_EQ(cluster->crash_mode, CrashMode::stop);
    EXPECT_TRUE(cluster->experiments);
    EXPECT_EQ(cluster->replicas[0].advertise, "alpha.example");
    EXPECT_EQ(cluster->replicas[0].listen, "0.0.0.0") << "only that machine knows its address";
    EXPECT_EQ(cluster->replicas[1].listen, "10.0.0.7");
    EXPECT_EQ(cluster->replicas[2].listen, "fd00::9");
    EXPECT_EQ(cluster->replicas[2].http_port, 9202);
    ASSERT_EQ(cluster->clients.size(), 4U);
    EXPECT_EQ(cluster->clients[2].name, "web");
    EXPECT_EQ(cluster->clients[2].rights, right_read);
    EXPECT_TRUE(crypto::read_key_file(cluster->client_key_path("batch")));
}

TEST(InitCluster, base_port_zero_gives_free_and_different_ports) {
    const TemporaryFolder folder;
    InitOptions options = options_for(7);
    options.base_port = 0;
    const auto report = init_cluster(folder.path(), options);
    ASSERT_TRUE(report) << report.error().message;
    std::set<std::uint16_t> ports;
    const auto loaded = load_cluster(folder.path());
    ASSERT_TRUE(loaded) << loaded.error().message;
    for (const auto& replica : loaded->replicas) {
        ports.insert({replica.peer_port, replica.client_port, replica.http_port});
    }
    EXPECT_EQ(ports.size(), 21U);
    EXPECT_EQ(ports.count(0), 0U);
}

// ---- Refusals: nothing is touched

struct BadOptions {
    const char* name;
    InitOptions options;
    std::vector<const char*> said;
};

void PrintTo(const BadOptions& bad, std::ostream* out) {
    *out << bad.name;
}

InitOptions with(void (*change)(InitOptions&)) {
    InitOptions options;
    change(options);
    return options;
}

class InitClusterRefusal : public testing::TestWithParam<BadOptions> {};

TEST_P(InitClusterRefusal, is_named_and_touches_nothing) {
    const TemporaryFolder folder;
    const auto report = init_cluster(folder / "c", GetParam().options);
    ASSERT_FALSE(report);
    for (const auto* words : GetParam().said) {
        EXPECT_THAT(report.error().message, HasSubstr(words));
    }
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

const BadOptions refusals[] = {
    {"two_replicas", with([](auto& o) { o.replicas = 2; }), {"--replicas", "2 replicas", "3 to 31"}},
    {"no_replicas", with([](auto& o) { o.replicas = 0; }), {"--replicas", "3 to 31"}},
    {"too_many_replicas", with([](auto& o) { o.replicas = 32; }), {"--replicas", "32 replicas", "3 to 31"}},
    {"too_few_hosts",
     with([](auto& o) {
         o.hosts = {"a", "b"};
     }),
     {"--hosts", "2 hosts for 4"}},
    {"host_with_port",
     with([](auto& o) {
         o.hosts = {"a", "b", "c", "[::1]:5"};
     }),
     {"--hosts", "[::1]:5"}},
    {"host_with_quote",
     with([](auto& o) {
         o.hosts = {"a", "b", "c", "x\"y"};
     }),
     {"--hosts", "x\"y"}},
    {"wildcard_host",
     with([](auto& o) {
         o.hosts = {"a", "b", "c", "0.0.0.0"};
     }),
     {"--hosts", "0.0.0.0"}},
    {"ports_too_high", with([](auto& o) { o.base_port = 65400; }), {"--base-port", "65400", "at most 65332"}},
    {"stop_for_byzantine", with([](auto& o) { o.crash_mode = CrashMode::stop; }), {"--crash-mode", "crash"}},
    {"client_name",
     with([](auto& o) {
         o.clients = {{"../x", right_read}};
     }),
     {"--client", "../x"}},
    {"client_twice",
     with([](auto& o) {
         o.clients = {{"x", right_read}, {"x", right_read}};
     }),
     {"--client", "x is taken"}},
    {"client_default",
     with([](auto& o) {
         o.clients = {{"default", right_read}};
     }),
     {"--client", "always exist"}},
    {"client_without_rights",
     with([](auto& o) {
         o.clients = {{"x", 0}};
     }),
     {"--client", "no right"}},
};

INSTANTIATE_TEST_SUITE_P(Each, InitClusterRefusal, testing::ValuesIn(refusals),
                         [](const auto& refusal) { return refusal.param.name; });

TEST(InitCluster, highest_base_port_fits) {
    const TemporaryFolder folder;
    InitOptions options;
    options.base_port = 65332;
    ASSERT_TRUE(init_cluster(folder.path(), options));
    EXPECT_EQ(load_cluster(folder.path()).value().replicas[3].http_port, 65535);
}

TEST(InitCluster, refuses_a_folder_that_holds_a_cluster) {
    const TemporaryFolder folder;
    ASSERT_TRUE(init_cluster(folder.path(), {}));
    const std::string before = read_text(folder / "cluster.toml");
    const auto again = init_cluster(folder.path(), {});
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Errc::conflict);
    EXPECT_THAT(again.error().message, HasSubstr("already holds a cluster"));
    EXPECT_EQ(read_text(folder / "cluster.toml"), before);
    EXPECT_TRUE(load_cluster(folder.path()));
    EXPECT_EQ(entries_in(folder / "keys"), 6U);
}

TEST(InitCluster, refuses_somebodys_data) {
    const TemporaryFolder folder;
    std::filesystem::create_directories(folder / "data" / "replica-2");
    write_text(folder / "data" / "replica-2" / "data.mdb", "precious");
    const auto report = init_cluster(folder.path(), {});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::conflict);
    EXPECT_THAT(report.error().message, HasSubstr("replica-2"));
    EXPECT_EQ(read_text(folder / "data" / "replica-2" / "data.mdb"), "precious");
    EXPECT_EQ(entries_in(folder.path()), 1U) << "everything else that init made is gone";
    EXPECT_EQ(entries_in(folder / "data"), 1U);
}

TEST(InitCluster, keeps_the_keys_that_a_wipe_left) {
    const TemporaryFolder folder;
    const auto before = init_cluster(folder.path(), {});
    ASSERT_TRUE(before);
    std::filesystem::remove(folder / "cluster.toml");
    std::filesystem::remove_all(folder / "data");
    std::filesystem::remove(folder / "keys" / "replica-3.key");
    const auto after = init_cluster(folder.path(), {});
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(after->cluster.replicas[1].public_key, before->cluster.replicas[1].public_key);
    EXPECT_NE(after->cluster.replicas[3].public_key, before->cluster.replicas[3].public_key);
    EXPECT_NE(after->cluster.cluster_id, before->cluster.cluster_id);
    EXPECT_THAT(after->warnings, ElementsAre(HasSubstr("kept 5 keys")));
}

TEST(InitCluster, does_not_take_a_key_for_that_of_another) {
    const TemporaryFolder folder;
    ASSERT_TRUE(init_cluster(folder.path(), {}));
    std::filesystem::remove(folder / "cluster.toml");
    std::filesystem::remove_all(folder / "data");
    std::filesystem::rename(folder / "keys" / "replica-3.key", folder / "keys" / "replica-0.key");
    const auto report = init_cluster(folder.path(), {});
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().message, HasSubstr("replica-0.key is the key of replica 3"));
    EXPECT_EQ(entries_in(folder / "keys"), 5U);
}

TEST(InitCluster, refuses_a_key_that_others_can_read) {
    const TemporaryFolder folder;
    ASSERT_TRUE(init_cluster(folder.path(), {}));
    std::filesystem::remove(folder / "cluster.toml");
    std::filesystem::remove_all(folder / "data");
    ASSERT_EQ(::chmod((folder / "keys" / "replica-1.key").c_str(), 0644), 0);
    const auto report = init_cluster(folder.path(), {});
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Errc::permission);
}

TEST(InitCluster, refuses_a_file_in_the_place_of_its_folder) {
    const TemporaryFolder folder;
    write_text(folder / "c", "a file");
    const auto report = init_cluster(folder / "c", {});
    ASSERT_FALSE(report);
    EXPECT_THAT(report.error().message, HasSubstr("not a folder"));
    EXPECT_EQ(read_text(folder / "c"), "a file");
    const auto deep = init_cluster(folder / "missing" / "c", {});
    ASSERT_FALSE(deep);
    EXPECT_THAT(deep.error().message, HasSubstr("missing"));
}

// The disk refuses files above `bytes`. Key files and birth records are small, cluster.toml is not: with the right
// bound init fails at the first key, or at the very last file.
class InitClusterOnFullDisk : public testing::TestWithParam<rlim_t> {};

TEST_P(InitClusterOnFullDisk, leaves_nothing_behind) {
    const TemporaryFolder folder;
    rlimit before{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    rlimit tight = before;
    tight.rlim_cur = GetParam();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    const auto report = init_cluster(folder / "c", {});
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
    std::signal(SIGXFSZ, handler);
    ASSERT_FALSE(report);
    EXPECT_EQ(entries_in(folder.path()), 0U);
}

INSTANTIATE_TEST_SUITE_P(Each, InitClusterOnFullDisk, testing::Values(100U, 1500U));

TEST(InitCluster, of_two_at_once_one_wins_and_is_whole) {
    for (int round = 0; round < 10; ++round) {
        const TemporaryFolder folder;
        Result<InitReport> first;
        Result<InitReport> second;
        std::thread other([&] { first = init_cluster(folder / "c", {}); });
        second = init_cluster(folder / "c", {});
        other.join();
        ASSERT_NE(first.has_value(), second.has_value())
            << (first ? "" : first.error().message) << (second ? "" : second.error().message);
        const auto& winner = first ? *first : *second;
        const auto cluster = load_cluster(folder / "c");
        ASSERT_TRUE(cluster) << cluster.error().message;
        EXPECT_EQ(cluster->cluster_id, winner.cluster.cluster_id);
        for (const auto& replica : cluster->replicas) {
            const auto key = crypto::read_key_file(cluster->replica_key_path(replica.id));
            ASSERT_TRUE(key) << key.error().message;
            EXPECT_EQ(key->identity.public_key(), replica.public_key);
            EXPECT_TRUE(check_birth(cluster->data_path(replica.id), {cluster->cluster_id, replica.id}));
        }
    }
}

}  // namespace
}  // namespace loyal::config
