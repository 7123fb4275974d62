#include "client/cli/init_options.h"

#include <map>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/choice.h"
#include "config/limits.h"

namespace loyal::cli {
namespace {

// What validation asks for with the window that `init` writes.
constexpr std::uint64_t checkpoint_interval_min = 4 * limits::window_default;

Answer<config::ClientRequest> parse_client(const std::string& text) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
        return refuse_input(fmt::format("--client {}: write NAME=PERMS, such as app=read,write", text));
    }
    const Result<std::uint8_t> rights = config::parse_rights(text.substr(equals + 1));
    if (!rights) {
        return refuse_input(fmt::format("--client {}: {}", text, rights.error().message));
    }
    return config::ClientRequest{text.substr(0, equals), *rights};
}

}  // namespace

bool InitArguments::any() const {
    return std::any_of(given.begin(), given.end(), [](const CLI::Option* option) { return option->count() > 0; });
}

bool InitArguments::has(const char* name) const {
    return std::any_of(given.begin(), given.end(),
                       [name](const CLI::Option* option) { return option->check_name(name) && option->count() > 0; });
}

Answer<void> take_clients(InitArguments& arguments) {
    for (const std::string& text : arguments.clients) {
        const Answer<config::ClientRequest> client = parse_client(text);
        if (!client) {
            return tl::unexpected<Failure>(client.error());
        }
        arguments.options.clients.push_back(*client);
    }
    return {};
}

void add_init_options(CLI::App* command, InitArguments& init) {
    config::InitOptions& options = init.options;
    init.given = {
        command->add_option("--replicas", options.replicas, "How many")->capture_default_str(),
        command->add_option("--fault-model", options.fault_model, "byzantine (default, n >= 3f+1) or crash (n >= 2f+1)")
            ->type_name("MODEL")
            ->transform(choice(std::map<std::string, consensus::FaultModel>{
                {"byzantine", consensus::FaultModel::byzantine}, {"crash", consensus::FaultModel::crash}})),
        command
            ->add_option("--crash-mode", options.crash_mode,
                         "With crash: recovery (default), or stop: a replica that crashed may not return")
            ->type_name("MODE")
            ->transform(choice(std::map<std::string, config::CrashMode>{{"recovery", config::CrashMode::recovery},
                                                                        {"stop", config::CrashMode::stop}})),
        command
            ->add_option("--base-port", options.base_port,
                         "Replica N listens on P+N (peers), P+100+N (clients), P+200+N (HTTP); 0: free ports")
            ->capture_default_str(),
        command->add_option("--hosts", options.hosts, "One a replica, separated by commas (default: all on 127.0.0.1)")
            ->delimiter(','),
        command->add_flag("--experiments", options.experiments, "Allow injected faults"),
        command
            ->add_option("--client", init.clients,
                         "One more client with its rights, such as app=read,write; repeatable")
            ->type_name("NAME=PERMS"),
        command
            ->add_option("--history-revisions", options.history_revisions,
                         fmt::format("How many revisions are kept for `get --rev` and `history`; {} to {}",
                                     limits::history_revisions_min, limits::history_revisions_max))
            ->check(CLI::Range(limits::history_revisions_min, limits::history_revisions_max))
            ->capture_default_str(),
        command
            ->add_option("--checkpoint-interval", options.checkpoint_interval,
                         fmt::format("Blocks from one checkpoint of the state to the next; {} to {}. Few: proofs and "
                                     "backups soon, a short log. Many: who was away for long fetches blocks, not state",
                                     checkpoint_interval_min, limits::checkpoint_interval_max))
            ->check(CLI::Range(checkpoint_interval_min, limits::checkpoint_interval_max))
            ->capture_default_str()};
    // One argument an occurrence: what follows may be the folder.
    init.given[4]->allow_extra_args(false);
    init.given[6]->allow_extra_args(false);
}

}  // namespace loyal::cli
