#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/backup/restore.h"
#include "client/cli/command.h"
#include "client/cli/init_options.h"
#include "client/cli/progress.h"

namespace loyal::cli {

namespace {

using Json = nlohmann::ordered_json;

struct RestoreArguments {
    std::string file;
    std::string directory;
    InitArguments init;
};

std::uint64_t unix_ms() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count());
}

Answer<Exit> restore_cluster(const Globals& globals, RestoreArguments& arguments) {
    if (const Answer<void> clients = take_clients(arguments.init); !clients) {
        return tl::unexpected<Failure>(clients.error());
    }
    ProgressLine progress;
    backup::RestoreOptions options;
    options.file = arguments.file;
    options.directory = arguments.directory;
    options.init = arguments.init.options;
    options.settle = [&arguments](const backup::BackupFacts& from, config::InitOptions& init) {
        if (!arguments.init.has("--checkpoint-interval")) {
            init.checkpoint_interval = from.cluster.checkpoint_interval;
        }
        if (!arguments.init.has("--history-revisions")) {
            init.history_revisions = from.cluster.history_revisions;
        }
        if (!arguments.init.has("--replicas")) {
            init.replicas = from.cluster.replicas.size();
        }
        if (!arguments.init.has("--fault-model")) {
            init.fault_model = from.cluster.fault_model;
        }
    };
    options.on_progress = [&progress](double fraction) {
        if (progress.due()) {
            progress.show(ProgressLine::bar(fraction));
        }
    };
    const Result<backup::RestoreReport> report = backup::restore_backup(options);
    progress.clear();
    if (!report) {
        return tl::unexpected<Failure>(input_failure_of(report.error()));
    }
    for (const std::string& warning : report->made.warnings) {
        print_error("warning: " + warning + "\n");
    }
    const backup::BackupFacts& from = report->from;
    if (from.meta.hlc.wall_ms() > unix_ms()) {
        print_error(fmt::format(
            "warning: this machine's clock is behind the backup ({}): timestamps of new writes would lie below those "
            "of restored keys; set the clock before you start the cluster\n",
            rfc3339(from.meta.hlc.wall_ms())));
    }
    const config::Cluster& made = report->made.cluster;
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"directory", arguments.directory},
                        {"cluster_id", made.cluster_id.hex()},
                        {"genesis_state", made.genesis_state.hex()},
                        {"from", Json{{"cluster_id", from.cluster.cluster_id.hex()},
                                      {"height", from.meta.height.value},
                                      {"proved_by_signatures", from.proved_by_signatures()}}},
                        {"keys", from.keys},
                        {"revision", from.meta.revision.value},
                        {"n", made.replicas.size()}});
        return Exit::done;
    }
    print(fmt::format(
        "{}: a new cluster of {} replicas, {}, with {} keys at revision {}, from cluster {} after block {}\n",
        arguments.directory, made.replicas.size(), made.cluster_id.short_hex(), from.keys, from.meta.revision.value,
        from.cluster.cluster_id.short_hex(), from.meta.height.value));
    print(fmt::format("start it with: loyal cluster up {}\n", arguments.directory));
    return Exit::done;
}

}  // namespace

void add_restore_command(CLI::App& app, CommandContext& context) {
    auto arguments = std::make_shared<RestoreArguments>();
    CLI::App* command =
        add_command(app, "restore", "Make a new cluster, with keys of its own, that begins with the data of a backup",
                    "loyal restore monday.lkv --replicas 4 ./new\n  loyal cluster up ./new");
    command->add_option("file", arguments->file, "A file that `loyal backup` wrote; it is verified first")->required();
    command->add_option("dir", arguments->directory, "The new cluster's folder")->required();
    add_init_options(command, arguments->init);
    when_chosen(command, context, [&context, arguments] { return restore_cluster(context.globals, *arguments); });
}

}  // namespace loyal::cli
