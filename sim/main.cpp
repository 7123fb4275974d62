// loyal-sim: runs the production code in a simulated world. Exit 0: every check passed; 1: one failed; 2: bad usage.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "crypto/identity.h"
#include "sim/shrink.h"
#include "sim/swarm.h"

namespace loyal::sim {
namespace {

struct Arguments {
    std::uint64_t seed = 1;
    bool trace = false, verbose = false;
    std::string keep;
    Reduction reduction;
    SwarmOptions swarm;
    std::size_t runs_max = 400;
};

std::string summary(const RunNumbers& n) {
    return fmt::format(
        "{} operations executed in {} blocks, {} answered, {} unknown; reads {} fast, {} ordered, {} failed; "
        "{} changes told to watches; "
        "{} messages, {} crashes, {} accusations; {} states installed, {} times votes lost",
        n.operations, n.blocks, n.done, n.unknown, n.reads_fast, n.reads_ordered, n.reads_failed, n.changes_told,
        n.messages, n.crashes, n.accusations, n.installs, n.amnesias);
}

double milliseconds(TimeUs time) {
    return static_cast<double>(time) / 1'000.0;
}

int run(const Arguments& arguments) {
    const Scenario scenario = arguments.reduction.apply(arguments.seed);
    // First, so that an assertion leaves the seed on the screen.
    fmt::print("{}", describe(scenario));
    std::fflush(stdout);
    RunOptions options;
    options.go_on = arguments.reduction.mix.too_many_traitors;
    if (arguments.trace) {
        options.trace = [](const std::string& line) {
            fmt::print("{}\n", line);
            std::fflush(stdout);
        };
    }
    const RunResult result = run_scenario(scenario, options);
    const RunNumbers& n = result.numbers;
    fmt::print("  {}\n", summary(n));
    if (arguments.verbose) {
        fmt::print(
            "  {} events in {:.1f} ms of virtual time, highest view {}, slowest operation {:.1f} ms, "
            "recovered {:.1f} ms after the faults\n",
            n.events, milliseconds(n.virtual_us), n.view, milliseconds(n.slowest_us), milliseconds(n.recovery_us));
    }
    if (n.undecided > 0) {
        fmt::print("  {} keys had histories too large to decide\n", n.undecided);
    }
    fmt::print("  trace {:016x}\n", n.trace_hash);
    if (result.passed) {
        fmt::print("PASS seed {}\n", arguments.seed);
        return 0;
    }
    fmt::print("FAIL seed {}: {}\nreplay: {} --trace\n", arguments.seed, result.failure,
               arguments.reduction.command(arguments.seed));
    return 1;
}

constexpr std::size_t failures_told_max = 50;

std::string first_line(const std::string& text) {
    return text.substr(0, text.find('\n'));
}

int swarm(Arguments arguments) {
    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    const auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - begin).count(); };
    SwarmOptions& options = arguments.swarm;
    options.mix = arguments.reduction.mix;
    options.go_on = options.mix.too_many_traitors;  // to see how far they get
    const std::vector<std::string> rules_off = arguments.reduction.rules_off;
    if (!rules_off.empty()) {
        options.edit = [rules_off](Scenario& scenario) {
            scenario.core.rules_off = rules_off;
            scenario.state_rules_off = rules_off;
        };
    }
    fmt::print("seeds {}..{}, {} processes\n", options.first, options.first + options.seeds - 1, options.jobs);
    std::fflush(stdout);
    const bool terminal = ::isatty(STDOUT_FILENO) != 0;
    const SwarmReport report = run_swarm(options, [&](const SwarmReport& so_far) {
        if (terminal) {
            fmt::print("\r{} of {} seeds, {} failed, {:.0f} a second ", so_far.ran, options.seeds,
                       so_far.failures.size(), static_cast<double>(so_far.ran) / seconds());
            std::fflush(stdout);
        }
    });
    fmt::print("{}", terminal ? "\r\033[K" : "");
    std::size_t told = 0;
    for (const SwarmFailure& failure : report.failures) {
        if (++told > failures_told_max) {
            fmt::print("... and {} more\n", report.failures.size() - failures_told_max);
            break;
        }
        fmt::print("FAIL seed {}: {}\n  replay: {}\n", failure.seed, first_line(failure.reason),
                   arguments.reduction.command(failure.seed));
    }
    if (options.mix.too_many_traitors) {
        fmt::print("beyond the model: correct replicas disagreed in {} of {} seeds\n", report.totals.disagreed,
                   report.ran);
    }
    fmt::print("{}: {} seeds in {:.1f} s ({:.0f} a second), {} failed; {}; slowest recovery {:.1f} ms\n",
               report.failures.empty() ? "PASS" : "FAIL", report.ran, seconds(),
               static_cast<double>(report.ran) / seconds(), report.failures.size(), summary(report.totals),
               milliseconds(report.totals.recovery_us));
    return report.failures.empty() ? 0 : 1;
}

int shrink_seed(const Arguments& arguments) {
    const Shrunk shrunk =
        shrink(arguments.seed, arguments.reduction, arguments.runs_max,
               [&](const Reduction& reduction, const std::string& failure) {
                   const Scenario scenario = reduction.apply(arguments.seed);
                   fmt::print("{} faults, {} clients, {} operations: {}\n", scenario.plan.size(),
                              scenario.workload.clients, scenario.workload.operations, first_line(failure));
                   std::fflush(stdout);
               });
    if (shrunk.failure.empty()) {
        fmt::print("seed {} passes: nothing to shrink\n", arguments.seed);
        return 0;
    }
    fmt::print("\n{}{}\nafter {} runs; replay: {} --trace\n", describe(shrunk.reduction.apply(arguments.seed)),
               shrunk.failure, shrunk.runs, shrunk.reduction.command(arguments.seed));
    return 1;
}

void add_reduction(CLI::App& app, Arguments& arguments) {
    app.add_option("--seed", arguments.seed, "The seed to run")->required();
    app.add_option("--keep", arguments.keep, "Only these faults of the plan, by number from 0: 1,4,7 or none");
    app.add_option("--clients", arguments.reduction.clients, "So many clients");
    app.add_option("--operations", arguments.reduction.operations, "So many operations of each client");
    app.add_option("--outstanding", arguments.reduction.outstanding, "So many operations at once");
    app.add_flag("--calm", arguments.reduction.calm_network, "A good network between faults");
}

void add_without(CLI::App& app, Arguments& arguments) {
    app.add_option("--without", arguments.reduction.rules_off,
                   "Leave out a rule of the protocol (to test the checkers)");
}

void add_mix(CLI::App& app, Arguments& arguments) {
    static const std::map<std::string, Timing> timings{
        {"synchronous", Timing::synchronous}, {"partial", Timing::partial}, {"asynchronous", Timing::asynchronous}};
    static const std::map<std::string, Failures> failures{{"crash-stop", Failures::crash_stop},
                                                          {"crash-recovery", Failures::crash_recovery},
                                                          {"byzantine", Failures::byzantine}};
    Mix& mix = arguments.reduction.mix;
    app.add_option("--timing", mix.timing, "Only this timing model: synchronous, partial, asynchronous")
        ->transform(CLI::CheckedTransformer(timings).description(""));
    app.add_option("--failure-model", mix.failures, "Only this failure model: crash-stop, crash-recovery, byzantine")
        ->transform(CLI::CheckedTransformer(failures).description(""));
    app.add_flag("--uniform", mix.uniform, "One cluster and workload for all seeds, as in `loyal lab matrix`");
    app.add_flag("--too-many-traitors", mix.too_many_traitors,
                 "One more than the model allows, who work together: violations are expected");
    app.add_option("--watches", mix.watches, "So many watches of each client (default: of some seeds)");
    app.add_flag("--disk-faults", mix.disk_faults,
                 "In every run disks fail one operation in ten, rot, vanish or come back from the past");
}

// "1,4,7" or "none".
std::optional<std::vector<std::size_t>> parse_keep(const std::string& text) {
    if (text.empty()) {
        return {};
    }
    std::vector<std::size_t> indices;
    if (text == "none") {
        return indices;
    }
    for (const std::string& part : CLI::detail::split(text, ',')) {
        std::size_t index = 0;
        if (!CLI::detail::lexical_cast(part, index)) {
            throw CLI::ValidationError("--keep", "\"" + part + "\" is not a number; write 1,4,7 or none");
        }
        indices.push_back(index);
    }
    return indices;
}

int main_of(int argc, char** argv) {
    Arguments arguments;
    arguments.swarm.jobs = std::max(1U, std::thread::hardware_concurrency());
    CLI::App app(
        "Deterministic simulator of a LoyalKV cluster: the production code over a simulated network, disk and "
        "clock, with faults and traitors, checked at every step.\n"
        "Example: loyal-sim swarm --seeds 10000");
    app.set_version_flag("--version", std::string("loyal-sim ") + LOYAL_VERSION);
    app.require_subcommand(1);

    CLI::App* run_command = app.add_subcommand("run", "Run one seed. Example: loyal-sim run --seed 42 --trace");
    add_reduction(*run_command, arguments);
    add_without(*run_command, arguments);
    add_mix(*run_command, arguments);
    run_command->add_flag("--trace", arguments.trace, "Print every event");
    run_command->add_flag("-v,--verbose", arguments.verbose, "Print more numbers");

    CLI::App* swarm_command =
        app.add_subcommand("swarm", "Run many seeds on all cores. Example: loyal-sim swarm --seeds 10000 --first 1");
    swarm_command->add_option("--seeds", arguments.swarm.seeds, "How many")->check(CLI::PositiveNumber);
    swarm_command->add_option("--first", arguments.swarm.first, "The first seed");
    swarm_command->add_option("--jobs", arguments.swarm.jobs, "Processes (default: one a core)")
        ->check(CLI::Range(1, 256));
    swarm_command->add_option("--failures", arguments.swarm.failures_max, "Stop after so many failures (0: never)");
    add_without(*swarm_command, arguments);
    add_mix(*swarm_command, arguments);

    CLI::App* shrink_command =
        app.add_subcommand("shrink", "Find the smallest part of a failing seed. Example: loyal-sim shrink --seed 42");
    add_reduction(*shrink_command, arguments);
    add_without(*shrink_command, arguments);
    add_mix(*shrink_command, arguments);
    shrink_command->add_option("--runs", arguments.runs_max, "At most so many runs");

    try {
        app.parse(argc, argv);
        arguments.reduction.keep = parse_keep(arguments.keep);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }
    crypto::initialize();
    if (run_command->parsed()) {
        return run(arguments);
    }
    return swarm_command->parsed() ? swarm(arguments) : shrink_seed(arguments);
}

}  // namespace
}  // namespace loyal::sim

int main(int argc, char** argv) {
    return loyal::sim::main_of(argc, argv);
}
