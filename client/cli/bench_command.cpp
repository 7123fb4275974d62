// bench: load with a known shape, and what it met.

#include <atomic>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/bench/watch_bench.h"
#include "client/cli/bench_report.h"
#include "client/cli/command.h"
#include "client/cli/interrupt.h"
#include "client/cli/progress.h"
#include "config/limits.h"
#include "crypto/random.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t keys_max = 10'000'000;
constexpr std::size_t callers_max = 50'000;

struct BenchArguments {
    BenchPlan plan;
    std::size_t identities = 1;
    std::string mix = "write";
    std::string history;
    std::size_t watchers = 0;  // not 0: watches instead of callers
};

Answer<BenchPlan> plan_of(const Globals& globals, const BenchArguments& arguments) {
    BenchPlan plan = arguments.plan;
    const Answer<Mix> mix = parse_mix(arguments.mix);
    if (!mix) {
        return tl::unexpected<Failure>(mix.error());
    }
    plan.mix = *mix;
    plan.seed = crypto::random_u64();
    plan.shape.prefix = fmt::format("bench/{:08x}/", plan.seed & 0xFFFFFFFFU);
    plan.drain_ms = globals.timeout_or(default_timeout_ms) + 2'000;
    const std::size_t key_bytes_min = plan.shape.prefix.size() + std::to_string(plan.shape.keys - 1).size();
    if (plan.shape.key_bytes < key_bytes_min || plan.shape.key_bytes > limits::key_bytes_max) {
        return refuse_input(fmt::format("--key-bytes: {} to {} with these many keys (the run's own prefix takes {})",
                                        key_bytes_min, limits::key_bytes_max, plan.shape.prefix.size()));
    }
    const bool unique = plan.mix.cas || !arguments.history.empty();
    const std::size_t value_bytes_min = unique ? unique_value_bytes_min : 0;
    if (plan.shape.value_bytes < value_bytes_min || plan.shape.value_bytes > limits::value_bytes_max) {
        return refuse_input(fmt::format("--value-bytes: {} to {}{}", value_bytes_min, limits::value_bytes_max,
                                        unique ? " (with cas or --history every value must be different)" : ""));
    }
    return plan;
}

// `--identities 1` signs in as every other command does. More need keys of their own.
Answer<std::vector<std::filesystem::path>> keys_of(const Globals& globals, const config::Cluster& cluster,
                                                   std::size_t identities) {
    std::vector<std::filesystem::path> keys = {key_path_of(globals, cluster, "default")};
    for (const config::ClientEntry& client : cluster.clients) {
        if (keys.size() < identities && client.name.starts_with("bench")) {
            keys.push_back(cluster.client_key_path(client.name));
        }
    }
    if (keys.size() < identities) {
        return refuse_input(
            fmt::format("--identities {}: this cluster has {} client keys for it, the default one and those of clients "
                        "whose names begin with \"bench\". They are made with the cluster: loyal cluster init DIR "
                        "--client bench1=read,write --client bench2=read,write ...",
                        identities, keys.size()));
    }
    return keys;
}

std::string progress_text(const BenchProgress& now, const BenchProgress& before) {
    const double seconds = now.seconds - before.seconds;
    const double rate = seconds > 0.0 ? static_cast<double>(now.answered - before.answered) / seconds : 0.0;
    return fmt::format("{:5.1f} s  {:8.0f} operations/s  {} answered  {} errors", now.seconds, rate, now.answered,
                       now.errors);
}

Answer<BenchReport> run_plan(const BenchPlan& plan, const std::vector<std::unique_ptr<client::Client>>& clients,
                             HistoryFile* history) {
    std::vector<client::Client*> pointers;
    pointers.reserve(clients.size());
    for (const auto& client : clients) {
        pointers.push_back(client.get());
    }
    BenchEngine engine(plan, pointers, history);
    ProgressLine progress;
    // Ends the run early; its report is printed.
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::ends_program);
    if (plan.mix.cas || plan.mix.read_percent > 0) {
        progress.show(fmt::format("storing {} keys first", plan.shape.keys));
        if (const Answer<void> loaded = engine.load(interrupted); !loaded) {
            return tl::unexpected<Failure>(loaded.error());
        }
    }
    BenchProgress before;
    return engine.run(
        [&](const BenchProgress& now) {
            progress.show(progress_text(now, before));
            before = now;
        },
        interrupted);
}

Answer<Exit> bench_watches(const Globals& globals, const BenchArguments& arguments) {
    WatchBenchPlan plan;
    plan.watches = arguments.watchers;
    plan.rate_per_s = arguments.plan.rate_per_s > 0.0 ? arguments.plan.rate_per_s : 1'000.0;
    plan.seconds = arguments.plan.seconds;
    plan.value_bytes = arguments.plan.shape.value_bytes;
    plan.prefix = fmt::format("bench/{:08x}/", crypto::random_u64() & 0xFFFFFFFFU);
    plan.drain_ms = globals.timeout_or(default_timeout_ms) + 10'000;
    const Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Answer<std::vector<std::filesystem::path>> keys = keys_of(globals, *cluster, arguments.identities);
    if (!keys) {
        return tl::unexpected<Failure>(keys.error());
    }
    // The last one writes; the others watch.
    std::vector<std::unique_ptr<client::Client>> clients;
    for (std::size_t i = 0; i <= keys->size(); ++i) {
        auto client = sign_in(*cluster, (*keys)[i % keys->size()], globals.timeout_or(default_timeout_ms), true);
        if (!client) {
            return tl::unexpected<Failure>(std::move(client.error()));
        }
        clients.push_back(std::move(*client));
    }
    std::vector<client::Client*> watchers;
    for (std::size_t i = 0; i + 1 < clients.size(); ++i) {
        watchers.push_back(clients[i].get());
    }
    ProgressLine progress;
    const std::atomic<bool>& interrupted = catch_interrupt(SecondInterrupt::ends_program);
    const Answer<WatchBenchReport> report = run_watch_bench(
        plan, watchers, *clients.back(), [&progress](const std::string& text) { progress.show(text); }, interrupted);
    if (!report) {
        return tl::unexpected<Failure>(report.error());
    }
    print(globals.format == OutputFormat::json ? watch_bench_json(plan, *report) : watch_bench_text(plan, *report));
    if (report->lost + report->repeated + report->disordered + report->strange > 0) {
        return refuse(Exit::integrity, "watch_wrong", "changes were lost, repeated, told out of order or made up");
    }
    return Exit::done;
}

Answer<Exit> bench(const Globals& globals, const BenchArguments& arguments) {
    if (arguments.watchers > 0) {
        return bench_watches(globals, arguments);
    }
    const Answer<BenchPlan> plan = plan_of(globals, arguments);
    if (!plan) {
        return tl::unexpected<Failure>(plan.error());
    }
    const Answer<config::Cluster> cluster = load_cluster_of(globals.cluster);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Answer<std::vector<std::filesystem::path>> keys = keys_of(globals, *cluster, arguments.identities);
    if (!keys) {
        return tl::unexpected<Failure>(keys.error());
    }
    std::unique_ptr<HistoryFile> history;
    if (!arguments.history.empty()) {
        Answer<std::unique_ptr<HistoryFile>> created = HistoryFile::create(arguments.history);
        if (!created) {
            return tl::unexpected<Failure>(std::move(created.error()));
        }
        history = std::move(*created);
    }
    std::vector<std::unique_ptr<client::Client>> clients;
    for (const std::filesystem::path& key : *keys) {
        auto client = sign_in(*cluster, key, globals.timeout_or(default_timeout_ms), true);
        if (!client) {
            return tl::unexpected<Failure>(std::move(client.error()));
        }
        clients.push_back(std::move(*client));
    }
    const Answer<BenchReport> report = run_plan(*plan, clients, history.get());
    for (const auto& client : clients) {
        client->close();  // what was not answered is now, as unknown, and stands in the history
    }
    if (history != nullptr) {
        if (const Answer<void> closed = history->close(); !closed) {
            return tl::unexpected<Failure>(closed.error());
        }
    }
    if (!report) {
        return tl::unexpected<Failure>(report.error());
    }
    if (globals.format == OutputFormat::json) {
        print_json(bench_document(*plan, *report));
    } else {
        print(bench_text(*plan, *report));
    }
    return Exit::done;
}

}  // namespace

void add_bench_command(CLI::App& app, CommandContext& context) {
    auto arguments = std::make_shared<BenchArguments>();
    CLI::App* command =
        add_command(app, "bench", "Load: concurrent callers, rates and latencies, a history for checkers",
                    "loyal bench --clients 64 --seconds 10\n  loyal bench --mix 95/5 --zipf 0.99 --rate 5000 -w json\n"
                    "  loyal bench --mix cas --keys 10 --history h.jsonl\n"
                    "  loyal bench --watchers 10000 --rate 1000 --seconds 60");
    BenchPlan& plan = arguments->plan;
    command->add_option("--clients", plan.callers, "Concurrent callers")
        ->check(CLI::Range(std::size_t{1}, callers_max))
        ->capture_default_str();
    command->add_option("--identities", arguments->identities, "Client keys that the callers share")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    command->add_option("--seconds", plan.seconds, "How long")->check(CLI::Range(0.1, 86'400.0))->capture_default_str();
    command->add_option("--keys", plan.shape.keys, "How many keys")
        ->check(CLI::Range(std::uint64_t{1}, keys_max))
        ->capture_default_str();
    command->add_option("--key-bytes", plan.shape.key_bytes, "Size of a key")->capture_default_str();
    command->add_option("--value-bytes", plan.shape.value_bytes, "Size of a value")->capture_default_str();
    command->add_option("--mix", arguments->mix, "write, read, cas, or reads/writes such as 95/5 and 50/50")
        ->capture_default_str();
    command->add_option("--zipf", plan.zipf, "Choose keys by Zipf's law with this exponent (0: uniformly)")
        ->check(CLI::Range(0.0, 10.0));
    command
        ->add_option("--rate", plan.rate_per_s,
                     "Open loop: start so many operations a second; latency counts from the intended start")
        ->check(CLI::Range(0.0, 1e7));
    command
        ->add_option("--watchers", arguments->watchers,
                     "So many watches, each on its own prefix, and --rate writes a second (default 1000) for them")
        ->check(CLI::Range(std::size_t{1}, std::size_t{limits::watches_max}));
    command->add_option("--history", arguments->history, "Write every operation to this file, one JSON object a line");
    when_chosen(command, context, [&context, arguments] { return bench(context.globals, *arguments); });
}

}  // namespace loyal::cli
