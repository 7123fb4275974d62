#include "client/cli/command.h"

#include <cstdlib>
#include <exception>
#include <map>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "crypto/identity.h"

namespace loyal::cli {

namespace {

void add_globals(CLI::App& app, Globals& globals) {
    app.add_option("--cluster", globals.cluster, "Folder of the cluster or its cluster.toml")
        ->envname("LOYAL_CLUSTER")
        ->capture_default_str();
    auto* as = app.add_option("--as", globals.as, "Sign in with the client key of this NAME in the cluster's folder");
    app.add_option("--key", globals.key,
                   "Sign in with this key file (environment: LOYAL_KEY; default: the key of client \"default\")")
        ->excludes(as);
    app.add_option("--timeout", globals.timeout_ms,
                   "How long an operation may take, such as 500ms, 5s or 1m (default 5s)")
        ->type_name("DURATION")
        ->transform(CLI::AsNumberWithUnit(
            std::map<std::string, double>{{"ms", 1.0}, {"s", 1'000.0}, {"m", 60'000.0}, {"h", 3'600'000.0}},
            CLI::AsNumberWithUnit::UNIT_REQUIRED, "DURATION"))
        ->check(CLI::Range(1.0, 86'400'000.0));
    app.add_option("-w,--write-out", globals.format, "Output: simple, json or table (default simple)")
        ->type_name("FORMAT")
        ->transform(CLI::CheckedTransformer(std::map<std::string, OutputFormat>{
            {"simple", OutputFormat::simple}, {"json", OutputFormat::json}, {"table", OutputFormat::table}}));
}

// For errors in the arguments themselves, which may come before -w was understood.
bool wants_json(const std::vector<std::string>& arguments) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        const std::string& word = arguments[i];
        if (word == "-wjson" || word == "--write-out=json" || word == "-w=json") {
            return true;
        }
        if ((word == "-w" || word == "--write-out") && i + 1 < arguments.size() && arguments[i + 1] == "json") {
            return true;
        }
    }
    return false;
}

int report(const Failure& failure, bool as_json) {
    print_error(describe(failure, as_json));
    return static_cast<int>(failure.exit);
}

int run_action(const CommandContext& context) {
    const bool as_json = context.globals.format == OutputFormat::json;
    const Answer<Exit> answer = context.action();
    // What was printed before a failure still has to arrive, in order.
    const Answer<void> written = finish_output();
    if (!answer) {
        return report(answer.error(), as_json);
    }
    return written ? static_cast<int>(*answer) : report(written.error(), as_json);
}

}  // namespace

CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& example) {
    CLI::App* command = parent.add_subcommand(name, description);
    command->fallthrough();
    command->footer(fmt::format(
        "Example:\n  {}\n\nGlobal options (--cluster, --as, --key, --timeout, -w): see `loyal --help`.", example));
    return command;
}

void when_chosen(CLI::App* command, CommandContext& context, std::function<Answer<Exit>()> action) {
    command->callback([command, &context, action = std::move(action)] {
        if (command->get_subcommands().empty()) {  // it is the subcommand that was chosen otherwise
            context.action = action;
        }
    });
}

void add_text_form(CLI::App* command, TextForm& form) {
    auto* hex = command->add_flag_callback(
        "--hex", [&form] { form = TextForm::hex; }, "Keys and values are written in hexadecimal");
    command
        ->add_flag_callback(
            "--base64", [&form] { form = TextForm::base64; }, "Keys and values are written in base64")
        ->excludes(hex);
}

int run(const std::vector<std::string>& arguments) {
    try {
        crypto::initialize();
        CommandContext context;
        CLI::App app("LoyalKV: a replicated key-value store that stays right while some of its replicas lie.", "loyal");
        app.require_subcommand(1);
        app.footer(
            "Exit codes: 0 done, 1 a negative answer, 2 bad usage or input, 3 unavailable and definitely not applied,\n"
            "4 timed out and may have been applied, 5 not allowed, 6 integrity, 7 internal error.\n\n"
            "Example:\n  loyal cluster up ./loyal-cluster --replicas 4\n  loyal put greeting hello\n  loyal get "
            "greeting");
        add_globals(app, context.globals);
        add_cluster_commands(app, context);
        add_status_command(app, context);
        add_write_commands(app, context);
        add_get_command(app, context);
        add_watch_command(app, context);
        add_import_command(app, context);
        add_export_command(app, context);
        add_bench_command(app, context);
        add_fault_commands(app, context);
        add_net_commands(app, context);
        add_device_commands(app, context);
        add_evidence_commands(app, context);
        add_backup_command(app, context);
        add_restore_command(app, context);
        add_inspect_command(app, context);
        add_lab_commands(app, context);
        add_version_command(app, context);
        try {
            app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
        } catch (const CLI::Success& asked) {
            app.exit(asked);  // --help
            const Answer<void> written = finish_output();
            return written ? 0 : report(written.error(), false);
        } catch (const CLI::ParseError& error) {
            return report({Exit::usage, "bad_usage", fmt::format("{}; `--help` shows what there is", error.what())},
                          wants_json(arguments));
        }
        return run_action(context);
    } catch (const std::exception& error) {
        return report({Exit::internal, "internal", error.what()}, wants_json(arguments));
    }
}

}  // namespace loyal::cli
