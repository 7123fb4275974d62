// The client library over real sockets.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/unit/client/loopback_cluster.h"
#include "tests/unit/client/scripted_cluster.h"

namespace loyal::client {
namespace {

using namespace test;
using Clock = std::chrono::steady_clock;

std::unique_ptr<Client> open(ClientOptions options) {
    auto client = Client::open(std::move(options));
    EXPECT_TRUE(client) << client.error().message;
    return std::move(*client);
}
// A refused connection on this machine; everything else is slower than that.
constexpr auto soon = std::chrono::seconds(4);

TEST(ClientLinks, writes_and_reads_back) {
    LoopbackCluster cluster;
    const auto client = open(cluster.options());
    const WriteResult written = client->write_sync(put("k", "value"));
    ASSERT_EQ(written.certainty, Certainty::done) << written.why;
    EXPECT_GE(written.replicas.size(), 2U);
    const ReadResult read = client->read_sync(key_range("k"));
    ASSERT_TRUE(read.ok) << read.why;
    EXPECT_EQ(read.path, ReadPath::fast);
    EXPECT_EQ(string_of(read.range.items.at(0).value), "value");
    const ReadResult stale = client->read_stale_sync(key_range("k"));
    ASSERT_TRUE(stale.ok) << stale.why;
    EXPECT_EQ(stale.path, ReadPath::stale);
    EXPECT_TRUE(client->read_sync(key_range("absent")).range.items.empty());
}

TEST(ClientLinks, a_stale_read_comes_from_whoever_is_there_or_from_the_one_that_was_named) {
    LoopbackCluster cluster;
    cluster.stop(0);
    cluster.stop(1);
    for (int i = 0; i < 4; ++i) {
        const auto client = open(cluster.options());
        const ReadResult read = client->read_stale_sync(key_range("k"));
        EXPECT_TRUE(read.ok) << read.why;
    }
    const auto client = open(cluster.options());
    const auto begun = Clock::now();
    EXPECT_FALSE(client->read_stale_sync(key_range("k"), ReplicaId(1)).ok);
    EXPECT_LT(Clock::now() - begun, soon);
    EXPECT_TRUE(client->read_stale_sync(key_range("k"), ReplicaId(3)).ok);
}

TEST(ClientLinks, a_value_of_a_mebibyte_fits) {
#if defined(LOYAL_THREAD_SANITIZER)
    GTEST_SKIP() << "copying mebibytes byte by byte takes the thread sanitizer longer than a read's retries last";
#endif
    LoopbackCluster cluster;
    const auto client = open(cluster.options());
    const std::string large(1U << 20U, 'x');
    ASSERT_EQ(client->write_sync(put("k", large)).certainty, Certainty::done);
    const ReadResult read = client->read_sync(key_range("k"));
    ASSERT_TRUE(read.ok) << read.why;
    EXPECT_EQ(read.range.items.at(0).value.size(), large.size());
}

TEST(ClientLinks, many_threads_share_one_client) {
    LoopbackCluster cluster;
    const auto client = open(cluster.options());
    constexpr int threads = 64;
    constexpr int each = 50;
    std::atomic<int> done{0};
    const auto begun = Clock::now();
    std::vector<std::thread> callers;
    for (int t = 0; t < threads; ++t) {
        callers.emplace_back([&, t] {
            for (int i = 0; i < each; ++i) {
                const auto key = std::to_string(t) + "/" + std::to_string(i);
                done += client->write_sync(put(key, std::string(256, 'v'))).certainty == Certainty::done ? 1 : 0;
            }
        });
    }
    for (auto& caller : callers) {
        caller.join();
    }
    const auto ms = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begun).count();
    RecordProperty("writes_per_s", static_cast<int>(threads * each * 1000 / std::max<long long>(ms, 1)));
    EXPECT_EQ(done, threads * each);
    EXPECT_EQ(cluster.executed(), static_cast<std::size_t>(threads * each)) << "each exactly once";
}

TEST(ClientLinks, nobody_there_is_told_soon_and_surely_not_applied) {
    LoopbackCluster cluster;
    const ClientOptions options = cluster.options();
    for (std::size_t i = 0; i < 4; ++i) {
        cluster.stop(i);
    }
    const auto begun = Clock::now();
    const auto client = open(options);
    const WriteResult result = client->write_sync(put("k"));
    EXPECT_EQ(result.certainty, Certainty::not_applied);
    EXPECT_FALSE(result.denied);
    EXPECT_NE(result.why.find("refused"), std::string::npos) << result.why;
    EXPECT_FALSE(client->read_sync(key_range("k")).ok);
    EXPECT_LT(Clock::now() - begun, soon);
}

TEST(ClientLinks, an_unknown_key_is_denied) {
    LoopbackCluster cluster;
    const auto begun = Clock::now();
    const auto client = open(cluster.options(false));
    const WriteResult result = client->write_sync(put("k"));
    EXPECT_EQ(result.certainty, Certainty::not_applied);
    EXPECT_TRUE(result.denied) << result.why;
    EXPECT_TRUE(client->read_sync(key_range("k")).denied);
    EXPECT_LT(Clock::now() - begun, soon);
    EXPECT_EQ(cluster.executed(), 0U);
}

TEST(ClientLinks, a_replica_with_another_key_is_not_spoken_to_and_the_others_serve) {
    LoopbackCluster cluster;
    ClientOptions options = cluster.options();
    options.cluster.replicas[0].public_key = options.cluster.replicas[1].public_key;
    const auto client = open(std::move(options));
    EXPECT_EQ(client->write_sync(put("k")).certainty, Certainty::done);
    const auto status = client->status_sync();
    EXPECT_FALSE(status.at(0).reachable);
    EXPECT_TRUE(status.at(1).reachable);
}

TEST(ClientLinks, broken_links_come_back_and_nothing_is_lost_or_doubled) {
    LoopbackCluster cluster;
    const auto client = open(cluster.options());
    std::size_t asked = 0;
    std::size_t done = 0;
    // Between two cuts, some operations; one is under way during each cut.
    for (std::size_t cut = 0; cut < 30; ++cut) {
        auto under_way = client->write(put("k" + std::to_string(cut)));
        cluster.cut_links(cut % 4);
        done += under_way.get().certainty == Certainty::done ? 1U : 0U;
        for (int i = 0; i < 5; ++i) {
            done += client->write_sync(put("k" + std::to_string(i))).certainty == Certainty::done ? 1U : 0U;
        }
        asked += 6;
    }
    EXPECT_EQ(done, asked);
    EXPECT_EQ(cluster.executed(), asked);
}

TEST(ClientLinks, a_replica_that_starts_late_is_found) {
    LoopbackCluster cluster;
    const ClientOptions options = cluster.options();
    for (const std::size_t i : {0U, 1U, 2U}) {
        cluster.stop(i);
    }
    ClientOptions patient = options;
    patient.fail_fast = false;
    const auto client = open(patient);
    auto written = client->write(put("k"));
    for (const std::size_t i : {0U, 1U, 2U}) {
        cluster.start(i);
    }
    EXPECT_EQ(written.get().certainty, Certainty::done);
}

TEST(ClientLinks, silence_may_have_been_applied) {
    LoopbackCluster cluster;
    cluster.set_silent(true);
    ClientOptions options = cluster.options();
    options.timeout_ms = 300;
    const auto client = open(std::move(options));
    const WriteResult result = client->write_sync(put("k"));
    EXPECT_EQ(result.certainty, Certainty::maybe_applied) << result.why;
    EXPECT_FALSE(client->read_sync(key_range("k")).ok);
}

TEST(ClientLinks, status_has_a_row_for_every_replica_also_for_one_that_is_gone) {
    LoopbackCluster cluster;
    cluster.stop(2);
    const auto client = open(cluster.options());
    const auto begun = Clock::now();
    const auto status = client->status_sync();
    ASSERT_EQ(status.size(), 4U);
    EXPECT_TRUE(status[0].reachable);
    EXPECT_EQ(status[3].json, R"({"id":3})");
    EXPECT_FALSE(status[2].reachable);
    EXPECT_NE(status[2].why.find("refused"), std::string::npos) << status[2].why;
    EXPECT_LT(Clock::now() - begun, soon);
}

TEST(ClientLinks, a_fault_is_set_or_refused_by_the_replica_itself) {
    LoopbackCluster cluster;
    const auto client = open(cluster.options());
    const auto none = client->control_sync(ReplicaId(1), "none");
    ASSERT_TRUE(none) << none.error().message;
    EXPECT_EQ(*none, "none");
    const auto refused = client->control_sync(ReplicaId(1), "equivocate");
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::permission);
    EXPECT_EQ(client->control_sync(ReplicaId(9), "none").error().code, Errc::invalid_argument);
}

TEST(ClientLinks, closing_answers_everything_and_what_comes_later) {
    LoopbackCluster cluster;
    cluster.set_silent(true);
    const auto client = open(cluster.options());
    ASSERT_EQ(client->status_sync().size(), 4U);  // the links are up
    auto under_way = client->write(put("k"));
    while (client->session_status().in_flight == 0) {
        std::this_thread::yield();
    }
    client->close();
    EXPECT_EQ(under_way.get().certainty, Certainty::maybe_applied);
    EXPECT_EQ(client->write_sync(put("k")).certainty, Certainty::not_applied);
    EXPECT_FALSE(client->read_sync(key_range("k")).ok);
    EXPECT_FALSE(client->status_sync().at(0).reachable);
    client->close();
}

TEST(ClientLinks, more_operations_than_allowed_are_refused_at_once) {
    LoopbackCluster cluster;
    cluster.set_silent(true);
    ClientOptions options = cluster.options();
    options.operations_max = 1;
    const auto client = open(std::move(options));
    auto first = client->write(put("k"));
    EXPECT_EQ(client->write_sync(put("k")).certainty, Certainty::not_applied);
    client->close();
    EXPECT_NE(first.get().certainty, Certainty::done);
}

TEST(ClientLinks, options_that_make_no_sense_are_refused) {
    LoopbackCluster cluster;
    ClientOptions options = cluster.options();
    options.identity = nullptr;
    EXPECT_EQ(Client::open(options).error().code, Errc::invalid_argument);
    options = cluster.options();
    options.cluster.replicas.clear();
    EXPECT_EQ(Client::open(options).error().code, Errc::invalid_argument);
    options = cluster.options();
    options.timeout_ms = 0;
    EXPECT_EQ(Client::open(options).error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace loyal::client
