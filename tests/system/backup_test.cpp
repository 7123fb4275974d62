// A backup of a running cluster, checked offline and made into a new cluster, as an operator does it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

// A few writes and there is a checkpoint.
const std::vector<std::string> soon = {"--checkpoint-interval", "32"};

std::string records(int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += "user/" + std::to_string(i) + "\tvalue " + std::to_string(i * 7) + "\n";
    }
    return text;
}

// A second cluster, which ends with the test.
class OtherCluster {
 public:
    explicit OtherCluster(std::string folder) : folder_(std::move(folder)) {}
    ~OtherCluster() { (void)loyal({"cluster", "down", "--timeout", "5s"}); }
    OtherCluster(const OtherCluster&) = delete;
    OtherCluster& operator=(const OtherCluster&) = delete;
    [[nodiscard]] Ran loyal(const std::vector<std::string>& words) const {
        std::vector<std::string> command = {(program_folder() / "loyal").string(), "--cluster", folder_};
        command.insert(command.end(), words.begin(), words.end());
        return run(command);
    }
    [[nodiscard]] std::string log_of(int id) const {
        return read_text(fs::path(folder_) / "run" / ("replica-" + std::to_string(id) + ".log"));
    }

 private:
    std::string folder_;
};

TEST(BackupAndRestore, of_a_cluster_under_load_gives_another_one_with_all_its_data) {
    ClusterOfProcesses cluster(soon);
    cluster.up();
    ASSERT_EQ(cluster.loyal({"import", "-"}, records(1'000)).exit, 0);
    ASSERT_EQ(cluster.loyal({"put", "user/7", "changed"}).exit, 0);
    const std::string before = cluster.loyal({"export", "--prefix", "user/"}).out;
    const json old_item = json::parse(cluster.loyal({"get", "user/7", "-w", "json"}).out);
    const std::string file = cluster.path("backup.lkv");
    {
        const auto load = cluster.start_loyal({"bench", "--clients", "4", "--seconds", "20", "--keys", "100"});
        ASSERT_TRUE(eventually(
            [&] {
                return cluster.loyal({"backup", file}).exit == 0;
            },
            std::chrono::seconds(90)))
            << cluster.loyal({"backup", file}).error;
        EXPECT_TRUE(load->running()) << "the backup was to be taken under load";
    }
    const Ran verified = cluster.loyal({"backup", "verify", file, "-w", "json"});
    ASSERT_EQ(verified.exit, 0) << verified.error;
    const json facts = json::parse(verified.out);
    EXPECT_EQ(facts["verified"], true);
    EXPECT_EQ(facts["proved_by_signatures"], true);
    EXPECT_GE(facts["keys"], 1'000);
    EXPECT_EQ(facts["height"].get<std::uint64_t>() % 32, 0U);
    EXPECT_EQ(cluster.loyal({"backup", file}).exit, 2) << "it exists";

    const std::string folder = cluster.path("restored");
    const Ran made =
        run({(program_folder() / "loyal").string(), "restore", file, "--replicas", "4", folder, "--base-port", "0"});
    ASSERT_EQ(made.exit, 0) << made.error;
    const OtherCluster restored(folder);
    const Ran up = restored.loyal({"cluster", "up"});
    ASSERT_EQ(up.exit, 0) << up.out << up.error << restored.log_of(0);
    EXPECT_EQ(restored.loyal({"export", "--prefix", "user/"}).out, before);
    const json item = json::parse(restored.loyal({"get", "user/7", "-w", "json"}).out);
    for (const char* field : {"value", "revision", "version", "timestamp"}) {
        EXPECT_EQ(item[field], old_item[field]) << field;
    }
    EXPECT_EQ(restored.loyal({"put", "user/7", "anew"}).exit, 0);
    const json anew = json::parse(restored.loyal({"get", "user/7", "-w", "json"}).out);
    EXPECT_GT(anew["revision"].get<std::uint64_t>(), facts["revision"].get<std::uint64_t>());
    EXPECT_EQ(anew["version"].get<std::uint64_t>(), item["version"].get<std::uint64_t>() + 1);
    ASSERT_EQ(restored.loyal({"cluster", "down"}).exit, 0);
    ASSERT_EQ(restored.loyal({"cluster", "up"}).exit, 0) << restored.log_of(0);
    EXPECT_EQ(restored.loyal({"get", "user/7"}).out, "anew");
    EXPECT_EQ(restored.loyal({"get", "user/8"}).out, "value 56");
    // The old cluster's backup is none of the new one.
    EXPECT_EQ(restored.loyal({"backup", "verify", file}).exit, 6);
}

TEST(BackupAndRestore, refuses_what_it_must) {
    ClusterOfProcesses cluster(soon);
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    const std::string file = cluster.path("backup.lkv");
    const Ran early = cluster.loyal({"backup", file});
    EXPECT_EQ(early.exit, 3) << early.error;
    EXPECT_THAT(early.error, HasSubstr("more blocks"));
    EXPECT_FALSE(fs::exists(file));
    EXPECT_EQ(cluster.loyal({"backup", file, "--as", "default"}).exit, 5) << "no admin";
    ASSERT_TRUE(eventually(
        [&] {
            for (int i = 0; i < 16; ++i) {
                (void)cluster.loyal({"put", "k", std::to_string(i)});
            }
            return cluster.loyal({"backup", file}).exit == 0;
        },
        std::chrono::seconds(90)));
    std::string text = read_text(file);
    text[text.size() / 2] = static_cast<char>(text[text.size() / 2] ^ 4);
    const std::string damaged = cluster.path("damaged.lkv");
    write_text(damaged, text);
    EXPECT_EQ(cluster.loyal({"backup", "verify", damaged}).exit, 6);
    const Ran refused = cluster.loyal({"restore", damaged, cluster.path("new")});
    EXPECT_EQ(refused.exit, 6) << refused.error;
    EXPECT_FALSE(fs::exists(cluster.path("new")));
    EXPECT_EQ(cluster.loyal({"backup", "verify", cluster.path("absent")}).exit, 2);
}

}  // namespace
}  // namespace loyal::system_test
