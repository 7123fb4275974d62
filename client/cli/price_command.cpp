#include "client/cli/price_command.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bench/engine.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "client/lab/lab_cluster.h"
#include "client/lab/price.h"
#include "crypto/random.h"

namespace loyal::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t price_timeout_ms = 5'000;
constexpr auto start_limit = std::chrono::seconds(20);
constexpr auto level_limit = std::chrono::seconds(10);
constexpr double warm_up_s = 0.5;

struct PriceOptions {
    double seconds = 8;
    double idle_seconds = 1.5;
    std::size_t clients = 32;
    std::size_t value_bytes = 256;
};

Failure measurement_interrupted() {
    return {Exit::negative, "interrupted", "the measurement was interrupted; its clusters are stopped"};
}

// One healthy cluster, from its making to its end.
class Measurement {
 public:
    Measurement(consensus::FaultModel model, std::uint16_t replicas, const PriceOptions& options,
                const std::atomic<bool>& stop)
        : options_(options), stop_(stop) {
        scenario_.cluster.fault_model = model;
        scenario_.cluster.replicas = replicas;
        scenario_.cluster.timers.tenure_ms =
            0;  // the primary stays: a planned change is no part of an operation's price
        side_.fault_model = model == consensus::FaultModel::byzantine ? "byzantine" : "crash";
        side_.n = replicas;
        side_.f = static_cast<std::uint16_t>(scenario_.cluster.quorum().f);
    }

    Answer<lab::PriceSide> run(ProgressLine& progress);

 private:
    Answer<void> start();
    // Every replica serves, and all have executed the same height, twice in a row.
    Answer<void> await_level(Clock::duration limit);
    Answer<std::vector<lab::Costs>> costs();
    Answer<void> measure_idle();
    Answer<void> measure_load(double seconds, bool counts, const std::function<void(const BenchProgress&)>& show);
    Answer<void> check_processes();

    lab::Scenario scenario_;
    PriceOptions options_;
    const std::atomic<bool>& stop_;
    lab::PriceSide side_;
    std::unique_ptr<lab::LabCluster> cluster_;
    std::unique_ptr<client::Client> client_;
};

Answer<void> Measurement::check_processes() {
    for (const lab::Death& death : cluster_->take_deaths()) {
        std::string text = fmt::format("replica {} of the {} cluster ended, {}; its last words:\n", death.replica,
                                       side_.fault_model, death.how);
        for (const std::string& line : cluster_->last_words(death.replica, 8)) {
            text += "  " + line + "\n";
        }
        return refuse(Exit::internal, "replica_died", text);
    }
    return stop_ ? Answer<void>(tl::unexpected<Failure>(measurement_interrupted())) : Answer<void>();
}

Answer<void> Measurement::start() {
    Result<std::unique_ptr<lab::LabCluster>> cluster = lab::LabCluster::create(scenario_, {});
    if (!cluster) {
        return tl::unexpected<Failure>(failure_of(cluster.error()));
    }
    cluster_ = std::move(*cluster);
    for (std::uint16_t id = 0; id < side_.n; ++id) {
        if (const Result<void> started = cluster_->start(id); !started) {
            return tl::unexpected<Failure>(failure_of(started.error()));
        }
    }
    Result<std::unique_ptr<client::Client>> client = cluster_->open_client("lab", price_timeout_ms);
    if (!client) {
        return tl::unexpected<Failure>(failure_of(client.error()));
    }
    client_ = std::move(*client);
    return await_level(start_limit);
}

Answer<void> Measurement::await_level(Clock::duration limit) {
    const auto deadline = Clock::now() + limit;
    std::uint64_t before = UINT64_MAX;
    while (Clock::now() < deadline) {
        if (Answer<void> checked = check_processes(); !checked) {
            return checked;
        }
        std::vector<std::uint64_t> heights;
        for (const client::ReplicaStatus& status : client_->status_sync(500)) {
            const nlohmann::json said = nlohmann::json::parse(status.json, nullptr, false);
            if (!said.is_object() || !said.contains("role") || !said.contains("executed")) {
                continue;
            }
            const bool serves = said["role"] == "primary" || said["role"] == "backup";
            if (serves && said["executed"].is_number_unsigned()) {
                heights.push_back(said["executed"].get<std::uint64_t>());
            }
        }
        const bool level = heights.size() == side_.n && std::equal(heights.begin() + 1, heights.end(), heights.begin());
        if (level && heights.front() == before) {
            return {};
        }
        before = level ? heights.front() : UINT64_MAX;
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    return refuse(
        Exit::not_applied, "unavailable",
        fmt::format("the {} replicas of the {} cluster did not all come to serve, at the same height, within "
                    "{} s",
                    side_.n, side_.fault_model, std::chrono::duration_cast<std::chrono::seconds>(limit).count()));
}

Answer<std::vector<lab::Costs>> Measurement::costs() {
    std::vector<lab::Costs> all;
    for (const client::ReplicaStatus& status : client_->status_sync()) {
        if (!status.reachable) {
            return refuse(Exit::not_applied, "unavailable",
                          fmt::format("replica {} does not answer: {}", status.replica.value, status.why));
        }
        const Result<lab::Costs> said = lab::costs_of_status(status.json);
        if (!said) {
            return tl::unexpected<Failure>(failure_of(said.error()));
        }
        all.push_back(*said);
    }
    return all;
}

Answer<void> Measurement::measure_idle() {
    if (Answer<void> level = await_level(level_limit); !level) {
        return level;
    }
    const auto begin = Clock::now();
    const Answer<std::vector<lab::Costs>> before = costs();
    std::this_thread::sleep_for(std::chrono::duration<double>(options_.idle_seconds));
    const Answer<std::vector<lab::Costs>> after = costs();
    if (!before || !after) {
        return tl::unexpected<Failure>(before ? after.error() : before.error());
    }
    const Result<lab::Costs> spent = lab::costs_between(*before, *after);
    if (!spent) {
        return tl::unexpected<Failure>(failure_of(spent.error()));
    }
    side_.idle = *spent;
    side_.idle_seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    return check_processes();
}

Answer<void> Measurement::measure_load(double seconds, bool counts,
                                       const std::function<void(const BenchProgress&)>& show) {
    BenchPlan plan;
    plan.seconds = seconds;
    plan.callers = options_.clients;
    plan.seed = crypto::random_u64();
    plan.shape.prefix = "price/";
    plan.shape.value_bytes = options_.value_bytes;
    plan.drain_ms = price_timeout_ms + 2'000;
    const Answer<std::vector<lab::Costs>> before = costs();
    if (!before) {
        return tl::unexpected<Failure>(before.error());
    }
    BenchEngine engine(plan, {client_.get()}, nullptr);
    const Answer<BenchReport> report = engine.run(show, stop_);
    if (!report) {
        return tl::unexpected<Failure>(report.error());
    }
    // What was answered may still be on its way to the last replica; that belongs to the price.
    if (Answer<void> level = await_level(level_limit); !level || !counts) {
        return level;
    }
    const Answer<std::vector<lab::Costs>> after = costs();
    if (!after) {
        return tl::unexpected<Failure>(after.error());
    }
    const Result<lab::Costs> spent = lab::costs_between(*before, *after);
    if (!spent) {
        return tl::unexpected<Failure>(failure_of(spent.error()));
    }
    const BenchTally& puts = report->by_op[static_cast<std::size_t>(BenchOp::put)];
    side_.busy = *spent;
    side_.seconds = report->seconds;
    side_.operations = puts.latency_ns.count();
    side_.errors = puts.failed + puts.unknown;
    side_.p50_ms = static_cast<double>(puts.latency_ns.percentile(50)) * 1e-6;
    side_.p99_ms = static_cast<double>(puts.latency_ns.percentile(99)) * 1e-6;
    return {};
}

Answer<lab::PriceSide> Measurement::run(ProgressLine& progress) {
    const auto show = [&](const std::string& what) {
        progress.show(fmt::format("{} model, {} replicas: {}", side_.fault_model, side_.n, what));
    };
    const auto loaded = [&](const BenchProgress& now) {
        show(fmt::format("{} {:4.1f} of {:.0f} s, {} operations", ProgressLine::bar(now.seconds / options_.seconds),
                         now.seconds, options_.seconds, now.answered));
    };
    show("starting");
    Answer<void> done = start();
    if (done) {
        show("warming up");
        done = measure_load(warm_up_s, false, [](const BenchProgress&) {});
    }
    if (done) {
        show("idle");
        done = measure_idle();
    }
    if (done) {
        done = measure_load(options_.seconds, true, loaded);
    }
    if (done) {
        done = check_processes();
    }
    if (client_ != nullptr) {
        client_->close();
    }
    cluster_.reset();
    return done ? Answer<lab::PriceSide>(side_) : tl::unexpected<Failure>(done.error());
}

std::string price_text(const lab::Price& price, const PriceOptions& options) {
    std::string text = fmt::format(
        "The same workload on healthy replicas of this machine: {} callers writing values of {} bytes for {:.1f} s "
        "each.\n\n",
        options.clients, options.value_bytes, options.seconds);
    for (const bool idle : {false, true}) {
        std::vector<std::vector<std::string>> rows = {{idle ? "IDLE, A SECOND" : "AN OPERATION",
                                                       fmt::format("CRASH (n={})", price.crash.n),
                                                       fmt::format("BYZANTINE (n={})", price.byzantine.n), "RATIO"}};
        for (const lab::PriceRow& row : lab::price_rows(price)) {
            if (row.idle == idle) {
                rows.push_back({row.what, lab::figure_text(row.crash), lab::figure_text(row.byzantine),
                                row.ratio ? lab::figure_text(*row.ratio) : "-"});
            }
        }
        text += table(rows) + "\n";
    }
    if (price.crash.errors + price.byzantine.errors > 0) {
        text += fmt::format("Operations that failed: {} and {}.\n", price.crash.errors, price.byzantine.errors);
    }
    return text + lab::price_sentence(price) + "\n";
}

Answer<Exit> price(const Globals& globals, const PriceOptions& options) {
    const std::atomic<bool>& stop = catch_interrupt(SecondInterrupt::ends_program);
    lab::Price measured;
    measured.clients = options.clients;
    measured.value_bytes = options.value_bytes;
    {
        ProgressLine progress;
        Answer<lab::PriceSide> crash = Measurement(consensus::FaultModel::crash, 3, options, stop).run(progress);
        if (!crash) {
            return tl::unexpected<Failure>(std::move(crash.error()));
        }
        Answer<lab::PriceSide> byzantine =
            Measurement(consensus::FaultModel::byzantine, 4, options, stop).run(progress);
        if (!byzantine) {
            return tl::unexpected<Failure>(std::move(byzantine.error()));
        }
        measured.crash = std::move(*crash);
        measured.byzantine = std::move(*byzantine);
    }
    if (globals.format == OutputFormat::json) {
        print_json(lab::price_document(measured));
    } else {
        print(price_text(measured, options));
    }
    return Exit::done;
}

}  // namespace

void add_price_command(CLI::App& lab, CommandContext& context) {
    auto options = std::make_shared<PriceOptions>();
    CLI::App* command =
        add_command(lab, "price",
                    "What Byzantine tolerance costs: the same workload on crash (n = 3) and byzantine (n = 4) replicas",
                    "loyal lab price\n  loyal lab price --seconds 20 --clients 128 -w json");
    command->add_option("--seconds", options->seconds, "How long each cluster works")
        ->check(CLI::Range(0.2, 600.0))
        ->capture_default_str();
    command->add_option("--idle", options->idle_seconds, "How long each is watched while idle, in seconds")
        ->check(CLI::Range(0.2, 60.0))
        ->capture_default_str();
    command->add_option("--clients", options->clients, "Concurrent callers")
        ->check(CLI::Range(1, 10'000))
        ->capture_default_str();
    command->add_option("--value-bytes", options->value_bytes, "Size of a value")
        ->check(CLI::Range(0, 65'536))
        ->capture_default_str();
    when_chosen(command, context, [&context, options] { return price(context.globals, *options); });
}

}  // namespace loyal::cli
