#include "client/lab/matrix.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace loyal::lab {
namespace {

using sim::Failures;
using sim::Timing;

// Measured once: it takes seconds.
const Matrix& small() {
    static const Matrix matrix = [] {
        MatrixOptions options;
        options.runs = 6;
        options.jobs = 2;
        return measure_matrix(options);
    }();
    return matrix;
}

const MatrixCell& cell_of(const Matrix& matrix, Timing timing, Failures failures) {
    return *std::find_if(matrix.cells.begin(), matrix.cells.end(),
                         [&](const MatrixCell& cell) { return cell.timing == timing && cell.failures == failures; });
}

TEST(MatrixTest, has_every_timing_model_by_every_failure_model) {
    ASSERT_EQ(small().cells.size(), 9U);
    for (const MatrixCell& cell : small().cells) {
        EXPECT_EQ(cell.runs, 6U);
        EXPECT_EQ(cell.f, 1U);
        EXPECT_EQ(cell.n, cell.failures == Failures::byzantine ? 4U : 3U);
        EXPECT_GT(cell.messages, 0U);
    }
}

TEST(MatrixTest, safety_holds_in_every_cell) {
    for (const MatrixCell& cell : small().cells) {
        EXPECT_EQ(cell.violations, 0U) << cell.first_violation;
        EXPECT_TRUE(cell.first_violation.empty());
    }
    EXPECT_TRUE(small().as_expected());
}

TEST(MatrixTest, progress_is_made_where_a_bound_holds_and_withheld_where_none_does) {
    for (const MatrixCell& cell : small().cells) {
        if (cell.timing == Timing::asynchronous) {
            EXPECT_EQ(cell.completed, 0U);
            EXPECT_FALSE(cell.recovery_median_ms.has_value());
            EXPECT_GT(cell.view_changes, 6U);
        } else {
            EXPECT_EQ(cell.completed, cell.runs) << cell.first_stall;
            ASSERT_TRUE(cell.recovery_median_ms.has_value());
            EXPECT_GT(*cell.recovery_median_ms, 0);
            EXPECT_GT(cell.messages_per_operation().value_or(0), 5);
        }
    }
    EXPECT_GT(cell_of(small(), Timing::synchronous, Failures::byzantine).messages_per_operation(),
              cell_of(small(), Timing::synchronous, Failures::crash_stop).messages_per_operation())
        << "what lying costs";
}

TEST(MatrixTest, a_seed_gives_the_same_matrix_whatever_the_number_of_processes) {
    MatrixOptions options;
    options.runs = 3;
    options.seed = 77;
    options.jobs = 1;
    Matrix one = measure_matrix(options);
    options.jobs = 3;
    double last = 0;
    Matrix other = measure_matrix(options, [&](double share) {
        EXPECT_GE(share, last);
        last = share;
    });
    EXPECT_DOUBLE_EQ(last, 1);
    one.took_s = other.took_s = 0;
    EXPECT_EQ(matrix_json(one), matrix_json(other));
}

TEST(MatrixTest, the_table_names_rows_columns_and_the_reason_for_the_last_row) {
    const std::string table = matrix_table(small());
    for (const char* word : {"synchronous", "partial", "asynchronous", "crash-stop", "crash-recovery", "byzantine",
                             "violations", "completed", "msgs/op", "0 of 6", "100.0 %", "0.0 %",
                             "Fischer, Lynch, Paterson, JACM'85", "Safety held in every run"}) {
        EXPECT_NE(table.find(word), std::string::npos) << word << " in\n" << table;
    }
}

TEST(MatrixTest, json_has_the_same_figures) {
    const auto json = nlohmann::json::parse(matrix_json(small()));
    ASSERT_EQ(json.at("cells").size(), 9U);
    EXPECT_TRUE(json.at("as_expected").get<bool>());
    const auto& cell = json.at("cells").at(8);
    EXPECT_EQ(cell.at("timing"), "asynchronous");
    EXPECT_EQ(cell.at("failures"), "byzantine");
    EXPECT_EQ(cell.at("completed"), 0);
    EXPECT_TRUE(cell.at("recovery_p50_ms").is_null());
    EXPECT_TRUE(cell.at("safe").get<bool>());
}

TEST(MatrixTest, a_violation_is_not_as_expected_and_can_be_replayed) {
    Matrix matrix = small();
    MatrixCell& cell = matrix.cells.at(5);
    cell.violations = 2;
    cell.first_violation = "seed 17: at 3 ms: AGREEMENT";
    EXPECT_FALSE(matrix.as_expected());
    const std::string table = matrix_table(matrix);
    EXPECT_NE(table.find("Safety was violated in 2 runs"), std::string::npos) << table;
    EXPECT_NE(table.find("loyal-sim run --timing partial --failure-model byzantine --uniform --seed 17"),
              std::string::npos)
        << table;
}

TEST(MatrixTest, no_progress_where_a_bound_holds_is_not_as_expected) {
    Matrix matrix = small();
    --matrix.cells.at(0).completed;
    EXPECT_FALSE(matrix.as_expected());
}

}  // namespace
}  // namespace loyal::lab
