#include "client/lab/matrix.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "crypto/identity.h"
#include "sim/swarm.h"

namespace loyal::lab {

using Json = nlohmann::ordered_json;
namespace {

using sim::Failures;

constexpr std::array timings{sim::Timing::synchronous, sim::Timing::partial, sim::Timing::asynchronous};
constexpr std::array failure_models{Failures::crash_stop, Failures::crash_recovery, Failures::byzantine};

std::optional<double> median(std::vector<double> values) {
    if (values.empty()) {
        return {};
    }
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
}

std::optional<double> per(std::uint64_t what, std::uint64_t operations) {
    return operations == 0 ? std::nullopt
                           : std::optional<double>(static_cast<double>(what) / static_cast<double>(operations));
}

// Up to the first place where details follow.
std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n')).substr(0, 300);
}

MatrixCell measure_cell(sim::Timing timing, Failures failures, const MatrixOptions& options,
                        const std::function<void()>& on_run) {
    MatrixCell cell;
    cell.timing = timing;
    cell.failures = failures;
    sim::SwarmOptions swarm;
    swarm.first = options.seed;
    swarm.seeds = options.runs;
    swarm.jobs = options.jobs != 0 ? options.jobs : std::max(1U, std::thread::hardware_concurrency());
    swarm.mix.timing = timing;
    swarm.mix.failures = failures;
    swarm.mix.uniform = true;
    const consensus::Quorum quorum = sim::make_scenario(options.seed, swarm.mix).quorum();
    cell.n = static_cast<std::uint16_t>(quorum.n);
    cell.f = static_cast<std::uint16_t>(quorum.f);
    std::vector<double> recoveries_ms;
    std::uint64_t first_bad = 0, first_slow = 0;
    swarm.on_run = [&](std::uint64_t seed, const sim::RunResult& result) {
        const sim::RunNumbers& n = result.numbers;
        cell.completed += n.completed;
        cell.violations += n.unsafe;
        if (n.completed != 0 && timing != sim::Timing::asynchronous) {
            recoveries_ms.push_back(static_cast<double>(n.recovery_us) / 1'000);
        }
        if (n.unsafe != 0 && (first_bad == 0 || seed < first_bad)) {
            first_bad = seed;
            cell.first_violation = fmt::format("seed {}: {}", seed, first_line(result.failure));
        } else if (!result.passed && n.unsafe == 0 && (first_slow == 0 || seed < first_slow)) {
            first_slow = seed;
            cell.first_stall = fmt::format("seed {}: {}", seed, first_line(result.failure));
        }
        on_run();
    };
    const sim::SwarmReport report = sim::run_swarm(swarm);
    cell.runs = report.ran;
    cell.operations = report.totals.operations;
    cell.messages = report.totals.messages;
    cell.view_changes = report.totals.view_changes;
    cell.crashes = report.totals.crashes;
    cell.convictions = report.totals.accusations;
    cell.virtual_s = static_cast<double>(report.totals.virtual_us) / 1'000'000;
    cell.recovery_median_ms = median(std::move(recoveries_ms));
    return cell;
}

std::string number(const std::optional<double>& value, int digits) {
    return value ? fmt::format("{:.{}f}", *value, digits) : "-";
}

const MatrixCell* find_row(const Matrix& matrix, sim::Timing timing) {
    const auto found = std::find_if(matrix.cells.begin(), matrix.cells.end(),
                                    [timing](const MatrixCell& cell) { return cell.timing == timing; });
    return found == matrix.cells.end() ? nullptr : &*found;
}

std::string explanation(const Matrix& matrix) {
    std::uint64_t violations = 0, completed = 0, runs = 0, views = 0;
    for (const MatrixCell& cell : matrix.cells) {
        violations += cell.violations;
        if (cell.timing == sim::Timing::asynchronous) {
            completed += cell.completed;
            runs += cell.runs;
            views += cell.view_changes;
        }
    }
    std::string text = violations == 0 ? "Safety held in every run, whatever the timing.\n"
                                       : fmt::format("Safety was violated in {} runs.\n", violations);
    if (find_row(matrix, sim::Timing::asynchronous) != nullptr && runs != 0) {
        text += fmt::format(
            "asynchronous: the adversary loses no message and delivers each in the end, but what a view needs to "
            "decide "
            "only when\nits receivers have gone on to the next one: {} of {} runs completed, {:.1f} views a run were "
            "tried in vain. No deterministic\nprotocol can do better (Fischer, Lynch, Paterson, JACM'85); it may wait, "
            "and it must not be wrong.\n",
            completed, runs, static_cast<double>(views) / static_cast<double>(runs));
    }
    for (const MatrixCell& cell : matrix.cells) {
        for (const std::string& what : {cell.first_violation, cell.first_stall}) {
            if (!what.empty()) {
                text += fmt::format(
                    "{}, {}: {}\n  replay: loyal-sim run --timing {} --failure-model {} --uniform --seed {}\n",
                    name_of(cell.timing), name_of(cell.failures), what, name_of(cell.timing), name_of(cell.failures),
                    what.substr(5, what.find(':') - 5));
            }
        }
    }
    return text;
}

}  // namespace

std::optional<double> MatrixCell::messages_per_operation() const {
    return per(messages, operations);
}

std::optional<double> MatrixCell::view_changes_per_operation() const {
    return per(view_changes, operations);
}

bool Matrix::as_expected() const {
    return std::all_of(cells.begin(), cells.end(), [](const MatrixCell& cell) {
        return cell.violations == 0 && (cell.timing == sim::Timing::asynchronous || cell.completed == cell.runs);
    });
}

Matrix measure_matrix(const MatrixOptions& options, const std::function<void(double)>& progress) {
    crypto::initialize();
    const auto begin = std::chrono::steady_clock::now();
    Matrix matrix;
    matrix.runs = options.runs;
    matrix.seed = options.seed;
    const double total = static_cast<double>(options.runs * timings.size() * failure_models.size());
    double done = 0;
    for (const sim::Timing timing : timings) {
        for (const Failures failures : failure_models) {
            matrix.cells.push_back(measure_cell(timing, failures, options, [&] {
                ++done;
                if (progress) {
                    progress(done / total);
                }
            }));
        }
    }
    matrix.took_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return matrix;
}

std::string matrix_table(const Matrix& matrix) {
    std::string text =
        fmt::format("{:<13} {:<15} {:>4} {:>11} {:>12} {:>13} {:>10} {:>9} {:>8}\n", "timing", "failures", "n, f",
                    "violations", "completed", "recovery p50", "operations", "msgs/op", "views/op");
    std::optional<sim::Timing> row;
    for (const MatrixCell& cell : matrix.cells) {
        const bool first = row != cell.timing;
        row = cell.timing;
        const double share =
            cell.runs == 0 ? 0 : 100 * static_cast<double>(cell.completed) / static_cast<double>(cell.runs);
        const std::string recovery =
            cell.recovery_median_ms ? fmt::format("{:.0f} ms", *cell.recovery_median_ms) : std::string("-");
        text += fmt::format("{:<13} {:<15} {:>4} {:>11} {:>12} {:>13} {:>10} {:>9} {:>8}\n",
                            first ? name_of(cell.timing) : "", name_of(cell.failures),
                            fmt::format("{}, {}", cell.n, cell.f), fmt::format("{} of {}", cell.violations, cell.runs),
                            fmt::format("{:.1f} %", share), recovery, cell.operations,
                            number(cell.messages_per_operation(), 1), number(cell.view_changes_per_operation(), 3));
    }
    return text + "\n" + explanation(matrix) +
           fmt::format("{} runs a cell from seed {}, in the simulator ({:.1f} s).\n", matrix.runs, matrix.seed,
                       matrix.took_s);
}

std::string matrix_json(const Matrix& matrix) {
    const auto optional = [](const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); };
    const auto words = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
    Json cells = Json::array();
    for (const MatrixCell& cell : matrix.cells) {
        cells.push_back({{"timing", name_of(cell.timing)},
                         {"failures", name_of(cell.failures)},
                         {"n", cell.n},
                         {"f", cell.f},
                         {"runs", cell.runs},
                         {"violations", cell.violations},
                         {"safe", cell.violations == 0},
                         {"completed", cell.completed},
                         {"recovery_p50_ms", optional(cell.recovery_median_ms)},
                         {"operations", cell.operations},
                         {"messages", cell.messages},
                         {"messages_per_operation", optional(cell.messages_per_operation())},
                         {"view_changes", cell.view_changes},
                         {"view_changes_per_operation", optional(cell.view_changes_per_operation())},
                         {"crashes", cell.crashes},
                         {"convictions", cell.convictions},
                         {"virtual_s", cell.virtual_s},
                         {"first_violation", words(cell.first_violation)},
                         {"first_stall", words(cell.first_stall)}});
    }
    const Json all{{"runs", matrix.runs},
                   {"seed", matrix.seed},
                   {"as_expected", matrix.as_expected()},
                   {"took_s", matrix.took_s},
                   {"explanation", explanation(matrix)},
                   {"cells", cells}};
    return all.dump(2, ' ', false, Json::error_handler_t::replace);
}

}  // namespace loyal::lab
