// fault set, fault list, traitor: experiments with replicas that misbehave.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/status_report.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

constexpr const char* behaviours = "none, silent, equivocate or lie-to-clients";

struct FaultOptions {
    std::uint16_t replica = 0;
    std::string behaviour;
};

Answer<Exit> set_fault(const Globals& globals, const FaultOptions& options) {
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "admin", .timeout_ms = default_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    if (!connection->cluster.experiments) {
        return refuse(
            Exit::not_allowed, "experiments_off",
            "this cluster does not allow injected faults; make one with `loyal cluster init DIR --experiments`");
    }
    if (options.replica >= connection->cluster.replicas.size()) {
        return refuse_input(fmt::format("there is no replica {}; this cluster has 0 to {}", options.replica,
                                        connection->cluster.replicas.size() - 1));
    }
    const Result<std::string> now =
        connection->client->control_sync(consensus::ReplicaId(options.replica), "fault " + options.behaviour);
    if (!now) {
        return tl::unexpected<Failure>(failure_of(now.error()));
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"id", options.replica}, {"fault", *now}});
    } else {
        print(fmt::format("replica {}: {}\n", options.replica, *now));
    }
    return Exit::done;
}

Answer<Exit> list_faults(const Globals& globals) {
    Answer<Connection> connection =
        connect(globals, {.fallback_key = "admin", .timeout_ms = default_timeout_ms, .fail_fast = true});
    if (!connection) {
        return tl::unexpected<Failure>(std::move(connection.error()));
    }
    const Json document =
        status_document(connection->cluster, connection->client->status_sync(globals.timeout_or(2'000)));
    Json list = Json::array();
    std::vector<std::vector<std::string>> rows = {{"ID", "FAULT"}};
    for (const Json& row : document["replicas"]) {
        list.push_back(Json{{"id", row["id"]}, {"reachable", row["reachable"]}, {"fault", row["fault"]}});
        const std::string said = row["fault"].is_string() ? row["fault"].get<std::string>() : "-";
        rows.push_back({row["id"].dump(), row["reachable"] == true ? said : "unreachable"});
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"experiments", connection->cluster.experiments}, {"faults", list}});
    } else {
        print(table(rows));
    }
    return Exit::done;
}

void add_target(CLI::App* command, FaultOptions& options) {
    command->add_option("id", options.replica, "The replica")->required();
    command->add_option("behaviour", options.behaviour, behaviours)->required();
}

}  // namespace

void add_fault_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group =
        add_command(app, "fault", "Experiments: make a replica misbehave (needs a cluster with --experiments)",
                    "loyal fault set 0 equivocate\n  loyal fault list");
    group->require_subcommand(1);
    auto set_options = std::make_shared<FaultOptions>();
    CLI::App* set = add_command(*group, "set", "Set the behaviour of a replica; signs in as client \"admin\"",
                                "loyal fault set 0 silent");
    add_target(set, *set_options);
    when_chosen(set, context, [&context, set_options] { return set_fault(context.globals, *set_options); });

    CLI::App* list = add_command(*group, "list", "The behaviour in force at each replica", "loyal fault list");
    when_chosen(list, context, [&context] { return list_faults(context.globals); });

    auto traitor_options = std::make_shared<FaultOptions>();
    CLI::App* traitor =
        add_command(app, "traitor", "Short for fault set", "loyal traitor 0 equivocate\n  loyal traitor 0 none");
    add_target(traitor, *traitor_options);
    when_chosen(traitor, context, [&context, traitor_options] { return set_fault(context.globals, *traitor_options); });
}

}  // namespace loyal::cli
