// How a command joins the program: one function a command group, which adds its subcommands to the parser. Choosing a
// command stores its action; it runs after everything was parsed, so that no exception of the parser crosses it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/cli/connection.h"
#include "client/cli/failure.h"
#include "client/cli/output.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the name is CLI11's
class App;
}

namespace loyal::cli {

struct CommandContext {
    Globals globals;
    std::function<Answer<Exit>()> action;
    bool in_shell = false;
    std::vector<std::string> program;  // that lock or elect is to run: the words behind --
};

// A subcommand that takes the global options too, with an example below its help.
CLI::App* add_command(CLI::App& parent, const std::string& name, const std::string& description,
                      const std::string& example);
void when_chosen(CLI::App* command, CommandContext& context, std::function<Answer<Exit>()> action);
// --hex and --base64, of which at most one may be given.
void add_text_form(CLI::App* command, TextForm& form);

void add_cluster_commands(CLI::App& app, CommandContext& context);
void add_status_command(CLI::App& app, CommandContext& context);
void add_get_command(CLI::App& app, CommandContext& context);
void add_history_commands(CLI::App& app, CommandContext& context);
void add_txn_command(CLI::App& app, CommandContext& context);
void add_lease_commands(CLI::App& app, CommandContext& context);
void add_lock_commands(CLI::App& app, CommandContext& context);
void add_auth_commands(CLI::App& app, CommandContext& context);
void add_watch_command(CLI::App& app, CommandContext& context);
void add_write_commands(CLI::App& app, CommandContext& context);
void add_import_command(CLI::App& app, CommandContext& context);
void add_export_command(CLI::App& app, CommandContext& context);
void add_bench_command(CLI::App& app, CommandContext& context);
void add_fault_commands(CLI::App& app, CommandContext& context);
void add_net_commands(CLI::App& app, CommandContext& context);
void add_device_commands(CLI::App& app, CommandContext& context);
void add_evidence_commands(CLI::App& app, CommandContext& context);
void add_backup_command(CLI::App& app, CommandContext& context);
void add_restore_command(CLI::App& app, CommandContext& context);
void add_inspect_command(CLI::App& app, CommandContext& context);
void add_lab_commands(CLI::App& app, CommandContext& context);
void add_version_command(CLI::App& app, CommandContext& context);
void add_shell_command(CLI::App& app, CommandContext& context);

// The parser with all commands; it and what it parses refer to `context`, which must outlive it.
[[nodiscard]] std::unique_ptr<CLI::App> make_parser(CommandContext& context);

// What a line of `loyal shell` has from the shell.
struct ShellScope {
    Globals globals;    // what is in force unless the line says otherwise
    std::string where;  // put before a failure's message, such as "line 3: "; empty on a terminal
};

// Parses, runs, prints failures; gives the exit code of the process. Never throws.
[[nodiscard]] int run(const std::vector<std::string>& arguments, const ShellScope* scope = nullptr);

}  // namespace loyal::cli
