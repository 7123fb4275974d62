#include <algorithm>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <nlohmann/json.hpp>

#include "client/cli/bench/histogram.h"
#include "client/cli/bench/history.h"
#include "client/cli/bench/workload.h"
#include "client/cli/bench_report.h"

namespace loyal::cli {
namespace {

using ::testing::HasSubstr;

RC_GTEST_PROP(HistogramTest, percentiles_are_within_one_percent_of_the_exact_ones, ()) {
    const auto scale = *rc::gen::inRange(1, 60);
    const auto raw = *rc::gen::nonEmpty(rc::gen::arbitrary<std::vector<std::uint64_t>>());
    std::vector<std::uint64_t> values;
    Histogram histogram;
    for (const std::uint64_t value : raw) {
        values.push_back(value >> scale);
        histogram.record(values.back());
    }
    std::sort(values.begin(), values.end());
    for (const double percent : {1.0, 50.0, 90.0, 99.0, 99.9, 100.0}) {
        const auto rank = static_cast<std::size_t>(std::ceil(static_cast<double>(values.size()) * percent / 100.0));
        const auto exact = static_cast<double>(values[std::max<std::size_t>(rank, 1) - 1]);
        const auto reported = static_cast<double>(histogram.percentile(percent));
        RC_ASSERT(std::abs(reported - exact) <= exact * 0.01);
    }
    RC_ASSERT(histogram.max() == values.back());
    RC_ASSERT(histogram.count() == values.size());
}

TEST(HistogramTest, merging_is_recording_both) {
    Histogram a;
    Histogram b;
    Histogram both;
    for (std::uint64_t i = 1; i < 2'000; ++i) {
        (i % 3 == 0 ? a : b).record(i * i * 1'000);
        both.record(i * i * 1'000);
    }
    a.merge(b);
    EXPECT_EQ(a.count(), both.count());
    EXPECT_EQ(a.max(), both.max());
    EXPECT_EQ(a.percentile(99), both.percentile(99));
}

TEST(HistogramTest, the_largest_values_and_an_empty_one_are_no_trouble) {
    Histogram histogram;
    EXPECT_EQ(histogram.percentile(50), 0U);
    histogram.record(UINT64_MAX);
    histogram.record(0);
    EXPECT_EQ(histogram.percentile(100), UINT64_MAX - (UINT64_MAX - histogram.percentile(100)));
    EXPECT_GE(histogram.percentile(100), UINT64_MAX - UINT64_MAX / 100);
    EXPECT_EQ(histogram.percentile(50), 0U);
}

TEST(MixTest, is_read_and_bad_ones_are_refused) {
    EXPECT_EQ(parse_mix("write")->read_percent, 0U);
    EXPECT_EQ(parse_mix("read")->read_percent, 100U);
    EXPECT_EQ(parse_mix("95/5")->read_percent, 95U);
    EXPECT_EQ(parse_mix("50/50")->read_percent, 50U);
    EXPECT_TRUE(parse_mix("cas")->cas);
    for (const char* bad : {"", "reads", "95", "95/", "/5", "95/6", "95/5/0", "-5/105", "95 /5"}) {
        EXPECT_FALSE(parse_mix(bad).has_value()) << bad;
    }
}

TEST(KeyChooserTest, zipf_has_its_distribution) {
    const KeyChooser chooser(1'000, 1.0);
    std::mt19937_64 random(7);
    std::map<std::uint64_t, double> seen;
    constexpr int draws = 200'000;
    for (int i = 0; i < draws; ++i) {
        seen[chooser(random)] += 1.0 / draws;
    }
    double harmonic = 0.0;
    for (int rank = 1; rank <= 1'000; ++rank) {
        harmonic += 1.0 / rank;
    }
    for (const std::uint64_t rank : {0U, 1U, 9U}) {
        const double expected = 1.0 / static_cast<double>(rank + 1) / harmonic;
        EXPECT_NEAR(seen[rank], expected, expected * 0.06) << "rank " << rank;
    }
}

TEST(KeyChooserTest, stays_below_the_number_of_keys) {
    for (const double theta : {0.0, 0.99, 5.0}) {
        const KeyChooser chooser(3, theta);
        EXPECT_EQ(chooser.at(0.0), 0U);
        EXPECT_LE(chooser.at(std::nextafter(1.0, 0.0)), 2U);
    }
    EXPECT_EQ(KeyChooser(4, 0.0).at(0.5), 2U);
}

TEST(WorkloadTest, keys_and_values_have_their_sizes_and_differ) {
    const WorkloadShape shape{"bench/0badcafe/", 1'000, 64, 256};
    EXPECT_EQ(key_text(shape, 42).size(), 64U);
    EXPECT_EQ(key_text(shape, 42).substr(0, 15), "bench/0badcafe/");
    EXPECT_NE(key_text(shape, 1), key_text(shape, 10));
    EXPECT_EQ(value_text(shape, 3, 9).size(), 256U);
    EXPECT_NE(value_text(shape, 1, 11), value_text(shape, 11, 1));
    const WorkloadShape small{"b/", 10, 16, unique_value_bytes_min};
    EXPECT_NE(value_text(small, UINT32_MAX, UINT32_MAX - 1), value_text(small, UINT32_MAX, UINT32_MAX));
}

TEST(HistoryTest, lines_are_those_of_the_contract) {
    HistoryEntry put{0, "put", "x", "1", {}, {}, {}, HistoryStatus::ok, 10, 40};
    EXPECT_EQ(history_line(put), R"({"client":0,"op":"put","key":"x","value":"1","status":"ok","call":10,"ret":40})");
    HistoryEntry get{1, "get", "x", {}, {}, "1", {}, HistoryStatus::ok, 20, 30};
    EXPECT_EQ(history_line(get), R"({"client":1,"op":"get","key":"x","out":"1","status":"ok","call":20,"ret":30})");
    get.out.reset();
    EXPECT_EQ(history_line(get), R"({"client":1,"op":"get","key":"x","status":"ok","call":20,"ret":30})");
    HistoryEntry cas{0, "cas", "x", "2", "1", {}, true, HistoryStatus::ok, 50, 60};
    EXPECT_EQ(
        history_line(cas),
        R"({"client":0,"op":"cas","key":"x","expect":"1","value":"2","applied":true,"status":"ok","call":50,"ret":60})");
    HistoryEntry del{0, "del", "x", {}, {}, {}, true, HistoryStatus::ok, 70, 80};
    EXPECT_EQ(history_line(del),
              R"({"client":0,"op":"del","key":"x","applied":true,"status":"ok","call":70,"ret":80})");
    HistoryEntry lost{1, "put", "y", "z", {}, {}, {}, HistoryStatus::unknown, 55, 99};
    EXPECT_EQ(history_line(lost),
              R"({"client":1,"op":"put","key":"y","value":"z","status":"unknown","call":55,"ret":0})");
}

TEST(HistoryTest, a_file_that_cannot_be_written_is_an_error) {
    EXPECT_FALSE(HistoryFile::create("/does/not/exist/h").has_value());
    auto full = HistoryFile::create("/dev/full");
    ASSERT_TRUE(full.has_value());
    (*full)->add(HistoryEntry{});
    const Answer<void> closed = (*full)->close();
    ASSERT_FALSE(closed.has_value());
    EXPECT_THAT(closed.error().message, HasSubstr("/dev/full"));
}

BenchReport report_of_three() {
    BenchReport report;
    report.seconds = 2.0;
    report.by_op[0].latency_ns.record(1'000'000);
    report.by_op[0].latency_ns.record(3'000'000);
    report.by_op[1].latency_ns.record(2'000'000);
    report.by_op[0].unknown = 1;
    report.last_error = "timed out";
    return report;
}

TEST(BenchReportTest, json_has_the_fields_of_the_contract) {
    BenchPlan plan;
    plan.callers = 5;
    plan.shape.prefix = "bench/x/";
    const auto document = bench_document(plan, report_of_three());
    for (const char* field : {"clients", "seconds", "ops", "errors", "ops_per_s", "p50_ms", "p90_ms", "p99_ms",
                              "p999_ms", "max_ms", "by_op"}) {
        EXPECT_TRUE(document.contains(field)) << field;
    }
    EXPECT_EQ(document["clients"], 5);
    EXPECT_EQ(document["ops"], 3);
    EXPECT_EQ(document["errors"], 1);
    EXPECT_DOUBLE_EQ(document["ops_per_s"].get<double>(), 1.5);
    EXPECT_NEAR(document["p50_ms"].get<double>(), 2.0, 0.02);
    EXPECT_DOUBLE_EQ(document["max_ms"].get<double>(), 3.0);
    EXPECT_EQ(document["by_op"]["put"]["ops"], 2);
    EXPECT_EQ(document["by_op"]["get"]["ops"], 1);
    EXPECT_FALSE(document["by_op"].contains("cas")) << "no such operation was asked for";
}

TEST(BenchReportTest, text_names_the_prefix_to_clean_up) {
    BenchPlan plan;
    plan.shape.prefix = "bench/x/";
    EXPECT_THAT(bench_text(plan, report_of_three()), HasSubstr("loyal del --prefix bench/x/"));
}

}  // namespace
}  // namespace loyal::cli
