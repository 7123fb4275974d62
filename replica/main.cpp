// loyald: one replica. Start-up checks everything that can be checked and says what is wrong and what to do about it,
// each kind of failure with its own exit code (config/fatal.h).
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>

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
    std::string fault = "none";
    std::string log_level = "info";
};

void define(CLI::App& app, Arguments& arguments) {
    app.add_option("--config", arguments.config, "cluster.toml, or its folder")->required();
    app.add_option("--id", arguments.id, "number of this replica in the file")->required();
    app.add_option("--key", arguments.key, "key file (default: keys/replica-N.key beside cluster.toml)");
    app.add_option("--data", arguments.data, "data folder (default: data/replica-N beside cluster.toml)");
    app.add_flag("--init", arguments.init, "create the data folder of a replica that never ran, and exit");
    app.add_option("--fault", arguments.fault, "experiments: misbehave from the start (see `loyal fault list`)");
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
    if (arguments.fault != "none" && !cluster->experiments) {
        fatal(FatalCode::config,
              "--fault is refused: this cluster does not allow experiments (loyal cluster init --experiments)");
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

int run(const Arguments& arguments) {
    loyal::config::Cluster cluster = load(arguments);
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
    loyal::replica::Replica replica({std::move(cluster), id, arguments.fault}, std::move(identity), std::move(*opened));
    if (arguments.fault != "none") {
        if (const auto set = replica.set_fault(arguments.fault); !set) {
            loyal::replica::mark_stopped(data);
            fatal(FatalCode::config, set.error().message);
        }
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
