// The command line as a user types it, without a cluster: what is understood, what is refused with exit code 2, and
// that every command explains itself. What commands do is tested with real processes in tests/system.
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"

namespace loyal::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::internal::CaptureStderr;
using ::testing::internal::CaptureStdout;
using ::testing::internal::GetCapturedStderr;
using ::testing::internal::GetCapturedStdout;

struct Ran {
    int exit = 0;
    std::string out;
    std::string error;
};

Ran loyal(const std::vector<std::string>& arguments) {
    CaptureStdout();
    CaptureStderr();
    Ran ran;
    ran.exit = run(arguments);
    (void)std::fflush(stdout);
    ran.out = GetCapturedStdout();
    ran.error = GetCapturedStderr();
    return ran;
}

class ArgumentsTest : public ::testing::Test {
 protected:
    ArgumentsTest() {
        std::string pattern = (fs::temp_directory_path() / "loyal-cli-XXXXXX").string();
        folder_ = ::mkdtemp(pattern.data());
        ::unsetenv("LOYAL_CLUSTER");
        ::unsetenv("LOYAL_KEY");
    }
    ~ArgumentsTest() override {
        std::error_code ignored;
        fs::remove_all(folder_, ignored);
    }
    // A cluster that nobody serves.
    std::string cluster() {
        const std::string path = (folder_ / "c").string();
        EXPECT_EQ(loyal({"cluster", "init", path, "--base-port", "0"}).exit, 0);
        return path;
    }
    fs::path folder_;
};

TEST_F(ArgumentsTest, every_command_has_help_with_an_example) {
    for (const char* words : {"",
                              "cluster",
                              "cluster init",
                              "cluster up",
                              "cluster down",
                              "cluster wipe",
                              "cluster logs",
                              "status",
                              "put",
                              "get",
                              "del",
                              "cas",
                              "history",
                              "compact",
                              "txn",
                              "lease",
                              "lease grant",
                              "lease revoke",
                              "lease keep-alive",
                              "lease ttl",
                              "lease list",
                              "lock",
                              "elect",
                              "import",
                              "export",
                              "bench",
                              "fault",
                              "fault set",
                              "fault list",
                              "fault clear",
                              "traitor",
                              "net",
                              "net drop",
                              "net delay",
                              "net duplicate",
                              "net reorder",
                              "net rate",
                              "net cut",
                              "net partition",
                              "net isolate",
                              "net show",
                              "net heal",
                              "clock",
                              "pause",
                              "disk",
                              "version"}) {
        const std::string text = words;
        std::istringstream stream(text);
        std::vector<std::string> arguments(std::istream_iterator<std::string>(stream), {});
        for (const char* help : {"--help", "-h"}) {
            arguments.emplace_back(help);
            const Ran ran = loyal(arguments);
            arguments.pop_back();
            EXPECT_EQ(ran.exit, 0) << words;
            EXPECT_THAT(ran.out, HasSubstr("Example:\n  loyal " + text)) << words;
        }
    }
}

TEST_F(ArgumentsTest, bad_usage_exits_2_and_says_why_on_standard_error) {
    const std::vector<std::vector<std::string>> bad = {{},
                                                       {"frobnicate"},
                                                       {"watch", "k"},  // of a later version: not there yet
                                                       {"cluster"},
                                                       {"cluster", "explode"},
                                                       {"put"},
                                                       {"put", "k"},
                                                       {"put", "k", "v", "w"},
                                                       {"put", "k", "v", "--ttl", "nan"},
                                                       {"put", "k", "v", "--ttl", "-5s"},
                                                       {"put", "k", "v", "--ttl", "999ms"},
                                                       {"put", "k", "v", "--ttl", "1s", "--lease", "3"},
                                                       {"put", "k", "v", "--lease", "none"},
                                                       {"put", "k", "v", "--fence", "lock"},
                                                       {"put", "", "v"},
                                                       {"get", "k", "--rev", "0"},
                                                       {"get", "k", "--rev", "-3"},
                                                       {"get", "k", "--at", "yesterday"},
                                                       {"get", "k", "--rev", "1", "--at", "2026-03-01T12:00:00Z"},
                                                       {"get", "b", "--to", "a"},
                                                       {"del", "b", "--to", "a"},
                                                       {"del", "--prefix", ""},
                                                       {"history"},
                                                       {"history", "k", "--rev", "x"},
                                                       {"compact", "0"},
                                                       {"compact", "-1"},
                                                       {"lease"},
                                                       {"lease", "grant", "0"},
                                                       {"lease", "grant", "inf"},
                                                       {"lease", "revoke", "x"},
                                                       {"lease", "ttl", "0"},
                                                       {"lock"},
                                                       {"lock", ""},
                                                       {"lock", "l", "--ttl", "1ms"},
                                                       {"elect", "e"},
                                                       {"elect", "e", "v", "--query"},
                                                       {"txn", "--file", "/does/not/exist"},
                                                       {"get"},
                                                       {"get", "k", "--consistency", "eventual"},
                                                       {"--timeout", "soon", "status"},
                                                       {"--timeout", "5", "status"},
                                                       {"-w", "xml", "status"},
                                                       {"bench", "--clients", "0"},
                                                       {"bench", "--mix", "90/20"},
                                                       {"cluster", "init", "x", "--replicas", "many"},
                                                       {"cluster", "init", "x", "--client", "nobody"},
                                                       {"cluster", "init", "x", "--client", "n=fly"},
                                                       {"--as", "a", "--key", "b", "status"}};
    for (const auto& arguments : bad) {
        const Ran ran = loyal(arguments);
        EXPECT_EQ(ran.exit, 2) << ::testing::PrintToString(arguments);
        EXPECT_EQ(ran.out, "") << ::testing::PrintToString(arguments);
        EXPECT_NE(ran.error, "") << ::testing::PrintToString(arguments);
    }
    EXPECT_FALSE(fs::exists("x"));
}

TEST_F(ArgumentsTest, errors_are_json_where_json_was_asked_for) {
    for (const std::vector<std::string>& arguments : {std::vector<std::string>{"-w", "json", "frobnicate"},
                                                      {"put", "k", "-w", "json"},
                                                      {"get", "k", "--cluster", "/does/not/exist", "-wjson"}}) {
        const Ran ran = loyal(arguments);
        EXPECT_EQ(ran.exit, 2);
        const auto document = nlohmann::json::parse(ran.error, nullptr, false);
        ASSERT_TRUE(document.is_object()) << ran.error;
        EXPECT_TRUE(document["error"]["code"].is_string());
        EXPECT_TRUE(document["error"]["message"].is_string());
    }
}

TEST_F(ArgumentsTest, a_missing_cluster_is_named_with_the_remedy) {
    const Ran ran = loyal({"get", "k", "--cluster", (folder_ / "nowhere").string()});
    EXPECT_EQ(ran.exit, 2);
    EXPECT_THAT(ran.error, HasSubstr((folder_ / "nowhere").string()));
    EXPECT_THAT(ran.error, HasSubstr("--cluster"));
}

TEST_F(ArgumentsTest, global_options_stand_before_and_after_the_command) {
    const std::string path = cluster();
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"--cluster", path, "--timeout", "300ms", "put", "k", "v"},
          {"put", "k", "v", "--cluster", path, "--timeout", "300ms"},
          {"put", "--timeout", "300ms", "k", "--cluster", path, "v"}}) {
        EXPECT_EQ(loyal(arguments).exit, 3) << "nobody serves this cluster";
    }
}

TEST_F(ArgumentsTest, an_unreachable_cluster_is_exit_3_for_reads_and_writes_and_1_for_status) {
    const std::string path = cluster();
    const Ran put = loyal({"--cluster", path, "--timeout", "500ms", "put", "k", "v"});
    EXPECT_EQ(put.exit, 3);
    EXPECT_THAT(put.error, HasSubstr("definitely not applied"));
    EXPECT_EQ(loyal({"--cluster", path, "--timeout", "500ms", "get", "k"}).exit, 3);
    const Ran status = loyal({"--cluster", path, "--timeout", "500ms", "status", "-w", "json"});
    EXPECT_EQ(status.exit, 1);
    const auto document = nlohmann::json::parse(status.out);
    EXPECT_EQ(document["healthy"], false);
    EXPECT_EQ(document["replicas"].size(), 4U);
}

TEST_F(ArgumentsTest, keys_may_be_named_like_commands_and_values_may_look_like_lists_or_options) {
    const std::string path = cluster();
    for (const std::vector<std::string>& words : {std::vector<std::string>{"put", "status", "version"},
                                                  {"put", "get", "[1,2]"},
                                                  {"put", "cluster", ""},
                                                  {"put", "--", "-k", "-5"},
                                                  {"cas", "k", "[a,b]", ""},
                                                  {"get", "put"},
                                                  {"del", "del"}}) {
        std::vector<std::string> arguments = {"--cluster", path, "--timeout", "300ms"};
        arguments.insert(arguments.end(), words.begin(), words.end());
        EXPECT_EQ(loyal(arguments).exit, 3)
            << "understood, and refused only because nobody serves: " << ::testing::PrintToString(words);
    }
}

TEST_F(ArgumentsTest, cas_wants_as_many_values_as_are_not_stood_for) {
    const std::string path = cluster();
    const auto cas = [&](std::vector<std::string> words) {
        std::vector<std::string> arguments = {"--cluster", path, "--timeout", "300ms", "cas", "k"};
        arguments.insert(arguments.end(), words.begin(), words.end());
        return loyal(arguments).exit;
    };
    EXPECT_EQ(cas({"old", "new"}), 3);
    EXPECT_EQ(cas({"--absent", "new"}), 3);
    EXPECT_EQ(cas({"old", "--delete"}), 3);
    EXPECT_EQ(cas({}), 2);
    EXPECT_EQ(cas({"old"}), 2);
    EXPECT_EQ(cas({"--absent", "old", "new"}), 2);
    EXPECT_EQ(cas({"--absent", "--delete"}), 2);
    EXPECT_EQ(cas({"-", "-"}), 2);
}

TEST_F(ArgumentsTest, values_over_the_limits_are_refused_before_anything_is_sent) {
    const std::string path = cluster();
    const fs::path big = folder_ / "big";
    std::ofstream(big) << std::string((1U << 20U) + 1, 'x');
    const Ran value = loyal({"--cluster", path, "put", "k", "@" + big.string()});
    EXPECT_EQ(value.exit, 2);
    EXPECT_THAT(value.error, HasSubstr("1 MiB"));
    const Ran key = loyal({"--cluster", path, "get", std::string(481, 'k')});
    EXPECT_EQ(key.exit, 2);
    EXPECT_THAT(key.error, HasSubstr("480"));
    EXPECT_EQ(loyal({"--cluster", path, "get", ""}).exit, 2);
}

TEST_F(ArgumentsTest, a_bad_line_of_an_import_is_found_before_the_cluster_is_asked) {
    const fs::path file = folder_ / "bad.tsv";
    std::ofstream(file) << "good\tline\nbad line\n";
    const Ran ran = loyal({"--cluster", cluster(), "import", file.string()});
    EXPECT_EQ(ran.exit, 2);
    EXPECT_THAT(ran.error, HasSubstr("line 2"));
    EXPECT_THAT(ran.error, HasSubstr("nothing was sent"));
}

TEST_F(ArgumentsTest, faults_are_refused_where_experiments_are_off) {
    const std::string path = cluster();
    for (const std::vector<std::string>& words :
         {std::vector<std::string>{"traitor", "0", "silent"}, {"fault", "set", "0", "silent"}}) {
        std::vector<std::string> arguments = {"--cluster", path};
        arguments.insert(arguments.end(), words.begin(), words.end());
        const Ran ran = loyal(arguments);
        EXPECT_EQ(ran.exit, 5);
        EXPECT_THAT(ran.error, HasSubstr("--experiments"));
    }
}

TEST_F(ArgumentsTest, a_key_file_that_others_can_read_or_that_is_missing_is_refused) {
    const std::string path = cluster();
    const fs::path key = fs::path(path) / "keys" / "client-default.key";
    fs::permissions(key, fs::perms::group_read | fs::perms::others_read, fs::perm_options::add);
    EXPECT_EQ(loyal({"--cluster", path, "get", "k"}).exit, 5);
    const Ran missing = loyal({"--cluster", path, "--as", "nobody", "get", "k"});
    EXPECT_EQ(missing.exit, 2);
    EXPECT_THAT(missing.error, HasSubstr("client-nobody.key"));
}

TEST_F(ArgumentsTest, init_takes_its_options_and_refuses_a_second_cluster) {
    const std::string path = (folder_ / "crash").string();
    const Ran made =
        loyal({"cluster", "init", path, "--replicas", "3", "--fault-model", "crash", "--crash-mode", "stop",
               "--base-port", "0", "--client", "bench1=read,write", "--experiments", "-w", "json"});
    ASSERT_EQ(made.exit, 0) << made.error;
    const auto document = nlohmann::json::parse(made.out);
    EXPECT_EQ(document["fault_model"], "crash");
    EXPECT_EQ(document["n"], 3);
    EXPECT_EQ(document["f"], 1);
    EXPECT_EQ(document["experiments"], true);
    EXPECT_TRUE(fs::exists(fs::path(path) / "keys" / "client-bench1.key"));
    EXPECT_TRUE(fs::exists(fs::path(path) / "keys" / "client-admin.key"));
    EXPECT_EQ(loyal({"cluster", "init", path}).exit, 2);
}

TEST_F(ArgumentsTest, init_warns_of_a_wasted_replica_and_refuses_too_few_and_too_many) {
    const Ran wasted = loyal({"cluster", "init", (folder_ / "five").string(), "--replicas", "5", "--base-port", "0"});
    EXPECT_EQ(wasted.exit, 0);
    EXPECT_THAT(wasted.error, HasSubstr("warning"));
    for (const char* n : {"0", "2", "32"}) {
        EXPECT_EQ(loyal({"cluster", "init", (folder_ / "n").string(), "--replicas", n, "--base-port", "0"}).exit, 2)
            << n;
    }
    EXPECT_FALSE(fs::exists(folder_ / "n"));
}

TEST_F(ArgumentsTest, wipe_needs_a_yes_and_removes_what_init_made) {
    const std::string path = cluster();
    EXPECT_EQ(loyal({"cluster", "wipe", path}).exit, 2) << "standard input is no terminal here";
    EXPECT_TRUE(fs::exists(fs::path(path) / "cluster.toml"));
    EXPECT_EQ(loyal({"cluster", "wipe", path, "--yes", "--keep-keys"}).exit, 0);
    EXPECT_FALSE(fs::exists(fs::path(path) / "cluster.toml"));
    EXPECT_FALSE(fs::exists(fs::path(path) / "data"));
    EXPECT_TRUE(fs::exists(fs::path(path) / "keys" / "client-default.key"));
}

TEST_F(ArgumentsTest, a_stopped_cluster_is_down_again_without_complaint) {
    const std::string path = cluster();
    const Ran ran = loyal({"cluster", "down", path});
    EXPECT_EQ(ran.exit, 0);
    EXPECT_THAT(ran.out, HasSubstr("was not running"));
}

// The pid file of a replica names a process of somebody else: neither found nor killed.
TEST_F(ArgumentsTest, down_never_signals_a_foreign_process) {
    const std::string path = cluster();
    fs::create_directories(fs::path(path) / "run");
    std::ofstream(fs::path(path) / "run" / "replica-0.pid") << ::getpid() << "\n";
    const Ran ran = loyal({"cluster", "down", path});
    EXPECT_EQ(ran.exit, 0);  // and this test is still alive
    EXPECT_THAT(ran.out, HasSubstr("was not running"));
}

TEST_F(ArgumentsTest, version_names_program_and_libraries) {
    const auto document = nlohmann::json::parse(loyal({"version", "-w", "json"}).out);
    EXPECT_EQ(document["version"], "0.1.0");
    EXPECT_TRUE(document["libraries"].contains("libsodium"));
}

}  // namespace
}  // namespace loyal::cli
