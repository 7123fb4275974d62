// The arithmetic of `lab price`.
#include "client/lab/price.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace loyal::lab {
namespace {

using testing::HasSubstr;
using Json = nlohmann::ordered_json;

Price example() {
    Price price;
    price.clients = 32;
    price.value_bytes = 256;
    price.crash = {"crash", 3, 1, 8, 8'000, 0, 2.0, 9.0, {16'000, 4'000'000, 0, 800, 24'000}, 2, {120, 9'600, 0, 0, 4}};
    price.byzantine = {
        "byzantine",           4, 1, 8, 4'000, 2, 5.0, 18.0, {24'000, 6'000'000, 8'000, 32'000, 16'000}, 2,
        {480, 38'400, 0, 0, 0}};
    return price;
}

const PriceRow& row_of(const std::vector<PriceRow>& rows, const std::string& name, bool idle = false) {
    for (const PriceRow& row : rows) {
        if (row.name == name && row.idle == idle) {
            return row;
        }
    }
    throw std::out_of_range(name);
}

TEST(Price, is_counted_an_operation_and_compared) {
    const std::vector<PriceRow> rows = price_rows(example());
    EXPECT_DOUBLE_EQ(row_of(rows, "messages").crash, 2.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "messages").byzantine, 6.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "messages").ratio.value(), 3.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "bytes").ratio.value(), 3.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "syncs").crash, 3.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "syncs").byzantine, 4.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "p50_ms").ratio.value(), 2.5);
    EXPECT_DOUBLE_EQ(row_of(rows, "ops_per_s").crash, 1'000.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "ops_per_s").ratio.value(), 0.5);
}

TEST(Price, what_the_crash_model_does_not_spend_has_no_ratio) {
    const std::vector<PriceRow> rows = price_rows(example());
    EXPECT_EQ(row_of(rows, "signatures").crash, 0.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "signatures").byzantine, 2.0);
    EXPECT_FALSE(row_of(rows, "signatures").ratio.has_value());
    EXPECT_TRUE(price_document(example())["ratio"]["signatures"].is_null());
}

TEST(Price, of_idleness_is_counted_a_second) {
    const std::vector<PriceRow> rows = price_rows(example());
    EXPECT_DOUBLE_EQ(row_of(rows, "messages", true).crash, 60.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "messages", true).byzantine, 240.0);
    EXPECT_DOUBLE_EQ(row_of(rows, "messages", true).ratio.value(), 4.0);
}

TEST(Price, of_nothing_is_nothing) {
    for (const PriceRow& row : price_rows(Price{})) {
        EXPECT_EQ(row.crash, 0.0);
        EXPECT_EQ(row.byzantine, 0.0);
        EXPECT_FALSE(row.ratio.has_value());
    }
    EXPECT_FALSE(price_sentence(Price{}).empty());
}

TEST(Price, is_summed_up_in_a_sentence) {
    EXPECT_EQ(
        price_sentence(example()),
        "To survive one replica that lies instead of one that crashes takes 4 replicas instead of 3; an operation "
        "costs 3.0 times the messages, 3.0 times the bytes, 1.3 times the syncs, 2.5 times the median latency and "
        "2.00 signatures made and 8.00 checked instead of 0 and 0.10, and the throughput is 50 % of the "
        "other's.");
}

TEST(Price, as_a_document_has_both_sides_and_the_ratios) {
    const Json document = price_document(example());
    EXPECT_EQ(document["crash"]["n"], 3);
    EXPECT_EQ(document["crash"]["ops"], 8'000);
    EXPECT_EQ(document["crash"]["ops_per_s"], 1'000.0);
    EXPECT_EQ(document["byzantine"]["errors"], 2);
    EXPECT_EQ(document["byzantine"]["per_operation"]["verifications"], 8.0);
    EXPECT_EQ(document["byzantine"]["idle_per_second"]["messages"], 240.0);
    EXPECT_EQ(document["ratio"]["messages"], 3.0);
    EXPECT_EQ(document["idle_ratio"]["messages"], 4.0);
    EXPECT_FALSE(document["crash"]["per_operation"].contains("p50_ms")) << "a latency is no sum";
}

// ---- What replicas say

TEST(PriceCosts, are_read_from_a_status) {
    const Result<Costs> costs = costs_of_status(
        R"({"id":0,"costs":{"messages":1,"bytes":2,"signatures":3,"verifications":4,"syncs":5,"operations":6}})");
    ASSERT_TRUE(costs.has_value());
    EXPECT_EQ(costs->messages, 1U);
    EXPECT_EQ(costs->bytes, 2U);
    EXPECT_EQ(costs->signatures, 3U);
    EXPECT_EQ(costs->verifications, 4U);
    EXPECT_EQ(costs->syncs, 5U);
}

TEST(PriceCosts, a_status_without_them_is_refused) {
    for (const char* text : {"", "[]", "{}", R"({"costs":7})", R"({"costs":{"messages":1}})",
                             R"({"costs":{"messages":-1,"bytes":2,"signatures":3,"verifications":4,"syncs":5}})",
                             R"({"costs":{"messages":"1","bytes":2,"signatures":3,"verifications":4,"syncs":5}})"}) {
        EXPECT_FALSE(costs_of_status(text).has_value()) << text;
    }
}

TEST(PriceCosts, are_differences_summed_over_the_replicas) {
    const Result<Costs> spent =
        costs_between({{10, 100, 1, 2, 3}, {20, 200, 4, 5, 6}}, {{15, 150, 1, 4, 4}, {21, 201, 5, 6, 7}});
    ASSERT_TRUE(spent.has_value());
    EXPECT_EQ(spent->messages, 6U);
    EXPECT_EQ(spent->bytes, 51U);
    EXPECT_EQ(spent->signatures, 1U);
    EXPECT_EQ(spent->verifications, 3U);
    EXPECT_EQ(spent->syncs, 2U);
}

TEST(PriceCosts, a_replica_that_started_again_spoils_the_measurement) {
    const Result<Costs> spent =
        costs_between({{10, 0, 0, 0, 0}, {10, 0, 0, 0, 0}}, {{12, 0, 0, 0, 0}, {9, 0, 0, 0, 0}});
    ASSERT_FALSE(spent.has_value());
    EXPECT_THAT(spent.error().message, HasSubstr("replica 1 was started again"));
    EXPECT_FALSE(costs_between({{}}, {{}, {}}).has_value());
}

}  // namespace
}  // namespace loyal::lab
