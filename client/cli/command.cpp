#include "client/cli/command.h"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <iterator>
#include <map>
#include <sstream>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "client/cli/choice.h"
#include "client/cli/proof_commands.h"
#include "config/duration.h"
#include "crypto/identity.h"

namespace loyal::cli {

namespace {

void add_globals(CLI::App& app, Globals& globals, bool in_shell) {
    auto* cluster = app.add_option("--cluster", globals.cluster, "Folder of the cluster or its cluster.toml")
                        ->capture_default_str();
    if (!in_shell) {  // there the shell has settled it
        cluster->envname("LOYAL_CLUSTER");
    }
    auto* as = app.add_option("--as", globals.as, "Sign in with the client key of this NAME in the cluster's folder");
    app.add_option("--key", globals.key,
                   "Sign in with this key file (environment: LOYAL_KEY; default: the key of client \"default\")")
        ->excludes(as);
    app.add_option("--timeout", globals.timeout, "How long an operation may take, such as 500ms, 5s or 1m (default 5s)")
        ->type_name("DURATION")
        ->check([](const std::string& text) {
            const Result<std::uint64_t> ms = parse_duration_ms(text, Globals::timeout_ms_max);
            return !ms ? ms.error().message : *ms == 0 ? std::string("the time is at least 1ms") : std::string();
        });
    app.add_option("-w,--write-out", globals.format, "Output: simple, json or table (default simple)")
        ->type_name("FORMAT")
        ->transform(choice(std::map<std::string, OutputFormat>{
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

int report(Failure failure, bool as_json, const ShellScope* scope) {
    if (scope != nullptr) {
        failure.message.insert(0, scope->where);
    }
    print_error(describe(failure, as_json));
    return static_cast<int>(failure.exit);
}

int run_action(const CommandContext& context, const ShellScope* scope) {
    const bool as_json = context.globals.format == OutputFormat::json;
    const Answer<Exit> answer = context.action();
    // What was printed before a failure still has to arrive, in order.
    const Answer<void> written = finish_output();
    if (!answer) {
        return report(answer.error(), as_json, scope);
    }
    return written ? static_cast<int>(*answer) : report(written.error(), as_json, scope);
}

// Whom a line signs in as takes the place of whom the shell does: of --as and --key only one can hold.
void settle_identity(const CLI::App& app, Globals& globals) {
    if (app.get_option("--as")->count() > 0) {
        globals.key.clear();
    } else if (app.get_option("--key")->count() > 0) {
        globals.as.clear();
    }
}

int print_help(const CLI::App& app, const CLI::Success& asked, const ShellScope* scope) {
    std::ostringstream text;
    app.exit(asked, text, text);
    print(text.str());
    const Answer<void> written = finish_output();
    return written ? 0 : report(written.error(), false, scope);
}

std::unique_ptr<CLI::App> begin_parser(CommandContext& context, const ShellScope* scope) {
    context = CommandContext();
    if (scope != nullptr) {
        context.globals = scope->globals;
        context.in_shell = true;
    }
    return make_parser(context);
}

// The words of a program, behind --, are not for the parser, which would take one such as "[a,b]" apart. Nothing when
// what is before them is no command that runs a program.
std::unique_ptr<CLI::App> parse_with_program(const std::vector<std::string>& arguments, CommandContext& context,
                                             const ShellScope* scope) {
    const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
    if (dashes == arguments.end()) {
        return nullptr;
    }
    std::unique_ptr<CLI::App> app = begin_parser(context, scope);
    try {
        app->parse(std::vector<std::string>(std::make_reverse_iterator(dashes), arguments.rend()));
    } catch (const CLI::Error&) {
        return nullptr;  // the whole may still be right; if it is not, its parser says why
    }
    if (!app->got_subcommand("lock") && !app->got_subcommand("elect")) {
        return nullptr;
    }
    context.program.assign(dashes + 1, arguments.end());
    return app;
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

std::unique_ptr<CLI::App> make_parser(CommandContext& context) {
    auto app = std::make_unique<CLI::App>(
        "LoyalKV: a replicated key-value store that stays right while some of its replicas lie.", "loyal");
    app->require_subcommand(1);
    app->footer(
        "Exit codes: 0 done, 1 a negative answer, 2 bad usage or input, 3 unavailable and definitely not applied,\n"
        "4 timed out and may have been applied, 5 not allowed, 6 integrity, 7 internal error.\n\n"
        "Example:\n  loyal cluster up ./loyal-cluster --replicas 4\n  loyal put greeting hello\n  loyal get "
        "greeting");
    add_globals(*app, context.globals, context.in_shell);
    add_cluster_commands(*app, context);
    add_status_command(*app, context);
    add_write_commands(*app, context);
    add_get_command(*app, context);
    add_history_commands(*app, context);
    add_txn_command(*app, context);
    add_lease_commands(*app, context);
    add_lock_commands(*app, context);
    add_watch_command(*app, context);
    add_auth_commands(*app, context);
    add_verify_command(*app, context);
    add_import_command(*app, context);
    add_export_command(*app, context);
    add_bench_command(*app, context);
    add_fault_commands(*app, context);
    add_net_commands(*app, context);
    add_device_commands(*app, context);
    add_evidence_commands(*app, context);
    add_backup_command(*app, context);
    add_restore_command(*app, context);
    add_inspect_command(*app, context);
    add_lab_commands(*app, context);
    add_version_command(*app, context);
    add_shell_command(*app, context);
    return app;
}

int run(const std::vector<std::string>& arguments, const ShellScope* scope) {
    const bool shell_wants_json = scope != nullptr && scope->globals.format == OutputFormat::json;
    const bool as_json = shell_wants_json || wants_json(arguments);
    try {
        crypto::initialize();
        CommandContext context;
        std::unique_ptr<CLI::App> app;
        try {
            app = parse_with_program(arguments, context, scope);
            if (!app) {
                app = begin_parser(context, scope);
                app->parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
            }
        } catch (const CLI::Success& asked) {
            return print_help(*app, asked, scope);
        } catch (const CLI::ParseError& error) {
            return report({Exit::usage, "bad_usage", fmt::format("{}; `--help` shows what there is", error.what())},
                          as_json, scope);
        }
        settle_identity(*app, context.globals);
        return run_action(context, scope);
    } catch (const std::exception& error) {
        return report({Exit::internal, "internal", error.what()}, as_json, scope);
    }
}

}  // namespace loyal::cli
