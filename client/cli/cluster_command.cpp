// cluster init, up, down, wipe, logs.
#include <algorithm>
#include <map>
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/init_options.h"
#include "client/cli/log_view.h"
#include "client/cli/replica_control.h"
#include "client/process.h"
#include "kvstore/data_lock.h"

namespace loyal::cli {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

namespace {

constexpr std::uint64_t down_grace_ms = 10'000;

struct ClusterArguments {
    std::string directory;
    InitArguments init;
    std::vector<std::uint16_t> only;
    bool yes = false;
    bool keep_keys = false;
};

fs::path folder_of(const Globals& globals, const std::string& directory) {
    return directory.empty() ? globals.cluster : directory;
}

fs::path file_of(const fs::path& path) {
    return path.extension() == ".toml" ? path : path / "cluster.toml";
}

Answer<config::Cluster> create(const fs::path& directory, InitArguments& arguments) {
    if (const Answer<void> clients = take_clients(arguments); !clients) {
        return tl::unexpected<Failure>(clients.error());
    }
    Result<config::InitReport> report = config::init_cluster(directory, arguments.options);
    if (!report) {
        return tl::unexpected<Failure>(failure_of(report.error()));
    }
    for (const std::string& warning : report->warnings) {
        print_error("warning: " + warning + "\n");
    }
    return std::move(report->cluster);
}

std::string name_of(consensus::FaultModel model) {
    return model == consensus::FaultModel::byzantine ? "byzantine" : "crash";
}

Json address_json(const config::ReplicaEntry& replica) {
    return Json{{"id", replica.id},
                {"advertise", replica.advertise},
                {"peer_port", replica.peer_port},
                {"client_port", replica.client_port},
                {"http_port", replica.http_port}};
}

std::string addresses_of(const config::ReplicaEntry& replica) {
    const bool v6 = replica.advertise.find(':') != std::string::npos;
    const std::string host = v6 ? "[" + replica.advertise + "]" : replica.advertise;
    return fmt::format("{0}  peers {1}  clients {2}  http {3}", host, replica.peer_port, replica.client_port,
                       replica.http_port);
}

Answer<Exit> init(const Globals& globals, ClusterArguments& arguments) {
    const fs::path directory = folder_of(globals, arguments.directory);
    const Answer<config::Cluster> cluster = create(directory, arguments.init);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const consensus::Quorum quorum = consensus::Quorum::of(cluster->fault_model, cluster->replicas.size());
    if (globals.format == OutputFormat::json) {
        Json replicas = Json::array();
        for (const config::ReplicaEntry& replica : cluster->replicas) {
            replicas.push_back(address_json(replica));
        }
        print_json(Json{{"directory", directory.string()},
                        {"cluster_id", cluster->cluster_id.hex()},
                        {"fault_model", name_of(cluster->fault_model)},
                        {"n", quorum.n},
                        {"f", quorum.f},
                        {"quorum", quorum.q},
                        {"experiments", cluster->experiments},
                        {"replicas", replicas}});
        return Exit::done;
    }
    print(fmt::format("{}: a cluster of {} replicas, {} fault model, tolerates {} faulty, quorum {}{}\n",
                      directory.string(), quorum.n, name_of(cluster->fault_model), quorum.f, quorum.q,
                      cluster->experiments ? ", experiments allowed" : ""));
    for (const config::ReplicaEntry& replica : cluster->replicas) {
        print(fmt::format("  replica {}  {}\n", replica.id, addresses_of(replica)));
    }
    print(fmt::format("start it with: loyal cluster up {}\n", directory.string()));
    return Exit::done;
}

// What `up` was asked for must not silently differ from what is there.
Answer<void> check_same(const config::Cluster& cluster, const InitArguments& init) {
    const auto given = [&](const char* name) { return init.has(name); };
    const bool same =
        (!given("--replicas") || init.options.replicas == cluster.replicas.size()) &&
        (!given("--fault-model") || init.options.fault_model == cluster.fault_model) &&
        (!given("--crash-mode") || init.options.crash_mode == cluster.crash_mode) &&
        (!given("--history-revisions") || init.options.history_revisions == cluster.history_revisions) &&
        (!given("--checkpoint-interval") || init.options.checkpoint_interval == cluster.checkpoint_interval) &&
        (!given("--experiments") || init.options.experiments == cluster.experiments);
    if (!same) {
        return refuse(
            Exit::usage, "conflict",
            fmt::format("{} already holds a cluster of {} replicas ({} fault model, experiments {}, {} revisions of "
                        "history, a checkpoint every {} blocks), not the one that the options ask for; leave the "
                        "options out, or end it with `loyal cluster wipe`",
                        cluster.directory.string(), cluster.replicas.size(), name_of(cluster.fault_model),
                        cluster.experiments ? "on" : "off", cluster.history_revisions, cluster.checkpoint_interval));
    }
    return {};
}

void print_lines(const Globals& globals, const config::Cluster& cluster, const std::vector<ReplicaLine>& lines,
                 Json document) {
    if (globals.format == OutputFormat::json) {
        document["replicas"] = Json::array();
        for (const ReplicaLine& line : lines) {
            Json row = address_json(cluster.replicas[line.id]);
            row["pid"] = line.pid ? Json(*line.pid) : Json();
            row["state"] = line.state;
            document["replicas"].push_back(row);
        }
        print_json(document);
        return;
    }
    for (const ReplicaLine& line : lines) {
        print(fmt::format("replica {}  pid {:<8} {}  {}\n", line.id, line.pid ? std::to_string(*line.pid) : "-",
                          addresses_of(cluster.replicas[line.id]), line.state));
    }
}

Answer<config::Cluster> load_or_create(const Globals& globals, ClusterArguments& arguments) {
    const fs::path directory = folder_of(globals, arguments.directory);
    std::error_code ignored;
    if (!fs::exists(file_of(directory), ignored) && arguments.init.any()) {
        return create(directory, arguments.init);
    }
    Answer<config::Cluster> cluster = load_cluster_of(directory);
    if (cluster) {
        if (const Answer<void> same = check_same(*cluster, arguments.init); !same) {
            return tl::unexpected<Failure>(same.error());
        }
    } else if (!fs::exists(file_of(directory), ignored)) {
        cluster.error().message =
            fmt::format("there is no cluster in {}; `loyal cluster up {} --replicas 4` makes one and starts it",
                        directory.string(), directory.string());
    }
    return cluster;
}

Answer<Exit> up(const Globals& globals, ClusterArguments& arguments) {
    const Answer<config::Cluster> cluster = load_or_create(globals, arguments);
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Answer<UpResult> result = bring_up(*cluster, globals, arguments.only);
    if (!result) {
        return tl::unexpected<Failure>(result.error());
    }
    print_lines(globals, *cluster, result->replicas, Json{{"serving", result->serving}});
    for (const std::string& death : result->deaths) {
        print_error(death);
    }
    if (!result->serving && result->quorum_possible) {
        return refuse(
            Exit::not_applied, "unavailable",
            fmt::format("no quorum serves{}{}; `loyal status` and `loyal cluster logs` show more. What was started "
                        "is left running; `loyal cluster down` stops it.",
                        result->why.empty() ? "" : ": ", result->why));
    }
    if (!result->deaths.empty()) {
        return refuse(Exit::negative, "replica_died",
                      "not every replica could be started; the others are left running");
    }
    if (!result->why.empty() && !result->serving) {
        print_error(fmt::format("note: whether a quorum serves was not seen: {}\n", result->why));
    }
    return Exit::done;
}

Answer<Exit> down(const Globals& globals, const ClusterArguments& arguments) {
    const Answer<config::Cluster> cluster = load_cluster_of(folder_of(globals, arguments.directory));
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    const Answer<std::vector<ReplicaLine>> lines =
        bring_down(*cluster, arguments.only, globals.timeout_or(down_grace_ms));
    if (!lines) {
        return tl::unexpected<Failure>(lines.error());
    }
    print_lines(globals, *cluster, *lines, Json::object());
    const bool left =
        std::any_of(lines->begin(), lines->end(), [](const ReplicaLine& line) { return line.state == "does not end"; });
    return left ? Answer<Exit>(refuse(Exit::internal, "system", "a replica does not end, even after SIGKILL"))
                : Exit::done;
}

bool confirmed(const fs::path& directory) {
    print_error(fmt::format("This ends the cluster in {} for good, with all its data. Type \"wipe\" to go on: ",
                            directory.string()));
    std::string typed;
    return std::getline(std::cin, typed) && typed == "wipe";
}

// Only what init, up and loyald made is removed; a folder that holds anything else stays.
Answer<void> remove_cluster(const config::Cluster& cluster, bool keep_keys) {
    // The public description goes last, so that a wipe that was cut short can be repeated.
    std::vector<fs::path> doomed = {cluster.directory / "data", cluster.directory / "run"};
    if (!keep_keys) {
        doomed.push_back(cluster.directory / "keys");
    }
    doomed.push_back(cluster.directory / "cluster.toml");
    for (const fs::path& path : doomed) {
        std::error_code error;
        fs::remove_all(path, error);
        if (error) {
            return refuse(Exit::internal, "io",
                          fmt::format("{} cannot be removed: {}", path.string(), error.message()));
        }
    }
    std::error_code ignored;
    fs::remove(cluster.directory, ignored);  // if nothing else is in it
    return {};
}

Answer<Exit> wipe(const Globals& globals, const ClusterArguments& arguments) {
    const Answer<config::Cluster> cluster = load_cluster_of(folder_of(globals, arguments.directory));
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    if (!arguments.yes && !(input_is_terminal() && confirmed(cluster->directory))) {
        return refuse_input("nothing was wiped: it needs --yes, or \"wipe\" typed on a terminal");
    }
    const Result<client::ClusterLock> lock = client::ClusterLock::take(*cluster);
    if (!lock) {
        return tl::unexpected<Failure>(failure_of(lock.error()));
    }
    // Held until the files are gone, so that no replica starts meanwhile, by whatever means.
    std::vector<kvstore::DataLock> data_locks;
    for (const config::ReplicaEntry& replica : cluster->replicas) {
        Result<kvstore::DataLock> data = kvstore::DataLock::acquire(cluster->data_path(replica.id));
        if (!data && data.error().code == Errc::conflict) {
            return refuse(Exit::usage, "conflict",
                          fmt::format("replica {} is running; stop the cluster first: loyal cluster down {}",
                                      replica.id, cluster->directory.string()));
        }
        if (data) {
            data_locks.push_back(std::move(*data));
        }
    }
    if (const Answer<void> removed = remove_cluster(*cluster, arguments.keep_keys); !removed) {
        return tl::unexpected<Failure>(removed.error());
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"wiped", cluster->directory.string()}, {"keys_kept", arguments.keep_keys}});
    } else {
        print(fmt::format("wiped {}{}\n", cluster->directory.string(),
                          arguments.keep_keys ? " (its keys are kept)" : ""));
    }
    return Exit::done;
}

struct LogArguments {
    std::string first;
    std::string second;
    bool follow = false;
    std::size_t lines = 50;
};

Answer<Exit> logs(const Globals& globals, const LogArguments& arguments) {
    const std::string& number = arguments.second.empty() ? arguments.first : arguments.second;
    const Answer<config::Cluster> cluster =
        load_cluster_of(folder_of(globals, arguments.second.empty() ? "" : arguments.first));
    if (!cluster) {
        return tl::unexpected<Failure>(cluster.error());
    }
    std::uint16_t id = 0;
    if (!CLI::detail::lexical_cast(number, id) || id >= cluster->replicas.size()) {
        return refuse_input(
            fmt::format("\"{}\" is no replica of this cluster; it has 0 to {}", number, cluster->replicas.size() - 1));
    }
    const fs::path path = cluster->log_path(id);
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
        return refuse(
            Exit::negative, "not_found",
            fmt::format("replica {} has no log yet ({}); was it started by `loyal cluster up`?", id, path.string()));
    }
    return show_log(path, arguments.lines, arguments.follow);
}

void add_directory(CLI::App* command, ClusterArguments& arguments) {
    command->add_option("dir", arguments.directory, "The cluster's folder (default: --cluster)");
}

void add_only(CLI::App* command, ClusterArguments& arguments) {
    command->add_option("--only", arguments.only, "Only these replicas, such as 0,2")
        ->delimiter(',')
        ->allow_extra_args(false);
}

}  // namespace

void add_cluster_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group = add_command(app, "cluster", "Make, start, stop and end a cluster",
                                  "loyal cluster up ./loyal-cluster --replicas 4");
    group->require_subcommand(1);

    auto init_arguments = std::make_shared<ClusterArguments>();
    CLI::App* init_command =
        add_command(*group, "init", "Write a new cluster's folder: cluster.toml, keys, data folders",
                    "loyal cluster init ./loyal-cluster --replicas 4\n  loyal cluster init ./c --fault-model crash "
                    "--replicas 3 --client app=read,write");
    add_directory(init_command, *init_arguments);
    add_init_options(init_command, init_arguments->init);
    when_chosen(init_command, context, [&context, init_arguments] { return init(context.globals, *init_arguments); });

    auto up_arguments = std::make_shared<ClusterArguments>();
    CLI::App* up_command =
        add_command(*group, "up", "Start the replicas of this machine and wait until a quorum serves",
                    "loyal cluster up ./loyal-cluster\n  loyal cluster up ./loyal-cluster --only 0,2\n"
                    "  loyal cluster up ./new --replicas 7");
    add_directory(up_command, *up_arguments);
    add_only(up_command, *up_arguments);
    add_init_options(up_command, up_arguments->init);
    when_chosen(up_command, context, [&context, up_arguments] { return up(context.globals, *up_arguments); });

    auto down_arguments = std::make_shared<ClusterArguments>();
    CLI::App* down_command = add_command(
        *group, "down", "Stop the replicas of this machine in order (--timeout: before they are killed; 10s)",
        "loyal cluster down ./loyal-cluster");
    add_directory(down_command, *down_arguments);
    add_only(down_command, *down_arguments);
    when_chosen(down_command, context, [&context, down_arguments] { return down(context.globals, *down_arguments); });

    auto wipe_arguments = std::make_shared<ClusterArguments>();
    CLI::App* wipe_command = add_command(*group, "wipe", "End a stopped cluster for good and remove its files",
                                         "loyal cluster wipe ./loyal-cluster --yes");
    add_directory(wipe_command, *wipe_arguments);
    wipe_command->add_flag("--yes", wipe_arguments->yes, "Do not ask");
    wipe_command->add_flag("--keep-keys", wipe_arguments->keep_keys, "Leave the keys folder");
    when_chosen(wipe_command, context, [&context, wipe_arguments] { return wipe(context.globals, *wipe_arguments); });

    auto log_arguments = std::make_shared<LogArguments>();
    CLI::App* logs_command = add_command(*group, "logs", "The end of a replica's log",
                                         "loyal cluster logs 0\n  loyal cluster logs ./loyal-cluster 2 -f");
    logs_command
        ->add_option("dir", log_arguments->first, "[DIR] N: the cluster's folder (default: --cluster) and the replica")
        ->required();
    logs_command->add_option("n", log_arguments->second, "The replica, when a folder was given");
    logs_command->add_flag("-f,--follow", log_arguments->follow, "Go on with what is written from now on");
    logs_command->add_option("--lines", log_arguments->lines, "How many lines")->capture_default_str();
    when_chosen(logs_command, context, [&context, log_arguments] { return logs(context.globals, *log_arguments); });
}

}  // namespace loyal::cli
