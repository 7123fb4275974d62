// The data model as a user has it: the past, ranges of one moment, transactions, leases, locks with fencing tokens and
// elections, on four real replicas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <fmt/format.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

std::string code_of(const Ran& ran) {
    return json::parse(ran.error, nullptr, false).value("/error/code"_json_pointer, "no error");
}

TEST(Model, the_past_can_be_read_until_it_is_compacted) {
    ClusterOfProcesses cluster;
    cluster.up();
    json times = json::array();
    for (const char* value : {"one", "two", "three"}) {
        times.push_back(json::parse(cluster.loyal({"put", "k", value, "-w", "json"}).out)["timestamp"]);
    }
    EXPECT_EQ(cluster.loyal({"put", "other", "x"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "k", "--rev", "1"}).out, "one");
    EXPECT_EQ(cluster.loyal({"get", "k", "--rev", "2"}).out, "two");
    EXPECT_EQ(cluster.loyal({"get", "k", "--rev", "4"}).out, "three");
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "", "--rev", "3"}).out, "k\tthree\n");
    EXPECT_EQ(cluster.loyal({"get", "other", "--rev", "3"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"get", "k", "--at", times[0]["hlc"]}).out, "one");
    EXPECT_EQ(cluster.loyal({"get", "k", "--at", times[1]["rfc3339"]}).out, "two")
        << "what was written at a time that was printed is part of it";
    EXPECT_EQ(cluster.loyal({"get", "k", "--at", "2100-01-01T00:00:00Z"}).out, "three");
    const Ran future = cluster.loyal({"get", "k", "--rev", "99", "-w", "json"});
    EXPECT_EQ(future.exit, 1);
    EXPECT_EQ(code_of(future), "future_revision");
    EXPECT_THAT(future.error, HasSubstr("at revision 4"));

    EXPECT_EQ(cluster.loyal({"del", "k"}).exit, 0);
    EXPECT_THAT(
        cluster.loyal({"history", "k"}).out,
        MatchesRegex("5\t[^\t]*Z\tdel\t\n3\t[^\t]*Z\tput\tthree\n2\t[^\t]*Z\tput\ttwo\n1\t[^\t]*Z\tput\tone\n"));
    const json history = json::parse(cluster.loyal({"history", "k", "--limit", "2", "--rev", "3", "-w", "json"}).out);
    EXPECT_EQ(history["key"], "k");
    EXPECT_EQ(history["more"], true);
    ASSERT_EQ(history["versions"].size(), 2U);
    EXPECT_EQ(history["versions"][0]["value"], "three");
    EXPECT_EQ(history["versions"][0]["version"], 3);
    EXPECT_EQ(history["versions"][1]["revision"], 2);
    EXPECT_EQ(cluster.loyal({"history", "never"}).exit, 1);

    EXPECT_EQ(cluster.loyal({"compact", "3"}).out, "compacted revision 3\n");
    const Ran compacted = cluster.loyal({"get", "k", "--rev", "2", "-w", "json"});
    EXPECT_EQ(compacted.exit, 1);
    EXPECT_EQ(code_of(compacted), "compacted");
    EXPECT_THAT(compacted.error, HasSubstr("use revision 3 or a newer one"));
    EXPECT_EQ(cluster.loyal({"get", "k", "--at", times[0]["hlc"]}).exit, 1);
    EXPECT_EQ(cluster.loyal({"get", "k", "--rev", "3"}).out, "three");
    EXPECT_EQ(cluster.loyal({"compact", "3"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"compact", "99"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"compact", "0"}).exit, 2);
}

TEST(Model, a_range_of_many_pages_shows_one_revision_while_others_write) {
    ClusterOfProcesses cluster;
    cluster.up();
    std::string records;
    for (int i = 0; i < 12'500; ++i) {
        records += fmt::format("p/{:05}\t{}\n", i, i);
    }
    ASSERT_EQ(cluster.loyal({"import", "-"}, records).exit, 0);
    const auto load = cluster.start_loyal({"bench", "--clients", "4", "--seconds", "20", "--keys", "100"});
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "p/"}).out, records);
    const json all = json::parse(cluster.loyal({"get", "--prefix", "p/", "--reverse", "-w", "json"}).out);
    EXPECT_EQ(all["items"].size(), 12'500U);
    EXPECT_EQ(all["items"][0]["key"], "p/12499");
    EXPECT_EQ(all["snapshot"], true);
    EXPECT_EQ(all["path"], "ordered") << "more than a page: its revision has to be exact";
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "p/", "--count"}).out, "12500\n");
    load->signal(SIGTERM);
    (void)load->finish();
    // More than one operation may delete.
    EXPECT_EQ(cluster.loyal({"del", "p/00000", "--to", "p/00002"}).out, "2\n");
    EXPECT_EQ(cluster.loyal({"del", "--prefix", "p/"}).out, "12498\n");
    EXPECT_EQ(cluster.loyal({"get", "--prefix", "p/", "--count"}).out, "0\n");
}

TEST(Model, a_transaction_does_all_of_one_branch) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::string script =
        "version(\"a\") = \"0\"\n\nput a 1\nput b \"two words\"\nget --prefix \"\"\n\nget a\ndel b\n";
    const Ran first = cluster.loyal({"txn"}, script);
    EXPECT_EQ(first.exit, 0) << first.error;
    EXPECT_EQ(first.out, "SUCCESS\n\nOK\n\nOK\n\na\t1\nb\ttwo words\n");
    const Ran second = cluster.loyal({"txn", "-w", "json"}, script);
    EXPECT_EQ(second.exit, 1);
    const json failed = json::parse(second.out);
    EXPECT_EQ(failed["succeeded"], false);
    EXPECT_EQ(failed["responses"][0]["items"][0]["value"], "1");
    EXPECT_EQ(failed["responses"][1]["deleted"], 1);
    EXPECT_EQ(failed["revision"], 2);
    const json one = json::parse(cluster.loyal({"get", "a", "-w", "json"}).out);
    EXPECT_EQ(one["revision"], 1) << "both puts of the first were one revision";
    write_text(cluster.path("txn"), "value(a) = 1\nmod(a) < 2\n\nput a 2\n");
    EXPECT_EQ(cluster.loyal({"txn", "--file", cluster.path("txn")}).out, "SUCCESS\n\nOK\n");
    EXPECT_EQ(cluster.get("a"), "2");

    const Ran bad = cluster.loyal({"txn", "-w", "json"}, "value(a) = 2\nnonsense\n\nput a 3\n");
    EXPECT_EQ(bad.exit, 2);
    EXPECT_THAT(bad.error, HasSubstr("line 2"));
    const Ran twice = cluster.loyal({"txn"}, "\nput a 3\nput a 4\n");
    EXPECT_EQ(twice.exit, 2);
    EXPECT_THAT(twice.error, HasSubstr("duplicate key"));
    std::string long_script = "\n";
    for (int i = 0; i < 129; ++i) {
        long_script += fmt::format("put k{} v\n", i);
    }
    EXPECT_EQ(cluster.loyal({"txn"}, long_script).exit, 2);
    EXPECT_EQ(cluster.get("a"), "2");
    EXPECT_EQ(cluster.loyal({"get", "k0"}).exit, 1);
}

TEST(Model, keys_end_with_their_lease) {
    ClusterOfProcesses cluster;
    cluster.up();
    const json put = json::parse(cluster.loyal({"put", "short", "v", "--ttl", "1s", "-w", "json"}).out);
    EXPECT_TRUE(put["lease"].is_number()) << put;
    const Ran granted = cluster.loyal({"lease", "grant", "60", "-w", "json"});
    ASSERT_EQ(granted.exit, 0) << granted.error;
    const std::string lease = json::parse(granted.out)["lease"].dump();
    EXPECT_EQ(cluster.loyal({"put", "attached", "v", "--lease", lease}).exit, 0);
    EXPECT_EQ(json::parse(cluster.loyal({"get", "attached", "-w", "json"}).out)["lease"].dump(), lease);
    EXPECT_THAT(
        cluster.loyal({"lease", "ttl", lease, "--keys"}).out,
        MatchesRegex(fmt::format("lease {} granted with TTL.60s., remaining.*, attached keys..attached..\n", lease)));
    EXPECT_THAT(cluster.loyal({"lease", "list"}).out, HasSubstr("\n" + lease + "\n"));
    EXPECT_EQ(cluster.loyal({"lease", "keep-alive", lease, "--once"}).out,
              fmt::format("lease {} keepalived with TTL(60s)\n", lease));
    // Nobody writes: the end of a lease is an event of the cluster's own.
    EXPECT_TRUE(eventually([&] { return cluster.loyal({"get", "short"}).exit == 1; }));
    EXPECT_EQ(cluster.loyal({"get", "attached"}).exit, 0);
    EXPECT_EQ(cluster.loyal({"lease", "revoke", lease}).exit, 0);
    EXPECT_EQ(cluster.loyal({"get", "attached"}).exit, 1);
    for (const std::vector<std::string>& words : {std::vector<std::string>{"lease", "revoke", lease},
                                                  {"lease", "ttl", lease},
                                                  {"lease", "keep-alive", lease},
                                                  {"put", "k", "v", "--lease", lease},
                                                  {"put", "k", "v", "--lease", "999"}}) {
        std::vector<std::string> as_json = words;
        as_json.insert(as_json.end(), {"-w", "json"});
        const Ran gone = cluster.loyal(as_json);
        EXPECT_EQ(gone.exit, 1) << words[0] << " " << words[1];
        EXPECT_EQ(code_of(gone), "no_lease") << words[0] << " " << words[1];
    }
}

TEST(Model, a_command_runs_while_the_lock_is_held_and_older_tokens_are_fenced) {
    ClusterOfProcesses cluster;
    cluster.up();
    const std::vector<std::string> show = {"lock", "l",  "--",
                                           "sh",   "-c", "echo $LOYAL_LOCK=$LOYAL_FENCING_TOKEN; [ 1 = 1 ] && exit 42"};
    const Ran first = cluster.loyal(show);
    EXPECT_EQ(first.exit, 42) << first.error;
    EXPECT_EQ(first.out, "1\nl=1\n");
    EXPECT_EQ(cluster.loyal(show).out, "2\nl=2\n");
    EXPECT_EQ(cluster.loyal({"put", "k", "new", "--fence", "l=2"}).exit, 0);
    const Ran fenced = cluster.loyal({"put", "k", "old", "--fence", "l=1", "-w", "json"});
    EXPECT_EQ(fenced.exit, 1);
    EXPECT_EQ(code_of(fenced), "fenced");
    EXPECT_EQ(cluster.loyal({"del", "k", "--fence", "l=1"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"cas", "k", "new", "x", "--fence", "l=1"}).exit, 1);
    EXPECT_EQ(cluster.get("k"), "new");
    EXPECT_EQ(code_of(cluster.loyal({"put", "k", "v", "--fence", "never=1", "-w", "json"})), "no_lock");
    EXPECT_EQ(code_of(cluster.loyal({"put", "k", "v", "--fence", "l=9", "-w", "json"})), "no_lock");
    EXPECT_EQ(cluster.loyal({"lock", "l", "--", "sh", "-c", "test \"$1\" = '[a,b]'", "sh", "[a,b]"}).exit, 0)
        << "words stay as they are";
    EXPECT_EQ(cluster.loyal({"lock", "l", "--", "/does/not/exist"}).exit, 2);
    EXPECT_EQ(cluster.loyal({"lease", "list"}).out, "found 0 leases\n") << "all were given up";
}

TEST(Model, a_lock_is_held_by_one_and_passed_on_in_order) {
    ClusterOfProcesses cluster;
    cluster.up();
    const auto holder = cluster.start_loyal({"lock", "l"});
    ASSERT_TRUE(eventually([&] { return cluster.loyal({"elect", "l", "--query"}).exit == 0; }));
    const Ran refused = cluster.loyal({"lock", "l", "--wait", "0s", "-w", "json"});
    EXPECT_EQ(refused.exit, 1);
    EXPECT_EQ(code_of(refused), "lock_not_held");
    const auto waiting = [&](int count) {
        return eventually([&] {
            const json report = json::parse(cluster.loyal({"elect", "l", "--query", "-w", "json"}).out, nullptr, false);
            return report.is_object() && report["waiting"] == count;
        });
    };
    const auto second = cluster.start_loyal({"lock", "l", "--", "true"});
    ASSERT_TRUE(waiting(1));
    const auto third = cluster.start_loyal({"lock", "l", "--", "true"});
    ASSERT_TRUE(waiting(2));
    EXPECT_TRUE(second->running() && third->running());
    holder->signal(SIGTERM);
    const Ran held = holder->finish();
    EXPECT_EQ(held.exit, 0) << held.error;
    EXPECT_EQ(held.out, "1\n");
    const Ran after = second->finish();
    EXPECT_EQ(after.exit, 0) << after.error;
    EXPECT_EQ(after.out, "2\n") << "who gave up waiting was given none";
    EXPECT_EQ(third->finish().out, "3\n");
}

TEST(Model, a_command_whose_lock_is_lost_is_ended) {
    ClusterOfProcesses cluster;
    cluster.up();
    const auto holder = cluster.start_loyal({"lock", "l", "--", "sh", "-c", "sleep 300; echo survived"});
    std::string lease;
    ASSERT_TRUE(eventually([&] {
        const json report = json::parse(cluster.loyal({"elect", "l", "--query", "-w", "json"}).out, nullptr, false);
        lease = report.contains("lease") ? report["lease"].dump() : "";
        return !lease.empty();
    }));
    EXPECT_EQ(cluster.loyal({"lease", "revoke", lease}).exit, 0);
    const Ran lost = holder->finish();
    EXPECT_EQ(lost.exit, 1);
    EXPECT_THAT(lost.error, HasSubstr("the lock was lost"));
    EXPECT_EQ(lost.out, "1\n");
}

// The holder is stopped past its lease, as by a long pause of its machine.
TEST(Model, a_zombie_holder_is_refused_with_a_fence_and_not_without) {
    ClusterOfProcesses cluster;
    cluster.up();
    const auto zombie = cluster.start_loyal({"lock", "l", "--ttl", "1s"});
    ASSERT_TRUE(eventually([&] { return cluster.loyal({"elect", "l", "--query"}).exit == 0; }));
    zombie->signal(SIGSTOP);
    const Ran next = cluster.loyal({"lock", "l", "--", "sh", "-c", "echo $LOYAL_FENCING_TOKEN"});
    EXPECT_EQ(next.out, "2\n2\n") << next.error;
    EXPECT_EQ(cluster.loyal({"put", "job", "zombie", "--fence", "l=1"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"get", "job"}).exit, 1);
    EXPECT_EQ(cluster.loyal({"put", "job", "zombie"}).exit, 0) << "nothing but the fence knows";
    zombie->signal(SIGCONT);
    const Ran woken = zombie->finish();
    EXPECT_EQ(woken.exit, 1);
    EXPECT_THAT(woken.error, HasSubstr("the lock was lost"));
}

TEST(Model, one_leads_and_others_see_who) {
    ClusterOfProcesses cluster;
    cluster.up();
    EXPECT_EQ(cluster.loyal({"elect", "e", "--query"}).exit, 1);
    const auto first = cluster.start_loyal({"elect", "e", "host-1"});
    ASSERT_TRUE(eventually([&] { return cluster.loyal({"elect", "e", "--query"}).out == "host-1\n"; }));
    Process watcher(
        {"/bin/sh", "-c",
         fmt::format("exec '{}' --cluster '{}' elect e --observe > '{}'", (program_folder() / "loyal").string(),
                     cluster.folder().string(), cluster.path("seen"))});
    const auto saw = [&](const std::string& line) {
        return eventually([&] { return read_text(cluster.path("seen")).find(line) != std::string::npos; });
    };
    EXPECT_TRUE(saw("1\thost-1\n"));
    const auto second = cluster.start_loyal({"elect", "e", "host-2"});
    ASSERT_TRUE(eventually([&] {
        const json report = json::parse(cluster.loyal({"elect", "e", "--query", "-w", "json"}).out, nullptr, false);
        return report.is_object() && report["waiting"] == 1 && report["value"] == "host-1";
    }));
    first->signal(SIGINT);
    EXPECT_EQ(first->finish().exit, 0);
    ASSERT_TRUE(eventually([&] { return cluster.loyal({"elect", "e", "--query"}).out == "host-2\n"; }));
    EXPECT_TRUE(saw("2\thost-2\n"));
    second->signal(SIGTERM);
    EXPECT_EQ(second->finish().out, "2\n");
    watcher.signal(SIGTERM);
    EXPECT_EQ(watcher.finish().exit, 0);
    EXPECT_EQ(cluster.loyal({"elect", "e", "--query"}).exit, 1);
}

}  // namespace
}  // namespace loyal::system_test
