// Rights below prefixes, as an administrator and those that have them see it, on four real replicas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(Auth, a_client_may_do_what_it_was_granted_from_then_on_and_until_it_is_revoked) {
    ClusterOfProcesses cluster;
    cluster.up();
    const Ran added = cluster.loyal({"auth", "add-client", "alice", "--rights", "rw", "--prefix", "alice/"});
    ASSERT_EQ(added.exit, 0) << added.error;
    EXPECT_THAT(added.error, HasSubstr("client-alice.key"));
    EXPECT_EQ(cluster.loyal({"--as", "alice", "put", "alice/x", "1"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "get", "alice/x"}).out, "1");
    EXPECT_EQ(cluster.loyal({"--as", "alice", "get", "--prefix", "alice/"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "put", "bob/x", "1"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "get", "--prefix", "a"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "auth", "list"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "watch", "--prefix", "bob/"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"auth", "revoke", "alice", "w", "--prefix", "alice/"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "put", "alice/x", "2"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "get", "alice/x"}).out, "1");

    const json list = json::parse(cluster.loyal({"auth", "list", "-w", "json"}).out);
    ASSERT_EQ(list["clients"].size(), 3U);
    EXPECT_EQ(list["clients"][1]["name"], "alice");
    EXPECT_EQ(list["clients"][1]["grants"], json::parse(R"([{"prefix":"alice/","rights":["read"]}])"));
}

TEST(Auth, rights_survive_a_restart_of_everybody_and_a_removed_client_is_turned_away) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"auth", "add-client", "alice", "--rights", "rw"}).exit, 0);
    ASSERT_EQ(cluster.down().exit, 0);
    cluster.up();
    EXPECT_EQ(cluster.loyal({"--as", "alice", "put", "k", "1"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"auth", "remove-client", "alice"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "alice", "put", "k", "2"}).exit, 5);
    EXPECT_EQ(cluster.get("k"), "1");
}

TEST(Auth, mistakes_are_named) {
    ClusterOfProcesses cluster;
    cluster.up();
    const auto code = [&](const std::vector<std::string>& words) {
        std::vector<std::string> all = words;
        all.insert(all.end(), {"-w", "json"});
        const Ran ran = cluster.loyal(all);
        return std::to_string(ran.exit) + " " +
               json::parse(ran.error, nullptr, false).value("/error/code"_json_pointer, "no error");
    };
    EXPECT_EQ(code({"auth", "grant", "nobody", "r"}), "1 no_client");
    EXPECT_EQ(code({"auth", "revoke", "default", "a"}), "1 no_client");
    EXPECT_EQ(code({"auth", "remove-client", "admin"}), "1 last_operator");
    EXPECT_EQ(code({"auth", "revoke", "admin", "admin"}), "1 last_operator");
    EXPECT_EQ(code({"auth", "add-client", "default"}), "1 exists");
    EXPECT_EQ(code({"auth", "add-client", "x", "--public-key", "12"}), "2 bad_input");
    EXPECT_EQ(code({"auth", "add-client", "no/name"}), "2 bad_input");
    EXPECT_EQ(code({"auth", "grant", "default", "fly"}), "2 bad_input");
    EXPECT_EQ(code({"--as", "default", "auth", "grant", "default", "admin"}), "5 not_allowed");
}

}  // namespace
}  // namespace loyal::system_test
