// clock, pause, disk: experiments with what a replica runs on.
#include <memory>

#include <fmt/format.h>
#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include "client/cli/command.h"
#include "client/cli/operator.h"
#include "replica/control.h"

namespace loyal::cli {

using Json = nlohmann::ordered_json;

namespace {

struct DeviceOptions {
    std::string replicas, verb, value;
};

// "clock offset=-5s" of "clock", "offset", "-5s".
std::string line_of(const char* device, const DeviceOptions& options) {
    return fmt::format("{} {}{}{}", device, options.verb, options.value.empty() ? "" : "=", options.value);
}

Answer<Exit> tell(const Globals& globals, const char* device, const std::string& replicas, const std::string& line) {
    // The line first: what is wrong with it needs no cluster to be seen.
    if (const auto command = replica::parse_control(line, 1); !command) {
        return refuse_input(command.error().message);
    }
    Answer<Operator> admin = Operator::open(globals);
    if (!admin) {
        return tl::unexpected<Failure>(std::move(admin.error()));
    }
    const auto ids = admin->ids_of(replicas);
    if (!ids) {
        return tl::unexpected<Failure>(ids.error());
    }
    std::vector<Order> orders;
    for (const std::uint16_t id : *ids) {
        orders.push_back({id, line});
    }
    const Answer<std::vector<Told>> told = admin->give(orders);
    if (!told) {
        return tl::unexpected<Failure>(told.error());
    }
    Json list = Json::array();
    std::string text;
    for (const Told& each : *told) {
        list.push_back(Json{{"id", each.replica}, {device, each.answer}});
        text += fmt::format("replica {}: {}\n", each.replica, each.answer);
    }
    if (globals.format == OutputFormat::json) {
        print_json(Json{{"replicas", list}});
    } else {
        print(text);
    }
    return Exit::done;
}

void add_device(CLI::App& app, CommandContext& context, const char* device, const char* what, const char* example,
                const char* verbs, const char* values) {
    auto options = std::make_shared<DeviceOptions>();
    CLI::App* command = add_command(app, device, what, example);
    command->add_option("id", options->replicas, "The replica; several as in 0,2, or all")->required();
    command->add_option("fault", options->verb, verbs)->required();
    command->add_option("value", options->value, values);
    when_chosen(command, context, [&context, options, device] {
        return tell(context.globals, device, options->replicas, line_of(device, *options));
    });
}

}  // namespace

void add_device_commands(CLI::App& app, CommandContext& context) {
    add_device(app, context, "clock",
               "Experiments: set the clock of a replica wrong (needs a cluster with --experiments)",
               "loyal clock 2 offset -5s\n  loyal clock 2 drift 200ppm\n  loyal clock 2 jump 10s\n  loyal clock 2 "
               "freeze\n  loyal clock all mend",
               "offset: wrong by so much; drift: runs fast or slow; jump: its wall clock is stepped; freeze: stands "
               "still; mend: right again",
               "How much: -5s or 250ms, of drift 200ppm");
    add_device(app, context, "disk", "Experiments: make the disk of a replica bad (needs a cluster with --experiments)",
               "loyal disk 1 slow 20ms\n  loyal disk 1 full\n  loyal disk 1 rot 8\n  loyal disk 1 mend",
               "slow: syncs take longer; full: no room; fail-sync: the next sync fails, which ends the process; rot: "
               "flips bits of records; mend: good again (rotten bits stay)",
               "slow: how much longer, as in 20ms; rot: how many bits (default 1)");

    auto options = std::make_shared<DeviceOptions>();
    CLI::App* pause =
        add_command(app, "pause", "Experiments: stop a replica's process for a while", "loyal pause 0 15s");
    pause->add_option("id", options->replicas, "The replica; several as in 0,2, or all")->required();
    pause->add_option("time", options->value, "How long, as in 15s; an hour at most")->required();
    when_chosen(pause, context, [&context, options] {
        return tell(context.globals, "pause", options->replicas, "pause " + options->value);
    });
}

}  // namespace loyal::cli
