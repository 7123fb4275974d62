// lab: scripted experiments with a verdict and a report.
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/lab_text.h"
#include "client/cli/price_command.h"
#include "client/cli/progress.h"
#include "client/lab/judge.h"
#include "client/lab/matrix.h"
#include "client/lab/naive_store.h"
#include "client/lab/record_json.h"
#include "client/lab/report.h"
#include "client/lab/runner.h"
#include "client/lab/sim_runner.h"
#include "client/lab/verdict_json.h"
#include "crypto/random.h"

namespace loyal::cli {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

struct LabRunArguments {
    std::string scenario, out;
    bool simulate = false, keep = false;
    std::optional<std::uint64_t> seed;
};

std::size_t terminal_width() {
    winsize size{};
    return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20 ? size.ws_col - 1U : 100U;
}

// A line that lives on a terminal; elsewhere a line for every phase and step.
class LabDisplay {
 public:
    explicit LabDisplay(bool quiet) : quiet_(quiet), terminal_(error_is_terminal()) {}

    void show(const lab::Progress& progress) {
        if (quiet_) {
            return;
        }
        if (!progress.news.empty()) {
            say(fmt::format("{:6.2f} s  {}", progress.at_s, progress.news));
        }
        if (progress.phase != phase_) {
            phase_ = progress.phase;
            if (!terminal_) {
                say(fmt::format("{:6.2f} s  -- {}", progress.at_s, phase_));
            }
        }
        if (line_.due()) {
            line_.show(live_line(progress, terminal_width()));
        }
    }
    void clear() { line_.clear(); }

 private:
    void say(const std::string& text) {
        line_.clear();
        print_error(text + "\n");
    }

    bool quiet_, terminal_;
    std::string phase_;
    ProgressLine line_;
};

Answer<lab::Scenario> find(const std::string& name_or_path) {
    Result<std::string> text = lab::scenario_text(name_or_path);
    if (!text) {
        return tl::unexpected<Failure>(input_failure_of(text.error()));
    }
    Result<lab::Scenario> scenario = lab::parse_scenario(*text, name_or_path);
    if (!scenario) {
        return tl::unexpected<Failure>(input_failure_of(scenario.error()));
    }
    return std::move(*scenario);
}

Answer<void> write_text(const fs::path& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file << text;
    file.close();
    if (!file) {
        return refuse(Exit::internal, "io", fmt::format("{} cannot be written", path.string()));
    }
    return {};
}

// The first run's files have plain names; those of other variants are numbered from 2.
fs::path file_of(const fs::path& folder, const char* stem, const char* extension, std::size_t index) {
    return folder /
           (index == 0 ? fmt::format("{}.{}", stem, extension) : fmt::format("{}-{}.{}", stem, index + 1, extension));
}

Answer<void> store(const fs::path& folder, const std::string& scenario_toml, const std::vector<lab::Run>& runs) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) {
        return refuse_input(fmt::format("--out {}: {}", folder.string(), error.message()));
    }
    std::vector<std::pair<fs::path, std::string>> files = {{folder / "scenario.toml", scenario_toml},
                                                           {folder / "verdict.json", lab::verdict_json(runs)},
                                                           {folder / "report.html", lab::render_report(runs)}};
    for (std::size_t i = 0; i < runs.size(); ++i) {
        files.emplace_back(file_of(folder, "record", "json", i), lab::record_to_json(runs[i].record));
        files.emplace_back(file_of(folder, "history", "jsonl", i), lab::history_jsonl(runs[i].record.operations));
    }
    for (const auto& [path, text] : files) {
        if (auto written = write_text(path, text); !written) {
            return written;
        }
    }
    return {};
}

lab::Run judged(const lab::Scenario& scenario, lab::Record record) {
    lab::Run run{scenario, std::move(record), {}};
    run.verdict = lab::judge(run.scenario, run.record);
    for (lab::Event& event : lab::violation_events(run.verdict)) {
        run.record.events.push_back(std::move(event));
    }
    return run;
}

Answer<lab::Run> run_one(const lab::Scenario& scenario, const LabRunArguments& arguments, std::uint64_t seed,
                         const std::atomic<bool>& stop, LabDisplay& display) {
    lab::RunOptions options;
    options.seed = seed;
    options.keep = arguments.keep;
    options.stop = &stop;
    options.progress = [&display](const lab::Progress& progress) { display.show(progress); };
    Result<lab::Record> record = scenario.cluster.store == lab::Store::last_write_wins ? run_naive(scenario, options)
                                 : arguments.simulate ? run_in_simulator(scenario, options)
                                                      : run_on_processes(scenario, options);
    display.clear();
    if (!record) {
        Failure failure = input_failure_of(record.error());
        failure.message = fmt::format("scenario {}: {}", scenario.name, failure.message);
        return tl::unexpected<Failure>(std::move(failure));
    }
    return judged(scenario, std::move(*record));
}

Answer<void> check_runner(const std::vector<lab::Scenario>& scenarios, bool simulate) {
    for (const lab::Scenario& scenario : scenarios) {
        if (simulate && !scenario.runs_simulated) {
            return refuse_input(fmt::format("scenario {} needs real processes; leave out --sim", scenario.name));
        }
        if (!simulate && !scenario.runs_real) {
            return refuse_input(fmt::format("scenario {} is for the simulator only; give --sim", scenario.name));
        }
    }
    return {};
}

Answer<Exit> run_scenario(const Globals& globals, const LabRunArguments& arguments) {
    Answer<lab::Scenario> scenario = find(arguments.scenario);
    if (!scenario) {
        return tl::unexpected<Failure>(std::move(scenario.error()));
    }
    const std::vector<lab::Scenario> variants = scenario->runs();
    if (const Answer<void> checked = check_runner(variants, arguments.simulate); !checked) {
        return tl::unexpected<Failure>(checked.error());
    }
    const std::uint64_t seed = arguments.seed.value_or(crypto::random_u64() & 0xFFFFFFFFU);
    const bool json = globals.format == OutputFormat::json;
    // A run that is stopped tidies up: its processes must not outlive it.
    const std::atomic<bool>& stop = catch_interrupt(SecondInterrupt::is_ignored);
    LabDisplay display(json);
    std::vector<lab::Run> runs;
    for (const lab::Scenario& variant : variants) {
        if (!json && !variant.variant.empty()) {
            print_error(fmt::format("== {}\n", variant.variant));
        }
        Answer<lab::Run> run = run_one(variant, arguments, seed, stop, display);
        if (!run) {
            return tl::unexpected<Failure>(std::move(run.error()));
        }
        runs.push_back(std::move(*run));
        if (!json) {
            print(verdict_text(runs.back()));
        }
        if (stop) {
            break;
        }
    }
    const fs::path folder = arguments.out.empty() ? fs::path("loyal-lab") / scenario->name : fs::path(arguments.out);
    const Result<std::string> text = lab::scenario_text(arguments.scenario);
    if (const Answer<void> stored = store(folder, text.value_or(""), runs); !stored) {
        return tl::unexpected<Failure>(stored.error());
    }
    if (json) {
        print(lab::verdict_json(runs));
    } else {
        print(fmt::format("  {:<14} {}\n", "report", (folder / "report.html").string()));
    }
    return lab::outcome_of(runs) == lab::Outcome::as_expected ? Exit::done : Exit::negative;
}

Answer<Exit> list_scenarios(const Globals& globals) {
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {{"NAME", "N", "MODEL", "RUNS", "TITLE"}};
    for (const lab::ShippedScenario& shipped : lab::shipped_scenarios()) {
        const Result<lab::Scenario> scenario = lab::parse_scenario(shipped.text, std::string(shipped.name) + ".toml");
        if (!scenario) {
            return tl::unexpected<Failure>(failure_of(scenario.error()));
        }
        const std::vector<lab::Scenario> runs = scenario->runs();
        const lab::Scenario& first = runs.front();
        const std::string runners = !first.runs_simulated ? "real" : !first.runs_real ? "sim" : "real, sim";
        rows.push_back(
            {std::string(shipped.name), std::to_string(first.cluster.replicas), model_text(first), runners,
             scenario->title + (scenario->waits_for.empty() ? "" : " (waits for " + scenario->waits_for + ")")});
        list.push_back(Json{{"name", shipped.name},
                            {"n", first.cluster.replicas},
                            {"fault_model", model_text(first)},
                            {"title", scenario->title},
                            {"paragraph", scenario->paragraph},
                            {"expected", scenario->expect.text},
                            {"real", first.runs_real},
                            {"sim", first.runs_simulated},
                            {"variants", scenario->variants.size()},
                            {"waits_for", scenario->waits_for.empty() ? Json() : Json(scenario->waits_for)}});
    }
    if (globals.format == OutputFormat::json) {
        print_json(list);
    } else {
        print(table(rows));
    }
    return Exit::done;
}

Answer<std::string> read_text(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file) {
        return refuse_input(fmt::format("{} cannot be read; it is no folder of a lab run", path.string()));
    }
    return text;
}

// Judges and renders again what a run has stored.
Answer<Exit> report_again(const fs::path& folder) {
    Answer<std::string> text = read_text(folder / "scenario.toml");
    if (!text) {
        return tl::unexpected<Failure>(std::move(text.error()));
    }
    const Result<lab::Scenario> scenario = lab::parse_scenario(*text, (folder / "scenario.toml").string());
    if (!scenario) {
        return tl::unexpected<Failure>(input_failure_of(scenario.error()));
    }
    std::vector<lab::Run> runs;
    const std::vector<lab::Scenario> variants = scenario->runs();
    for (std::size_t i = 0; i < variants.size(); ++i) {
        const fs::path path = file_of(folder, "record", "json", i);
        const Answer<std::string> stored = read_text(path);
        if (!stored) {
            return tl::unexpected<Failure>(stored.error());
        }
        Result<lab::Record> record = lab::record_from_json(*stored);
        if (!record) {
            return refuse_input(fmt::format("{}: {}", path.string(), record.error().message));
        }
        lab::Run run{variants[i], std::move(*record), {}};
        run.scenario.name = run.record.scenario;
        run.verdict = lab::judge(run.scenario, run.record);
        runs.push_back(std::move(run));
    }
    if (const Answer<void> written = write_text(folder / "report.html", lab::render_report(runs)); !written) {
        return tl::unexpected<Failure>(written.error());
    }
    print(fmt::format("{}\n", (folder / "report.html").string()));
    return Exit::done;
}

Answer<Exit> run_matrix(const Globals& globals, const lab::MatrixOptions& options) {
    ProgressLine line;
    const lab::Matrix matrix = lab::measure_matrix(options, [&line](double share) {
        if (line.due()) {
            line.show(ProgressLine::bar(share));
        }
    });
    line.clear();
    print(globals.format == OutputFormat::json ? lab::matrix_json(matrix) : lab::matrix_table(matrix));
    return matrix.as_expected() ? Exit::done : Exit::negative;
}

void add_run(CLI::App& group, CommandContext& context) {
    auto arguments = std::make_shared<LabRunArguments>();
    CLI::App* run = add_command(group, "run", "Run a scenario and judge it; exit 0 when the verdict is as expected",
                                "loyal lab run equivocating-primary\n  loyal lab run my-idea.toml --sim --seed 7");
    run->add_option("scenario", arguments->scenario, "A name of `loyal lab list`, or a scenario file")->required();
    run->add_option("--out", arguments->out,
                    "Folder for verdict.json, history.jsonl, record.json and report.html "
                    "(default ./loyal-lab/NAME)");
    run->add_flag("--sim", arguments->simulate, "In the simulator, in virtual time, instead of real processes");
    run->add_option("--seed", arguments->seed, "Of the workload, and of everything in the simulator (default: random)");
    run->add_flag("--keep", arguments->keep, "Keep the cluster's folder");
    when_chosen(run, context, [&context, arguments] { return run_scenario(context.globals, *arguments); });
}

}  // namespace

void add_lab_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group = add_command(app, "lab", "Scripted experiments with a verdict and a report",
                                  "loyal lab list\n  loyal lab run equivocating-primary --out ./out");
    group->require_subcommand(1);
    CLI::App* list = add_command(*group, "list", "The scenarios that come with this program", "loyal lab list");
    when_chosen(list, context, [&context] { return list_scenarios(context.globals); });
    add_run(*group, context);

    auto folder = std::make_shared<std::string>();
    CLI::App* report = add_command(*group, "report", "Judge a stored run again and write its report.html again",
                                   "loyal lab report ./out");
    report->add_option("folder", *folder, "The --out folder of a run")->required();
    when_chosen(report, context, [folder] { return report_again(*folder); });

    auto options = std::make_shared<lab::MatrixOptions>();
    CLI::App* matrix = add_command(*group, "matrix", "Timing models by failure models, measured in the simulator",
                                   "loyal lab matrix --runs 200");
    matrix->add_option("--runs", options->runs, "Runs of each cell")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    matrix->add_option("--seed", options->seed, "Of the first run")->capture_default_str();
    matrix->add_option("--jobs", options->jobs, "Processes; 0: one a core")->check(CLI::Range(0, 1024));
    when_chosen(matrix, context, [&context, options] { return run_matrix(context.globals, *options); });
    add_price_command(*group, context);
}

}  // namespace loyal::cli
