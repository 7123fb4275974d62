#include <algorithm>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/status_report.h"

namespace loyal::cli {

namespace {

constexpr std::uint64_t status_timeout_ms = 2'000;

Answer<Exit> show_status(const Globals& globals) {
    Answer<Connection> connection = connect(globals, {.shared = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const std::vector<client::ReplicaStatus> answers =
        connection->client->status_sync(globals.timeout_or(status_timeout_ms));
    const bool any = std::any_of(answers.begin(), answers.end(), [](const auto& answer) { return answer.reachable; });
    const bool denied = std::any_of(answers.begin(), answers.end(), [](const auto& answer) { return answer.denied; });
    if (!any && denied) {
        return refuse(Exit::not_allowed, "not_allowed",
                      "the replicas do not know this client's key; use --as or --key to name another");
    }
    const nlohmann::ordered_json document = status_document(connection->cluster, answers);
    const bool healthy = document["healthy"] == true;
    if (globals.format == OutputFormat::json) {
        print_json(document);
    } else {
        print(status_table(document));
        print(fmt::format("{}: {} replicas, {} fault model, tolerates {} faulty, quorum {}\n",
                          healthy ? "healthy" : "NOT HEALTHY", document["n"].get<std::size_t>(),
                          document["fault_model"].get<std::string>(), document["f"].get<std::size_t>(),
                          document["quorum"].get<std::size_t>()));
    }
    return healthy ? Exit::done : Exit::negative;
}

}  // namespace

void add_status_command(CLI::App& app, CommandContext& context) {
    CLI::App* command = add_command(app, "status", "One row a replica; exit code 1 if fewer than a quorum are healthy",
                                    "loyal status\n  loyal status -w json");
    when_chosen(command, context, [&context] { return show_status(context.globals); });
}

}  // namespace loyal::cli
