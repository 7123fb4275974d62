// Links that are told to be bad, each seen by what it does: real processes, no root.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/system/cluster.h"

namespace loyal::system_test {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class NetworkFaults : public ::testing::Test {
 protected:
    void SetUp() override {
        cluster_.up();
        ASSERT_EQ(cluster_.loyal({"put", "before", "1"}).exit, 0);
    }
    void net(std::vector<std::string> words) const {
        words.insert(words.begin(), "net");
        const Ran ran = cluster_.loyal(words);
        ASSERT_EQ(ran.exit, 0) << ran.error;
    }
    void expect_writes(const char* value) const {
        const Ran put = cluster_.loyal({"put", "k", value, "--timeout", "30s"});
        EXPECT_EQ(put.exit, 0) << put.error;
        EXPECT_EQ(cluster_.get("k"), value);
    }
    [[nodiscard]] json links() const {
        return json::parse(cluster_.loyal({"net", "show", "-w", "json"}).out, nullptr, false)["links"];
    }
    [[nodiscard]] std::uint64_t sum_of(const char* count) const {
        std::uint64_t sum = 0;
        for (const json& each : links()) {
            sum += each.value(count, std::uint64_t{0});
        }
        return sum;
    }
    // The time that a write takes.
    [[nodiscard]] std::chrono::milliseconds write_time() const {
        const auto begin = std::chrono::steady_clock::now();
        EXPECT_EQ(cluster_.loyal({"put", "timed", "1", "--timeout", "30s"}).exit, 0);
        return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
    }

    ClusterOfProcesses cluster_{{"--experiments"}};
};

TEST_F(NetworkFaults, an_isolated_primary_is_deposed_and_follows_when_healed) {
    const int primary = cluster_.await_primary();
    net({"isolate", std::to_string(primary)});
    expect_writes("2");
    EXPECT_TRUE(eventually([&] { return cluster_.primary().value_or(primary) != primary; }));
    EXPECT_THAT(cluster_.status_of(primary)["fault"].get<std::string>(), HasSubstr("cut"));
    net({"heal"});
    EXPECT_TRUE(eventually([&] { return cluster_.caught_up(primary); })) << cluster_.status().dump(1);
    EXPECT_EQ(cluster_.status_of(primary)["fault"], "none");
}

TEST_F(NetworkFaults, a_primary_that_hears_but_is_not_heard_is_deposed) {
    const int primary = cluster_.await_primary();
    net({"isolate", std::to_string(primary), "--one-way"});
    for (const json& each : links()) {
        const bool out = each["from"] == primary && each["to"] != "clients";
        EXPECT_EQ(each["fault"], out ? "cut" : "none") << each.dump();
    }
    expect_writes("2");
    EXPECT_TRUE(eventually([&] { return cluster_.primary().value_or(primary) != primary; }));
    // What the others say reaches it: it follows.
    EXPECT_TRUE(eventually([&] {
        const json rows = cluster_.status()["replicas"];
        const std::size_t other = primary == 0 ? 1 : 0;
        return rows[static_cast<std::size_t>(primary)]["executed"] == rows[other]["executed"];
    })) << cluster_.status().dump(1);
}

TEST_F(NetworkFaults, halves_stop_and_go_on_when_they_are_one_again) {
    net({"partition", "0,1", "/", "2,3"});
    const Ran put = cluster_.loyal({"put", "k", "lost?", "--timeout", "2s"});
    EXPECT_TRUE(put.exit == 3 || put.exit == 4) << put.exit << put.error;
    net({"heal"});
    expect_writes("2");
}

TEST_F(NetworkFaults, a_minority_partition_leaves_the_majority_at_work) {
    const int away = (cluster_.await_primary() + 1) % 4;
    std::string rest;
    for (int id = 0; id < 4; ++id) {
        rest += id == away ? "" : (rest.empty() ? "" : ",") + std::to_string(id);
    }
    net({"partition", std::to_string(away) + "/" + rest});
    expect_writes("2");
    EXPECT_LT(cluster_.status_of(away)["executed"].get<std::uint64_t>(),
              cluster_.status_of((away + 1) % 4)["executed"].get<std::uint64_t>());
    net({"heal"});
    EXPECT_TRUE(eventually([&] { return cluster_.caught_up(away); })) << cluster_.status().dump(1);
}

TEST_F(NetworkFaults, a_third_of_all_messages_lost_slows_but_loses_no_write) {
    net({"drop", "all", "all", "30%"});
    EXPECT_THAT(cluster_.status_of(1)["fault"].get<std::string>(), HasSubstr("net to=0,2,3 drop=0.3"));
    for (const char* value : {"2", "3", "4"}) {
        expect_writes(value);
    }
    EXPECT_GT(sum_of("lost"), 10U);
    EXPECT_GT(sum_of("frames"), sum_of("lost") * 2);
    net({"heal"});
    expect_writes("5");
}

TEST_F(NetworkFaults, slow_links_make_writes_slow) {
    // Proposal, prepare votes, commit votes: three hops between replicas.
    net({"delay", "all", "all", "60ms"});
    EXPECT_GE(write_time(), 170ms);
    EXPECT_GT(sum_of("delayed"), 5U);
    net({"heal"});
    net({"delay", "all", "clients", "250ms"});
    EXPECT_GE(write_time(), 250ms);
    EXPECT_EQ(cluster_.loyal({"status"}).exit, 0) << "operators are answered past bad links";
    net({"heal"});
}

TEST_F(NetworkFaults, clients_that_get_no_answer_do_not_lose_their_write) {
    net({"drop", "all", "clients", "100%"});
    const Ran put = cluster_.loyal({"put", "k", "unheard", "--timeout", "2s"});
    EXPECT_TRUE(put.exit == 3 || put.exit == 4) << put.exit << put.error;
    net({"heal"});
    EXPECT_EQ(cluster_.loyal({"get", "before"}).exit, 0);
}

TEST_F(NetworkFaults, doubled_and_reordered_messages_change_nothing) {
    net({"duplicate", "all", "all", "50%"});
    net({"reorder", "all", "all", "50%"});
    for (const json& each : links()) {
        if (each["to"] != "clients") {
            EXPECT_EQ(each["fault"], "duplicate=0.5 reorder=0.5") << "one command leaves the other's fault alone";
        }
    }
    for (const char* value : {"2", "3", "4"}) {
        expect_writes(value);
    }
    EXPECT_GT(sum_of("duplicated"), 10U);
    EXPECT_GT(sum_of("delayed"), 10U);
}

TEST_F(NetworkFaults, a_narrow_link_takes_its_time) {
    const std::string big(60'000, 'x');
    net({"rate", "all", "all", "300kB/s"});
    const auto begin = std::chrono::steady_clock::now();
    const Ran put = cluster_.loyal({"put", "big", "-", "--timeout", "60s"}, big, 90s);
    EXPECT_EQ(put.exit, 0) << put.error;
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 190ms) << "60 kB at 300 kB/s, once at least";
    EXPECT_GT(sum_of("delayed"), 3U);
    net({"heal"});
    EXPECT_EQ(cluster_.get("big"), big);
}

TEST_F(NetworkFaults, some_links_can_be_healed_and_others_not) {
    net({"drop", "0", "1,2", "20%", "--one-way"});
    net({"heal", "0", "1"});
    EXPECT_EQ(cluster_.status_of(0)["fault"], "net to=2 drop=0.2");
    const Ran list = cluster_.loyal({"fault", "list"});
    EXPECT_THAT(list.out, HasSubstr("net to=2 drop=0.2"));
}

}  // namespace
}  // namespace loyal::system_test
