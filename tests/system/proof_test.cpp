// Receipts and proofs of state, from a running cluster and checked with the cluster file alone.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// The cluster file alone, away from keys and replicas.
Ran verify(const ClusterOfProcesses& cluster, const std::string& file) {
    const std::string alone = cluster.path("public.toml");
    write_text(alone, read_text(cluster.folder() / "cluster.toml"));
    return run({(program_folder() / "loyal").string(), "verify", file, "--cluster", alone, "-w", "json"});
}
json proven(const ClusterOfProcesses& cluster, const std::string& file) {
    const Ran ran = verify(cluster, file);
    EXPECT_EQ(ran.exit, 0) << ran.error;
    return ran.exit == 0 ? json::parse(ran.out) : json();
}

TEST(Proof, of_writes_and_reads_while_a_replica_lies) {
    ClusterOfProcesses cluster({"--experiments"});
    cluster.up();
    for (int liar = 0; liar < 4; ++liar) {  // the primary among them
        const std::string id = std::to_string(liar);
        const auto file = [&](const std::string& name) { return cluster.path(name + id); };
        ASSERT_EQ(cluster.loyal({"traitor", id, "lie-to-clients"}).exit, 0);
        const Ran put = cluster.loyal({"put", "k" + id, "v", "--proof", file("put"), "-w", "json"});
        ASSERT_EQ(put.exit, 0) << put.error;
        const json of_put = proven(cluster, file("put"));
        EXPECT_EQ(of_put["op"], "put");
        EXPECT_EQ(of_put["key"], "k" + id);
        EXPECT_EQ(of_put["value"], "v");
        EXPECT_EQ(of_put["status"], "ok");
        EXPECT_EQ(of_put["client"]["name"], "default");
        for (const char* field : {"revision", "timestamp", "sequence", "view"}) {
            EXPECT_EQ(of_put[field], json::parse(put.out)[field]) << field;
        }
        EXPECT_EQ(of_put["replicas"].size(), 2U);
        EXPECT_THAT(of_put["replicas"].get<std::vector<int>>(), Not(Contains(liar)));

        const Ran get = cluster.loyal({"get", "k" + id, "--proof", file("get")});
        EXPECT_EQ(get.exit, 0) << get.error;
        EXPECT_EQ(get.out, "v");
        const json of_get = proven(cluster, file("get"));
        EXPECT_EQ(of_get["op"], "get");
        EXPECT_EQ(of_get["value"], "v");
        EXPECT_EQ(of_get["item"]["revision"], of_put["revision"]);

        EXPECT_EQ(cluster.loyal({"get", "nobody", "--proof", file("absent")}).exit, 1);
        const json of_absence = proven(cluster, file("absent"));
        EXPECT_EQ(of_absence["key"], "nobody");
        EXPECT_TRUE(of_absence["value"].is_null());

        EXPECT_EQ(cluster.loyal({"cas", "k" + id, "other", "x", "--proof", file("cas")}).exit, 1);
        EXPECT_EQ(proven(cluster, file("cas"))["status"], "mismatch");
        EXPECT_EQ(cluster.loyal({"del", "k" + id, "--proof", file("del")}).exit, 0);
        EXPECT_EQ(proven(cluster, file("del"))["op"], "del");
        ASSERT_EQ(cluster.loyal({"traitor", id, "none"}).exit, 0);
    }
}

TEST(Proof, a_tampered_file_proves_nothing_and_other_files_are_no_proofs) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::string file = cluster.path("a.proof");
    ASSERT_EQ(cluster.loyal({"put", "k", "v", "--proof", file}).exit, 0);
    EXPECT_EQ(verify(cluster, file).exit, 0);
    const std::string good = read_text(file);
    for (std::size_t at = 11; at < good.size(); at += good.size() / 12) {
        std::string bad = good;
        bad[at] = static_cast<char>(bad[at] ^ 1);
        write_text(file, bad);
        EXPECT_EQ(verify(cluster, file).exit, 6) << at;
    }
    write_text(file, "a letter");
    EXPECT_EQ(verify(cluster, file).exit, 2);
    EXPECT_EQ(verify(cluster, cluster.path("nothing")).exit, 2);
    write_text(file, good);
    // Of another cluster it proves nothing.
    ClusterOfProcesses other;
    EXPECT_EQ(verify(other, file).exit, 6);

    // What cannot be proven later is not begun.
    const Ran again = cluster.loyal({"put", "k", "unproven", "--proof", file});
    EXPECT_EQ(again.exit, 2);
    EXPECT_EQ(cluster.get("k"), "v");
    EXPECT_EQ(cluster.loyal({"del", "--prefix", "k", "--proof", cluster.path("b")}).exit, 2);
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "k", "--proof", cluster.path("b")}).exit, 2);
}

TEST(Proof, of_the_state_at_a_checkpoint) {
    for (const char* model : {"byzantine", "crash"}) {
        const bool crash = std::string(model) == "crash";
        ClusterOfProcesses cluster(
            {"--fault-model", model, "--replicas", crash ? "3" : "4", "--experiments", "--checkpoint-interval", "32"});
        cluster.up();
        const Ran early = cluster.loyal({"get", "k", "--proof-state", cluster.path("early")});
        EXPECT_EQ(early.exit, 3) << early.error;
        EXPECT_THAT(early.error, HasSubstr("checkpoint"));
        ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
        if (!crash) {
            ASSERT_EQ(cluster.loyal({"traitor", "0", "lie-to-clients"}).exit, 0);
        }
        int next = 0;
        const auto file = [&] { return cluster.path("state" + std::to_string(next)); };
        ASSERT_TRUE(eventually(
            [&] {
                ++next;
                (void)cluster.loyal({"put", "other", std::to_string(next)});
                return cluster.loyal({"get", "k", "--proof-state", file()}).exit == 0;
            },
            std::chrono::seconds(60)));
        const json present = proven(cluster, file());
        EXPECT_EQ(present["kind"], "state");
        EXPECT_EQ(present["value"], "v");
        EXPECT_EQ(present["sequence"].get<int>() % 32, 0);
        EXPECT_EQ(present["replicas"].size(), crash ? 1U : 3U);

        const std::string absent = cluster.path("absent");
        const Ran none = cluster.loyal({"get", "nobody", "--proof-state", absent, "-w", "json"});
        EXPECT_EQ(none.exit, 1) << none.error;
        EXPECT_EQ(json::parse(none.out)["path"], "checkpoint");
        EXPECT_GE(json::parse(none.out)["state"]["age_ms"].get<int>(), 0);
        EXPECT_TRUE(proven(cluster, absent)["value"].is_null());
        std::string bad = read_text(absent);
        bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
        write_text(absent, bad);
        EXPECT_EQ(verify(cluster, absent).exit, 6);
    }
}

TEST(Proof, in_the_crash_model_one_replica_signs) {
    ClusterOfProcesses cluster({"--fault-model", "crash", "--replicas", "3"});
    cluster.up();
    const std::string file = cluster.path("a.proof");
    ASSERT_EQ(cluster.loyal({"put", "k", "v", "--proof", file}).exit, 0);
    const json document = proven(cluster, file);
    EXPECT_EQ(document["value"], "v");
    EXPECT_EQ(document["replicas"].size(), 1U);
}

}  // namespace
}  // namespace loyal::system_test
