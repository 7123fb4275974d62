// A four-replica cluster in everyday use, through the commands and exit codes of the contract.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/system/cluster.h"
#include "tests/system/history.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

TEST(Data, put_get_cas_and_del_answer_with_their_exit_codes) {
    ClusterOfProcesses cluster;
    cluster.up();
    EXPECT_EQ(cluster.loyal({"put", "k", "one"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "k"}).out, "one") << "the value alone: standard output is no terminal";
    EXPECT_EQ(cluster.loyal({"cas", "k", "one", "two"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"cas", "k", "one", "three"}).exit, 1);
    EXPECT_EQ(cluster.get("k"), "two");
    EXPECT_EQ(cluster.loyal({"cas", "--absent", "k", "x"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"cas", "--absent", "new", "x"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"cas", "--delete", "new", "y"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"cas", "--delete", "new", "x"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "new"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"del", "k"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"del", "k"}).exit, 1);
    const Ran absent = cluster.loyal({"get", "k", "-w", "json"});
    EXPECT_EQ(absent.exit, 1);
    EXPECT_EQ(json::parse(absent.error)["error"]["code"], "not_found");
}

TEST(Data, json_has_the_fields_of_the_contract) {
    ClusterOfProcesses cluster;
    cluster.up();
    const json put = json::parse(cluster.loyal({"put", "k", "v", "-w", "json"}).out);
    for (const char* field : {"revision", "timestamp", "sequence", "view", "replicas"}) {
        EXPECT_TRUE(put.contains(field)) << field;
    }
    EXPECT_EQ(put["revision"], 1);
    EXPECT_THAT(put["timestamp"]["rfc3339"].get<std::string>(), ::testing::MatchesRegex(".*T.*Z"));
    EXPECT_GE(put["replicas"].size(), 2U) << "two equal answers at the least";
    EXPECT_EQ(cluster.loyal({"put", "k", "w"}).exit, 0);
    const json got = json::parse(cluster.loyal({"get", "k", "-w", "json"}).out);
    EXPECT_EQ(got["key"], "k");
    EXPECT_EQ(got["value"], "w");
    EXPECT_EQ(got["revision"], 2);
    EXPECT_EQ(got["version"], 2);
    EXPECT_TRUE(got["lease"].is_null());
    EXPECT_TRUE(got["path"] == "fast" || got["path"] == "ordered");
    EXPECT_GE(got["replicas"].size(), 2U);
    const json status = cluster.status();
    EXPECT_EQ(status["healthy"], true);
    EXPECT_EQ(status["quorum"], 3);
    EXPECT_EQ(status["n"], 4);
    for (const auto& row : status["replicas"]) {
        for (const char* field : {"id", "reachable", "role", "view", "executed", "stable_checkpoint", "lag", "clock",
                                  "suspicion", "fault", "uptime_s", "db_bytes", "state_digest", "alarms"}) {
            EXPECT_TRUE(row.contains(field)) << field;
        }
        EXPECT_EQ(row["fault"], "none");
    }
}

TEST(Data, keys_and_values_are_bytes) {
    ClusterOfProcesses cluster;
    cluster.up();
    EXPECT_EQ(cluster.loyal({"put", "--hex", "00ff0a", "ff00"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "--hex", "00ff0a"}).out, "ff00\n");
    EXPECT_EQ(cluster.loyal({"get", "--base64", "AP8K"}).out, "/wA=\n");
    const std::string value("a\0b\n\xFF", 5);
    EXPECT_EQ(cluster.loyal({"put", "piped", "-"}, value).exit, 0);
    EXPECT_EQ(cluster.get("piped"), value);
    write_text(cluster.path("file"), value);
    EXPECT_EQ(cluster.loyal({"put", "filed", "@" + cluster.path("file")}).exit, 0);
    EXPECT_EQ(cluster.get("filed"), value);
    EXPECT_EQ(json::parse(cluster.loyal({"get", "piped", "-w", "json"}).out)["value"]["base64"], "YQBiCv8=");
    EXPECT_EQ(cluster.loyal({"put", "empty", ""}).exit, 0);
    EXPECT_EQ(cluster.get("empty"), "");
    const std::string largest(1U << 20U, 'x');
    EXPECT_EQ(cluster.loyal({"put", "largest", "-"}, largest).exit, 0);
    EXPECT_EQ(cluster.get("largest"), largest);
    EXPECT_EQ(cluster.loyal({"put", "too-large", "-"}, largest + "x").exit, 2);
    EXPECT_EQ(cluster.loyal({"put", std::string(480, 'k'), "v"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"put", std::string(481, 'k'), "v"}).exit, 2);
}

TEST(Data, ranges_come_in_order_and_in_parts) {
    ClusterOfProcesses cluster;
    cluster.up();
    std::string records;
    for (int i = 0; i < 2'500; ++i) {  // more than two pages
        char key[16];
        std::snprintf(key, sizeof key, "r/%04d", i);
        records += std::string(key) + "\t" + std::to_string(i) + "\n";
    }
    ASSERT_EQ(cluster.loyal({"import", "-"}, records + "s\tbehind\n").exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "r/"}).out, records);
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "r/", "--count"}).out, "2500\n");
    EXPECT_EQ(cluster.loyal({"get", "r/0002", "--to", "r/0005", "--keys-only"}).out, "r/0002\nr/0003\nr/0004\n");
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "r/", "--reverse", "--limit", "2"}).out,
              "r/2499\t2499\nr/2498\t2498\n");
    const json part = json::parse(cluster.loyal({"get", "--prefix", "r/", "--limit", "1200", "-w", "json"}).out);
    EXPECT_EQ(part["items"].size(), 1'200U);
    EXPECT_EQ(part["more"], true);
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "nothing/"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"del", "--prefix", "r/"}).out, "2500\n");
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "", "--count"}).out, "1\n");
}

// Keys in byte order, values with everything that needs care.
std::string many_records(std::size_t count) {
    std::mt19937 random(5);
    std::uniform_int_distribution<int> byte(0, 255);
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
        char key[32];
        std::snprintf(key, sizeof key, "key-%06zu\\t\t", i);
        text += key;
        for (int b = 0; b < 40; ++b) {
            const char c = static_cast<char>(byte(random));
            text += c == '\t' ? "\\t" : c == '\n' ? "\\n" : c == '\\' ? "\\\\" : std::string(1, c);
        }
        text += "\n";
    }
    return text;
}

TEST(Data, what_export_writes_is_what_import_read_byte_for_byte) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::string tsv = many_records(3'000);
    write_text(cluster.path("in.tsv"), tsv);
    const Ran imported = cluster.loyal({"import", cluster.path("in.tsv")});
    ASSERT_EQ(imported.exit, 0) << imported.error;
    EXPECT_THAT(imported.out, HasSubstr("3000 records imported"));
    EXPECT_EQ(cluster.loyal({"export"}).out, tsv);
    const std::string jsonl = cluster.loyal({"export", "--format", "jsonl"}).out;
    ASSERT_EQ(cluster.loyal({"del", "--prefix", "key-"}).out, "3000\n");
    write_text(cluster.path("in.jsonl"), jsonl);
    ASSERT_EQ(cluster.loyal({"import", cluster.path("in.jsonl")}).exit, 0);
    EXPECT_EQ(cluster.loyal({"export"}).out, tsv);
    EXPECT_EQ(cluster.loyal({"export", "--prefix", "key-00000"}).out, many_records(10));
}

TEST(Data, an_import_says_exactly_what_a_bad_line_left_behind) {
    ClusterOfProcesses cluster;
    cluster.up();
    write_text(cluster.path("bad.tsv"), "a\t1\nb\t2\nno tab\nc\t3\n");
    const Ran file = cluster.loyal({"import", cluster.path("bad.tsv")});
    EXPECT_EQ(file.exit, 2);
    EXPECT_THAT(file.error, HasSubstr("line 3"));
    EXPECT_THAT(file.error, HasSubstr("nothing was sent"));
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "", "--count"}).out, "0\n");
    // Of two lines with one key the later one counts.
    EXPECT_EQ(cluster.loyal({"import", "-"}, "a\t1\na\t2\na\t3\n").exit, 0);
    EXPECT_EQ(cluster.get("a"), "3");
}

TEST(Data, output_that_cannot_be_written_is_no_success) {
    ClusterOfProcesses cluster;
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    const std::string loyal = (program_folder() / "loyal").string();
    const Ran full = run({"/bin/sh", "-c", loyal + " --cluster " + cluster.folder().string() + " export > /dev/full"});
    EXPECT_EQ(full.exit, 7);
    EXPECT_THAT(full.error, HasSubstr("standard output"));
}

TEST(Data, rights_are_enforced_by_the_replicas) {
    ClusterOfProcesses cluster({"--client", "viewer=read", "--client", "logger=write"});
    cluster.up();
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "viewer", "get", "k"}).out, "v");
    EXPECT_EQ(cluster.loyal({"--as", "viewer", "put", "k", "w"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--as", "logger", "put", "k", "w"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"--as", "logger", "get", "k"}).exit, 5);
    EXPECT_EQ(cluster.get("k"), "w");
    // A key of another cluster is known to nobody here.
    const ClusterOfProcesses other;
    const std::string foreign = (other.folder() / "keys" / "client-default.key").string();
    EXPECT_EQ(cluster.loyal({"--key", foreign, "put", "k", "x"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--key", foreign, "get", "k"}).exit, 5);
    EXPECT_EQ(cluster.loyal({"--key", foreign, "status"}).exit, 5);
}

TEST(Data, up_and_down_are_idempotent_and_wipe_wants_a_stopped_cluster) {
    ClusterOfProcesses cluster;
    cluster.up();
    std::vector<pid_t> pids;
    for (int id = 0; id < 4; ++id) {
        pids.push_back(cluster.pid_of(id));
    }
    cluster.up();
    for (int id = 0; id < 4; ++id) {
        EXPECT_EQ(cluster.pid_of(id), pids[static_cast<std::size_t>(id)]);
    }
    EXPECT_EQ(cluster.loyal({"cluster", "up", "--replicas", "7"}).exit, 2) << "it has four";
    EXPECT_EQ(cluster.loyal({"cluster", "up", "--checkpoint-interval", "64"}).exit, 2) << "it has another";
    EXPECT_EQ(cluster.loyal({"cluster", "up", "--checkpoint-interval", "1"}).exit, 2) << "nobody may have that";
    EXPECT_EQ(cluster.loyal({"cluster", "wipe", "--yes"}).exit, 2);
    ASSERT_EQ(cluster.loyal({"put", "k", "v"}).exit, 0);
    EXPECT_THAT(cluster.loyal({"cluster", "logs", "2", "--lines", "1000"}).out, HasSubstr("event=start"));
    EXPECT_EQ(cluster.down().exit, 0);
    EXPECT_EQ(cluster.down().exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "k"}).exit, 3);
    cluster.up();
    EXPECT_EQ(cluster.get("k"), "v");
    EXPECT_EQ(cluster.down().exit, 0);
    EXPECT_EQ(cluster.loyal({"cluster", "wipe", "--yes"}).exit, 0);
    EXPECT_FALSE(std::filesystem::exists(cluster.folder()));
}

// A script that reads everything `up` prints, through any descriptor, must not wait for the replicas to end.
TEST(Data, replicas_keep_nothing_of_their_starter_open) {
    ClusterOfProcesses cluster;
    const std::string loyal = (program_folder() / "loyal").string();
    const std::string up = loyal + " --cluster " + cluster.folder().string() + " cluster up";
    const Ran ran = run({"/bin/sh", "-c", "{ " + up + " 3>&1 2>&1; } | wc -l"}, {}, std::chrono::seconds(40));
    EXPECT_EQ(ran.exit, 0) << "the pipe stayed open";
    EXPECT_EQ(std::atoi(ran.out.c_str()), 4) << ran.out;
}

TEST(Data, up_makes_what_is_missing) {
    ClusterOfProcesses cluster;
    const std::string other = cluster.path("other");
    const Ran up =
        cluster.loyal({"cluster", "up", other, "--replicas", "3", "--fault-model", "crash", "--base-port", "0"});
    EXPECT_EQ(up.exit, 0) << up.error;
    const std::string loyal = (program_folder() / "loyal").string();
    EXPECT_EQ(run({loyal, "--cluster", other, "put", "k", "v"}).exit, 0);
    EXPECT_EQ(run({loyal, "get", "k"}, {"", {{"LOYAL_CLUSTER", other}}}).out, "v");
    EXPECT_EQ(run({loyal, "cluster", "down", other}).exit, 0);
}

// Two processes with one key: their sessions are their own (rule C1).
TEST(Data, two_processes_may_share_a_client_key) {
    ClusterOfProcesses cluster;
    cluster.up();
    const auto bench = [&](const char* history) {
        return cluster.start_loyal({"bench", "--mix", "50/50", "--keys", "20", "--clients", "8", "--seconds", "2",
                                    "--history", cluster.path(history), "-w", "json"});
    };
    const auto first = bench("h1");
    const auto second = bench("h2");
    for (const auto& [process, file] : {std::pair{first.get(), "h1"}, {second.get(), "h2"}}) {
        const Ran ran = process->finish();
        ASSERT_EQ(ran.exit, 0) << ran.error;
        EXPECT_EQ(json::parse(ran.out)["errors"], 0) << ran.out;
        const History history = History::load(cluster.path(file));
        EXPECT_GT(history.acknowledged_writes(), 20U);
        EXPECT_EQ(history.objections(), std::vector<std::string>{});
    }
}

TEST(Data, identities_share_the_load_or_say_how_to_make_them) {
    ClusterOfProcesses cluster({"--client", "bench1=read,write", "--client", "bench2=read,write"});
    cluster.up();
    const Ran three = cluster.loyal({"bench", "--identities", "3", "--clients", "9", "--seconds", "1", "-w", "json"});
    ASSERT_EQ(three.exit, 0) << three.error;
    EXPECT_EQ(json::parse(three.out)["errors"], 0);
    const Ran four = cluster.loyal({"bench", "--identities", "4", "--seconds", "1"});
    EXPECT_EQ(four.exit, 2);
    EXPECT_THAT(four.error, HasSubstr("--client bench1=read,write"));
}

TEST(Data, bench_keeps_the_rate_it_was_given) {
    ClusterOfProcesses cluster;
    cluster.up();
    const Ran ran = cluster.loyal({"bench", "--rate", "50", "--seconds", "2", "--clients", "64", "-w", "json"});
    ASSERT_EQ(ran.exit, 0) << ran.error;
    const json report = json::parse(ran.out);
    EXPECT_EQ(report["errors"], 0);
    EXPECT_GE(report["ops"].get<int>(), 95);
    EXPECT_LE(report["ops"].get<int>(), 101);
    const Ran cas =
        cluster.loyal({"bench", "--mix", "cas", "--keys", "3", "--clients", "6", "--seconds", "1", "-w", "json"});
    ASSERT_EQ(cas.exit, 0) << cas.error;
    EXPECT_GT(json::parse(cas.out)["by_op"]["cas"]["ops"].get<int>(), 0);
}

}  // namespace
}  // namespace loyal::system_test
