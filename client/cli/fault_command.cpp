// fault list, set, clear; traitor: experiments with replicas that crash, or lie.
#include <algorithm>
#include <memory>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/operator.h"
#include "client/cli/status_report.h"
#include "replica/control.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

struct FaultOptions {
    std::string replicas;
    std::vector<std::string> words;
    std::string after, every, down;
};

std::string line_of(const FaultOptions& options) {
    std::string line = fmt::format("{}", fmt::join(options.words, " "));
    for (const auto& [name, value] : {std::pair("--after", &options.after), std::pair("--every", &options.every),
                                      std::pair("--down", &options.down)}) {
        if (!value->empty()) {
            line += fmt::format(" {} {}", name, *value);
        }
    }
    return line;
}

// Arguments that name replicas: they exist, and none is the traitor itself. Which behaviours those are, the list of
// behaviours says.
Answer<void> check_named(const replica::FaultSpec& spec, std::uint16_t traitor, std::size_t replicas) {
    for (const replica::BehaviourSpec& behaviour : spec.behaviours) {
        const auto& all = replica::behaviours();
        const auto info =
            std::find_if(all.begin(), all.end(), [&](const auto& each) { return each.name == behaviour.name; });
        if (info == all.end() || info->argument != "IDS") {
            continue;
        }
        const auto ids = parse_replicas(behaviour.argument, replicas);
        if (!ids) {
            return refuse_input(fmt::format("{}: {}", behaviour.name, ids.error().message));
        }
        if (std::find(ids->begin(), ids->end(), traitor) != ids->end()) {
            return refuse_input(
                fmt::format("{}: replica {} is the traitor itself; name others", behaviour.name, traitor));
        }
    }
    return {};
}

bool is_faulty(const std::string& fault) {
    const std::string first = fault.substr(0, fault.find("; "));
    return first.starts_with("byzantine") || first.starts_with("crash");
}

// Allowed, because experiments are made of it; but nobody should do it unawares.
void warn_of_too_many(Operator& told) {
    const std::size_t f = told.cluster().membership().quorum().f;
    std::vector<std::uint16_t> faulty;
    for (const auto& [id, fault] : told.faults_in_force()) {
        if (is_faulty(fault)) {
            faulty.push_back(id);
        }
    }
    if (faulty.size() > f) {
        print_error(
            fmt::format("warning: {} of {} replicas are faulty now ({}), and {} is what this cluster tolerates\n",
                        faulty.size(), told.replicas(), list_of(faulty), f));
    }
}

void print_told(const Globals& globals, const std::vector<Told>& told) {
    Json list = Json::array();
    std::string text;
    for (const Told& each : told) {
        list.push_back(Json{{"id", each.replica}, {"fault", each.answer}});
        text += fmt::format("replica {}: {}\n", each.replica, each.answer);
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"faults", list}});
    } else {
        print(text);
    }
}

Answer<Exit> set_fault(const Globals& globals, const FaultOptions& options) {
    const std::string line = line_of(options);
    const auto spec = replica::parse_fault(line);
    if (!spec) {
        return refuse_input(spec.error().message);
    }
    Answer<Operator> admin = Operator::open(globals);
    if (!admin) {
        return tl::unexpected<Failure>(std::move(admin.error()));
    }
    const auto ids = admin->ids_of(options.replicas);
    if (!ids) {
        return tl::unexpected<Failure>(ids.error());
    }
    std::vector<Order> orders;
    for (const std::uint16_t id : *ids) {
        if (const Answer<void> sound = check_named(*spec, id, admin->replicas()); !sound) {
            return tl::unexpected<Failure>(sound.error());
        }
        orders.push_back({id, "fault " + line});
    }
    const bool ends_faults = spec->kind == replica::FaultSpec::Kind::none;
    const Answer<std::vector<Told>> told = admin->give(orders, ends_faults ? Reach::patient : Reach::all);
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    print_told(globals, *told);
    if (!ends_faults) {
        warn_of_too_many(*admin);
    }
    return Exit::done;
}

Answer<Exit> make_traitor(const Globals& globals, const FaultOptions& options) {
    const std::string line = line_of(options);
    const auto spec = replica::parse_fault(line);
    if (spec && (spec->kind == replica::FaultSpec::Kind::crash_stop ||
                 spec->kind == replica::FaultSpec::Kind::crash_recovery)) {
        return refuse_input(fmt::format("\"{}\" is no behaviour of a traitor; write: loyal fault set {} {}",
                                        options.words.front(), options.replicas, line));
    }
    return set_fault(globals, options);
}

Answer<Exit> clear_faults(const Globals& globals, const FaultOptions& options) {
    Answer<Operator> admin = Operator::open(globals);
    if (!admin) {
        return tl::unexpected<Failure>(std::move(admin.error()));
    }
    const auto ids = admin->ids_of(options.replicas);
    if (!ids) {
        return tl::unexpected<Failure>(ids.error());
    }
    std::vector<Order> orders;
    for (const std::uint16_t id : *ids) {
        for (const char* line : {"fault none", "net heal", "clock mend", "disk mend"}) {
            orders.push_back({id, line});
        }
    }
    const Answer<std::vector<Told>> told = admin->give(orders, Reach::whoever);
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    std::set<std::uint16_t> cleared;
    std::vector<Told> lines;
    for (const Told& each : *told) {
        if (cleared.insert(each.replica).second) {
            lines.push_back({each.replica, "none"});
        }
    }
    print_told(globals, lines);
    return done_except(*admin);
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

// For --help: everything that a line may say.
std::string known_faults() {
    std::string text =
        "Faults:\n  none\n  crash-stop [--after 5s]\n  crash-recovery [--every 10s] [--down 3s]\n  byzantine "
        "BEHAVIOUR..., of which there are:\n";
    for (const replica::BehaviourInfo& each : replica::behaviours()) {
        const std::string name =
            each.argument.empty() ? std::string(each.name) : fmt::format("{}={}", each.name, each.argument);
        text += fmt::format("    {:<40} {}\n", name, each.what);
    }
    return text;
}

CLI::App* add_setter(CLI::App& parent, CommandContext& context, const char* name, const char* what, const char* example,
                     Answer<Exit> (*run)(const Globals&, const FaultOptions&)) {
    auto options = std::make_shared<FaultOptions>();
    CLI::App* command = add_command(parent, name, what, example);
    command->footer(command->get_footer() + "\n\n" + known_faults());
    command->add_option("id", options->replicas, "The replica; several as in 0,2, or all")->required();
    command->add_option("fault", options->words, "What it is to do")->required()->expected(-1);
    command->add_option("--after", options->after, "crash-stop: ends after so long (default: at once)");
    command->add_option("--every", options->every, "crash-recovery: time up (default 10s)");
    command->add_option("--down", options->down, "crash-recovery: time down (default 3s)");
    when_chosen(command, context, [&context, options, run] { return run(context.globals, *options); });
    return command;
}

}  // namespace

void add_fault_commands(CLI::App& app, CommandContext& context) {
    CLI::App* group =
        add_command(app, "fault", "Experiments: make a replica misbehave (needs a cluster with --experiments)",
                    "loyal fault set 0 equivocate\n  loyal fault list\n  loyal fault clear");
    group->require_subcommand(1);
    add_setter(*group, context, "set", "Set the fault of a replica; signs in as client \"admin\"",
               "loyal fault set 0 byzantine silent\n  loyal fault set 2 crash-recovery --every 10s --down 3s\n  loyal "
               "fault set 0 none",
               set_fault);
    add_setter(app, context, "traitor", "Short for fault set ID byzantine BEHAVIOUR...",
               "loyal traitor 0 equivocate\n  loyal traitor 0 silent clock-lie=+10s\n  loyal traitor 0 none",
               make_traitor);

    CLI::App* list = add_command(*group, "list", "The faults in force at each replica", "loyal fault list");
    when_chosen(list, context, [&context] { return list_faults(context.globals); });

    auto options = std::make_shared<FaultOptions>();
    options->replicas = "all";
    CLI::App* clear = add_command(*group, "clear", "Take all faults away: of behaviour, links, clock and disk",
                                  "loyal fault clear\n  loyal fault clear 2");
    clear->add_option("id", options->replicas, "The replica; several as in 0,2 (default: all)");
    when_chosen(clear, context, [&context, options] { return clear_faults(context.globals, *options); });
}

}  // namespace loyal::cli
