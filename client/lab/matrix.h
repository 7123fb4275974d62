// The matrix: every timing model by every failure model, each cell run many times in the simulator. What the textbooks
// tabulate (Cachin, Guerraoui, Rodrigues 2011, ch. 2; Dwork, Lynch, Stockmeyer, JACM'88), measured on the code that
// serves: whether safety held, whether progress was made, and at what cost.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "sim/scenario.h"

namespace loyal::lab {

struct MatrixOptions {
    std::uint64_t runs = 200;  // of each cell
    std::uint64_t seed = 1;    // of the first of them; a seed draws the same faults in every timing model that has them
    std::size_t jobs = 0;      // processes; 0: one a core
};

struct MatrixCell {
    sim::Timing timing = sim::Timing::synchronous;
    sim::Failures failures = sim::Failures::crash_stop;
    std::uint16_t n = 0, f = 0;
    std::uint64_t runs = 0;
    std::uint64_t violations = 0;  // runs in which something was not safe
    std::uint64_t completed = 0;   // runs in which every operation was answered
    // From the end of the faults until every operation was answered and all replicas agreed; of the completed runs.
    std::optional<double> recovery_median_ms;
    std::uint64_t operations = 0, messages = 0, view_changes = 0, crashes = 0, convictions = 0;  // of all runs
    double virtual_s = 0;
    std::string first_violation;  // with its seed
    std::string first_stall;      // likewise: why not everything was answered although a bound held

    [[nodiscard]] std::optional<double> messages_per_operation() const;  // absent: nothing was executed
    [[nodiscard]] std::optional<double> view_changes_per_operation() const;
};

struct Matrix {
    std::uint64_t runs = 0, seed = 0;
    std::vector<MatrixCell> cells;  // by timing, then failures
    double took_s = 0;              // real time

    // Safety everywhere; progress wherever a bound holds in the end.
    [[nodiscard]] bool as_expected() const;
};

// Starts processes: to be called while the calling one has a single thread. `progress` hears the share that is done.
[[nodiscard]] Matrix measure_matrix(const MatrixOptions& options, const std::function<void(double)>& progress = {});

[[nodiscard]] std::string matrix_table(const Matrix& matrix);  // for people, with the sentences below it
[[nodiscard]] std::string matrix_json(const Matrix& matrix);

}  // namespace loyal::lab
