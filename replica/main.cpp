// loyald: one replica. Start-up checks everything that can be checked and says what is wrong and what to do about it,
// each kind of failure with its own exit code (config/fatal.h).
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <exception>
#include <thread>

#include "replica/experiments/lasting_fault.h"
#include "replica/replica.h"

namespace {

using loyal::fatal;
using loyal::FatalCode;

struct Arguments {
    std::string config = ".";
    int id = -1;
    std::string key;
    std::string data;
    bool init = false;
    std::string fault;
    std::string start_after;
    std::string log_level = "info";
    std::vector<std::string> all;  // the program's name first
};

void define(CLI::App& app, Arguments& arguments) {
    app.add_option("--config", arguments.config, "cluster.toml, or its folder")->required();
    app.add_option("--id", arguments.id, "number of this replica in the file")->required();
    app.add_option("--key", arguments.key, "key file (default: keys/replica-N.key beside cluster.toml)");
    app.add_option("--data", arguments.data, "data folder (default: data/replica-N beside cluster.toml)");
    app.add_flag("--init", arguments.init, "create the data folder of a replica that never ran, and exit");
    app.add_option("--fault", arguments.fault,
                   "experiments: misbehave from the start, as in \"byzantine silent\" (see `loyal fault set --help`)");
    app.add_option("--start-after", arguments.start_after,
                   "experiments: be down for so long first, as in 3s, holding neither ports nor the data folder");
    app.add_option("--log-level", arguments.log_level, "trace, debug, info, warn, error")
        ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error"}));
    app.set_version_flag("--version", std::string("loyald ") + LOYAL_VERSION);
    app.footer("Example: loyald --config loyal-cluster/cluster.toml --id 0");
}

void start_logging(const Arguments& arguments) {
    auto logger = spdlog::stderr_logger_mt("loyald");
    logger->set_pattern("time=%Y-%m-%dT%H:%M:%S.%e%z level=%l replica=" + std::to_string(arguments.id) + " %v");
    logger->set_level(spdlog::level::from_str(arguments.log_level));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

// Many clients need many descriptors; the soft limit is often 1024.
void raise_descriptor_limit() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &limit);
    }
}

loyal::config::Cluster load(const Arguments& arguments) {
    auto cluster = loyal::config::load_cluster(arguments.config);
    if (!cluster) {
        fatal(FatalCode::config, cluster.error().message);
    }
    if (arguments.id < 0 || static_cast<std::size_t>(arguments.id) >= cluster->replicas.size()) {
        fatal(FatalCode::config, "--id " + std::to_string(arguments.id) + " is no replica of " + arguments.config +
                                     ": it names the replicas 0 to " + std::to_string(cluster->replicas.size() - 1));
    }
    for (const auto& [option, value] :
         {std::pair("--fault", &arguments.fault), std::pair("--start-after", &arguments.start_after)}) {
        if (!value->empty() && *value != "none" && !cluster->experiments) {
            fatal(FatalCode::config, std::string(option) +
                                         " is refused: this cluster does not allow experiments "
                                         "(loyal cluster init --experiments)");
        }
    }
    return std::move(*cluster);
}

loyal::crypto::Identity load_key(const Arguments& arguments, const loyal::config::Cluster& cluster, std::uint16_t id) {
    const std::filesystem::path path =
        arguments.key.empty() ? cluster.replica_key_path(id) : std::filesystem::path(arguments.key);
    auto key = loyal::crypto::read_key_file(path);
    if (!key) {
        fatal(FatalCode::key, key.error().message);
    }
    if (key->identity.public_key() != cluster.replicas[id].public_key) {
        fatal(FatalCode::key, "the key in " + path.string() + " is not the one that " + arguments.config +
                                  " names for replica " + std::to_string(id) + "; give the right --key or --id");
    }
    return std::move(key->identity);
}

// Of the command line, else one that outlives restarts, else of the cluster file; and where it is from.
std::pair<std::string, std::string> choose_fault(const Arguments& arguments, const loyal::config::Cluster& cluster,
                                                 std::uint16_t id, const std::filesystem::path& data) {
    if (!arguments.fault.empty()) {
        return {arguments.fault, "--fault"};
    }
    if (!cluster.experiments) {
        return {"none", ""};
    }
    const auto kept = loyal::replica::kept_fault(data);
    if (!kept) {
        fatal(FatalCode::config, kept.error().message);
    }
    if (!kept->empty()) {
        return {*kept, (data / "fault").string()};
    }
    const std::string& own = cluster.replicas[id].fault;
    return {own.empty() ? "none" : own, "[[replica]] " + std::to_string(id) + " fault in " + arguments.config};
}

// Down, as a machine without power: nothing is opened yet, and SIGTERM ends the process as it ends any.
void stay_down(const Arguments& arguments) {
    if (arguments.start_after.empty()) {
        return;
    }
    const auto down_ms = loyal::replica::parse_duration_ms(arguments.start_after);
    if (!down_ms) {
        fatal(FatalCode::config, "--start-after: " + down_ms.error().message);
    }
    (void)::prctl(PR_SET_NAME, "loyald");  // after execve of /proc/self/exe it would be "exe"
    spdlog::info("event=down for_ms={}", *down_ms);
    std::this_thread::sleep_for(std::chrono::milliseconds(*down_ms));
}

int run(const Arguments& arguments) {
    loyal::config::Cluster cluster = load(arguments);
    stay_down(arguments);
    const auto id = static_cast<std::uint16_t>(arguments.id);
    const std::filesystem::path data =
        arguments.data.empty() ? cluster.data_path(id) : std::filesystem::path(arguments.data);
    loyal::crypto::Identity identity = load_key(arguments, cluster, id);
    if (arguments.init) {
        if (const auto made = loyal::replica::create_data_folder(cluster, id, data); !made) {
            fatal(made.error().code, made.error().message);
        }
        std::printf("created %s for replica %u; start it without --init\n", data.c_str(), static_cast<unsigned>(id));
        return 0;
    }
    auto opened = loyal::replica::open_data_folder(cluster, id, data);
    if (!opened) {
        fatal(opened.error().code, opened.error().message);
    }
    const auto [fault, source] = choose_fault(arguments, cluster, id, data);
    loyal::replica::Replica replica({std::move(cluster), id, fault, arguments.all}, std::move(identity),
                                    std::move(*opened));
    if (const auto begun = replica.begin_fault(); !begun) {
        loyal::replica::mark_stopped(data);  // it never served
        fatal(FatalCode::config, source + ": " + begun.error().message);
    }
    if (const auto listening = replica.listen(); !listening) {
        loyal::replica::mark_stopped(data);  // it never served
        fatal(FatalCode::port_in_use, listening.error().message);
    }
    replica.run();
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    Arguments arguments;
    arguments.all.assign(argv, argv + argc);
    CLI::App app("loyald: one replica of a LoyalKV cluster");
    define(app, arguments);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        const int code = app.exit(error);
        return code == 0 ? 0 : static_cast<int>(FatalCode::config);
    }
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    loyal::crypto::initialize();
    start_logging(arguments);
    try {
        return run(arguments);
    } catch (const std::exception& error) {
        fatal(FatalCode::internal, error.what());
    }
}
